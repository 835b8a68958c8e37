package bubble

import (
	"context"
	"errors"
	"sync"
	"time"

	"sbarbiter/agent/heartbeat"
	"sbarbiter/agent/probe"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/service"
	"sbarbiter/agent/watchdog"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

// cable carries heartbeats, until it is cut.
type cable struct {
	mu   sync.Mutex
	cut  bool
	ends [2]*plug
}

// plug is one node's end, anew with every agent.
type plug struct {
	c    *cable
	n    *node
	in   chan heartbeat.Received
	sent uint64
	last boottime.Instant // heard
}

func newCable() *cable { return &cable{} }

func (c *cable) end(n *node) runner.Heartbeat {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[n.i] = &plug{c: c, n: n, in: make(chan heartbeat.Received, 64)}
	return c.ends[n.i]
}

func (c *cable) cutOff(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[i] = nil
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
}

func (p *plug) Run(ctx context.Context, emit func(heartbeat.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-p.in:
			ev.At = p.n.now()
			p.c.mu.Lock()
			p.last = ev.At
			p.c.mu.Unlock()
			emit(ev)
		}
	}
}

func (p *plug) Send(payload []byte) (uint64, error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.sent++
	far := p.c.ends[1-p.n.i]
	if p.c.cut || far == nil || p.c.ends[p.n.i] != p {
		return p.sent, nil
	}
	select {
	case far.in <- heartbeat.Received{Link: "eth1", Seq: p.sent, Fresh: true, Payload: payload}:
	default: // lost
	}
	return p.sent, nil
}

func (p *plug) Stats() []heartbeat.LinkStats {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return []heartbeat.LinkStats{{Name: "eth1", LastReceived: p.last}}
}

// references are none.
type references struct{}

func (references) Run(ctx context.Context, _ func(probe.Observation)) error { <-ctx.Done(); return nil }

// unit is the one service of the group. It takes a moment.
type unit struct{ n *node }

func (unit) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (u unit) Start(ctx context.Context, below func(context.Context) error, _ func(service.Step)) error {
	if below != nil {
		if err := below(ctx); err != nil {
			return err
		}
	}
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	u.n.p.count(u.n.i, func(n *node) *int { return &n.starts })
	u.n.p.set(u.n.i, true)
	return nil
}

func (u unit) Stop(ctx context.Context, _ func(service.Step)) service.StopResult {
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return service.StopResult{Err: err}
	}
	u.n.p.count(u.n.i, func(n *node) *int { return &n.stops })
	u.n.p.set(u.n.i, false)
	return service.StopResult{Down: true}
}

func (unit) Barrier(context.Context, func(service.Step)) error { return nil }

func (u unit) State(context.Context) service.Survey {
	state := service.Stopped
	if u.n.p.runsOn(u.n.i) {
		state = service.Running
	}
	return service.Survey{{Unit: "unit", State: state}}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// dog resets its machine when it has not been fed for its timeout.
type dog struct {
	watchdog.None
	n       *node
	boot    int
	timeout time.Duration
	mu      sync.Mutex
	bite    *time.Timer
}

func (d *dog) Timeout() time.Duration { return d.timeout }

func (d *dog) Feed(deadline boottime.Instant) error {
	if now := d.n.now(); now >= deadline {
		return &watchdog.LateError{Deadline: deadline, Before: now}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bite == nil {
		d.bite = time.AfterFunc(d.timeout, func() { d.n.reset(d.boot) })
	}
	d.bite.Reset(d.timeout)
	return nil
}

// resetter resets the machine that it is on.
type resetter struct {
	n    *node
	boot int
}

func (r resetter) Reset() error {
	go r.n.reset(r.boot)
	return errors.New("still here for a moment")
}

// reset ends a boot of the machine. It does not come up again by itself.
func (n *node) reset(boot int) {
	n.p.mu.Lock()
	counts := n.up && n.boots == boot
	if counts {
		n.resets++
	}
	n.p.mu.Unlock()
	n.crash(boot)
}

// outlet is a node's power switch, in the other one's hands.
type outlet struct{ n *node }

func (o outlet) Off(ctx context.Context) error {
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	o.n.p.count(o.n.i, func(n *node) *int { return &n.shots })
	go o.n.crash()
	return nil
}

func (o outlet) On(context.Context) error { return nil }

func (o outlet) Status(ctx context.Context) (fencing.Power, error) {
	if err := sleep(ctx, 50*time.Millisecond); err != nil {
		return fencing.PowerUnknown, err
	}
	if o.n.isUp() {
		return fencing.PowerOn, nil
	}
	return fencing.PowerOff, nil
}

// mirror is the one DRBD resource, on both nodes: connected, until one side is
// lost.
type mirror struct {
	mu    sync.Mutex
	sides [2]*side
	rift  *rift // both were written to apart from each other; nil: no
}

// side is what one node's kernel has of it.
type side struct {
	m       *mirror
	i       int
	role    drbd.Role
	gone    bool // the machine is off
	alone   bool // the peer is lost, and counts as outdated
	changed chan struct{}
}

func newMirror() *mirror {
	m := &mirror{}
	for i := range m.sides {
		m.sides[i] = &side{m: m, i: i, role: drbd.RoleSecondary, changed: make(chan struct{}, 1)}
	}
	return m
}

// side returns a node's part of it, on a machine that has just started or whose
// agent has.
func (m *mirror) side(i int) *side {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sides[i]
	if s.gone {
		s.gone, s.role = false, drbd.RoleSecondary
		for _, s := range m.sides {
			s.alone = false // DRBD resynchronises faster than anybody looks
		}
		m.tell()
	}
	return s
}

// lose takes a machine away.
func (m *mirror) lose(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sides[i].gone = true
	m.sides[1-i].alone = true
	if m.rift != nil {
		m.rift.lost(i)
	}
	m.tell()
}

func (m *mirror) tell() {
	for _, s := range m.sides {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

func (s *side) state() drbd.Resource {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	r := drbd.Resource{
		Name: "r0", Role: s.role, Volumes: []drbd.Volume{{Disk: drbd.DiskUpToDate, Role: s.role}},
		Peer: &drbd.Connection{State: drbd.ConnConnected, Volumes: []drbd.PeerVolume{{Replication: drbd.ReplEstablished, PeerDisk: drbd.DiskUpToDate}}},
	}
	if s.alone {
		r.Peer.State = drbd.ConnConnecting
		r.Peer.Volumes[0] = drbd.PeerVolume{Replication: drbd.ReplOff, PeerDisk: drbd.DiskOutdated}
	}
	if s.m.rift != nil {
		return s.m.rift.shown(s.i, r)
	}
	return r
}

func (s *side) Run(ctx context.Context, emit func(kernel.Observation)) error {
	for {
		emit(kernel.Seen{Resource: s.state()})
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
	}
}

func (s *side) Read(context.Context, string) (drbd.Resource, error) { return s.state(), nil }

func (s *side) become(role drbd.Role) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.gone {
		return errors.New("the machine is off")
	}
	if role == drbd.RolePrimary && s.m.sides[1-s.i].role == drbd.RolePrimary && !s.m.sides[1-s.i].gone {
		return errors.New("the peer is Primary")
	}
	s.role = role
	s.m.tell()
	return nil
}

func (s *side) Up(context.Context, string) error              { return nil }
func (s *side) Attach(context.Context, string) error          { return nil }
func (s *side) Promote(context.Context, string) error         { return s.become(drbd.RolePrimary) }
func (s *side) PromoteOutdated(context.Context, string) error { return s.become(drbd.RolePrimary) }

func (s *side) Demote(context.Context, string) error                            { return s.become(drbd.RoleSecondary) }
func (s *side) Outdate(context.Context, string) error                           { return nil }
func (s *side) Generations(context.Context, string) ([]drbd.Generations, error) { return nil, nil }
func (s *side) Invalidate(context.Context, string) error                        { return nil }
func (s *side) Disconnect(context.Context, string) error                        { return nil }
func (s *side) Connect(context.Context, string, drbd.ConnectOption) error       { return nil }
