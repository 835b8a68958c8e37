// Package runner carries out what an agent's machine decides. It answers "who
// looks at the clock, and in which order do things happen?": one goroutine owns
// the machine, hands it events with the time at which it does so, and performs
// its actions in order. What is quick is done there and then; everything that
// talks to a network or starts a program runs beside it and comes back as an
// event, so that the watchdog is fed whatever hangs.
//
// Nothing is decided here. What a program does for DRBD's handlers is package
// handler's.
package runner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/agent"
	"sbarbiter/agent/watchdog"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery/carry"
)

const (
	tickEvery   = 50 * time.Millisecond
	eventBuffer = 64
)

// Config is what a runner is for.
type Config struct {
	Agent  agent.Config
	Groups []Group // those of Agent.Groups
	// Handlers is the socket on which DRBD's handlers ask, "" for none.
	Handlers string
	// Holding: the agent before this one had a right to run something here.
	Holding bool
}

// Group is a group with what runs in it.
type Group struct {
	ID        arbiter.GroupID
	Resources []string // promoted in this order
	Services  Services
}

// Parts are the hands and ears of a runner. DRBD and Power may be nil.
type Parts struct {
	Durable File // outlives the boot
	Boot    File // dies with it
	Starts  Starts

	Witness    Witness
	Peer       Heartbeat
	References Prober
	DRBD       DRBD
	Power      *Power
	Watchdog   watchdog.Watchdog
	Resetter   watchdog.Resetter
	Guard      Guard // nil: this process feeds the watchdog itself
	// Hands do this node's part of recoveries, for the groups that have Copies.
	Hands  Hands
	Copies map[arbiter.GroupID]carry.Group

	// Gauge is what this node measures, and reports of itself.
	Gauge Gauge

	// Notify tells the service manager; see sdnotify.Notify.
	Notify func(states ...string) error
	Log    *slog.Logger
	Now    func() boottime.Instant
}

// Runner runs one agent.
type Runner struct {
	cfg     Config
	parts   Parts
	log     *slog.Logger
	now     func() boottime.Instant
	machine *agent.Machine
	events  chan delivery
	gauge   *gauge

	recoverer recoverer

	ctx   context.Context // of Run
	tasks *errgroup.Group

	// What follows belongs to the goroutine of Run.
	groups  map[arbiter.GroupID]*operator
	owner   map[string]arbiter.GroupID // of a resource
	seen    map[string]connection
	unsaved unsaved
	aimed   boottime.Instant // the latest reading of the peer's power
	calls   callers
	left    chan struct{} // closed once everything is stopped and given back
	dead    bool          // a reset was ordered and did not happen
	holds   bool          // the machine had a right to something when it last wrote that down
	status  string
	mute    bool // the last beat to the peer was not sent, and that was said
}

// delivery is an event on its way to the machine. Whoever waits for done knows
// that everything it led to at once has been performed, or why it could not be
// stored.
type delivery struct {
	event agent.Event
	done  chan<- error
}

// New returns a runner for a machine that nobody has stepped yet.
func New(cfg Config, machine *agent.Machine, parts Parts) *Runner {
	if parts.Now == nil {
		parts.Now = boottime.Now
	}
	if parts.Notify == nil {
		parts.Notify = func(...string) error { return nil }
	}
	r := &Runner{
		gauge: newGauge(parts.Gauge), cfg: cfg, parts: parts, log: parts.Log, now: parts.Now, machine: machine,
		events: make(chan delivery, eventBuffer),
		groups: map[arbiter.GroupID]*operator{}, owner: map[string]arbiter.GroupID{}, seen: map[string]connection{},
		calls: newCallers(), holds: cfg.Holding, left: make(chan struct{}),
	}
	r.recoverer.provide(parts.Hands, cfg.Groups, parts.Copies)
	for _, g := range cfg.Groups {
		r.groups[g.ID] = &operator{group: g}
		for _, res := range g.Resources {
			r.owner[res] = g.ID
		}
	}
	return r
}

// Run runs the agent until ctx ends. Services go on then, and so does the
// watchdog's countdown: whoever is started next, within its time, takes over.
func (r *Runner) Run(ctx context.Context) error {
	r.tasks, r.ctx = errgroup.WithContext(ctx)
	r.tasks.Go(r.loop)
	r.tasks.Go(r.hearPeer)
	r.tasks.Go(r.probe)
	r.tasks.Go(r.watchLinks)
	if r.parts.DRBD != nil {
		r.tasks.Go(r.watchDRBD)
	}
	if r.parts.Power != nil {
		r.tasks.Go(func() error { return r.parts.Power.Run(r.ctx) })
	}
	if r.gauge.Examine != nil {
		r.tasks.Go(r.examine)
	}
	if r.gauge.Times != nil {
		r.tasks.Go(r.watchTimes)
	}
	if r.gauge.Kept != nil {
		r.tasks.Go(r.keepMeasured)
	}
	if r.cfg.Handlers != "" {
		r.tasks.Go(r.serveHandlers)
	}
	for _, o := range r.groups {
		r.tasks.Go(func() error { return o.group.Services.Run(r.ctx) })
		r.tasks.Go(func() error { return r.watchServices(o.group) })
	}
	if r.parts.Guard != nil {
		r.tasks.Go(r.hearGuard)
	}
	r.tasks.Go(r.workOff)
	r.tasks.Go(r.join)
	if err := r.tasks.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run agent: %w", err)
	}
	return nil
}

// Leave stops every group and gives it back, because the machine is being shut
// down, and returns when that is done or ctx ends. It is called while Run runs.
func (r *Runner) Leave(ctx context.Context, leave agent.Leave) error {
	select {
	case r.events <- delivery{event: leave}:
	case <-ctx.Done():
		return fmt.Errorf("leave: %w", ctx.Err())
	}
	select {
	case <-r.left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leave: groups are not all stopped and given back: %w", ctx.Err())
	}
}

// Holds reports whether groups may be running here by this agent's right. It is
// asked after Run.
func (r *Runner) Holds() bool { return r.holds }

// join looks for what runs here already, before anything that may take long: a
// group that runs without a right is stopped before its lease runs out. Only then
// a witness may speak: what it grants must not meet a report that is older than
// the grant.
func (r *Runner) join() error {
	var looks sync.WaitGroup
	for _, g := range r.cfg.Groups {
		looks.Go(func() { r.post(r.find(g)) })
	}
	looks.Wait()
	r.bringUp()
	return r.parts.Witness.Run(r.ctx, r.post)
}

// loop is the one goroutine that steps the machine. It never waits for anybody.
func (r *Runner) loop() error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	r.notify("READY=1")
	for {
		select {
		case <-r.ctx.Done():
			return nil
		case d := <-r.events:
			r.step(d.event)
			if d.done != nil {
				d.done <- r.unsaved.err
			}
		case <-tick.C:
			r.step(agent.Tick{})
		}
	}
}

// post hands an event to the loop.
func (r *Runner) post(ev agent.Event) {
	select {
	case r.events <- delivery{event: ev}:
	case <-r.ctx.Done():
	}
}

// deliver posts an event and returns when all that it led to at once was done;
// an error says that what it led to could not be stored.
func (r *Runner) deliver(ev agent.Event) error {
	done := make(chan error, 1)
	select {
	case r.events <- delivery{ev, done}:
	case <-r.ctx.Done():
		return fmt.Errorf("the agent is being stopped: %w", r.ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-r.ctx.Done():
		return fmt.Errorf("the agent is being stopped: %w", r.ctx.Err())
	}
}

func (r *Runner) notify(states ...string) {
	if err := r.parts.Notify(states...); err != nil {
		r.log.Debug("service manager not told", "error", err)
	}
}
