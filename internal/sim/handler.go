package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// handler is a fence-peer call waiting for its exit code.
type handler struct {
	call     agent.CallID
	resource string
	done     func(code int)
}

// called is DRBD's call of one of our handlers.
func (c *replica) called(e model.Called) {
	switch e.Handler {
	case drbd.HandlerFencePeer:
		c.n.handle(c.v.name, func(code int) { c.step(model.HandlerDone{Token: e.Token, Exit: code}) })
	case drbd.HandlerLocalIOError:
		c.n.give(agent.DiskFailed{Resource: c.v.name})
	case drbd.HandlerSplitBrain:
		c.v.w.splitBrain(c)
	}
}

// handle runs a fence-peer handler until the agent, or the next one, says how
// it ends.
func (n *Node) handle(resource string, done func(code int)) {
	n.call++
	h := &handler{n.call, resource, done}
	n.handlers = append(n.handlers, h)
	n.give(agent.FencePeer{Call: h.call, Resource: resource})
	n.unless(func() bool { return !slices.Contains(n.handlers, h) }, handlerEnds, func() { n.exit(agent.Exit{Call: h.call, Code: 1}) })
}

func (n *Node) exit(a agent.Exit) {
	i := slices.IndexFunc(n.handlers, func(h *handler) bool { return h.call == a.Call })
	if i < 0 {
		return
	}
	h := n.handlers[i]
	n.handlers = slices.Delete(n.handlers, i, i+1)
	n.w.line(n.host.String(), "", fmt.Sprintf("handler exits %d", a.Code), a.Why)
	h.done(a.Code)
}

// again is how soon a command is tried once more that the kernel lets wait.
const again = 100 * time.Millisecond

var (
	errRefused = errors.New("DRBD refuses")
	errNotNow  = fmt.Errorf("%w for now", errRefused)
)

// insist gives a command until it is carried out, refused for good, or not
// wanted any more.
func (c *replica) insist(v model.Verb, wanted func() bool, done func(error)) {
	if !wanted() {
		return
	}
	if d := c.state().Disk; v == model.Promote && !d.AtLeast(drbd.DiskConsistent) {
		done(fmt.Errorf("%w: %s: the own disk is %s", errRefused, v, d)) // as drbd/kernel does
		return
	}
	c.command(v, func(a model.Answer) {
		switch {
		case a.OK() && v == model.Promote && !c.state().Disk.AtLeast(drbd.DiskConsistent):
			// The peer has come back meanwhile and overwrites this copy, or its disk has
			// failed: drbd/kernel takes that back.
			c.insist(model.Demote, wanted, func(error) { done(fmt.Errorf("%w: %s: the own disk is %s", errRefused, v, c.state().Disk)) })
		case a.OK():
			done(nil)
		case a == model.InTransient || a == model.Concurrent || a == model.HeldOpen:
			c.n.local(again, func() { c.insist(v, wanted, done) })
		case v == model.Promote && (a == model.PeerNotOutdated || a == model.TwoPrimaries || a == model.PeerRefused):
			done(fmt.Errorf("%w: answer %d", errNotNow, a))
		default:
			done(fmt.Errorf("%w: %s: answer %d, own disk %s, peer's %s", errRefused, v, a, c.state().Disk, c.state().PeerDisk))
		}
	})
}

// demoteStray makes a resource Secondary, if nobody uses it.
func (n *Node) demoteStray(r string) {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil && c.v.name == r {
			c.command(model.Demote, nil)
		}
	}
}

// join lets DRBD look for its peer.
func (n *Node) join(a agent.Join) {
	verb := model.Connect
	if len(a.Discard) > 0 {
		verb = model.ConnectDiscard
	}
	n.local(20*time.Millisecond, func() { n.replica(a.Group).command(verb, nil) })
}

func (n *Node) part(g arbiter.GroupID) {
	n.local(20*time.Millisecond, func() { n.replica(g).command(model.Disconnect, nil) })
}

func (n *Node) outdate(g arbiter.GroupID) {
	n.local(20*time.Millisecond, func() {
		c := n.replica(g)
		if n.obstinate {
			n.give(agent.OutdateDone{Group: g, Err: errRefused})
			return
		}
		c.command(model.Outdate, func(model.Answer) {
			var err error
			if d := c.state().Disk; d != drbd.DiskOutdated && d != drbd.DiskInconsistent {
				err = errors.New("DRBD did not outdate the disk")
			}
			n.give(agent.OutdateDone{Group: g, Err: err})
		})
	})
}

func (n *Node) invalidate(a agent.Invalidate) {
	n.local(20*time.Millisecond, func() {
		g := a.Group
		c := n.replica(g)
		if !a.GivenUp && c.drbd.Metadata(0).Alone() {
			n.give(agent.InvalidateDone{Group: g, Alone: c.v.name})
			return
		}
		n.w.checkLone(c)
		c.command(model.Invalidate, func(a model.Answer) {
			var err error
			if a != model.Done || c.state().Disk != drbd.DiskInconsistent {
				err = errors.New("DRBD did not invalidate the disk")
			}
			n.give(agent.InvalidateDone{Group: g, Err: err})
		})
	})
}

// remembersLoss reports whether the node's store says that its own copy of a
// group is stale.
func (n *Node) remembersLoss(g arbiter.GroupID) bool { return n.remembers(g).OwnWord != 0 }

// remembers returns what the node's store says of a group.
func (n *Node) remembers(g arbiter.GroupID) agent.GroupMemory {
	if n.memory == nil {
		return agent.GroupMemory{}
	}
	m, err := agent.DecodeMemory(n.memory)
	if err != nil {
		return agent.GroupMemory{}
	}
	return m.Groups[g]
}
