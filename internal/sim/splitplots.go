package sim

import (
	"math"
	"time"

	"sbarbiter/arbiter"
)

// unwise are schemes that few seeds have (see drawer.seldom): people who do what nobody
// should. Each costs the time of a recovery.
var unwise = []scheme{
	{"has a peer that a person promotes and writes to while the two are parted", (*World).byHand},
	{"has split, and an operator's order waits for a machine that is off", (*World).waitFor},
	{"has split, and an operator lets go of what does not come to its end", (*World).letGo},
	{"is lost for good while its peer lags behind, which is to stand in for it", (*World).lostForGood},
}

// byHand: the copies of a pair split; an operator gives one of them up, perhaps in the
// middle of other trouble, and perhaps the wrong one first.
func (w *World) byHand(n *Node, end time.Duration) {
	w.split(n, end, func(g arbiter.GroupID) { w.giveUp(g, w.nodes[w.rng.IntN(len(w.nodes))].id, end) })
}

// split: a person makes the peer's copy Primary by force while the two cannot see each
// other, writes to it, and lets go of it. The two meet and find that they have split, or,
// where the disk of that copy has failed once since, may not meet at all.
func (w *World) split(n *Node, end time.Duration, found func(arbiter.GroupID)) {
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
			if p := n.peer; p.running && !p.frozen && !p.Primary(g) && !p.replica(g).byHand && p.replica(g).whole() {
				p.Force(g)
				if w.Seed/2%4 == 0 { // not drawn: schedules that were found before have to stay as they were
					w.in(w.between(500*time.Millisecond, 2*time.Second), end, string(p.id)+" disk fails", func() { p.FailDisk(g) })
					w.in(w.between(3*time.Second, 6*time.Second), end, "", p.changeDisk)
				}
			}
		})
		w.in(w.between(4*time.Second, 8*time.Second), end, "replication is mended", func() {
			w.CutReplication(false)
			w.when(func() bool { return w.alarmed(g) }, end, func() { found(g) })
		})
	})
}

// discards orders a node's copy to be given up, and agrees to whatever is decided.
func (w *World) discards(g arbiter.GroupID, order arbiter.RecoveryOrder, end time.Duration) {
	order.By, order.Reason = "operator", "looked at both"
	w.witness.Order(arbiter.Resolve{Cluster: w.Definition.Cluster, Group: g, Order: order})
	w.approve(g, 0, end)
}

// giveUp is an operator who gives a node's copy up, and one time in three has a change of
// mind and wants the other one to be given up.
func (w *World) giveUp(g arbiter.GroupID, victim arbiter.NodeID, end time.Duration) {
	w.discards(g, arbiter.RecoveryOrder{Discard: victim}, end)
	if w.rng.IntN(3) > 0 {
		return
	}
	w.in(w.between(0, 4*time.Second), end, "the operator calls it off", func() {
		w.witness.Order(arbiter.CancelRecovery{Cluster: w.Definition.Cluster, Group: g, By: "operator", Reason: "the wrong side"})
		w.in(w.between(0, time.Second), end, "the operator gives the other copy up", func() {
			w.discards(g, arbiter.RecoveryOrder{Discard: w.Definition.Peer(victim)}, end)
		})
	})
}

// waitFor is an operator who gives a copy up while one of the two machines is off:
// without a limit, with one that allows everything, or with one that allows nothing.
func (w *World) waitFor(n *Node, end time.Duration) {
	w.split(n, end, func(g arbiter.GroupID) {
		off, order := w.nodes[w.rng.IntN(2)], arbiter.RecoveryOrder{Discard: w.nodes[w.rng.IntN(2)].id, WhenBack: true}
		if most := []uint64{0, math.MaxUint64}[w.rng.IntN(2)]; w.rng.IntN(3) > 0 {
			order.AtMost = &most
		}
		off.Crash()
		w.in(w.between(0, 4*time.Second), end, "an operator's order may wait", func() { w.discards(g, order, end) })
		w.in(w.between(2*time.Second, 12*time.Second), end, string(off.id)+" is started", off.Plug)
	})
}

// letGo is an operator whose recovery has begun to give a copy up and does not come to
// its end: a machine dies, or the link. It is let go of, and what is left is resolved
// anew, one time in two by keeping the very copy that was being given up.
func (w *World) letGo(n *Node, end time.Duration) {
	w.split(n, end, func(g arbiter.GroupID) {
		victim := w.nodes[w.rng.IntN(2)]
		w.discards(g, arbiter.RecoveryOrder{Discard: victim.id}, end)
		begun := func() bool {
			known := w.witness.State()
			return known != nil && known.Groups[g].Recovery.Victim() == victim.id && !known.Groups[g].Recovery.Cancellable()
		}
		w.when(begun, end, func() {
			fails := []func(){victim.Crash, victim.peer.Crash, func() { w.CutReplication(true) }}[w.rng.IntN(3)]
			w.in(w.between(0, 150*time.Millisecond), end, "it cannot go on", fails)
			w.in(w.between(200*time.Millisecond, 3*time.Second), end, "the operator lets go of it", func() {
				w.witness.Order(arbiter.CancelRecovery{Cluster: w.Definition.Cluster, Group: g, By: "operator", Reason: "it does not come back", Abandon: true})
				w.in(w.between(0, 5*time.Second), end, "both are there again", func() { w.anew(g, end) })
			})
		})
	})
}

// anew has both machines and the link mended, and one of the copies given up once more.
func (w *World) anew(g arbiter.GroupID, end time.Duration) {
	w.CutReplication(false)
	for _, n := range w.nodes {
		n.Plug()
	}
	victim := w.nodes[w.rng.IntN(2)].id
	w.in(w.between(0, 8*time.Second), end, "the operator resolves what is left", func() {
		w.discards(g, arbiter.RecoveryOrder{Discard: victim}, end)
	})
}
