package model

import "sbarbiter/drbd"

// maxTries is how often the kernel tries a promotion before it gives up: with
// a handler that does not answer usefully, it is called that often.
const maxTries = 4

// promotion is a command "primary" on its way.
type promotion struct {
	id      CommandID
	force   bool
	forced  bool
	tries   int
	raise   bool  // the disk is to become UpToDate with it
	outdate bool  // the peer is to be recorded as Outdated with it
	token   Token // of the fence-peer handler it waits for
	asking  bool  // the peer is asked
	last    Answer
}

func (p promotion) waits() bool { return p.id != 0 }

func (n *Node) promote(c Command) {
	if n.promotion.waits() {
		n.answer(c.ID, Concurrent)
		return
	}
	n.promotion = promotion{id: c.ID, force: c.Verb == PromoteForced}
	n.tryPromotion()
}

// tryPromotion goes on with the promotion until it is through, refused, or has
// to wait for somebody.
func (n *Node) tryPromotion() {
	p := &n.promotion
	p.asking, n.link.asked = false, false
	for p.waits() && p.token == 0 {
		if p.tries++; p.tries > maxTries {
			n.endPromotion(p.last)
			return
		}
		next, a := n.tryWish(n.wantPrimary)
		p.last = a
		switch {
		case a == NothingToDo:
			n.endPromotion(a)
			return
		case a == Done && n.allConnected():
			p.asking, n.link.asked = true, true
			n.send(roleAsk{})
			return
		case a == Done:
			n.enter(next)
			n.becamePrimary()
			return
		case !n.helpPromotion(a):
			n.endPromotion(a)
			return
		}
	}
}

func (n *Node) wantPrimary(s *State) {
	s.Role = drbd.RolePrimary
	if n.promotion.raise {
		s.Disk = drbd.DiskUpToDate
	}
	if n.promotion.outdate {
		s.PeerDisk = drbd.DiskOutdated
	}
}

// helpPromotion does what the kernel does about a refusal before it tries
// again; false if it does nothing.
func (n *Node) helpPromotion(a Answer) bool {
	p := &n.promotion
	worst := n.worstDisk()
	switch {
	case a == NeedUpToDate && p.force && worst.AtLeast(drbd.DiskInconsistent) && worst != drbd.DiskUpToDate:
		p.raise, p.forced = true, true
	case a == NeedUpToDate && worst == drbd.DiskConsistent && !p.outdate && !n.allConnected():
		n.fenceForPromotion()
	case a == PeerNotOutdated && !p.outdate:
		n.fenceForPromotion()
	default:
		return false
	}
	return true
}

func (n *Node) worstDisk() drbd.DiskState {
	worst := drbd.DiskUpToDate
	for i := range n.volumes {
		if s := n.volumes[i].state; !s.AtLeast(worst) {
			worst = s
		}
	}
	return worst
}

// fenceForPromotion asks the handler, or knows its answer already.
func (n *Node) fenceForPromotion() {
	switch {
	case !n.config().Fencing.asks():
		n.fencedForPromotion(true)
	case !n.has(drbd.HandlerFencePeer) || n.conn == drbd.ConnConnected:
		n.fencedForPromotion(false)
	default:
		n.promotion.token = n.ask(drbd.HandlerFencePeer)
		n.fence = fenceCall{token: n.promotion.token, connects: n.connects}
	}
}

func (n *Node) fencedForPromotion(excluded bool) {
	p := &n.promotion
	switch {
	case excluded && n.worstDisk() == drbd.DiskConsistent:
		p.raise = true
	case !excluded && p.force && p.last == PeerNotOutdated:
		p.outdate, p.forced = true, true // "Forced into split brain situation!"
	}
}

// becamePrimary is what follows a promotion, in the kernel's order.
func (n *Node) becamePrimary() {
	forced := n.promotion.forced && n.promotion.raise
	n.discard = false
	for i := range n.volumes {
		v := &n.volumes[i]
		if !v.state.AtLeast(drbd.DiskInconsistent) {
			continue
		}
		alone := !n.allConnected() || !v.peer.AtLeast(drbd.DiskNegotiating)
		switch {
		case forced:
			n.newGeneration(v)
		case alone && v.disk.generation.Bitmap == 0 && n.nine():
			v.dueNew = true
		case alone && v.disk.generation.Bitmap == 0:
			n.newGeneration(v)
		}
		if !n.nine() {
			v.disk.generation = v.disk.generation.withRole(drbd.RolePrimary)
		}
	}
	n.recordAll()
	n.endPromotion(Done)
}

func (n *Node) endPromotion(a Answer) {
	id := n.promotion.id
	n.promotion, n.link.asked = promotion{}, false
	n.answer(id, a)
}

// allowPrimary answers a peer that wants to become Primary.
func (n *Node) allowPrimary() Answer {
	switch {
	case n.link.asked && n.link.breaksTies:
		return Concurrent
	case n.primary() && !n.config().TwoPrimaries:
		return PeerRefused
	}
	n.force(func(_ int, s *State) { s.Peer = drbd.RolePrimary })
	return Done
}

// peerAllows is the peer's reply to this end's wish.
func (n *Node) peerAllows(a Answer) {
	if !n.promotion.asking {
		return
	}
	if !a.OK() {
		n.endPromotion(a)
		return
	}
	n.link.asked = false
	next, own := n.tryWish(n.wantPrimary)
	if own != Done {
		n.endPromotion(own)
		n.sendState() // the peer takes this end for Primary already
		return
	}
	n.enter(next)
	n.becamePrimary()
}
