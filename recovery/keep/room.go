package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// RoomFor is how many bytes of changes a copy of a volume could hold besides what is
// promised to others, 0 if none can be made; what it takes to hold those that the volume
// has marked is promised from then on. Recovery and group need not be named.
func (s *Store) RoomFor(ctx context.Context, v Volume, promised Promises) uint64 {
	free, err := s.free()
	if err != nil {
		return 0
	}
	free = promised.left("", free)
	v.Changes, v.AtMost, v.Promised = v.Size, free, promised
	if v.Marked != nil {
		v.Changes = max(*v.Marked, 1)
	}
	for _, d := range s.Drivers {
		o, err := d.Offer(ctx, v, filepath.Join(s.Dir, "new"))
		if err != nil || o.Cost > free {
			continue
		}
		promised.add("", o.Cost)
		if o.Place != "" {
			promised.add(o.Place, o.Cost)
		}
		return min(o.Room, free)
	}
	return 0
}

// Check says why a kept copy is not what it was any more, as far as its driver can tell; of
// every one it is seen whether what is to be looked into is there, as a whole.
func (s *Store) Check(ctx context.Context, k Kept) error {
	for _, d := range s.Drivers {
		if c, ok := d.(Checker); ok && d.Name() == k.Driver {
			return c.Check(ctx, k)
		}
	}
	return k.there()
}

func (k Kept) there() error {
	switch info, err := os.Stat(k.Source); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s, which was kept, is not there any more", k.Source)
	case err != nil:
		return fmt.Errorf("look for what was kept: %w", err)
	case info.IsDir(): // of an operator's own program
		return nil
	}
	has, err := SizeOf(k.Source)
	if err == nil && has < k.Size {
		err = fmt.Errorf("%s, which was kept, has %d of %d bytes", k.Source, has, k.Size)
	}
	return err
}

// Fit sees to it that a kept copy can hold so many bytes of changes; 0: all that there can
// be. Most can: what has no size of its own grows by itself.
func (s *Store) Fit(ctx context.Context, k Kept, changes uint64) error {
	k.Changes = changes
	for _, d := range s.Drivers {
		g, ok := d.(Grower)
		if !ok || d.Name() != k.Driver {
			continue
		}
		free, err := s.free()
		if err != nil {
			return err
		}
		bytes, err := g.Grow(ctx, k, k.changes(), free)
		if err != nil || bytes <= k.Bytes {
			return err
		}
		k.Bytes = bytes
		return s.note(k)
	}
	return nil
}

// promised is what the copies of the same recovery will take yet: its resync has not begun,
// and where they share blocks with their volumes they take nothing before it does.
func (s *Store) promised(v Volume) (Promises, error) {
	all, err := s.List()
	p := Promises{}
	for _, k := range all {
		if k.Place != "" && k.Group == v.Group && k.Recovery == v.Recovery {
			p.add(k.Place, k.Bytes)
		}
	}
	return p, err
}

// choose returns the first driver that can keep the volume, and what the copy takes its room
// from later; "": it takes it at once.
func (s *Store) choose(ctx context.Context, v Volume, dir string) (d Driver, later string, err error) {
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
			errs = append(errs, fmt.Errorf("%w: driver %s has room for %d bytes of changes and up to %d may be overwritten%s", ErrFull, d.Name(), o.Room, v.changes(), v.besides(o.Place)))
		case o.Later:
			return d, o.Place, nil
		default:
			return d, "", nil
		}
	}
	if len(errs) == 0 {
		return nil, "", errors.New("no driver is configured")
	}
	return nil, "", errors.Join(errs...)
}

// besides says what of a place is promised to the recovery's other volumes.
func (v Volume) besides(place string) string {
	if n := v.Promised[place]; place != "" && n > 0 {
		return fmt.Sprintf(", besides the %d that its other volumes may take of %s", n, place)
	}
	return ""
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
