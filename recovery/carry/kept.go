package carry

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"sbarbiter/drbd"
	"sbarbiter/recovery/keep"
)

// dumpMetadata keeps the text of the volume's metadata. The disk stays attached:
// what is on it is at most a few seconds older than what the driver knows, the
// bitmap apart, and that is measured.
func (w work) dumpMetadata(ctx context.Context) (Progress, error) {
	v, err := w.volume(ctx)
	if err != nil {
		return Progress{}, err
	}
	if w.Store.HasMetadata(v) {
		return done("the metadata of %s was kept", w.name()), nil
	}
	if err := w.untouched(ctx); err != nil {
		return Progress{}, err
	}
	text, err := w.DRBD.DumpMetadata(ctx, w.step.Resource, w.step.Volume)
	if err != nil {
		return Progress{}, err
	}
	if err := w.Store.KeepMetadata(v, text); err != nil {
		return Progress{}, err
	}
	return done("the metadata of %s is kept", w.name()), nil
}

// snapshot keeps the volume's data.
func (w work) snapshot(ctx context.Context) (Progress, error) {
	v, err := w.volume(ctx)
	if err != nil {
		return Progress{}, err
	}
	if k, found, err := w.Store.Find(v); err != nil || found {
		return done("%s was kept as %s", w.name(), k.Source), err
	}
	if err := w.untouched(ctx); err != nil {
		return Progress{}, err
	}
	k, err := w.Store.Keep(ctx, v)
	if err != nil {
		return Progress{}, err
	}
	return done("%s is kept as %s", w.name(), k.Source), nil
}

func (w work) name() string { return fmt.Sprintf("%s/%d", w.step.Resource, w.step.Volume) }

// volume is what the store is told of the step's volume.
func (w work) volume(ctx context.Context) (keep.Volume, error) {
	if w.Store == nil {
		return keep.Volume{}, errors.New("this node keeps no copies: configure snapshots")
	}
	all, err := w.DRBD.Backing(ctx, w.step.Resource)
	if err != nil {
		return keep.Volume{}, err
	}
	for _, b := range all {
		if b.Volume != w.step.Volume {
			continue
		}
		size, err := keep.SizeOf(b.Disk)
		if err != nil {
			return keep.Volume{}, err
		}
		return keep.Volume{
			Recovery: w.id, Group: w.group.Name, Resource: w.step.Resource, Number: w.step.Volume,
			Device: b.Disk, Size: size, Changes: w.step.Bytes,
		}, nil
	}
	return keep.Volume{}, fmt.Errorf("volume %d of %s has no disk of its own here", w.step.Volume, w.step.Resource)
}

// untouched refuses to keep what is not the copy that was decided on any more, or
// is still being written to.
func (w work) untouched(ctx context.Context) error {
	s, err := w.stage(ctx)
	switch {
	case err != nil:
		return err
	case s.over():
		return fmt.Errorf("it is too late to keep %s: the peer's data is being copied over it", w.name())
	case s.Role == drbd.RolePrimary:
		return fmt.Errorf("%s is Primary and may change while it is copied: demote it first", w.step.Resource)
	case !s.alone():
		return fmt.Errorf("%s is %s and could be overwritten while it is copied: disconnect it first", w.step.Resource, s.ConnState())
	}
	return nil
}

// kept refuses to give up a volume of which no copy is kept, whatever steps the
// plan has: it may come from a file.
func (w work) kept() error {
	if w.Store == nil {
		return errors.New("this node keeps no copies, and nothing is given up that is not kept: configure snapshots")
	}
	for _, b := range w.plan.Basis {
		if b.Node != w.Name || !ofResource(b.Volume, w.step.Resource) {
			continue
		}
		number, err := strconv.Atoi(b.Volume[len(w.step.Resource)+1:])
		if err != nil {
			return fmt.Errorf("the plan has a volume %q, which is none", b.Volume)
		}
		v := keep.Volume{Recovery: w.id, Group: w.group.Name, Resource: w.step.Resource, Number: number}
		if _, found, err := w.Store.Find(v); err != nil || !found {
			return errors.Join(err, fmt.Errorf("%s is not kept yet, and nothing is given up before it is", b.Volume))
		}
	}
	return nil
}
