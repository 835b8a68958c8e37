package watchdog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sdnotify"
)

// storeName is what the descriptor is called in the service manager's store.
const storeName = "watchdog"

// OpenedMark is the file in the runtime directory that says that the device was opened in
// this boot.
const OpenedMark = "watchdog-opened"

// softdogIdentity is the name that the kernel's softdog driver gives itself.
const softdogIdentity = "Software Watchdog"

// Config says which watchdog and how long it waits.
type Config struct {
	Path       string        // device, for example /dev/watchdog0
	Timeout    time.Duration // whole seconds, at least one
	RuntimeDir string        // dies with the boot, for example /run/sbarbiter
}

// Validate names the first field that is wrong and how to mend it.
func (c Config) Validate() error {
	switch {
	case !filepath.IsAbs(c.Path):
		return fmt.Errorf("path: %q is no device: write for example /dev/watchdog0", c.Path)
	case c.Timeout < time.Second:
		return fmt.Errorf("timeout: %v is too short: the kernel counts whole seconds, write 1s or more", c.Timeout)
	case c.Timeout%time.Second != 0:
		return fmt.Errorf("timeout: the kernel counts whole seconds: write %v instead of %v", c.Timeout.Truncate(time.Second), c.Timeout)
	case !filepath.IsAbs(c.RuntimeDir):
		return fmt.Errorf("runtime directory: %q is not absolute: write for example /run/sbarbiter", c.RuntimeDir)
	}
	return nil
}

// Kernel is a watchdog device that counts. Nothing closes its descriptor but
// [Kernel.Disarm]: closing would feed it. One goroutine at a time may use it.
type Kernel struct {
	cfg     Config
	dev     device
	id      Identity
	timeout time.Duration
	sysfs   sysfs
	now     func() boottime.Instant
}

// parts are what a Kernel stands on; tests bring their own.
type parts struct {
	open  func(path string) (device, error)
	sysfs string // /sys/class/watchdog
	now   func() boottime.Instant
}

func machine() parts {
	return parts{open: openDevice, sysfs: "/sys/class/watchdog", now: boottime.Now}
}

// Open opens the device and sets its timeout; from then on the machine resets
// unless [Kernel.Feed] is called. It happens once per boot: afterwards only
// [Adopt] leads back to the device, and Open returns [ErrLost]. A driver that
// stops when its descriptor is closed is refused with [ErrUnfit].
func Open(cfg Config) (*Kernel, error) { return machine().openOnce(cfg) }

func (p parts) openOnce(cfg Config) (*Kernel, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open watchdog: %w", err)
	}
	k := &Kernel{cfg: cfg, now: p.now, sysfs: sysfsOf(p.sysfs, cfg.Path)}
	// Ask what can be asked without opening: opening starts the countdown.
	if err := k.sysfs.check(cfg); err != nil {
		return nil, err
	}
	// The mark comes first. A death between the two then costs a reboot; the
	// other way round it would let a second open feed the watchdog.
	if err := k.mark(); err != nil && !mutant.On(mutant.ClosingFeeds) {
		return nil, err
	}
	dev, err := p.open(cfg.Path)
	if err != nil {
		return nil, errors.Join(openError(cfg.Path, err), k.unmark())
	}
	k.dev = dev
	if err := k.arm(); err != nil {
		return nil, errors.Join(err, k.undo())
	}
	return k, nil
}

// Adopt takes over a descriptor that the service manager kept while this
// process was away; see [Stored]. It feeds nothing and leaves the timeout as it
// is, because setting it would feed.
func Adopt(fd int, cfg Config) (*Kernel, error) {
	return machine().adopt(handle(fd), cfg)
}

func (p parts) adopt(dev device, cfg Config) (*Kernel, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("adopt watchdog: %w", err)
	}
	k := &Kernel{cfg: cfg, dev: dev, now: p.now, sysfs: sysfsOf(p.sysfs, cfg.Path)}
	if err := k.mark(); err != nil && !errors.Is(err, ErrLost) {
		return nil, err
	}
	if _, err := k.identify(); err != nil {
		return nil, fmt.Errorf("adopt watchdog %s: %w", cfg.Path, err)
	}
	if err := k.readBack(); err != nil {
		return nil, fmt.Errorf("adopt watchdog %s: %w", cfg.Path, err)
	}
	return k, nil
}

// Stored returns the watchdog's descriptor if the service manager kept one. It
// is asked before [Open].
func Stored() (fd int, ok bool, err error) {
	fds, err := sdnotify.Stored(storeName)
	if err != nil || len(fds) == 0 {
		return -1, false, err
	}
	// More than one are copies of the same opening. They stay open: a close
	// gains nothing and is the one thing that must not go wrong.
	return fds[0], true, nil
}

// Feed looks at the clock, feeds, and looks again: whoever is held up between
// the two has fed a machine that should be dying, and resets it.
func (k *Kernel) Feed(deadline boottime.Instant) error {
	before := k.now()
	if before >= deadline {
		return &LateError{Deadline: deadline, Before: before}
	}
	err := k.dev.keepalive()
	if after := k.now(); after >= deadline {
		return errors.Join(&LateError{Deadline: deadline, Before: before, After: after}, err)
	}
	return err
}

// Timeout is the countdown as the driver reported it, which may be longer than
// what was asked for.
func (k *Kernel) Timeout() time.Duration { return k.timeout }

// Identity says which device and driver count.
func (k *Kernel) Identity() Identity { return k.id }

// Store leaves the descriptor with the service manager and returns when that
// has taken it, or with [sdnotify.ErrNoManager] where there is none. Without
// it a restarted agent finds the watchdog lost and its timeout counts twice.
func (k *Kernel) Store(ctx context.Context) error {
	if err := sdnotify.Store(storeName, k.dev.fd()); err != nil {
		return fmt.Errorf("store watchdog %s: %w", k.cfg.Path, err)
	}
	if err := sdnotify.Barrier(ctx); err != nil {
		return fmt.Errorf("store watchdog %s: %w", k.cfg.Path, err)
	}
	return nil
}

// Disarm stops the countdown for a requested shutdown while no group runs. The
// Kernel is of no use afterwards. Where the driver refuses, it returns a
// [*CountingError] and leaves everything as it was: the descriptor open and with
// the service manager, for an agent that is started again in time.
func (k *Kernel) Disarm(ctx context.Context) error {
	// The manager's copy first: only the last close stops the driver, and nobody
	// may ever take over a watchdog that does not count.
	if err := k.withdraw(ctx); err != nil {
		return fmt.Errorf("disarm watchdog %s: %w", k.cfg.Path, err)
	}
	err := k.undo()
	var counts *CountingError
	if errors.As(err, &counts) && !counts.closed {
		if again := k.Store(ctx); again != nil && !errors.Is(again, sdnotify.ErrNoManager) {
			err = errors.Join(err, again)
		}
	}
	return err
}

// withdraw takes the descriptor out of the service manager's care.
func (k *Kernel) withdraw(ctx context.Context) error {
	err := sdnotify.Remove(storeName)
	if errors.Is(err, sdnotify.ErrNoManager) {
		return nil
	}
	if err != nil {
		return err
	}
	return sdnotify.Barrier(ctx)
}

// undo stops the countdown and forgets that the device was opened, in this
// order. It asks the driver: a magic close says nothing of whether it worked.
func (k *Kernel) undo() error {
	asked := k.dev.disable()
	if asked != nil && !unknownToDriver(asked) {
		return &CountingError{Path: k.cfg.Path, Timeout: k.timeout, Err: asked}
	}
	if err := k.dev.magicClose(); err != nil {
		return fmt.Errorf("disarm watchdog %s: %w", k.cfg.Path, err)
	}
	switch state, known := k.sysfs.read("state"); {
	case known && state == "active":
		return &CountingError{Path: k.cfg.Path, Timeout: k.timeout, closed: true, Err: errors.New("it is still active")}
	case asked != nil && !known:
		return &CountingError{Path: k.cfg.Path, Timeout: k.timeout, closed: true, Err: fmt.Errorf("its driver cannot be asked (%w)", asked)}
	}
	return k.unmark()
}

// unknownToDriver: the driver is older than the question.
func unknownToDriver(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)
}

func (k *Kernel) arm() error {
	can, err := k.identify()
	if err != nil {
		return fmt.Errorf("open watchdog %s: %w", k.cfg.Path, err)
	}
	if can.has(unix.WDIOF_SETTIMEOUT) {
		if err := k.dev.setTimeout(int(k.cfg.Timeout / time.Second)); err != nil {
			return fmt.Errorf("open watchdog %s: %w", k.cfg.Path, err)
		}
	}
	if err := k.readBack(); err != nil {
		return fmt.Errorf("open watchdog %s: %w", k.cfg.Path, err)
	}
	if !can.has(unix.WDIOF_SETTIMEOUT) && k.timeout != k.cfg.Timeout {
		return fixedTimeout(k.cfg, k.timeout)
	}
	return nil
}

func (k *Kernel) identify() (flags, error) {
	can, name, err := k.dev.support()
	if err != nil {
		return 0, err
	}
	k.id = Identity{Path: k.cfg.Path, Driver: name, Software: name == softdogIdentity, Nowayout: k.sysfs.nowayout()}
	return can, fit(can, k.cfg.Path, name)
}

func (k *Kernel) readBack() error {
	s, err := k.dev.timeout()
	if err != nil {
		return err
	}
	if s <= 0 {
		return fmt.Errorf("%w: it reports a timeout of %d s", ErrUnfit, s)
	}
	k.timeout = time.Duration(s) * time.Second
	return nil
}

func (k *Kernel) markPath() string { return filepath.Join(k.cfg.RuntimeDir, OpenedMark) }

// mark leaves word for the rest of this boot that the device was opened.
func (k *Kernel) mark() error {
	if err := os.MkdirAll(k.cfg.RuntimeDir, 0o700); err != nil {
		return fmt.Errorf("mark watchdog as opened: %w", err)
	}
	f, err := os.OpenFile(k.markPath(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("open watchdog %s: %w (mark: %s)", k.cfg.Path, ErrLost, k.markPath())
	}
	if err != nil {
		return fmt.Errorf("mark watchdog as opened: %w", err)
	}
	return f.Close()
}

func (k *Kernel) unmark() error {
	if err := os.Remove(k.markPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget that watchdog was opened: %w", err)
	}
	return nil
}

var _ Watchdog = (*Kernel)(nil)
