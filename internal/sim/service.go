package sim

import (
	"errors"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// startGroup promotes a group's disk and starts its services.
func (n *Node) startGroup(a agent.Start) {
	s := n.service(a.Group)
	number := s.next()
	s.stops = false
	end := func(err error) {
		if s.number == number {
			s.number = 0
			n.give(agent.StartDone{Group: a.Group, Epoch: a.Epoch, Err: err, Refused: errors.Is(err, errNotNow)})
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
	cutOff := a.StandIn || a.Alone && c.state().Conn == drbd.ConnConnected
	promote := func(err error) {
		if err != nil {
			end(err)
			return
		}
		n.local(n.w.between(20*time.Millisecond, 80*time.Millisecond), func() {
			verb, err := c.promotes(a)
			if err != nil {
				end(err)
				return
			}
			c.insist(verb, wanted, services)
		})
	}
	if !cutOff {
		promote(nil)
		return
	}
	// A connection to a dead peer that looks alive is cut before, and looked for
	// again behind. So is any where this copy stands in for the other one.
	c.insist(model.Disconnect, wanted, func(err error) {
		n.local(time.Second, func() { c.command(model.Connect, nil) })
		promote(err)
	})
}

// stopGroup stops a group's services and demotes its disk; a frozen disk holds
// them fast.
func (n *Node) stopGroup(a agent.Stop) {
	n.w.checkSteady(n, "stops "+string(a.Group))
	s := n.service(a.Group)
	number, life := s.next(), n.life
	s.stops = true
	n.local(n.w.between(100*time.Millisecond, 900*time.Millisecond), func() { n.stopping(a, number, life) })
}

// stopping goes on with a stop, and tells the life of the agent that has ordered it.
func (n *Node) stopping(a agent.Stop, number, life int) {
	g := a.Group
	s, c := n.service(g), n.replica(g)
	switch {
	case s.number != number:
		return
	case n.stopFail, c != nil && s.up && (c.drbd.Suspended() || c.drbd.Waiting() > 0):
		n.local(100*time.Millisecond, func() { n.stopping(a, number, life) })
		return
	}
	n.down(g)
	stopped := func(err error) {
		if s.number != number {
			return
		}
		s.number = 0
		if err == nil {
			s.barred = false
		}
		if n.life == life {
			n.give(agent.StopDone{Group: g, Order: a.Order, Down: err == nil, Err: err})
		}
	}
	if c == nil {
		stopped(nil)
		return
	}
	c.insist(model.Demote, func() bool { return s.number == number }, stopped)
}

// up and down note that a group's services use its disk.
func (n *Node) up(g arbiter.GroupID) {
	n.service(g).up = true
	if c := n.replica(g); c != nil {
		n.w.checkUse(c)
		c.step(model.Open{})
	}
}

func (n *Node) down(g arbiter.GroupID) {
	if s := n.service(g); s.up {
		s.up = false
		if c := n.replica(g); c != nil {
			c.step(model.Close{})
		}
	}
}
