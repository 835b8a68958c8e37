package sim

import (
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

// bmc is the power switch of a node, and how it misbehaves.
type bmc struct {
	n      *Node
	dead   bool          // it has no power, or nobody reaches it
	refuse bool          // it refuses the credentials
	hang   bool          // it takes a call and never answers; a command may be carried out all the same
	lies   bool          // it says off whatever is so
	fakes  bool          // it begins to lie with the next off, and does nothing about that
	lied   bool          // and has
	wavers bool          // it has said on in the middle of its lies: what it says next looks like a change
	offAt  time.Duration // it said off last
	lieAt  time.Duration // it said off last of a machine that was on
	boots  int           // it has had no power so often: then it forgets what it was told
	stuck  bool          // it says on whatever is so
	slow   time.Duration // on top of what an answer takes
	flip   time.Duration // on top of what the power takes to change, within fencing's Limits
}

// Refuse makes the power switch refuse every command, or no longer.
func (n *Node) Refuse(refuse bool) { n.bmc.refuse = refuse }

// BreakSwitch makes the power switch answer nobody, or work again.
func (n *Node) BreakSwitch(dead bool) { n.bmc.dead = dead }

// mend ends everything that is wrong with it. What it said before was said.
func (b *bmc) mend() { *b = bmc{n: b.n, lied: b.lied, offAt: b.offAt, lieAt: b.lieAt, boots: b.boots} }

func (b *bmc) device() fencing.DeviceName { return fencing.DeviceName("bmc-" + string(b.n.id)) }

// hand is who uses a power switch: a node's agent, or a witness's process.
type hand struct {
	name  string
	node  *Node // nil: a witness
	clock *clock
	later func(time.Duration, func()) // in its process
}

func (n *Node) hand() hand { return hand{string(n.id), n, n.clock, n.proc} }

func (v *voter) hand() hand { return hand{v.host.String(), nil, v.clock, v.later} }

// call lets the device hear a call and says how it ends, unless that is later
// than the caller waits for. One that hangs may carry it out all the same.
func (b *bmc) call(by hand, within time.Duration, do func(), answered func(err error)) {
	w := b.n.w
	if w.Far && by.node != nil {
		by.later(within, func() { answered(fencing.ErrUnreachable) })
		return
	}
	heard := w.between(20*time.Millisecond, 80*time.Millisecond)
	takes := 2*heard + b.slow
	if !b.dead && !b.refuse && (!b.hang || w.rng.IntN(2) == 0) {
		w.after(heard, do)
	}
	if b.dead || b.hang || takes > within {
		by.later(within, func() { answered(fencing.ErrUnreachable) })
		return
	}
	refused := b.refuse
	by.later(takes, func() {
		if refused {
			answered(fencing.ErrAuth)
			return
		}
		answered(nil)
	})
}

func (b *bmc) power() fencing.Power {
	if b.stuck || b.n.power && !b.lies {
		return fencing.PowerOn
	}
	return fencing.PowerOff
}

// status reads the power; it is that of the moment the device was asked.
func (b *bmc) status(by hand, within time.Duration, answered func(fencing.Power, error)) {
	p := fencing.PowerUnknown
	b.call(by, within, func() {
		if p = b.power(); p == fencing.PowerOff && b.n.power {
			b.lieAt = b.n.w.now
		}
	}, func(err error) {
		if err != nil {
			p = fencing.PowerUnknown
		}
		switch {
		case p == fencing.PowerOn:
			b.wavers = b.lies
		case p == fencing.PowerOff:
			b.offAt = b.n.w.now
			b.lied = b.lied || b.wavers && b.lies
		}
		answered(p, err)
	})
}

// off commands the power off.
func (b *bmc) off(by hand, within time.Duration, notAfter boottime.Instant, answered func(error)) {
	if by.clock.now() > notAfter {
		answered(fencing.ErrNotSent)
		return
	}
	w := b.n.w
	w.line(by.name, "", "off sent", "to the power switch of "+string(b.n.id))
	b.call(by, within, func() {
		if b.fakes {
			b.lies, b.lied = true, b.lied || !b.lies
			return
		}
		boots, sent, excuse := b.boots, w.now, ""
		if b.stuck && !b.n.power {
			excuse = "a power switch that said on of a machine that was off, and obeyed once that was on again"
		}
		w.after(w.between(200*time.Millisecond, time.Second)+b.flip, func() {
			if b.lied && b.lieAt > sent {
				excuse = "a power switch that began to lie between two readings, and obeyed behind the second"
			}
			if b.boots == boots {
				b.lands(by, excuse)
			}
		})
	}, answered)
}

// lands is where a shot takes effect. One that was sent to a switch which said wrongly
// that the machine was on seems to have landed before, when the switch says off; so does
// one whose switch says off of a machine that is on. That is the excuse of what lands
// when its mandate is over.
func (b *bmc) lands(by hand, excuse string) {
	w := b.n.w
	if !b.n.power || b.dead {
		return
	}
	w.line(b.n.host.String(), "", "POWER OFF", "by "+by.name)
	if excuse != "" && w.begun.over {
		w.except(excuse)
	} else {
		w.checkShot(b.n, by)
	}
	b.n.power = false
	b.n.die()
	b.n.shot = true
	boots := b.n.boots
	w.after(w.between(5*time.Second, lookedAfter), func() {
		if b.n.boots == boots {
			b.n.powerOn(w.Boot) // somebody has looked after it
		}
	})
}

// lookedAfter is how long a machine that was shot stays off at most.
const lookedAfter = 20 * time.Second

// shooting is a shot under way on its executor.
type shooting struct {
	by    hand
	of    *bmc
	shot  *fencing.Shot
	wakes int
	live  func() bool // nobody has given it up
	over  func(fencing.Result)
}

// step advances the shot and does what it orders.
func (s *shooting) step(ev fencing.Event) {
	if !s.live() {
		return
	}
	for _, a := range s.shot.Step(s.by.clock.now(), ev) {
		switch a := a.(type) {
		case fencing.Read:
			s.of.status(s.by, a.Timeout, func(p fencing.Power, err error) { s.step(fencing.ReadDone{Call: a.Call, Power: p, Err: err}) })
		case fencing.Off:
			s.of.off(s.by, a.Timeout, a.NotAfter, func(err error) { s.step(fencing.OffDone{Call: a.Call, Err: err}) })
		case fencing.Wait:
			s.wakes++
			wake := s.wakes
			s.by.later(a.Until.Sub(s.by.clock.now()), func() {
				if s.wakes == wake {
					s.step(fencing.Tick{})
				}
			})
		case fencing.Finish:
			s.over(a.Result)
		}
	}
}

const (
	readWithin   = 2 * time.Second // as agent/runner has them
	shootWithin  = 2 * time.Second
	monitorEvery = 30 // seconds
)

// monitor reads the peer's power switch now and then. A calm world has read it.
func (n *Node) monitor() {
	n.monitors.set(time.Second)
	if n.w.calm || !n.steps() {
		return
	}
	if n.unread++; n.unread >= monitorEvery {
		n.unread = 0
		n.peer.bmc.status(n.hand(), 5*time.Second, func(p fencing.Power, _ error) {
			n.track.Observe(n.reading(p))
		})
	}
}

func (n *Node) reading(p fencing.Power) fencing.Reading {
	return fencing.Reading{Device: n.peer.bmc.device(), Power: p, At: n.clock.now(), Executor: string(n.id)}
}

// heardPeer notes a fresh sign of life of the peer where power is concerned.
func (n *Node) heardPeer() {
	n.track.Heard(n.clock.now())
	if n.shooting != nil {
		n.shooting.step(fencing.Heard{})
	}
}

func (n *Node) readPower(a agent.ReadPower) {
	before := n.track.SeenOn()
	n.peer.bmc.status(n.hand(), readWithin, func(p fencing.Power, err error) {
		if err == nil {
			before = append(before, n.reading(p))
		}
		n.give(agent.PowerRead{Mandate: a.Mandate, Readings: toReadings(before)})
	})
}

func (n *Node) shoot(a agent.Shoot) {
	shot, err := fencing.NewShot(fencing.Spec{
		Target: fencing.Target(n.peer.id), Executor: string(n.id),
		Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{n.peer.bmc.device()}}},
		Start:    a.Asked, StartBy: a.Asked.Add(shootWithin), Deadline: a.Before, MaxGap: fencing.DefaultMaxGap,
		Before:       append(fromReadings(a.Readings, string(n.id)), n.track.SeenOn()...),
		Contradicted: n.track.Contradicted(),
	})
	if err != nil {
		n.give(agent.ShotDone{Mandate: a.Mandate, Failure: err.Error()})
		return
	}
	s := &shooting{by: n.hand(), of: &n.peer.bmc, shot: shot}
	s.live = func() bool { return n.shooting == s }
	s.over = func(res fencing.Result) { n.endShot(a.Mandate, res, "") }
	n.shooting, n.mandate = s, a.Mandate
	s.step(fencing.Tick{})
}

// holdShot gives the shot under way up.
func (n *Node) holdShot(a agent.Hold) {
	if s := n.shooting; s != nil && n.mandate == a.Mandate {
		n.endShot(a.Mandate, s.shot.Abandon(n.clock.now(), "the executor was told to stop"), "held: "+a.Why)
	}
}

func (n *Node) endShot(m arbiter.MandateID, res fencing.Result, failure string) {
	n.shooting = nil
	if !res.Proven && failure == "" {
		failure = res.Reason
	}
	n.give(agent.ShotDone{
		Mandate: m, Grade: arbiter.Grade(res.Grade), Readings: toReadings(res.Readings),
		Failure: failure, InFlight: res.InFlight, Lands: res.Lands,
	})
}

// reaches names the nodes whose power switches the witness's hosts reach.
func (o *Options) reaches() map[arbiter.ClusterID][]arbiter.NodeID {
	if !o.Hands {
		return nil
	}
	return map[arbiter.ClusterID][]arbiter.NodeID{o.Definition.Cluster: o.Definition.Nodes[:]}
}

func (v *voter) switchOf(id arbiter.NodeID) *bmc {
	for _, n := range v.x.w.nodes {
		if n.id == id {
			return &n.bmc
		}
	}
	panic("sim: a witness shoots " + string(id) + ", which is no node")
}

// look reads a node's power for a leader that may shoot.
func (v *voter) look(a leader.Look) {
	b := v.switchOf(a.Target)
	b.status(v.hand(), readWithin, func(p fencing.Power, err error) {
		m := leader.Looked{Cluster: a.Cluster, Mandate: a.Mandate}
		if err == nil {
			m.Readings = toReadings([]fencing.Reading{{Device: b.device(), Power: p, At: v.clock.now(), Executor: v.host.String()}})
		}
		v.request(m, nil)
	})
}

// shoot carries a permission out. It ends with the leadership.
func (v *voter) shoot(a leader.Shoot) {
	done := leader.ShotDone{Cluster: a.Cluster, Mandate: a.Mandate}
	b := v.switchOf(a.Target)
	shot, err := fencing.NewShot(fencing.Spec{
		Target: fencing.Target(a.Target), Executor: v.host.String(),
		Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{b.device()}}},
		Start:    a.Asked, StartBy: a.Asked.Add(shootWithin), Deadline: a.Before, MaxGap: fencing.DefaultMaxGap,
		Before: fromReadings(a.Readings, v.host.String()),
	})
	if err != nil {
		done.Failure = err.Error()
		v.request(done, nil)
		return
	}
	v.x.w.line(v.host.String(), "", "shooting", string(a.Target))
	s := &shooting{by: v.hand(), of: b, shot: shot}
	s.live = func() bool { return v.shooting == s }
	s.over = func(res fencing.Result) {
		v.shooting = nil
		done.Grade, done.Readings, done.InFlight = arbiter.Grade(res.Grade), toReadings(res.Readings), res.InFlight
		if !res.Proven {
			done.Failure = res.Reason
		}
		v.request(done, nil)
	}
	v.shooting = s
	s.step(fencing.Tick{})
}

func toReadings(list []fencing.Reading) []arbiter.Reading {
	var out []arbiter.Reading
	for _, r := range list {
		out = append(out, arbiter.Reading{Device: string(r.Device), Power: r.Power.String(), At: r.At})
	}
	return out
}

func fromReadings(list []arbiter.Reading, by string) []fencing.Reading {
	var out []fencing.Reading
	for _, r := range list {
		p := fencing.PowerUnknown
		switch r.Power {
		case "on":
			p = fencing.PowerOn
		case "off":
			p = fencing.PowerOff
		}
		out = append(out, fencing.Reading{Device: fencing.DeviceName(r.Device), Power: p, At: r.At, Executor: by})
	}
	return out
}
