package carry

import (
	"context"
	"errors"
	"fmt"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

// dumpMetadata keeps the text of the volume's metadata. The disk stays attached:
// what is on it is at most a few seconds older than what the driver knows, the
// bitmap apart, and that is measured. Of a copy that is whole the snapshot asks whether
// it is still the one: a dump without that is worth nothing.
func (w work) dumpMetadata(ctx context.Context) (Progress, error) {
	v, err := w.volume(ctx)
	if err != nil {
		return Progress{}, err
	}
	if w.Store.HasMetadata(v) {
		return done("the metadata of %s was kept", w.name()), nil
	}
	r, err := w.now(ctx)
	switch {
	case err != nil:
	case r.WorstDisk() == drbd.DiskInconsistent:
		_, err = w.untouched(ctx)
	default:
		err = w.unused(stage{Resource: r})
	}
	if err != nil {
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
	s, err := w.untouched(ctx)
	if err != nil {
		return Progress{}, err
	}
	v.Written, v.Marked = s.written(v.Number), s.marked(w.plan.Family, v.Number)
	if v.Marked != nil {
		v.Changes = w.step.Overwritten(*v.Marked)
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
			Device: b.Disk, Size: size, Changes: w.step.Bytes, Generation: w.generation(w.name()),
		}, nil
	}
	return keep.Volume{}, fmt.Errorf("volume %d of %s has no disk of its own here", w.step.Volume, w.step.Resource)
}

// generation is that of this node's copy of a volume, as it was decided on.
func (w work) generation(volume string) string {
	for _, b := range w.plan.Basis {
		if b.Node == w.Name && b.Volume == volume {
			return b.Generations
		}
	}
	return ""
}

// untouched refuses to keep what is not the copy that was decided on any more, or
// is still being written to.
func (w work) untouched(ctx context.Context) (stage, error) {
	s, err := w.stage(ctx)
	if err != nil {
		return s, err
	}
	if s.over() {
		return s, fmt.Errorf("it is too late to keep %s: the peer's data is being copied over it", w.name())
	}
	return s, w.unused(s)
}

// unused refuses a copy that somebody, or DRBD, may be writing to.
func (w work) unused(s stage) error {
	switch {
	case s.Role == drbd.RolePrimary:
		return fmt.Errorf("%s is Primary and may change while it is copied: demote it first", w.step.Resource)
	case !s.alone():
		return fmt.Errorf("%s is %s and could be overwritten while it is copied: disconnect it first", w.step.Resource, s.ConnState())
	}
	return nil
}

// written is how many KiB have been written to a volume since its disk was attached.
func (s stage) written(number int) uint64 {
	for _, v := range s.Volumes {
		if v.Number == number {
			return v.WrittenKiB
		}
	}
	return 0
}

// marked is how many bytes of a volume this side has changed; nil: not known.
func (s stage) marked(f drbd.Family, number int) *uint64 {
	for i, v := range s.Volumes {
		if v.Number == number {
			return counted(f, s.Resource, i)
		}
	}
	return nil
}

// more reports whether more of a volume is changed than when it was kept. Its disk was
// attached anew since, so that what was written to it is not counted any more.
func (s stage) more(f drbd.Family, k keep.Kept) bool {
	now := s.marked(f, k.Number)
	return k.Marked != nil && now != nil && *now > *k.Marked && s.written(k.Number) == 0 && !s.begun
}

// ErrUnkept says that what is kept of the victim's copy is not all that it has, or would
// not outlive the resync: nothing is given up, and it is to be kept anew.
var ErrUnkept = errors.New("it is not given up")

// kept refuses to give up a volume of which no copy is kept, or whose copy was lost
// since, whatever steps the plan has: it may come from a file. Nor is one that was
// written to after it was kept: a promotion by hand that has ended leaves no other
// trace, for DRBD begins no new generation while the two are parted.
func (w work) kept(ctx context.Context, s stage) error {
	if mutant.On(mutant.GivenUpUnkept) {
		return nil
	}
	if w.Store == nil {
		return errors.New("this node keeps no copies, and nothing is given up that is not kept: configure snapshots")
	}
	for _, b := range w.plan.Basis {
		resource, number, err := recovery.ParseVolume(b.Volume)
		if err != nil {
			return err
		}
		of, at := w, s
		switch of.step.Resource = resource; {
		case b.Node != w.Name || resource != w.step.Resource && !w.first():
			continue
		case resource != w.step.Resource: // of a later one there would be no way on by then, and none back
			if at, err = of.stage(ctx); err != nil {
				return err
			}
		}
		if at.over() { // what is there now is not what was to be kept
			continue
		}
		v := keep.Volume{Recovery: w.id, Group: w.group.Name, Resource: resource, Number: number, Generation: b.Generations}
		if err := of.holds(ctx, at, v); err != nil {
			return fmt.Errorf("%s: %w: %w; %s", b.Volume, ErrUnkept, err, w.wayOut())
		}
	}
	return nil
}

// first reports whether nothing of the group is given up before the step's resource.
func (w work) first() bool {
	i := w.plan.NoReturn()
	return i == len(w.plan.Steps) || w.plan.Steps[i].Resource == w.step.Resource
}

// wayOut is what to do about a copy that is not what it has to be.
func (w work) wayOut() string {
	if w.first() {
		return "resolve it again, which keeps what is there now; where that is refused: sbctl recovery abandon " + w.group.Name
	}
	return fmt.Sprintf("other volumes are given up already: sbctl recovery abandon %s lets go of the recovery; then look at what is left of it", w.group.Name)
}

// holds says why what is kept of a volume is not all that it has, or would not outlive the
// resync.
func (w work) holds(ctx context.Context, s stage, v keep.Volume) error {
	k, found, err := w.Store.Find(v)
	if err != nil || !found {
		return errors.Join(err, errors.New("it is not kept yet, or was released"))
	}
	// A copy that was declared bad, or that a resync has left half-way, is written to by DRBD.
	bad := s.WorstDisk() == drbd.DiskInconsistent
	if is := s.written(v.Number); !bad && is != k.Written && is != 0 && !mutant.On(mutant.WrittenSinceIgnored) { // 0: attached anew, and nothing written
		return fmt.Errorf("it was written to after it was kept (%d KiB then, %d KiB now)", k.Written, is)
	}
	if !bad && s.more(w.plan.Family, k) && !mutant.On(mutant.WrittenSinceIgnored) {
		return errors.New("it was written to after it was kept (more of it is changed, and its disk was attached anew)")
	}
	if err := w.Store.Check(ctx, k); err != nil {
		return fmt.Errorf("what was kept of it is lost: %w", err)
	}
	if err := w.Store.Fit(ctx, k, w.plan.Room(v.Resource, v.Number)); err != nil {
		return fmt.Errorf("what is kept of it would be lost in the resync, for the survivor has written on: %w", err)
	}
	return nil
}
