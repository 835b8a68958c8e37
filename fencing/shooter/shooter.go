// Package shooter performs what a [fencing.Shot] decides: it calls the drivers,
// brings their answers back with the time, and ends by the deadline whatever a
// driver does. Its Monitor reads the devices now and then. What proves a node
// off is package fencing's business, and whether to shoot the caller's.
package shooter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

// settleTime is how long a finished shot waits for drivers that have been told
// to stop. One that takes longer is left behind: it holds no permission any more
// (fencing.CheckNotAfter), and nobody listens to it.
const settleTime = 100 * time.Millisecond

// Shooter holds the drivers that switch one target.
type Shooter struct {
	Fencers map[fencing.DeviceName]fencing.Fencer
	// Executor is written into the readings: the name of this host.
	Executor string
	// Now is boottime.Now, or a clock of a test.
	Now func() boottime.Instant
}

// Observation is one reading together with the reason where there is none.
type Observation struct {
	fencing.Reading
	Err error
}

// Readings returns those observations that know something.
func Readings(obs []Observation) []fencing.Reading {
	var readings []fencing.Reading
	for _, o := range obs {
		if o.Power != fencing.PowerUnknown {
			readings = append(readings, o.Reading)
		}
	}
	return readings
}

// Read asks all devices at once and returns one observation for each, sorted by
// device, when all have answered or ctx has ended. A device that has not
// answered by then reads unknown.
func (s *Shooter) Read(ctx context.Context) []Observation {
	names := s.devices()
	obs := make([]Observation, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { obs[i] = s.read(ctx, name) })
	}
	wg.Wait()
	return obs
}

// Machines asks the devices that can tell which machine they switch. One that
// does not answer, or has no word for it, is missing: that is no fault.
func (s *Shooter) Machines(ctx context.Context) map[fencing.DeviceName]string {
	var mu sync.Mutex // guards out
	out := map[fencing.DeviceName]string{}
	var wg sync.WaitGroup
	for name, fencer := range s.Fencers {
		device, ok := fencer.(fencing.Identifier)
		if !ok {
			continue
		}
		wg.Go(func() {
			machine, err := device.Machine(ctx)
			if err != nil || machine == "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = machine
		})
	}
	wg.Wait()
	return out
}

func (s *Shooter) devices() []fencing.DeviceName {
	var names []fencing.DeviceName
	for name := range s.Fencers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *Shooter) read(ctx context.Context, name fencing.DeviceName) Observation {
	a := await(ctx, ask(ctx, s.Fencers[name]))
	return s.observe(name, a)
}

// observe stamps an answer that has just come.
func (s *Shooter) observe(name fencing.DeviceName, a answer) Observation {
	power, err := a.power, a.err
	if err != nil {
		power = fencing.PowerUnknown
	}
	return Observation{
		Reading: fencing.Reading{Device: name, Power: power, At: s.Now(), Executor: s.Executor},
		Err:     err,
	}
}

// status calls f and returns when ctx has ended, even if f does not.
func status(ctx context.Context, f fencing.Fencer) (fencing.Power, error) {
	a := await(ctx, ask(ctx, f))
	return a.power, a.err
}

// off calls f and returns when ctx has ended, even if f does not.
func off(ctx context.Context, f fencing.Fencer) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return err
	}
	done := make(chan answer, 1)
	go func() { done <- answer{err: f.Off(ctx)} }()
	return await(ctx, done).err
}

// answer is what a driver returned.
type answer struct {
	power fencing.Power
	err   error
	hangs bool // it returned nothing
}

func ask(ctx context.Context, f fencing.Fencer) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		p, err := f.Status(ctx)
		done <- answer{power: p, err: err}
	}()
	return done
}

// await returns the answer, or one that says that the driver hangs when it has
// not come a moment after ctx ended.
func await(ctx context.Context, done <-chan answer) answer {
	select {
	case a := <-done:
		return a
	case <-ctx.Done():
	}
	select { // a driver that stops when it is told knows better why
	case a := <-done:
		return a
	case <-time.After(settleTime):
		return answer{err: fmt.Errorf("%w: the driver hangs: %w", fencing.ErrUnreachable, ctx.Err()), hangs: true}
	}
}

// Shoot performs one shot and returns its result, at spec.Deadline at the latest
// and at most a moment (0.2 s, for drivers to stop) after that. heard may be nil;
// each value received from it is a sign of life of the target. An error means
// that the shot could not begin, or that ctx ended it: in neither case is
// anything proven, and the result tells what had been sent by then.
func (s *Shooter) Shoot(ctx context.Context, spec fencing.Spec, heard <-chan struct{}) (fencing.Result, error) {
	spec.Executor = s.Executor
	for _, d := range spec.Topology.Devices() {
		if s.Fencers[d] == nil {
			return fencing.Result{}, fmt.Errorf("shoot %s: no driver for device %s", spec.Target, d)
		}
	}
	shot, err := fencing.NewShot(spec)
	if err != nil {
		return fencing.Result{}, err
	}
	calls, cancel := context.WithTimeout(ctx, max(spec.Deadline.Sub(s.Now()), 0))
	r := &round{Shooter: s, shot: shot, events: make(chan fencing.Event), over: make(chan struct{})}
	defer r.running.Wait()
	defer close(r.over)
	defer cancel()
	return r.run(ctx, calls, heard)
}

// round is one shot under way. The machine belongs to run's goroutine.
type round struct {
	*Shooter
	shot    *fencing.Shot
	events  chan fencing.Event
	over    chan struct{} // closed when nobody takes events any more
	running sync.WaitGroup
}

// run steps the machine until it has finished or ctx ends. The context calls is
// that of the drivers: it ends with the shot.
func (r *round) run(ctx, calls context.Context, heard <-chan struct{}) (fencing.Result, error) {
	var ev fencing.Event = fencing.Tick{}
	for {
		wake, res := r.perform(calls, r.shot.Step(r.Now(), ev))
		if res != nil {
			return *res, nil
		}
		timer := time.NewTimer(max(wake.Sub(r.Now()), 0))
		ev = fencing.Tick{}
		select {
		case ev = <-r.events:
		case _, open := <-heard:
			if !open {
				heard = nil
				break
			}
			ev = fencing.Heard{}
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return r.shot.Abandon(r.Now(), "the executor was told to stop"), fmt.Errorf("shoot %s: %w", r.shot.Target(), ctx.Err())
		}
		timer.Stop()
	}
}

// perform starts what the machine ordered and returns when it wants to be woken,
// or its result.
func (r *round) perform(ctx context.Context, actions []fencing.Action) (boottime.Instant, *fencing.Result) {
	wake := r.Now()
	for _, a := range actions {
		switch a := a.(type) {
		case fencing.Read:
			r.running.Go(func() { r.send(r.doRead(ctx, a)) })
		case fencing.Off:
			r.running.Go(func() { r.send(r.doOff(ctx, a)) })
		case fencing.Wait:
			wake = a.Until
		case fencing.Finish:
			return 0, &a.Result
		}
	}
	return wake, nil
}

func (r *round) doRead(ctx context.Context, a fencing.Read) fencing.Event {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	power, err := status(ctx, r.Fencers[a.Device])
	return fencing.ReadDone{Call: a.Call, Power: power, Err: err}
}

func (r *round) doOff(ctx context.Context, a fencing.Off) fencing.Event {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	ctx = fencing.WithNotAfter(ctx, a.NotAfter, r.Now)
	return fencing.OffDone{Call: a.Call, Err: off(ctx, r.Fencers[a.Device])}
}

func (r *round) send(ev fencing.Event) {
	select {
	case r.events <- ev:
	case <-r.over:
	}
}
