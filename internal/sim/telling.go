package sim

import "sbarbiter/agent"

// telling is a beat to the peer, on its way on every link.
type telling struct {
	to    *Node
	boot  int // of the receiver
	life  int // of the sender
	echo  int // life of the receiver that the sender has heard
	beat  agent.PeerBeat
	taken bool // on one link
	legs  [links]leg
}

type leg struct {
	t    *telling
	link int
	here bool // has arrived, and waits for the machine to go on
}

var linkNames = [links]string{"link 0", "link 1"}

// tell sends a beat on both heartbeat links; the first to arrive is handed on.
func (n *Node) tell(b agent.PeerBeat) {
	t := &telling{to: n.peer, boot: n.peer.boots, life: n.life, echo: n.heard, beat: b}
	for link := range links {
		t.legs[link] = leg{t: t, link: link}
		n.w.send(Path{n.host, n.peer.host, link}, &t.legs[link])
	}
}

func (l *leg) happen() {
	t, n := l.t, l.t.to
	switch {
	case t.taken, n.boots != t.boot, !n.running, !l.here && !n.w.open(Path{n.peer.host, n.host, l.link}):
	case n.frozen:
		l.here = true
		n.deferred = append(n.deferred, l)
	case n.agent == nil:
	default:
		t.taken = true
		if t.life > n.heard || t.life == n.heard && t.beat.Number > n.newest { // as agent/heartbeat: nothing older than the newest
			n.newest = t.beat.Number
			n.heard = t.life
			if t.echo == n.life {
				n.heardPeer()
			}
			n.give(agent.PeerHeard{Link: linkNames[l.link], Fresh: t.echo == n.life, Beat: t.beat})
		}
	}
}
