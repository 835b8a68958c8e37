package carry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
)

// stopServices stops the group and unmounts its volumes, wherever a person may
// have mounted them.
func (w work) stopServices(ctx context.Context) (Progress, error) {
	if w.group.Stop != nil {
		if err := w.group.Stop(ctx); err != nil {
			return Progress{}, fmt.Errorf("stop the services: %w", err)
		}
	}
	for {
		mounted, err := w.mounts(ctx)
		if err != nil {
			return Progress{}, err
		}
		if len(mounted) == 0 {
			return done("nothing of it runs or is mounted"), nil
		}
		// The latest may lie inside an earlier one.
		last := mounted[len(mounted)-1]
		if err := unix.Unmount(last.point, unix.UMOUNT_NOFOLLOW); err != nil {
			return Progress{}, fmt.Errorf("unmount %s: %w%s; end what uses it (fuser -vm %s)", last.point, err, w.heldBy(last), last.point)
		}
	}
}

// heldBy names who keeps a mount busy, as far as that is seen.
func (w work) heldBy(m mount) string {
	users := w.usersOf(m)
	if len(users) == 0 {
		return ""
	}
	return ", it is used by " + strings.Join(users, ", ")
}

// mounts are the mounts of the group's volumes, oldest first.
func (w work) mounts(ctx context.Context) ([]mount, error) {
	var minors []drbd.Minor
	for _, name := range w.group.Resources {
		r, err := w.DRBD.Now(ctx, name)
		if errors.Is(err, kernel.ErrUnconfigured) {
			continue
		}
		if err != nil {
			return nil, err
		}
		minors = append(minors, r.Minors()...)
	}
	return w.mountsOf(minors)
}

// demote makes the resource Secondary. What is still mounted or open is said: no
// demotion is forced.
func (w work) demote(ctx context.Context) (Progress, error) {
	err := w.DRBD.Demote(ctx, w.step.Resource)
	if err == nil {
		return done("%s is Secondary", w.step.Resource), nil
	}
	if !errors.Is(err, kernel.ErrHeldOpen) {
		return Progress{}, err
	}
	r, readErr := w.DRBD.Now(ctx, w.step.Resource)
	if readErr != nil {
		return Progress{}, errors.Join(err, readErr)
	}
	return Progress{}, fmt.Errorf("%w; %s", err, w.whoHolds(r))
}

// whoHolds says what keeps a resource's devices open, and what to do about it.
func (w work) whoHolds(r drbd.Resource) string {
	who, err := w.users(r.Minors())
	if err != nil || who == "" {
		return "the kernel holds it: look for what exports it to other hosts, or lies on it"
	}
	return who
}
