package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/agent/service"
	"sbarbiter/agent/watchdog"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/faketime"
)

// story is a runner in a bubble, with everything around it made up. What
// happened is noted in the order in which it did.
type story struct {
	t       *testing.T
	runner  *Runner
	witness *fakeWitness
	file    *fakeFile
	stack   *fakeStack
	storage *fakeDRBD
	dog     *fakeDog
	cancel  context.CancelFunc
	ended   chan error

	mu  sync.Mutex
	did []string
}

func (s *story) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, what)
}

// happened returns where in the order something first happened, -1 if not.
func (s *story) happened(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Index(s.did, what)
}

func (s *story) count(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.did {
		if d == what {
			n++
		}
	}
	return n
}

func (s *story) must(what string) {
	s.t.Helper()
	if s.happened(what) < 0 {
		s.t.Fatalf("%q has not happened; this has: %q", what, s.did)
	}
}

func (s *story) mustNot(what string) {
	s.t.Helper()
	if s.happened(what) >= 0 {
		s.t.Fatalf("%q has happened: %q", what, s.did)
	}
}

// pass lets time pass and everything settle.
func (s *story) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var durations = agent.Timing{
	Timing: arbiter.Timing{
		TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
		SuspectAfter: time.Second, FenceTimeout: 12 * time.Second,
	},
	Stop: 10 * time.Second, Reset: 2 * time.Second, Late: 500 * time.Millisecond,
}

// tell runs a story in a bubble. Resources are those of group nfs.
func tell(t *testing.T, resources []string, story func(s *story), before ...func(s *story)) {
	t.Helper()
	faketime.Test(t, func(t *testing.T) {
		s := begin(t, resources, before...)
		defer func() {
			s.cancel()
			if err := <-s.ended; err != nil {
				t.Errorf("the runner ended with %v", err)
			}
		}()
		story(s)
	})
}

// begin starts the runner of a story, after what is to be so before.
func begin(t *testing.T, resources []string, before ...func(s *story)) *story {
	s := &story{t: t, ended: make(chan error, 1)}
	epoch := time.Now()
	now := func() boottime.Instant { return boottime.Instant(time.Hour).Add(time.Since(epoch)) }
	s.witness = &fakeWitness{s: s, now: now}
	s.file, s.stack, s.dog = &fakeFile{}, &fakeStack{s: s}, &fakeDog{s: s}
	cfg := agent.Config{
		Cluster: "nfs1", Node: "node-a", Peer: "node-b", Boot: "boot-1", Incarnation: 1, Timing: durations,
		Groups:   []agent.GroupConfig{{ID: "nfs", Resources: resources}},
		Watchdog: arbiter.Watchdog{Armed: true, Hardware: true, Timeout: 5 * time.Second},
	}
	parts := Parts{
		Durable: s.file, Boot: &fakeFile{}, Starts: fakeStarts{}, Witness: s.witness, Peer: silentPeer{}, References: noProber{},
		Watchdog: s.dog, Resetter: s.dog, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: now,
		Notify: func(states ...string) error {
			for _, n := range states {
				s.note(n)
			}
			return nil
		},
	}
	if len(resources) > 0 {
		s.storage = &fakeDRBD{s: s, peer: drbd.DiskUpToDate, seen: make(chan struct{}, 9)}
		parts.DRBD = s.storage
	}
	machine := agent.New(now(), cfg, agent.NewMemory(), agent.DecodeBootMemory(nil, "boot-1"))
	s.runner = New(Config{Agent: cfg, Groups: []Group{{ID: "nfs", Resources: resources, Services: s.stack}}}, machine, parts)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.Context())
	for _, b := range before {
		b(s)
	}
	go func() { s.ended <- s.runner.Run(ctx) }()
	return s
}

// fakeWitness grants whatever is asked for, while it answers.
type fakeWitness struct {
	s      *story
	now    func() boottime.Instant
	emit   func(agent.Event)
	mu     sync.Mutex
	silent bool
	epoch  arbiter.Epoch
	basis  arbiter.Basis // of what it grants
	index  uint64
	task   *arbiter.Task // of a recovery
}

func (w *fakeWitness) wants(t *arbiter.Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.task = t
}

func (w *fakeWitness) Run(ctx context.Context, emit func(agent.Event)) error {
	w.mu.Lock()
	w.emit = emit
	w.mu.Unlock()
	emit(agent.SessionUp{})
	<-ctx.Done()
	return nil
}

func (w *fakeWitness) version() arbiter.Version {
	w.index++
	return arbiter.Version{Incarnation: 1, Starts: 1, Nonce: 1, Index: w.index}
}

func (w *fakeWitness) SendHello(leader.Hello) {
	w.s.note("hello")
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.silent {
		ev := agent.Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: w.version()}
		go w.emit(ev)
	}
}

func (w *fakeWitness) SendBeat(b leader.Beat, _ boottime.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return
	}
	a := leader.BeatAnswer{Number: b.Number}
	for _, g := range b.Groups {
		ga := leader.GroupAnswer{Group: g.Group, Epoch: w.epoch, Task: w.task}
		if w.epoch != 0 {
			ga.Holder = "node-a"
		}
		if g.Epoch != 0 && g.Epoch == w.epoch {
			ga.Renewed = g.Epoch
		}
		a.Groups = append(a.Groups, ga)
	}
	ev := agent.Answered{Answer: a, Version: w.version(), Clock: w.now()}
	go w.emit(ev)
}

func (w *fakeWitness) Call(ctx context.Context, id arbiter.RequestID, m leader.Message, timeout time.Duration) agent.CallDone {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(timeout):
		}
		w.mu.Lock()
		return agent.CallDone{Request: id, Err: errors.New("no answer")}
	}
	v := arbiter.Verdict{Kind: arbiter.Done}
	switch m.(type) {
	case leader.Acquire:
		w.s.note("acquire")
		w.epoch += 4
		v = arbiter.Verdict{Kind: arbiter.Granted, Epoch: w.epoch, Holder: "node-a", Basis: w.basis}
	case leader.Release:
		w.s.note("release")
		w.epoch = 0
	case leader.Exclude:
		w.s.note("exclude")
		v.Number = 1<<32 + 1
	}
	return agent.CallDone{Request: id, Verdict: v, Version: w.version()}
}

func (w *fakeWitness) answers(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = !yes
}

type fakeFile struct {
	mu  sync.Mutex
	err error
}

func (f *fakeFile) Save([]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fakeFile) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

type fakeStarts struct{}

func (fakeStarts) RaiseIncarnation(uint64) error { return nil }

type silentPeer struct{}

func (silentPeer) Run(ctx context.Context, _ func(heartbeat.Event)) error { <-ctx.Done(); return nil }
func (silentPeer) Send([]byte) (uint64, error)                            { return 0, nil }
func (silentPeer) Stats() []heartbeat.LinkStats                           { return nil }

type noProber struct{}

func (noProber) Run(ctx context.Context, _ func(probe.Observation)) error { <-ctx.Done(); return nil }

// fakeStack is one unit. With hang, starts and stops wait for their deadline.
type fakeStack struct {
	s                   *story
	mu                  sync.Mutex
	up                  bool
	hangStart, hangStop bool
}

func (f *fakeStack) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (f *fakeStack) hangs() (start, stop bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hangStart, f.hangStop
}

func (f *fakeStack) set(up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = up
}

func (f *fakeStack) Start(ctx context.Context, below func(context.Context) error, _ func(service.Step)) error {
	if below != nil {
		if err := below(ctx); err != nil {
			return err
		}
	}
	f.s.note("start services")
	if hang, _ := f.hangs(); hang {
		<-ctx.Done()
		f.s.note("start cut short")
		return ctx.Err()
	}
	f.set(true)
	return nil
}

func (f *fakeStack) Stop(ctx context.Context, _ func(service.Step)) service.StopResult {
	f.s.note("stop services")
	if _, hang := f.hangs(); hang {
		<-ctx.Done()
		return service.StopResult{Err: ctx.Err()}
	}
	f.set(false)
	return service.StopResult{Down: true}
}

func (f *fakeStack) Barrier(context.Context, func(service.Step)) error {
	f.s.note("barrier")
	return nil
}

func (f *fakeStack) State(context.Context) service.Survey {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := service.Stopped
	if f.up {
		state = service.Running
	}
	return service.Survey{{Unit: "unit", State: state}}
}

// fakeDRBD is one resource of one volume.
type fakeDRBD struct {
	s    *story
	mu   sync.Mutex
	role drbd.Role
	peer drbd.DiskState
	lost bool
	no   error // what promotions are refused with
	seen chan struct{}
	left drbd.UUID // a generation in which the peer was left behind
}

func (f *fakeDRBD) state() drbd.Resource {
	f.mu.Lock()
	defer f.mu.Unlock()
	role := f.role
	if role == "" {
		role = drbd.RoleSecondary
	}
	if f.lost {
		return resource(drbd.ConnConnecting, role, drbd.DiskUpToDate, drbd.ReplOff, f.peer)
	}
	return resource(drbd.ConnConnected, role, drbd.DiskUpToDate, drbd.ReplEstablished, f.peer)
}

func (f *fakeDRBD) change(do func()) {
	f.mu.Lock()
	do()
	f.mu.Unlock()
	f.seen <- struct{}{}
}

func (f *fakeDRBD) Run(ctx context.Context, emit func(kernel.Observation)) error {
	for {
		emit(kernel.Seen{Resource: f.state()})
		select {
		case <-ctx.Done():
			return nil
		case <-f.seen:
		}
	}
}

func (f *fakeDRBD) Read(context.Context, string) (drbd.Resource, error) { return f.state(), nil }

func (f *fakeDRBD) Generations(context.Context, string) ([]drbd.Generations, error) {
	return []drbd.Generations{{Current: 8, Flags: drbd.GenerationFlags{Consistent: true}}, {Current: 8, Bitmap: f.left, Flags: drbd.GenerationFlags{Consistent: true}}}, f.no
}

func (f *fakeDRBD) did(what string, role drbd.Role) error {
	f.s.note(what)
	f.change(func() {
		if role != "" {
			f.role = role
		}
	})
	return nil
}

func (f *fakeDRBD) Attach(context.Context, string) error { return f.did("attach", "") }

func (f *fakeDRBD) Promote(context.Context, string) error {
	f.mu.Lock()
	no := f.no
	f.mu.Unlock()
	if no != nil {
		f.s.note("promotion refused")
		return fmt.Errorf("promote r0: %w (exit 11)", no)
	}
	return f.did("promote", drbd.RolePrimary)
}

func (f *fakeDRBD) PromoteOutdated(context.Context, string) error {
	return f.did("promote whatever its disk says", drbd.RolePrimary)
}

func (f *fakeDRBD) refuses(with error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.no = with
}

func (f *fakeDRBD) Demote(context.Context, string) error     { return f.did("demote", drbd.RoleSecondary) }
func (f *fakeDRBD) Outdate(context.Context, string) error    { return f.did("outdate", "") }
func (f *fakeDRBD) Invalidate(context.Context, string) error { return f.did("invalidate", "") }
func (f *fakeDRBD) Disconnect(context.Context, string) error { return f.did("disconnect", "") }
func (f *fakeDRBD) Connect(_ context.Context, res string, option drbd.ConnectOption) error {
	if option == drbd.DiscardMyData {
		f.s.note("gives up " + res)
	}
	return f.did("connect", "")
}

// fakeDog is the watchdog and the way to reset the machine.
type fakeDog struct {
	watchdog.None
	s    *story
	mu   sync.Mutex
	late bool
}

func (d *fakeDog) Feed(deadline boottime.Instant) error {
	d.s.note("feed")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.late {
		return &watchdog.LateError{Deadline: deadline}
	}
	return nil
}

func (d *fakeDog) Reset() error {
	d.s.note("reset")
	return errors.New("made up")
}

// resource is one volume of both nodes.
func resource(conn drbd.ConnState, role drbd.Role, own drbd.DiskState, repl drbd.ReplState, peer drbd.DiskState) drbd.Resource {
	return drbd.Resource{
		Name: "r0", Role: role, Volumes: []drbd.Volume{{Number: 0, Minor: 0, Disk: own, Role: role}},
		Peer: &drbd.Connection{State: conn, Volumes: []drbd.PeerVolume{{Number: 0, Replication: repl, PeerDisk: peer}}},
	}
}
