package model

import (
	"fmt"

	"sbarbiter/drbd"
)

func (n *Node) command(c Command) {
	if !n.up {
		n.answer(c.ID, n.commandWhileDown(c.Verb))
		return
	}
	switch c.Verb {
	case Promote, PromoteForced:
		n.promote(c)
		return
	case Disconnect:
		n.disconnect(c.ID)
		return
	case Up, Attach:
		n.answer(c.ID, NothingToDo)
	case Down:
		n.answer(c.ID, n.down())
	case Demote:
		n.answer(c.ID, n.demote())
	case Outdate:
		n.answer(c.ID, n.wish(func(s *State) { s.Disk = drbd.DiskOutdated }))
	case Connect, ConnectDiscard, ConnectTentative:
		n.answer(c.ID, n.connect(c.Verb))
	case Invalidate:
		n.answer(c.ID, n.invalidate())
	case SuspendIO:
		n.held = true
		n.answer(c.ID, Done)
	case ResumeIO:
		n.answer(c.ID, n.resumeByHand())
	default:
		panic(fmt.Sprintf("model: unknown verb %q", c.Verb))
	}
}

// commandWhileDown: the kernel knows nothing, but the tools edit the metadata
// of a detached disk.
func (n *Node) commandWhileDown(v Verb) Answer {
	switch v {
	case Up:
		n.attach()
		return Done
	case Attach:
		n.attach()
		n.conn = drbd.ConnStandAlone
		return Done
	case Down:
		return NothingToDo
	case Outdate:
		for i := range n.volumes {
			f := &n.volumes[i].disk.flags
			if !f.Consistent {
				return LowerThanOutdate
			}
			f.WasUpToDate = false
		}
		return Done
	}
	return ErrUnknown
}

// down takes the resource out of the kernel. A link that is up just breaks for
// the peer.
func (n *Node) down() Answer {
	if n.primary() || n.users > 0 {
		return HeldOpen
	}
	if n.link.session != 0 {
		n.emit(HangUp{Session: n.link.session})
	}
	for i := range n.volumes {
		d := &n.volumes[i].disk
		d.flush()
		d.flags.Connected = false
		d.hot = nil
	}
	n.forget()
	return Done
}

func (n *Node) demote() Answer {
	if n.promotion.waits() {
		return InTransient
	}
	a := n.wish(func(s *State) { s.Role = drbd.RoleSecondary })
	if a == Done {
		n.finishDemotion()
	}
	return a
}

// demoteSelf is what a handshake may do to a Primary that is to lose.
func (n *Node) demoteSelf() {
	n.force(func(_ int, s *State) { s.Role = drbd.RoleSecondary })
	n.finishDemotion()
}

// finishDemotion takes the mark off. Whoever used the device has flushed it
// when closing it.
func (n *Node) finishDemotion() {
	n.flushAll()
	for i := range n.volumes {
		if v := &n.volumes[i]; v.state.AtLeast(drbd.DiskInconsistent) {
			v.disk.generation = v.disk.generation.withRole(drbd.RoleSecondary)
		}
	}
}

func (n *Node) connect(v Verb) Answer {
	switch {
	case v == ConnectDiscard && n.primary():
		return ErrDiscardPrimary
	case n.conn != drbd.ConnStandAlone:
		return ErrNetConfigured
	}
	n.discard, n.tentative = v == ConnectDiscard, v == ConnectTentative
	n.force(func(_ int, s *State) { s.Conn = drbd.ConnConnecting })
	return Done
}

// disconnect leaves the peer. With fencing, a Primary on either side wants the
// other one Outdated by it, in the same step and without any handler.
func (n *Node) disconnect(id CommandID) {
	switch {
	case n.conn == drbd.ConnStandAlone:
		n.answer(id, NothingToDo)
	case n.leave != 0:
		n.answer(id, Concurrent)
	case !n.allConnected():
		if n.link.session != 0 {
			n.hangUp(drbd.ConnStandAlone)
		} else {
			n.lose(drbd.ConnStandAlone)
		}
		n.answer(id, Done)
	default:
		n.leave = id
		fencing := n.config().Fencing.asks()
		n.link.leaving = leaveAsk{
			outdatePeer: fencing && n.primary(),
			outdated:    fencing && !n.primary() && n.peerRole == drbd.RolePrimary,
		}
		n.send(n.link.leaving)
	}
}

// peerLeaves is the peer's disconnect, seen from here. The peer closes the
// session when it has the reply.
func (n *Node) peerLeaves(ask leaveAsk) {
	switch {
	case ask.outdatePeer && n.primary():
		n.send(leaveReply{PeerRefused})
		return
	case ask.outdatePeer:
		n.force(func(_ int, s *State) { s.Disk, s.Repl = drbd.DiskOutdated, drbd.ReplOff })
	case ask.outdated:
		n.force(func(_ int, s *State) { s.PeerDisk, s.Repl = drbd.DiskOutdated, drbd.ReplOff })
	}
	n.send(leaveReply{Done})
}

func (n *Node) leaveNow(a Answer) {
	id := n.leave
	if id == 0 {
		return
	}
	n.leave = 0
	if !a.OK() {
		n.answer(id, a)
		return
	}
	how := n.link.leaving
	n.force(func(_ int, s *State) {
		s.Conn, s.Repl = drbd.ConnStandAlone, drbd.ReplOff
		if how.outdatePeer {
			s.PeerDisk = drbd.DiskOutdated
		}
		if how.outdated {
			s.Disk = drbd.DiskOutdated
		}
	})
	n.hangUp(drbd.ConnStandAlone)
	n.answer(id, Done)
}

// invalidate gives this copy up. Only alone: a full resync by command while
// connected is not modelled.
func (n *Node) invalidate() Answer {
	if n.conn != drbd.ConnStandAlone || n.primary() {
		return NeedConnection
	}
	for i := range n.volumes {
		if !n.volumes[i].state.AtLeast(drbd.DiskInconsistent) {
			return NoLocalDisk
		}
	}
	n.force(func(_ int, s *State) { s.Disk = drbd.DiskInconsistent })
	for i := range n.volumes {
		n.volumes[i].disk.markAll()
	}
	return Done
}

// resumeByHand lifts every kind of suspension at once, whoever set it, and
// tells the application that writes are done which the peer never got.
func (n *Node) resumeByHand() Answer {
	if !n.suspended() {
		return NothingToDo
	}
	n.newDue()
	n.frozen, n.noData, n.held = false, false, false
	if n.allConnected() {
		n.resume(resend)
	} else {
		n.resume(giveUpPeer)
	}
	return Done
}
