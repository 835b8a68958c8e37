package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/fencing"
	"sbarbiter/fencing/shooter"
)

const (
	// onWithin is how long a machine is waited for to say that it is on again.
	onWithin = 30 * time.Second
	onEvery  = 500 * time.Millisecond
)

// rehearse switches the peer off as a shot does, except that signs of life mean
// nothing, and on again whatever came of that.
func (p *Power) rehearse(ctx, restore context.Context, a agent.Shoot, seenOff func()) agent.ShotDone {
	p.init()
	res, err := p.Shooter.Shoot(ctx, fencing.Spec{
		Target: p.Target, Topology: p.Topology, Limits: p.Limits,
		Start: a.Asked, StartBy: a.Asked.Add(shootWithin), Deadline: a.Before, MaxGap: fencing.DefaultMaxGap,
		Before: fromReadings(a.Readings, p.Shooter.Executor),
	}, nil)
	done := agent.ShotDone{Mandate: a.Mandate, Grade: arbiter.Grade(res.Grade), Readings: toReadings(res.Readings), InFlight: res.InFlight}
	switch {
	case err != nil:
		done.Failure = err.Error()
	case !res.Proven:
		done.Failure = res.Reason
	default:
		seenOff()
	}
	again, err := p.switchOn(restore) // whatever was or was not sent: on is what it was
	done.Readings = append(done.Readings, toReadings(again)...)
	if err != nil {
		done.Failure = strings.TrimPrefix(done.Failure+"; "+err.Error(), "; ")
	}
	return done
}

// switchOn tells every device to switch on, and returns what each said last.
func (p *Power) switchOn(ctx context.Context) ([]fencing.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, onWithin)
	defer cancel()
	var errs []error
	idle := map[fencing.DeviceName]bool{} // they switch nothing on, as ssh does
	for _, name := range slices.Sorted(maps.Keys(p.Shooter.Fencers)) {
		err := p.Shooter.Fencers[name].On(ctx)
		if idle[name] = errors.Is(err, errors.ErrUnsupported); err != nil && !idle[name] {
			errs = append(errs, fmt.Errorf("switch on by %s: %w", name, err))
		}
	}
	for {
		seen := p.Shooter.Read(ctx)
		off := slices.ContainsFunc(seen, func(o shooter.Observation) bool { return o.Reading.Power != fencing.PowerOn && !idle[o.Device] })
		if !off || ctx.Err() != nil {
			return shooter.Readings(seen), errors.Join(errs...)
		}
		select {
		case <-ctx.Done():
		case <-time.After(onEvery):
		}
	}
}
