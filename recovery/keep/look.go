package keep

import (
	"context"
	"time"

	"sbarbiter/recovery"
)

// Seen is a kept copy as a look at the store has found it.
type Seen struct {
	Kept
	Age time.Duration `json:"age_ns"`
	// Lost says why it is not what it was any more; "": it is, as far as can be told.
	Lost string `json:"lost,omitempty"`
	// Filled is how much of its room is used up, in percent, of a copy that is lost
	// once that is full.
	Filled float64 `json:"filled_percent,omitempty"`
}

// Told is what is said of it to others.
func (s Seen) Told() recovery.KeptCopy {
	return recovery.KeptCopy{
		Recovery: s.Recovery, Group: s.Group, Resource: s.Resource, Number: s.Number, Driver: s.Driver, Source: s.Source,
		Made: s.Made, Bytes: s.Bytes, Device: s.Device, Size: s.Size, Written: s.Written, Marked: s.Marked, Generation: s.Generation,
		Age: s.Age, Lost: s.Lost, Filled: s.Filled,
	}
}

// Filler is a driver whose copies are used up by what is written later.
type Filler interface {
	// Filled returns how much of a copy's room is used up, in percent.
	Filled(ctx context.Context, k Kept) (float64, error)
}

// Look returns all that is kept, the oldest first, and what the quota leaves. It
// changes nothing, whatever it finds: age alone gives nothing up.
func (s *Store) Look(ctx context.Context) (all []Seen, free uint64, err error) {
	list, err := s.List()
	if err != nil {
		return nil, 0, err
	}
	free = s.Quota
	for _, k := range list {
		free -= min(k.Bytes, free)
		seen := Seen{Kept: k, Age: max(s.now().Sub(k.Made), 0)}
		if err := s.Check(ctx, k); err != nil {
			seen.Lost = err.Error()
		} else {
			seen.Filled = s.filled(ctx, k)
		}
		all = append(all, seen)
	}
	return all, free, nil
}

func (s *Store) filled(ctx context.Context, k Kept) float64 {
	for _, d := range s.Drivers {
		f, ok := d.(Filler)
		if !ok || d.Name() != k.Driver {
			continue
		}
		if percent, err := f.Filled(ctx, k); err == nil {
			return percent
		}
	}
	return 0
}
