package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sysfs is a device's directory below /sys/class/watchdog, which tells about a
// driver without opening it (Documentation/ABI/testing/sysfs-class-watchdog).
// Kernels may lack it; whatever it cannot tell is asked of the device.
type sysfs string

func sysfsOf(root, device string) sysfs {
	name := filepath.Base(device)
	if name == "watchdog" {
		name = "watchdog0" // the old name is a second door to the first device
	}
	return sysfs(filepath.Join(root, name))
}

func (s sysfs) read(attr string) (string, bool) {
	b, err := os.ReadFile(filepath.Join(string(s), attr))
	return strings.TrimSpace(string(b)), err == nil
}

func (s sysfs) nowayout() bool {
	v, ok := s.read("nowayout")
	return ok && v == "1"
}

// check refuses an unfit driver before its countdown is started.
func (s sysfs) check(cfg Config) error {
	raw, ok := s.read("options")
	if !ok {
		return nil
	}
	bits, err := strconv.ParseUint(strings.TrimPrefix(raw, "0x"), 16, 32)
	if err != nil {
		return nil // not a format we know; the device itself is asked next
	}
	name, _ := s.read("identity")
	if err := fit(flags(bits), cfg.Path, name); err != nil {
		return err
	}
	if flags(bits).has(unix.WDIOF_SETTIMEOUT) {
		return nil
	}
	fixed, ok := s.read("timeout")
	if n, err := strconv.Atoi(fixed); ok && err == nil && time.Duration(n)*time.Second != cfg.Timeout {
		return fixedTimeout(cfg, time.Duration(n)*time.Second)
	}
	return nil
}

// fit says whether a driver's abilities suffice.
func fit(can flags, path, name string) error {
	switch {
	case !can.has(unix.WDIOF_MAGICCLOSE):
		return fmt.Errorf("%w: %s (%s) stops counting when its owner dies (no magic close): use another driver", ErrUnfit, path, name)
	case can.has(unix.WDIOF_ALARMONLY):
		return fmt.Errorf("%w: %s (%s) raises an alarm and does not reset the machine: use another driver", ErrUnfit, path, name)
	}
	return nil
}

func fixedTimeout(cfg Config, fixed time.Duration) error {
	return fmt.Errorf("%w: %s cannot change its timeout of %v: configure timeout: %v, or use another driver", ErrUnfit, cfg.Path, fixed, fixed)
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("open watchdog %s: %w: another process holds it (systemd with RuntimeWatchdogSec=, watchdogd, sbd?): free it for the agent", path, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open watchdog %s: %w: load the hardware's driver, see `wdctl` and /sys/class/watchdog", path, err)
	}
	return fmt.Errorf("open watchdog %s: %w", path, err)
}
