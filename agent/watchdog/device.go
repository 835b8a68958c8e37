package watchdog

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// flags are the driver's abilities (WDIOF_* in linux/watchdog.h).
type flags uint32

func (f flags) has(bit flags) bool { return f&bit != 0 }

// device is the driver's interface as the kernel documents it
// (Documentation/watchdog/watchdog-api.rst). Tests put a fake behind it.
type device interface {
	// support returns abilities and name.
	support() (flags, string, error)
	// setTimeout asks for a countdown in seconds; the driver may round it.
	// It feeds a running watchdog as a side effect.
	setTimeout(seconds int) error
	// timeout reads the countdown back, in seconds, and feeds nothing.
	timeout() (int, error)
	keepalive() error
	// disable asks the driver to stop counting; nil says that it has. The
	// kernel's core answers EBUSY for nowayout, an old driver may not know the
	// question (ENOTTY, EOPNOTSUPP or EINVAL).
	disable() error
	// magicClose stops the countdown and closes the descriptor.
	magicClose() error
	// close closes the descriptor alone, which leaves a driver with magic
	// close counting.
	close() error
	fd() int
}

// handle is a device by its descriptor. It is a bare number on purpose: an
// os.File would be closed by the garbage collector.
type handle int

func openDevice(path string) (device, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return handle(fd), nil
}

func (h handle) fd() int { return int(h) }

func (h handle) support() (flags, string, error) {
	info, err := unix.IoctlGetWatchdogInfo(int(h))
	if err != nil {
		return 0, "", fmt.Errorf("ask watchdog for its abilities: %w", err)
	}
	return flags(info.Options), unix.ByteSliceToString(info.Identity[:]), nil
}

func (h handle) setTimeout(seconds int) error {
	if err := unix.IoctlSetPointerInt(int(h), unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return fmt.Errorf("set watchdog timeout to %d s: %w", seconds, err)
	}
	return nil
}

func (h handle) timeout() (int, error) {
	s, err := unix.IoctlGetInt(int(h), unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return 0, fmt.Errorf("read watchdog timeout back: %w", err)
	}
	return s, nil
}

func (h handle) keepalive() error {
	if err := unix.IoctlWatchdogKeepalive(int(h)); err != nil {
		return fmt.Errorf("feed watchdog: %w", err)
	}
	return nil
}

func (h handle) disable() error {
	if err := unix.IoctlSetPointerInt(int(h), unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD); err != nil {
		return fmt.Errorf("ask watchdog to stop: %w", err)
	}
	return nil
}

func (h handle) magicClose() error {
	// A close right after a written "V" is the only one that stops the driver.
	if _, err := unix.Write(int(h), []byte{'V'}); err != nil {
		return fmt.Errorf("write magic close to watchdog: %w", err)
	}
	return h.close()
}

func (h handle) close() error {
	if err := unix.Close(int(h)); err != nil {
		return fmt.Errorf("close watchdog: %w", err)
	}
	return nil
}
