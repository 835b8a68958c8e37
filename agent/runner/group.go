package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/service"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
)

const (
	// demoteShare is the part of a stop's time that is kept for the demotion,
	// demoteAtMost its greatest length.
	demoteShare  = 4
	demoteAtMost = 3 * time.Second
	// reconnectWithin bounds looking for the peer again after a takeover.
	reconnectWithin = 10 * time.Second
	// barrierWithin bounds turning clients away.
	barrierWithin = 5 * time.Second
)

// operator does one thing at a time with a group.
type operator struct {
	group  Group
	cancel context.CancelFunc // of a start under way or waiting; nil: nothing to cut short
	last   <-chan struct{}    // closed once the newest operation has ended
	barred <-chan struct{}    // closed once the newest barrier stands
	hard   atomic.Int64       // the hard stop of the right held; 0: none
}

// then runs do after every operation before it has ended.
func (r *Runner) then(o *operator, do func(context.Context)) context.CancelFunc {
	ctx, cancel := context.WithCancel(r.ctx)
	before, done := o.last, make(chan struct{})
	o.last = done
	r.tasks.Go(func() error {
		defer close(done)
		defer cancel()
		if before != nil {
			<-before
		}
		do(ctx)
		return nil
	})
	return cancel
}

// cut ends a start that is under way.
func (o *operator) cut() {
	if o.cancel != nil {
		o.cancel()
		o.cancel = nil
	}
}

// start promotes and starts, until its deadline or until a stop cuts it short.
func (r *Runner) start(a agent.Start) {
	if g := r.parts.Guard; g != nil && !g.Handed() {
		r.answer(agent.StartDone{Group: a.Group, Epoch: a.Epoch, Err: errUnguarded})
		return
	}
	o := r.groups[a.Group]
	o.cut()
	cutOff, barred := r.stillConnected(o.group, a), o.barred
	o.cancel = r.then(o, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, a.Before.Sub(r.now()))
		defer cancel()
		waitFor(ctx, barred)
		began := r.now()
		err := r.startGroup(rightful{ctx, r.now, &o.hard}, o.group, promotion{cutOff, a.StandIn})
		if err == nil {
			r.gauge.took(startOf(a.Group), r.now().Sub(began))
		}
		r.post(agent.StartDone{Group: a.Group, Epoch: a.Epoch, Err: err, Refused: mayPass(err)})
		r.reconnect(o.group, cutOff)
	})
}

// stillConnected names the resources whose connection to a dead peer looks
// alive: a promotion over it would wait for DRBD to notice. A copy that stands in for
// another is parted in any case: that one must not be met in the middle of it.
func (r *Runner) stillConnected(g Group, a agent.Start) []string {
	var out []string
	for _, res := range g.Resources {
		if a.StandIn || a.Alone && r.seen[res] == connected {
			out = append(out, res)
		}
	}
	return out
}

// promotion is how a group's resources are made Primary.
type promotion struct {
	cutOff   []string // that are disconnected first
	outdated bool     // also where DRBD has recorded that they are
}

func (p promotion) of(ctx context.Context, d DRBD, resource string) error {
	if p.outdated {
		return d.PromoteOutdated(ctx, resource)
	}
	return d.Promote(ctx, resource)
}

func (r *Runner) startGroup(ctx context.Context, g Group, p promotion) error {
	return g.Services.Start(ctx, func(ctx context.Context) error { return r.promote(ctx, g, p) }, r.report(g))
}

// promote makes the group's resources Primary.
func (r *Runner) promote(ctx context.Context, g Group, p promotion) error {
	for _, res := range p.cutOff {
		if err := r.timed(g, "disconnect "+res, func() error { return r.parts.DRBD.Disconnect(ctx, res) }); err != nil {
			return fmt.Errorf("disconnect %s from a dead peer: %w", res, err)
		}
	}
	for _, res := range g.Resources {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("promote %s: %w", res, err)
		}
		if err := r.timed(g, "promote "+res, func() error { return p.of(ctx, r.parts.DRBD, res) }); err != nil {
			return fmt.Errorf("promote %s: %w", res, err)
		}
	}
	return nil
}

// mayPass reports whether DRBD has refused a promotion for what may be over in a
// moment: the fence-peer handler came to nothing, the peer is just being lost or
// found. What has stayed half-promoted is for a stop to clear up.
func mayPass(err error) bool {
	if errors.Is(err, kernel.ErrPartlyPromoted) {
		return false
	}
	return errors.Is(err, kernel.ErrPeerNotOutdated) || errors.Is(err, kernel.ErrPeerPrimary) ||
		errors.Is(err, kernel.ErrPeerRefused) || errors.Is(err, kernel.ErrTransient)
}

// reconnect lets resources that were cut off look for their peer again.
func (r *Runner) reconnect(g Group, resources []string) {
	ctx, cancel := context.WithTimeout(r.ctx, reconnectWithin)
	defer cancel()
	for _, res := range resources {
		// The timeline has the error; the peer's own agent and the next start try again.
		_ = r.timed(g, "connect "+res, func() error { return r.parts.DRBD.Connect(ctx, res, drbd.KeepMyData) })
	}
}

// stop ends a start that is under way and goes by its deadline from then on.
func (r *Runner) stop(a agent.Stop) {
	o := r.groups[a.Group]
	o.cut()
	r.then(o, func(ctx context.Context) {
		left := a.Before.Sub(r.now())
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		began := r.now()
		down, err := r.stopGroup(ctx, o.group, left)
		r.gauge.took(stopOf(a.Group), r.now().Sub(began))
		r.post(agent.StopDone{Group: a.Group, Order: a.Order, Down: down, Err: err})
	})
}

func (r *Runner) stopGroup(ctx context.Context, g Group, left time.Duration) (bool, error) {
	services, cancel := context.WithTimeout(ctx, left-min(demoteAtMost, left/demoteShare))
	defer cancel()
	stopped := g.Services.Stop(services, r.report(g))
	errs := []error{stopped.Err}
	down := stopped.Down
	for _, res := range slices.Backward(g.Resources) {
		if err := r.timed(g, "demote "+res, func() error { return r.parts.DRBD.Demote(ctx, res) }); err != nil {
			down = false
			errs = append(errs, fmt.Errorf("demote %s: %w", res, err))
		}
	}
	return down, errors.Join(errs...)
}

// barrier turns clients away beside whatever else is done with the group.
func (r *Runner) barrier(a agent.Barrier) {
	o := r.groups[a.Group]
	o.cut()
	before, done := o.barred, make(chan struct{})
	o.barred = done
	r.tasks.Go(func() error {
		defer close(done)
		if before != nil {
			<-before
		}
		ctx, cancel := context.WithTimeout(r.ctx, barrierWithin)
		defer cancel()
		if err := o.group.Services.Barrier(ctx, r.report(o.group)); err != nil {
			r.log.Error("clients not turned away", "group", a.Group, "error", err, "alarm", true)
		}
		return nil
	})
}

// lift starts what a barrier has blocked, once it has, each unit within its own
// time; the rest runs already.
func (r *Runner) lift(a agent.Lift) {
	o := r.groups[a.Group]
	barred := o.barred
	o.cancel = r.then(o, func(ctx context.Context) {
		waitFor(ctx, barred)
		if err := o.group.Services.Start(rightful{ctx, r.now, &o.hard}, nil, r.report(o.group)); err != nil && ctx.Err() == nil {
			r.log.Error("not unblocked", "group", a.Group, "error", err, "alarm", true)
		}
	})
}

// waitFor waits for a barrier to stand; nil: there is none.
func waitFor(ctx context.Context, barred <-chan struct{}) {
	if barred == nil {
		return
	}
	select {
	case <-barred:
	case <-ctx.Done():
	}
}

func (r *Runner) demote(a agent.Demote) {
	o := r.groups[r.owner[a.Resource]]
	r.then(o, func(ctx context.Context) {
		// The machine looks again and orders it again.
		_ = r.timed(o.group, "demote "+a.Resource, func() error { return r.parts.DRBD.Demote(ctx, a.Resource) })
	})
}

// lookForPeer lets DRBD look for its peer.
func (r *Runner) lookForPeer(a agent.Join) {
	o := r.groups[a.Group]
	r.then(o, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, reconnectWithin)
		defer cancel()
		for _, res := range o.group.Resources {
			option := drbd.KeepMyData
			if slices.Contains(a.Discard, res) {
				option = drbd.DiscardMyData
			}
			// The machine looks again and orders it again.
			_ = r.timed(o.group, "connect "+res, func() error { return r.parts.DRBD.Connect(ctx, res, option) })
		}
	})
}

// part ends DRBD's connection. The machine looks again and orders it again.
func (r *Runner) part(a agent.Part) {
	o := r.groups[a.Group]
	r.then(o, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, reconnectWithin)
		defer cancel()
		_ = r.each(ctx, o.group, o.group.Resources, "disconnect", r.parts.DRBD.Disconnect)
	})
}

// outdate makes DRBD record the loss on every resource of the group.
func (r *Runner) outdate(a agent.Outdate) {
	o := r.groups[a.Group]
	r.then(o, func(ctx context.Context) {
		err := r.each(ctx, o.group, o.group.Resources, "outdate", r.parts.DRBD.Outdate)
		r.post(agent.OutdateDone{Group: a.Group, Err: err})
	})
}

// invalidate gives copies up that nobody is to go by.
func (r *Runner) invalidate(a agent.Invalidate) {
	o := r.groups[a.Group]
	r.then(o, func(ctx context.Context) {
		done := agent.InvalidateDone{Group: a.Group}
		if !a.GivenUp {
			done.Alone, done.Err = r.wentAlone(ctx, a.Resources)
		}
		if done.Alone == "" && done.Err == nil {
			done.Err = r.each(ctx, o.group, a.Resources, "invalidate", r.parts.DRBD.Invalidate)
		}
		r.post(done)
	})
}

// wentAlone returns a resource that has been written to here without its peer, as DRBD's
// own data have it, if there is one.
func (r *Runner) wentAlone(ctx context.Context, resources []string) (string, error) {
	for _, res := range resources {
		all, err := r.parts.DRBD.Generations(ctx, res)
		if err != nil {
			return "", fmt.Errorf("look whether %s was written to without its peer: %w", res, err)
		}
		if slices.ContainsFunc(all, drbd.Generations.Alone) {
			return res, nil
		}
	}
	return "", nil
}

// each does one thing to several resources, whatever becomes of the others.
func (r *Runner) each(ctx context.Context, g Group, resources []string, verb string, do func(context.Context, string) error) error {
	var errs []error
	for _, res := range resources {
		if err := r.timed(g, verb+" "+res, func() error { return do(ctx, res) }); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", verb, res, err))
		}
	}
	return errors.Join(errs...)
}

// timed writes a step of the timeline.
func (r *Runner) timed(g Group, what string, do func() error) error {
	began := r.now()
	err := do()
	r.logStep(g, what, r.now().Sub(began), err)
	return err
}

func (r *Runner) report(g Group) func(service.Step) {
	return func(s service.Step) { r.logStep(g, string(s.Action)+" "+s.Unit, s.Took, s.Err) }
}

func (r *Runner) logStep(g Group, what string, took time.Duration, err error) {
	if err != nil {
		r.log.Warn("step failed", "group", g.ID, "what", what, "took", took.String(), "error", err)
		return
	}
	r.log.Info("step", "group", g.ID, "what", what, "took", took.String())
}
