package sim

import (
	"time"

	"sbarbiter/arbiter"
)

// unwise are schemes that few seeds have (see drawer.seldom): people who do what nobody
// should. Each costs the time of a recovery.
var unwise = []scheme{
	{"has a peer that a person promotes and writes to while the two are parted", (*World).byHand},
}

// byHand: a person makes the peer's copy Primary by force while the two cannot see each
// other, writes to it, and lets go of it. The two meet and find that they have split; an
// operator gives one of them up, perhaps in the middle of other trouble, and perhaps the
// wrong one first.
func (w *World) byHand(n *Node, end time.Duration) {
	g := w.groups[0]
	if n.replica(g) == nil {
		return
	}
	w.CutReplication(true)
	stale := func() bool {
		known := w.witness.State()
		if known == nil {
			return false
		}
		_, is := known.Groups[g].Excluded[n.peer.id]
		return is
	}
	w.when(stale, end, func() {
		w.in(w.between(0, 3*time.Second), end, string(n.peer.id)+" is promoted by hand", func() {
			if p := n.peer; p.running && !p.frozen && !p.Primary(g) && !p.replica(g).byHand {
				p.Force(g)
			}
		})
		w.in(w.between(4*time.Second, 8*time.Second), end, "replication is mended", func() {
			w.CutReplication(false)
			w.when(func() bool { return w.alarmed(g) }, end, func() { w.giveUp(g, w.nodes[w.rng.IntN(len(w.nodes))].id, end) })
		})
	})
}

// giveUp is an operator who gives a node's copy up, and one time in three has a change of
// mind and wants the other one to be given up.
func (w *World) giveUp(g arbiter.GroupID, victim arbiter.NodeID, end time.Duration) {
	order := func(victim arbiter.NodeID) {
		w.witness.Order(arbiter.Resolve{Cluster: w.Definition.Cluster, Group: g, Order: arbiter.RecoveryOrder{By: "operator", Reason: "looked at both", Discard: victim}})
		w.approve(g, 0, end)
	}
	order(victim)
	if w.rng.IntN(3) > 0 {
		return
	}
	w.in(w.between(0, 4*time.Second), end, "the operator calls it off", func() {
		w.witness.Order(arbiter.CancelRecovery{Cluster: w.Definition.Cluster, Group: g, By: "operator", Reason: "the wrong side"})
		w.in(w.between(0, time.Second), end, "the operator gives the other copy up", func() { order(w.Definition.Peer(victim)) })
	})
}
