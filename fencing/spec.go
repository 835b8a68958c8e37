package fencing

import (
	"errors"
	"fmt"
	"time"

	"sbarbiter/internal/boottime"
)

// Limits bound what is done with one device.
type Limits struct {
	Call     time.Duration // one command or one status
	Settle   time.Duration // from an accepted off until it is sent again
	Poll     time.Duration // between two status calls while waiting for off
	Retry    time.Duration // pause before off is sent again
	Attempts int           // how often off is sent
	Total    time.Duration // all of it together
}

// DefaultLimits suit a BMC: one that obeys does so within a few seconds, and
// three attempts outlast a lost datagram but not a mandate.
func DefaultLimits() Limits {
	return Limits{
		Call:     3 * time.Second,
		Settle:   6 * time.Second,
		Poll:     150 * time.Millisecond,
		Retry:    500 * time.Millisecond,
		Attempts: 3,
		Total:    15 * time.Second,
	}
}

// Validate names the first limit that is not positive.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"call", l.Call}, {"settle", l.Settle}, {"poll", l.Poll}, {"retry", l.Retry}, {"total", l.Total}} {
		if f.d <= 0 {
			return fmt.Errorf("%s: %v must be above 0", f.name, f.d)
		}
	}
	if l.Attempts <= 0 {
		return fmt.Errorf("attempts: %d must be above 0", l.Attempts)
	}
	return nil
}

// DefaultMaxGap is how long the executor may go without a look at the clock
// before it must take itself for a process that was stopped.
const DefaultMaxGap = time.Second

// Spec describes one shot. All instants are of the executor's own clock.
type Spec struct {
	Target   Target
	Executor string
	Topology Topology
	Limits   map[DeviceName]Limits // DefaultLimits for a device not in it

	// Start is when the permission was sent for (Begin). No device is switched
	// off for the first time after StartBy, and nothing at all is sent or
	// believed from Deadline on.
	Start, StartBy, Deadline boottime.Instant
	// MaxGap is the longest time between two steps; after a longer one the shot
	// gives up.
	MaxGap time.Duration

	// Before holds the readings stored with Begin, by any executor, and those of
	// a monitor taken while the target was known alive (Track.SeenOn).
	Before []Reading
	// Contradicted names devices that said off of the living target
	// (Track.Contradicted). They are not tried.
	Contradicted []DeviceName
}

// Validate returns an error that names every fault of s, or nil.
func (s Spec) Validate() error {
	errs := []error{s.Topology.Validate()}
	if s.Target == "" {
		errs = append(errs, errors.New("target: empty"))
	}
	if s.StartBy < s.Start {
		errs = append(errs, fmt.Errorf("start by: %v is before the start (%v)", s.StartBy, s.Start))
	}
	if s.Deadline <= s.Start {
		errs = append(errs, fmt.Errorf("deadline: %v must be after the start (%v)", s.Deadline, s.Start))
	}
	if s.MaxGap <= 0 {
		errs = append(errs, fmt.Errorf("max gap: %v must be above 0", s.MaxGap))
	}
	for d, l := range s.Limits {
		if err := l.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("limits of %s: %w", d, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shot at %s: %w", s.Target, err)
	}
	return nil
}

func (s Spec) limits(d DeviceName) Limits {
	if l, ok := s.Limits[d]; ok {
		return l
	}
	return DefaultLimits()
}
