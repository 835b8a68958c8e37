package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/fencing"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
)

const (
	// readWithin bounds the look at the power before the permission to shoot is
	// asked for: a device that does not answer costs no more.
	readWithin = 2 * time.Second
	// shootWithin is how soon after the permission was asked for a shot must
	// have begun.
	shootWithin = 2 * time.Second
)

// Power holds the peer's fence devices, and what they said while the peer was
// alive: an "on" of then and an "off" of later are a transition, though this
// node did not see the switch.
type Power struct {
	Target   fencing.Target
	Topology fencing.Topology
	Limits   map[fencing.DeviceName]fencing.Limits
	Shooter  *shooter.Shooter
	// Reboot switches the peer on again, once it is proven off and nothing of the
	// shot can land any more.
	Reboot bool
	// Troubled is told what a device says in place of its power, and nil when it
	// is well again. It may be nil.
	Troubled func(device fencing.DeviceName, err error)

	once  sync.Once
	heard chan struct{}
	hold  context.CancelFunc // of the shot under way; the loop's

	mu    sync.Mutex
	track fencing.Track
	ill   map[fencing.DeviceName]bool
}

func (p *Power) init() {
	p.once.Do(func() { p.heard, p.ill = make(chan struct{}, 1), map[fencing.DeviceName]bool{} })
}

// Run reads the devices now and then, until ctx ends.
func (p *Power) Run(ctx context.Context) error {
	p.init()
	m := shooter.Monitor{Shooter: p.Shooter, Observe: p.observe, Soon: p.wanting}
	return m.Run(ctx)
}

// wanting: the peer may die before the next reading, and no "on" of it is known that
// its "off" would be held against.
func (p *Power) wanting(d fencing.DeviceName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.track.Wanting(d, p.Shooter.Now())
}

// aimed keeps what was read for a shot, for the one after it.
func (p *Power) aimed(readings []fencing.Reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.track.Aimed(readings)
}

func (p *Power) observe(o shooter.Observation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.track.Observe(o.Reading)
	if is := o.Err != nil; is != p.ill[o.Device] && p.Troubled != nil {
		p.Troubled(o.Device, o.Err)
	}
	p.ill[o.Device] = o.Err != nil
}

// Heard says that something authentic and fresh of the peer has arrived.
func (p *Power) Heard(at boottime.Instant) {
	p.init()
	p.mu.Lock()
	p.track.Heard(at)
	p.mu.Unlock()
	select {
	case p.heard <- struct{}{}:
	default: // one sign of life is enough
	}
}

func (p *Power) known() (seenOn []fencing.Reading, contradicted []fencing.DeviceName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.track.SeenOn(), p.track.Contradicted()
}

// read returns what the devices say now, after what they said while the peer
// was heard.
func (p *Power) read(ctx context.Context) []arbiter.Reading {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	seenOn, _ := p.known()
	now := shooter.Readings(p.Shooter.Read(ctx))
	p.aimed(now)
	return toReadings(append(seenOn, now...))
}

// shoot switches the peer off, and returns when it was seen off, when it can
// not be done, or at the deadline.
func (p *Power) shoot(ctx context.Context, a agent.Shoot) (agent.ShotDone, revival) {
	p.init()
	select {
	case <-p.heard: // before the shot: the machine has weighed that
	default:
	}
	seenOn, contradicted := p.known()
	spec := fencing.Spec{
		Target: p.Target, Topology: p.Topology, Limits: p.Limits,
		Start: a.Asked, StartBy: a.Asked.Add(shootWithin), Deadline: a.Before, MaxGap: fencing.DefaultMaxGap,
		Before:       append(fromReadings(a.Readings, p.Shooter.Executor), seenOn...),
		Contradicted: contradicted,
	}
	res, err := p.Shooter.Shoot(ctx, spec, p.heard)
	p.aimed(res.Readings)
	done := agent.ShotDone{
		Mandate: a.Mandate, Grade: arbiter.Grade(res.Grade), Readings: toReadings(res.Readings),
		InFlight: res.InFlight, Lands: res.Lands,
	}
	switch {
	case err != nil:
		done.Failure = err.Error()
	case !res.Proven:
		done.Failure = res.Reason
	}
	if !p.Reboot || done.Failure != "" {
		return done, nil
	}
	return done, func(ctx context.Context, now boottime.Instant) error {
		if res.InFlight {
			sleep(ctx, res.Lands.Sub(now))
		}
		return p.Shooter.Revive(ctx, spec, res)
	}
}

// revival switches a node that was shot on again.
type revival func(ctx context.Context, now boottime.Instant) error

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func toReadings(list []fencing.Reading) []arbiter.Reading {
	var out []arbiter.Reading
	for _, r := range list {
		out = append(out, arbiter.Reading{Device: string(r.Device), Power: r.Power.String(), At: r.At})
	}
	return out
}

func fromReadings(list []arbiter.Reading, executor string) []fencing.Reading {
	var out []fencing.Reading
	for _, r := range list {
		power := fencing.PowerUnknown
		switch r.Power {
		case fencing.PowerOn.String():
			power = fencing.PowerOn
		case fencing.PowerOff.String():
			power = fencing.PowerOff
		}
		out = append(out, fencing.Reading{Device: fencing.DeviceName(r.Device), Power: power, At: r.At, Executor: executor})
	}
	return out
}

// power performs what concerns the peer's fence devices.
func (r *Runner) power(a agent.Action) {
	p := r.parts.Power
	switch a := a.(type) {
	case agent.ReadPower:
		r.aimed = r.now()
		r.tasks.Go(func() error {
			var readings []arbiter.Reading
			if p != nil {
				readings = p.read(r.ctx)
			}
			r.post(agent.PowerRead{Mandate: a.Mandate, Readings: readings})
			return nil
		})
	case agent.Shoot:
		r.shoot(a)
	case agent.SwitchOn:
		r.switchOn(p, a)
	case agent.Hold:
		if p != nil && p.hold != nil {
			r.log.Warn("shot given up", "why", a.Why)
			p.hold()
		}
	}
}

// switchOn switches the peer on where an unfinished shot has left it off.
func (r *Runner) switchOn(p *Power, a agent.SwitchOn) {
	r.tasks.Go(func() error {
		var switched bool
		var err error
		if p != nil && p.Reboot {
			switched, err = p.restore(r.ctx)
		}
		switch {
		case r.ctx.Err() != nil: // the next agent's
			return nil
		case err != nil:
			r.log.Warn("the peer was left off by an unfinished shot and does not come back", "error", err, "alarm", true, "why", "switch it on by hand")
		case switched:
			r.log.Info("the peer was left off by an unfinished shot, and was switched on again")
		}
		r.post(agent.Revived(a))
		return nil
	})
}

// restore switches the target on again if a device says that it is off.
func (p *Power) restore(ctx context.Context) (switched bool, err error) {
	look, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	off := func(o shooter.Observation) bool { return o.Reading.Power == fencing.PowerOff }
	if !slices.ContainsFunc(p.Shooter.Read(look), off) {
		return false, nil
	}
	seen, err := p.switchOn(ctx)
	for _, r := range seen {
		if r.Power != fencing.PowerOn {
			err = errors.Join(err, fmt.Errorf("%s does not say that it is on", r.Device))
		}
	}
	return true, err
}

func (r *Runner) shoot(a agent.Shoot) {
	p := r.parts.Power
	if p == nil {
		r.answer(agent.ShotDone{Mandate: a.Mandate, Failure: "no fence device is configured on this node", Readings: a.Readings})
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	p.hold = cancel
	aimed := r.aimed
	r.tasks.Go(func() error {
		defer cancel()
		began := r.now()
		if a.Rehearsal {
			done := p.rehearse(ctx, r.ctx, a, func() { r.gauge.took(shotMeasured, r.now().Sub(aimed)) })
			r.log.Info("rehearsal ended", "took", r.now().Sub(began).String(), "failure", done.Failure)
			r.post(done)
			return nil
		}
		done, revive := p.shoot(ctx, a)
		if fencing.Grade(done.Grade) >= fencing.ProvenByPower {
			r.gauge.took(shotMeasured, r.now().Sub(aimed))
		}
		r.log.Info("shot ended", "grade", done.Grade.String(), "took", r.now().Sub(began).String(), "failure", done.Failure)
		done.Revives = revive != nil
		r.post(done)
		if revive == nil {
			return nil
		}
		switch err := revive(r.ctx, r.now()); {
		case r.ctx.Err() != nil: // the next agent's
			return nil
		case err != nil:
			r.log.Warn("the peer was shot and does not come back", "error", err, "alarm", true, "why", "switch it on by hand")
		default:
			r.log.Info("the peer was switched on again")
		}
		r.post(agent.Revived{Mandate: a.Mandate})
		return nil
	})
}
