package keep

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// RoomFor is how many bytes of changes a copy of a volume could hold, and what it costs
// at the least; 0 if none can be made. Recovery and group need not be named.
func (s *Store) RoomFor(ctx context.Context, v Volume) (room, cost uint64) {
	free, err := s.free()
	if err != nil {
		return 0, 0
	}
	free -= min(v.Promised, free)
	v.Changes, v.AtMost = 1, free // what a copy costs at the least
	for _, d := range s.Drivers {
		if o, err := d.Offer(ctx, v, filepath.Join(s.Dir, "new")); err == nil && o.Cost <= free {
			return min(o.Room, free), o.Cost
		}
	}
	return 0, 0
}

// Check says why a kept copy is not what it was any more, where its driver can tell.
func (s *Store) Check(ctx context.Context, k Kept) error {
	for _, d := range s.Drivers {
		if c, ok := d.(Checker); ok && d.Name() == k.Driver {
			return c.Check(ctx, k)
		}
	}
	return nil
}

// choose returns the first driver that can keep the volume.
func (s *Store) choose(ctx context.Context, v Volume, dir string) (Driver, error) {
	free := v.AtMost
	var errs []error
	for _, d := range s.Drivers {
		o, err := d.Offer(ctx, v, dir)
		switch {
		case err != nil:
			errs = append(errs, err)
		case o.Cost > free:
			errs = append(errs, s.full(o.Cost, free))
		case o.Room < v.changes():
			errs = append(errs, fmt.Errorf("%w: driver %s has room for %d bytes of changes and up to %d may be overwritten", ErrFull, d.Name(), o.Room, v.changes()))
		default:
			return d, nil
		}
	}
	if len(errs) == 0 {
		return nil, errors.New("no driver is configured")
	}
	return nil, errors.Join(errs...)
}

// free is what the quota leaves.
func (s *Store) free() (uint64, error) {
	all, err := s.List()
	if err != nil {
		return 0, err
	}
	var used uint64
	for _, k := range all {
		used += k.Bytes
	}
	return s.Quota - min(used, s.Quota), nil
}

func (s *Store) full(need, free uint64) error {
	all, err := s.List()
	return errors.Join(err, fmt.Errorf("%w: %d of %d bytes are free and up to %d more are needed; release a copy (%s) or raise the quota",
		ErrFull, free, s.Quota, need, oldest(all)))
}

func oldest(all []Kept) string {
	if len(all) == 0 {
		return "nothing is kept"
	}
	return fmt.Sprintf("the oldest, of %s: sbagent recovery release %s --recovery %s", all[0].Made.Format(time.DateTime), all[0].Group, all[0].Recovery)
}
