package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/internal/boottime"
)

const (
	// askShare is the share of a stop's time for which the users of a file
	// system are asked to end (SIGTERM) before they are made to (SIGKILL).
	askShare = 3
	// askMost is its upper bound.
	askMost = 5 * time.Second
	// pause lies between two attempts to unmount.
	pause = 10 * time.Millisecond
	// round lies between two searches through all processes.
	round = 200 * time.Millisecond
)

// Stop unmounts every mount of the device and what is mounted inside. Processes
// that keep it busy are asked to end and then killed, until the context ends.
// It never detaches lazily: that hides the writers and stops none.
func (f *filesystem) Stop(ctx context.Context) error {
	killFrom := boottime.Now().Add(askTime(ctx))
	for {
		err := f.unmountAll(ctx)
		if err == nil {
			return f.confirmStopped(ctx)
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		sig, until := unix.SIGTERM, boottime.Now().Add(round)
		if boottime.Now() >= killFrom {
			sig = unix.SIGKILL
		} else {
			until = min(until, killFrom)
		}
		held, cause := f.evict(sig)
		if err = f.retry(ctx, until); ctx.Err() != nil && err != nil {
			return fmt.Errorf("%w: %s", err, explainBusy(held, cause))
		}
	}
}

// retry tries to unmount until it works or the time is up.
func (f *filesystem) retry(ctx context.Context, until boottime.Instant) error {
	for {
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("unmount %s: %w", f.Mount, err)
		}
		err := f.unmountAll(ctx)
		if err == nil || !errors.Is(err, unix.EBUSY) || boottime.Now() >= until {
			return err
		}
	}
}

// confirmStopped waits until the device is seen mounted nowhere, in no other
// mount name space either: such a one may just be ending.
func (f *filesystem) confirmStopped(ctx context.Context) error {
	until := boottime.Now().Add(askTime(ctx))
	for {
		state, err := f.State(ctx)
		if err == nil && state == Stopped {
			return nil
		}
		if boottime.Now() >= until || sleep(ctx, round) != nil {
			return errors.Join(fmt.Errorf("unmounted %s and found it %v", f.Mount, state), err)
		}
	}
}

func askTime(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return askMost
	}
	return min(askMost, time.Until(end)/askShare)
}

// mounts are the device's mounts and what was mounted on or inside them later,
// oldest first. Earlier mounts at such a place lie beneath and are not in use by
// ours.
func (f *filesystem) mounts() ([]mount, error) {
	is, err := f.own()
	if err != nil {
		return nil, err
	}
	all, err := readMounts("self")
	if err != nil {
		return nil, err
	}
	var found []mount
	var points []string
	for _, m := range all {
		switch {
		case is(m):
			points = append(points, m.point)
			found = append(found, m)
		case slices.ContainsFunc(points, func(p string) bool { return below(p, m.point) }):
			found = append(found, m)
		}
	}
	return found, nil
}

// unmountAll unmounts until nothing is left, the latest mount first. Mounts that
// lay hidden under another come to light only then, hence the loop.
func (f *filesystem) unmountAll(ctx context.Context) error {
	for {
		if err := f.settle(ctx); err != nil {
			return err
		}
		mounts, err := f.mounts()
		if err != nil {
			return err
		}
		if len(mounts) == 0 {
			return nil
		}
		m := mounts[len(mounts)-1]
		if err := f.call(ctx, func() error { return unix.Unmount(m.point, unix.UMOUNT_NOFOLLOW) }); err != nil {
			return fmt.Errorf("unmount %s: %w", m.point, err)
		}
	}
}

// evict signals the processes that hold the mounts, and says which they were.
// Those that signalProcess spares are named with the others.
func (f *filesystem) evict(sig unix.Signal) ([]process, error) {
	mounts, err := f.mounts()
	if err != nil {
		return nil, err
	}
	held, err := f.pinned(mounts).holders()
	errs := []error{err}
	for _, p := range held {
		errs = append(errs, signalProcess(p, sig))
	}
	return held, errors.Join(errs...)
}

// pinned adds the copies that other mount name spaces have of our mounts: a file
// that is open there keeps ours busy.
func (f *filesystem) pinned(mounts []mount) pinned {
	devices := pin(mounts).devices
	_, copies, err := foreignMounts(func(m mount) bool { return slices.Contains(devices, m.device) })
	p := pin(mounts)
	if err != nil {
		return p
	}
	for _, m := range copies {
		p.ids = append(p.ids, m.id)
	}
	return p
}

func explainBusy(held []process, cause error) string {
	var s strings.Builder
	if len(held) == 0 {
		s.WriteString("no process holds it; the kernel does: an NFS export, a loop device, a swap file")
	} else {
		s.WriteString("still held by " + nameProcesses(held))
	}
	if cause != nil {
		fmt.Fprintf(&s, " (%v)", cause)
	}
	return s.String()
}
