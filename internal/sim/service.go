package sim

import (
	"errors"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
	"sbarbiter/internal/boottime"
)

// startGroup promotes a group's disk and starts its services.
func (n *Node) startGroup(a agent.Start) {
	s := n.services[a.Group]
	number := s.next()
	end := func(err error) {
		if s.number == number {
			s.number = 0
			n.give(agent.StartDone{Group: a.Group, Epoch: a.Epoch, Err: err})
		}
	}
	n.unless(func() bool { return s.number != number }, n.clock.until(a.Before), func() { end(errors.New("not through in time")) })
	services := func(err error) {
		if err != nil || s.number != number {
			end(err)
			return
		}
		if !s.up {
			n.up(a.Group)
		}
		n.local(n.w.between(200*time.Millisecond, 600*time.Millisecond), func() {
			if n.startFail {
				end(errors.New("the service does not start"))
				return
			}
			end(nil)
		})
	}
	c := n.replica(a.Group)
	if c == nil {
		services(nil)
		return
	}
	wanted := func() bool { return s.number == number }
	cutOff := a.Alone && c.state().Conn == drbd.ConnConnected
	promote := func(err error) {
		if err != nil {
			end(err)
			return
		}
		n.local(n.w.between(20*time.Millisecond, 80*time.Millisecond), func() { c.insist(model.Promote, wanted, services) })
	}
	if !cutOff {
		promote(nil)
		return
	}
	// A connection to a dead peer that looks alive is cut before, and looked for
	// again behind.
	c.insist(model.Disconnect, wanted, func(err error) {
		n.local(time.Second, func() { c.command(model.Connect, nil) })
		promote(err)
	})
}

// stopGroup stops a group's services and demotes its disk; a frozen disk holds
// them fast.
func (n *Node) stopGroup(a agent.Stop) {
	s := n.services[a.Group]
	number := s.next()
	n.local(n.w.between(100*time.Millisecond, 900*time.Millisecond), func() { n.stopping(a, number) })
}

func (n *Node) stopping(a agent.Stop, number int) {
	g := a.Group
	s, c := n.services[g], n.replica(g)
	switch {
	case s.number != number:
		return
	case n.stopFail, c != nil && s.up && (c.drbd.Suspended() || c.drbd.Waiting() > 0):
		n.local(100*time.Millisecond, func() { n.stopping(a, number) })
		return
	}
	n.down(g)
	stopped := func(err error) {
		s.number = 0
		if err == nil {
			s.barred = false
		}
		n.give(agent.StopDone{Group: g, Order: a.Order, Down: err == nil, Err: err})
	}
	if c == nil {
		stopped(nil)
		return
	}
	c.insist(model.Demote, func() bool { return s.number == number }, stopped)
}

// up and down note that a group's services use its disk.
func (n *Node) up(g arbiter.GroupID) {
	n.services[g].up = true
	if c := n.replica(g); c != nil {
		c.step(model.Open{})
	}
}

func (n *Node) down(g arbiter.GroupID) {
	if s := n.services[g]; s.up {
		s.up = false
		if c := n.replica(g); c != nil {
			c.step(model.Close{})
		}
	}
}

// bmc is the power switch of a node.
type bmc struct {
	n      *Node
	dead   bool
	refuse bool
	held   arbiter.MandateID
}

// Refuse makes the power switch refuse every command, or no longer.
func (n *Node) Refuse(refuse bool) { n.bmc.refuse = refuse }

// BreakSwitch makes the power switch answer nobody, or work again.
func (n *Node) BreakSwitch(dead bool) { n.bmc.dead = dead }

func (b *bmc) reading(by *Node) arbiter.Reading {
	r := arbiter.Reading{Device: "bmc-" + string(b.n.id), Power: "off", At: by.clock.now()}
	switch {
	case b.dead || b.refuse:
		r.Power = "unknown"
	case b.n.power:
		r.Power = "on"
	}
	return r
}

func (b *bmc) read(by *Node, a agent.ReadPower) {
	by.proc(by.w.between(50*time.Millisecond, 200*time.Millisecond), func() {
		by.give(agent.PowerRead{Mandate: a.Mandate, Readings: []arbiter.Reading{b.reading(by)}})
	})
}

func (b *bmc) shoot(by *Node, a agent.Shoot) {
	w := by.w
	done := func(d agent.ShotDone) {
		d.Mandate = a.Mandate
		if b.held == a.Mandate && d.Failure == "" && d.Grade == 0 {
			d.Failure = "held"
		}
		by.give(d)
	}
	if b.dead || b.refuse {
		by.proc(w.between(100*time.Millisecond, 2*time.Second), func() {
			done(agent.ShotDone{Failure: "the power switch refuses or does not answer", Readings: a.Readings})
		})
		return
	}
	landed := false
	w.after(w.between(300*time.Millisecond, 1500*time.Millisecond), func() {
		if b.held == a.Mandate && w.rng.IntN(2) == 0 {
			return
		}
		landed = true
		b.off(by)
	})
	b.watch(by, a.Before, a.Readings, &landed, done)
}

// watch reads the power until it is off.
func (b *bmc) watch(by *Node, before boottime.Instant, readings []arbiter.Reading, landed *bool, done func(agent.ShotDone)) {
	by.proc(200*time.Millisecond, func() {
		r := b.reading(by)
		was := len(readings) > 0 && readings[0].Power == "on"
		switch {
		case r.Power == "off" && was:
			done(agent.ShotDone{Grade: arbiter.E3, Readings: append(readings, r)})
		case r.Power == "off":
			done(agent.ShotDone{Failure: "its power was off already, which proves nothing", Readings: append(readings, r), InFlight: !*landed})
		case by.clock.now() >= before:
			done(agent.ShotDone{Failure: "it was not seen off in time", Readings: readings, InFlight: !*landed})
		default:
			b.watch(by, before, readings, landed, done)
		}
	})
}

// off is where a shot lands.
func (b *bmc) off(by *Node) {
	w := b.n.w
	if !b.n.power {
		return
	}
	w.line(b.n.host.String(), "", "POWER OFF", "by "+string(by.id))
	w.checkShot(b.n, by)
	b.n.power = false
	b.n.die()
	b.n.shot = true
	boots := b.n.boots
	w.after(w.between(5*time.Second, 20*time.Second), func() {
		if b.n.boots == boots {
			b.n.powerOn(w.Boot) // somebody has looked after it
		}
	})
}
