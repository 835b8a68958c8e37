package model

import "sbarbiter/drbd"

// fenceCall is a fence-peer handler that somebody waits for.
type fenceCall struct {
	token Token
	// connects is how many connections there had been when it was called: an
	// answer that comes after another one is not looked at.
	connects int
}

// fencePeer calls the handler of a Primary that lost its peer, once for each
// loss. It does not ask again, however long I/O stays frozen.
func (n *Node) fencePeer() {
	if !n.primary() || !n.config().Fencing.asks() || n.peerExcluded() {
		return
	}
	if !n.anyConsistent() {
		// "Not fencing peer, I'm not even Consistent myself."
		n.frozen = false
		if !n.suspended() {
			n.resume(giveUpPeer)
		}
		return
	}
	if n.has(drbd.HandlerFencePeer) {
		n.fence = fenceCall{token: n.ask(drbd.HandlerFencePeer), connects: n.connects}
	}
}

func (n *Node) anyConsistent() bool {
	for i := range n.volumes {
		if n.volumes[i].state.AtLeast(drbd.DiskConsistent) {
			return true
		}
	}
	return false
}

func (n *Node) handlerDone(ev HandlerDone) {
	switch {
	case ev.Token == 0:
	case ev.Token == n.link.stop:
		n.beforeTargetDone(ev.Exit)
	case ev.Token == n.fence.token:
		n.fenceDone(drbd.FencePeerExit(ev.Exit))
	}
}

func (n *Node) fenceDone(exit drbd.FencePeerExit) {
	call, promoting := n.fence, n.promotion.token == n.fence.token
	n.fence = fenceCall{}
	usable := true
	switch exit {
	case drbd.FencePeerInconsistent, drbd.FencePeerOutdated, drbd.FencePeerUnreachable,
		drbd.FencePeerActive, drbd.FencePeerStonithed:
	default:
		usable = false
	}
	if usable && n.conn != drbd.ConnConnected && n.connects == call.connects {
		n.takeVerdict(exit)
	}
	if promoting {
		n.promotion.token = 0
		n.fencedForPromotion(usable && n.peerExcluded())
		n.tryPromotion()
		n.readOn()
	}
}

// takeVerdict records what the handler said, unless the state forbids it.
func (n *Node) takeVerdict(exit drbd.FencePeerExit) {
	switch exit {
	case drbd.FencePeerInconsistent:
		n.wish(func(s *State) { s.PeerDisk = drbd.DiskInconsistent })
	case drbd.FencePeerOutdated, drbd.FencePeerStonithed:
		n.wish(func(s *State) { s.PeerDisk = drbd.DiskOutdated })
	case drbd.FencePeerUnreachable:
		if n.anyUpToDate() {
			n.wish(func(s *State) { s.PeerDisk = drbd.DiskOutdated })
		}
	case drbd.FencePeerActive:
		n.wish(func(s *State) { s.Disk = drbd.DiskOutdated })
	}
}

func (n *Node) anyUpToDate() bool {
	for i := range n.volumes {
		if n.volumes[i].state == drbd.DiskUpToDate {
			return true
		}
	}
	return false
}
