package model

import "sbarbiter/drbd"

// link is one end of the connection while a session lasts.
type link struct {
	session    Session
	breaksTies bool
	sent, seen uint64
	// waiting are messages that nobody reads yet: the thread that would waits
	// for a handler, or for a promotion that holds the state.
	waiting []Message
	// stop is the handler that the receiving thread waits for, 0 for none.
	stop       Token
	stopVolume VolumeNumber
	// asked: this end wants to become Primary and has asked the peer.
	asked bool
	// leaving is how this end has announced its disconnect.
	leaving leaveAsk
}

func (n *Node) send(b Body) {
	n.link.sent++
	n.emit(Send{Message{Session: n.link.session, Number: n.link.sent, Body: b}})
}

// linkUp begins a handshake: the state and the generations are announced as
// they are now, and judged as announced.
func (n *Node) linkUp(ev LinkUp) {
	if !n.up || n.conn != drbd.ConnConnecting || n.link.session != 0 {
		return
	}
	n.link = link{session: ev.Session, breaksTies: ev.BreaksTies}
	n.connects++
	n.force(func(_ int, s *State) { s.Conn, s.Repl = drbd.ConnConnected, drbd.ReplOff })
	h := hello{config: n.config(), tentative: n.tentative}
	for i := range n.volumes {
		v := &n.volumes[i]
		v.sent = n.sideOf(v)
		h.sides = append(h.sides, v.sent)
	}
	n.send(h)
}

// sideOf returns what this end knows about one volume.
func (n *Node) sideOf(v *volume) Side {
	return Side{
		Generation: v.disk.generation, Role: n.role, Disk: v.state, OutOfSync: v.disk.differs.count(),
		CrashedPrimary: v.crashed, Discard: n.discard, Open: n.users > 0 || n.io.busy(),
		BreaksTies: n.link.breaksTies, Reconnect: n.reconnect, HasQuorum: true,
	}
}

func (n *Node) linkDown(ev LinkDown) {
	if n.link.session == ev.Session && ev.Session != 0 {
		n.lose(drbd.ConnConnecting)
	}
}

// hangUp ends the session from this end.
func (n *Node) hangUp(to drbd.ConnState) {
	n.emit(HangUp{Session: n.link.session})
	n.lose(to)
}

// lose is the end of a session, however it came: one change of state, with the
// freeze in it, and then what has to be done about it.
func (n *Node) lose(to drbd.ConnState) {
	asked, left := n.link.asked, n.leave
	n.link, n.leave = link{}, 0
	if left != 0 {
		to = drbd.ConnStandAlone
	}
	for i := range n.volumes {
		n.volumes[i].sync = resync{}
	}
	n.force(func(_ int, s *State) { s.Conn, s.Repl = to, drbd.ReplOff })
	n.partIO()
	n.fencePeer()
	if asked {
		n.tryPromotion()
	}
	if left != 0 {
		n.answer(left, Done)
	}
}

// receive takes a message in, or keeps it for when somebody reads.
func (n *Node) receive(m Message) {
	if m.Session != n.link.session || n.link.session == 0 {
		return
	}
	n.link.seen++
	if m.Number != n.link.seen {
		n.hangUp(drbd.ConnConnecting) // something is missing: no such stream exists
		return
	}
	if len(n.link.waiting) == 0 && n.reads() {
		n.hearBody(m.Body)
	} else {
		n.link.waiting = append(n.link.waiting, m)
	}
	n.readOn()
}

// readOn reads what has arrived, as far as the receiving thread gets.
func (n *Node) readOn() {
	for len(n.link.waiting) > 0 && n.reads() {
		m := n.link.waiting[0]
		n.link.waiting = n.link.waiting[1:]
		n.hearBody(m.Body)
	}
}

func (n *Node) reads() bool { return n.link.stop == 0 && !n.promotionHoldsState() }

// promotionHoldsState: on 8.4 a handshake waits for a promotion that waits for
// its fence-peer handler.
func (n *Node) promotionHoldsState() bool {
	return !n.nine() && n.promotion.token != 0 && n.conn == drbd.ConnConnected && !n.allConnected()
}

func (n *Node) hearBody(b Body) {
	switch b := b.(type) {
	case hello:
		n.shake(b)
	case stateNews:
		n.hear(b)
	case roleAsk:
		n.send(roleReply{n.allowPrimary()})
	case roleReply:
		n.peerAllows(b.answer)
	case leaveAsk:
		n.peerLeaves(b)
	case leaveReply:
		n.leaveNow(b.answer)
	case bitmap:
		n.beginSource(b)
	case syncStart:
		n.beginTarget(b)
	case syncData:
		n.takeSync(b)
	case syncAck:
		n.syncAcked(b)
	default:
		n.hearIO(b)
	}
}

// shake judges the handshake. One volume's refusal ends it for all.
func (n *Node) shake(h hello) {
	n.discard = false
	if n.config().incompatible(h.config) != "" || len(h.sides) != len(n.volumes) || n.bothDiscard(h) {
		n.hangUp(drbd.ConnStandAlone)
		return
	}
	if n.nine() && n.changedSinceSent() {
		n.hangUp(drbd.ConnConnecting) // what the peer judges by is not true any more
		return
	}
	at := Attempt{Tentative: n.tentative || h.tentative}
	asked := n.tentative
	outcomes := make([]Outcome, len(h.sides))
	for i := range h.sides {
		v := &n.volumes[i]
		self := v.sent
		self.Role, self.Open = n.role, n.users > 0 || n.io.busy()
		self.Generation, self.Disk = v.disk.generation, v.state
		outcomes[i] = Judge(n.config(), self, h.sides[i], at)
		n.perform(v, outcomes[i])
		if outcomes[i].Ending == EndDrop || outcomes[i].Ending == EndRetry {
			n.refuse(outcomes[i], asked)
			return
		}
	}
	if n.peerOnlyConsistent(h, outcomes) {
		n.giveUpFrozen()
		n.hangUp(drbd.ConnConnecting)
		return
	}
	n.join(h, outcomes)
}

// changedSinceSent reports whether a generation began since it was announced.
func (n *Node) changedSinceSent() bool {
	for i := range n.volumes {
		if v := &n.volumes[i]; !v.sent.Generation.Equal(v.disk.generation) {
			return true
		}
	}
	return false
}

func (n *Node) bothDiscard(h hello) bool { return n.volumes[0].sent.Discard && h.sides[0].Discard }

// perform carries out what judging did.
func (n *Node) perform(v *volume, o Outcome) {
	for _, c := range o.Calls {
		if !c.Demoted {
			n.tell(c.Handler)
		}
	}
	if o.Demoted {
		n.demoteSelf()
	}
	v.disk.generation = v.disk.generation.corrected(o.Compared.Corrected)
}

// corrected takes a repaired generation over, but for the mark of the role,
// which may have changed since.
func (g Generation) corrected(to Generation) Generation {
	to.Current = g.Current
	return to
}

// refuse ends a handshake. After a tentative one the end that asked stays
// alone, the other one goes on waiting.
func (n *Node) refuse(o Outcome, asked bool) {
	to := drbd.ConnStandAlone
	if o.Ending == EndRetry || o.Rehearsed && !asked {
		to = drbd.ConnConnecting
	}
	n.tentative = false
	n.hangUp(to)
}

// peerOnlyConsistent: a frozen node cannot go on with a peer that was
// restarted, since what it would send again is not all that the peer lost.
func (n *Node) peerOnlyConsistent(h hello, outcomes []Outcome) bool {
	if !n.suspended() {
		return false
	}
	for i, o := range outcomes {
		if n.volumes[i].dueNew && o.Ending == EndConnected && h.sides[i].Disk == drbd.DiskConsistent {
			return true
		}
	}
	return false
}

// join enters the connected state and starts the resyncs.
func (n *Node) join(h hello, outcomes []Outcome) {
	for i := range h.sides {
		v := &n.volumes[i]
		v.peerSide = h.sides[i]
		v.peerSide.Generation = outcomes[i].Compared.Peer
		if outcomes[i].Strategy.IsFull() {
			v.disk.markAll()
		}
		v.sync = resync{}
		if n.nine() {
			v.dueNew = false // nothing was read or written meanwhile
		}
	}
	n.force(func(i int, s *State) {
		s.Peer, s.PeerDisk, s.Repl = h.sides[i].Role, h.sides[i].Disk, replAfter(outcomes[i].Ending)
	})
	n.reconnect = true
	for i, o := range outcomes {
		if o.Demoted {
			n.sendState()
		}
		if o.Ending == EndTarget {
			d := n.volumes[i].disk.differs
			n.send(bitmap{VolumeNumber(i), append(bitset(nil), d...)})
		}
	}
	n.drain()
}
