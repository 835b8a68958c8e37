package runner

import (
	"context"
	"errors"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/service"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
)

// connection says whether a resource looked connected when it was last seen.
type connection bool

const connected connection = true

const (
	bringUpWithin = 20 * time.Second
	// findWithin is how long an answer is waited for that says what runs here.
	findWithin = 5 * time.Second
	findAgain  = 200 * time.Millisecond
)

func (r *Runner) watchDRBD() error {
	return r.parts.DRBD.Run(r.ctx, func(o kernel.Observation) {
		switch o := o.(type) {
		case kernel.Seen:
			s := agent.Seen(o.Resource)
			s.Wall = time.Now()
			r.post(s)
		case kernel.Absent:
			r.post(agent.Storage{Resource: o.Resource})
		case kernel.Unknown:
			r.log.Warn("DRBD's state is not known", "resource", o.Resource, "error", o.Cause)
			r.post(agent.Storage{Resource: o.Resource})
		case kernel.HandlerSeen:
			if o.Event.Handler == drbd.HandlerSplitBrain && !o.Event.Returned {
				r.post(agent.SplitSeen{Resource: o.Event.Resource})
			}
			if code, ok := o.Event.Status.Exited(); o.Event.Returned && (!ok || code != 0) {
				r.log.Info("handler ended", "resource", o.Event.Resource, "handler", string(o.Event.Handler), "status", o.Event.Status.String())
			}
		}
	})
}

// bringUp configures resources that the kernel does not have yet, without their
// connection: when DRBD may look for its peer is the machine's decision.
func (r *Runner) bringUp() {
	ctx, cancel := context.WithTimeout(r.ctx, bringUpWithin)
	defer cancel()
	for _, g := range r.cfg.Groups {
		for _, res := range g.Resources {
			// Without it the machine knows no disk, and asks for nothing.
			_ = r.timed(g, "attach "+res, func() error { return r.parts.DRBD.Attach(ctx, res) })
		}
	}
}

// find looks for what runs of a group before anybody may grant anything. What
// stays unknown counts as running.
func (r *Runner) find(g Group) agent.Found {
	ctx, cancel := context.WithTimeout(r.ctx, findWithin)
	defer cancel()
	for {
		state := r.look(ctx, g)
		if state != service.Unknown || ctx.Err() != nil {
			return agent.Found{Group: g.ID, Up: state != service.Stopped}
		}
		select {
		case <-ctx.Done():
		case <-time.After(findAgain):
		}
	}
}

// look says whether anything of a group runs or is Primary here.
func (r *Runner) look(ctx context.Context, g Group) service.State {
	survey := g.Services.State(ctx)
	state := service.Stopped
	if !survey.AllStopped() {
		state = service.Unknown
	}
	for _, u := range survey {
		if u.State == service.Running {
			return service.Running
		}
	}
	for _, name := range g.Resources {
		res, err := r.parts.DRBD.Read(ctx, name)
		switch {
		case errors.Is(err, kernel.ErrUnconfigured) || errors.Is(err, kernel.ErrNoDriver):
			// What the kernel does not have is not Primary.
		case err != nil:
			r.log.Warn("DRBD's state is not known", "resource", name, "error", err)
			state = service.Unknown
		case !res.AllVolumes(drbd.RoleSecondary):
			return service.Running
		}
	}
	return state
}

// observe keeps of an event what a later start needs to know.
func (r *Runner) observe(ev agent.Event) {
	s, ok := ev.(agent.Storage)
	if !ok {
		return
	}
	was := r.seen[s.Resource]
	r.seen[s.Resource] = false
	for _, d := range s.Disks {
		if d.Connected {
			r.seen[s.Resource] = connected
		}
	}
	if r.seen[s.Resource] == connected && was != connected {
		r.gauge.connects()
	}
}
