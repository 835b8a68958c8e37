package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Filesystem is a mounted file system. It is not checked before: fsck belongs
// in front of the first mount and in the operator's hands.
type Filesystem struct {
	Device  string // block device, or the source's name for a type without one
	Mount   string // mount point; it has to exist
	Type    string // ext4, xfs, tmpfs, ...
	Options string // as in fstab: "noatime,data=ordered"
}

// Validate names the first field that is wrong and how to mend it.
func (c Filesystem) Validate() error {
	switch {
	case c.Device == "":
		return fieldError("device", "is missing: write for example /dev/drbd0")
	case !filepath.IsAbs(c.Mount):
		return fieldError("mount", "%q is no absolute path: write for example /srv/nfs", c.Mount)
	case filepath.Clean(c.Mount) != c.Mount:
		return fieldError("mount", "write %s instead of %s", filepath.Clean(c.Mount), c.Mount)
	case c.Mount == "/":
		return fieldError("mount", "/ holds this system: write for example /srv/nfs")
	case c.Type == "":
		return fieldError("type", "is missing: write for example ext4")
	case strings.ContainsAny(c.Options, " \t\n"):
		return fieldError("options", "%q contains blanks: separate options by commas", c.Options)
	}
	return nil
}

// Unit returns the unit that mounts and unmounts.
func (c Filesystem) Unit(Env) Unit { return &filesystem{Filesystem: c} }

type filesystem struct {
	Filesystem
	mu sync.Mutex
	// pending is closed when the system call under way returns; nil if none is.
	// A caller may have given up waiting for it: it may still succeed.
	pending chan struct{}
}

// Name is "filesystem MOUNTPOINT".
func (f *filesystem) Name() string { return "filesystem " + f.Mount }

// State says Stopped only when the device is mounted nowhere on this machine.
func (f *filesystem) State(ctx context.Context) (State, error) {
	if err := ctx.Err(); err != nil {
		return Unknown, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	// An unmount takes the mount off the list first and writes it out then.
	if f.underWay() != nil {
		return Unknown, fmt.Errorf("%s is being mounted or unmounted", f.Name())
	}
	return f.look()
}

func (f *filesystem) look() (State, error) {
	is, err := f.own()
	if err != nil {
		return Unknown, err
	}
	mounts, err := readMounts("self")
	if err != nil {
		return Unknown, err
	}
	top, covered := topMount(mounts, f.Mount)
	if covered && is(top) {
		return Running, nil
	}
	for _, m := range mounts {
		if is(m) {
			return Unknown, fmt.Errorf("%s is mounted at %s, not visibly at %s: unmount it there", f.Device, m.point, f.Mount)
		}
	}
	owners, _, err := foreignMounts(is)
	if err != nil {
		return Unknown, err
	}
	if len(owners) > 0 {
		return Unknown, fmt.Errorf("%s is mounted in another mount name space, that of %s: end that", f.Device, nameProcesses(owners))
	}
	return Stopped, nil
}

// Start mounts. It refuses a mount point that something else covers.
func (f *filesystem) Start(ctx context.Context) error {
	state, err := f.State(ctx)
	if err != nil {
		return err
	}
	if state == Running {
		return nil
	}
	if err := f.checkPoint(); err != nil {
		return err
	}
	flags, data := mountArguments(f.Options)
	if err := f.call(ctx, func() error { return unix.Mount(f.Device, f.Mount, f.Type, flags, data) }); err != nil {
		return fmt.Errorf("mount %s on %s: %w%s", f.Device, f.Mount, err, f.mountHint(err))
	}
	return nil
}

func (f *filesystem) checkPoint() error {
	real, err := filepath.EvalSymlinks(f.Mount)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mount point %s does not exist: create it with mkdir -p on both nodes", f.Mount)
	}
	if err != nil {
		return fmt.Errorf("look at mount point: %w", err)
	}
	if real != f.Mount {
		return fmt.Errorf("mount point %s leads through a symbolic link to %s: write that", f.Mount, real)
	}
	mounts, err := readMounts("self")
	if err != nil {
		return err
	}
	if top, covered := topMount(mounts, f.Mount); covered {
		return fmt.Errorf("mount point %s is taken by %s (%s): unmount that", f.Mount, top.source, top.fsType)
	}
	return nil
}

// own returns the test for this unit's mounts. Some types (btrfs) have a device
// number of their own and are known by the source that they name.
func (f *filesystem) own() (func(mount) bool, error) {
	number, err := blockNumber(f.Device)
	if err != nil {
		return nil, err
	}
	return func(m mount) bool {
		if number != "" && m.device == number {
			return true
		}
		if m.source != f.Device {
			return false
		}
		// Any tmpfs may call its source the same: the point tells them apart.
		return number != "" || strings.HasPrefix(f.Device, "/") || m.fsType == f.Type && m.point == f.Mount
	}, nil
}

// topMount is the mount that a path shows: of several, the last.
func topMount(mounts []mount, point string) (mount, bool) {
	for _, m := range slices.Backward(mounts) {
		if m.point == point {
			return m, true
		}
	}
	return mount{}, false
}

// call makes a system call that may hang in the kernel for as long as a device
// is frozen. No signal ends it then, so it is left behind when the context ends
// and the next call waits for it.
func (f *filesystem) call(ctx context.Context, do func() error) error {
	if err := f.settle(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	f.setPending(done)
	var result error
	go func() {
		result = do()
		f.setPending(nil)
		close(done)
	}()
	select {
	case <-done:
		return result
	case <-ctx.Done():
		return fmt.Errorf("it hangs in the kernel: %w", ctx.Err())
	}
}

// settle waits until no system call of ours is under way.
func (f *filesystem) settle(ctx context.Context) error {
	if p := f.underWay(); p != nil {
		select {
		case <-p:
		case <-ctx.Done():
			return fmt.Errorf("an earlier call for %s still hangs in the kernel: %w", f.Name(), ctx.Err())
		}
	}
	return ctx.Err()
}

func (f *filesystem) underWay() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pending
}

func (f *filesystem) setPending(c chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = c
}

func (f *filesystem) mountHint(err error) string {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Sprintf(": the kernel has no file system %q: load its module", f.Type)
	case errors.Is(err, unix.EMEDIUMTYPE):
		return ": the device is DRBD in role Secondary: promote it first"
	case errors.Is(err, unix.EINVAL):
		return fmt.Sprintf(": no valid %s on the device, or a wrong option in %q (the kernel log says which)", f.Type, f.Options)
	case errors.Is(err, unix.EBUSY):
		return ": the device is in use"
	}
	return ""
}
