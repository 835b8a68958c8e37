package sim

import (
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// lostForGood: the peer lags behind when the holder's machine is lost, as far as an
// operator can tell, who says so and lets the stale copy stand in. The machine turns up
// again in the end, and sometimes while that goes on.
func (w *World) lostForGood(n *Node, end time.Duration) {
	g, p := w.groups[0], n.peer
	if n.replica(g) == nil {
		return
	}
	w.CutReplication(true)
	w.when(func() bool { return w.excludes(g, p.id) }, end, func() {
		w.in(w.between(0, 6*time.Second), end, string(n.id)+" is lost", func() {
			n.Unplug()
			w.CutReplication(false)
			w.in(w.between(time.Second, 3*time.Second), end, "", func() { w.confirm(n) })
			w.when(func() bool { return w.free(g) }, end, func() { w.lose(g, n, end) })
			if w.rng.IntN(2) == 0 {
				w.in(w.between(time.Second, 12*time.Second), end, string(n.id)+" turns up", n.Plug)
			}
		})
	})
}

// free reports whether a witness knows that nobody holds a group.
func (w *World) free(g arbiter.GroupID) bool {
	known := w.witness.State()
	return known != nil && known.Groups[g] != nil && known.Groups[g].Lease == nil
}

// lose is an operator who says that a machine is lost for good, once or twice.
func (w *World) lose(g arbiter.GroupID, n *Node, end time.Duration) {
	order := func() {
		if !n.power && !n.running {
			w.witness.Order(arbiter.GiveUp{Cluster: w.Definition.Cluster, Group: g, Node: n.id, By: "operator", Reason: "it has burnt down", Lost: true})
		}
	}
	w.in(w.between(0, 2*time.Second), end, "the operator says that "+string(n.id)+" is lost for good", order)
	w.in(w.between(2*time.Second, 4*time.Second), end, "the operator says so again", order)
}

// Outdate is a person who takes a node's DRBD down in order: with a peer that runs the
// group, it records that its copy is outdated.
func (n *Node) Outdate(g arbiter.GroupID) {
	c := n.replica(g)
	c.command(model.Disconnect, func(model.Answer) { c.command(model.Outdate, func(model.Answer) { c.command(model.Connect, nil) }) })
}

// Alarmed reports whether a witness says that DRBD has given up.
func (w *World) Alarmed(g arbiter.GroupID) bool { return w.alarmed(g) }

// Disk is what DRBD says of a node's copy.
func (n *Node) Disk(g arbiter.GroupID) drbd.DiskState { return n.replica(g).state().Disk }

// promotes returns how a copy is made Primary. One that stands in for another may have
// to be forced, as drbd/kernel does, and only while DRBD is alone.
func (c *replica) promotes(a agent.Start) (model.Verb, error) {
	s := c.state()
	if !a.StandIn || s.Disk.AtLeast(drbd.DiskConsistent) {
		return model.Promote, nil
	}
	if s.Conn != drbd.ConnStandAlone || !s.Disk.AtLeast(drbd.DiskOutdated) {
		return "", fmt.Errorf("%w: the own disk is %s, %s", errRefused, s.Disk, s.Conn)
	}
	return model.PromoteForced, nil
}

// standsIn reports whether a copy is promoted by an operator's word that the other one
// is lost: what it lacks is lost by that word. Should that one be found, the two have
// split.
func (w *World) standsIn(c *replica) bool {
	known := w.witness.State()
	if known == nil || known.Groups[c.v.group] == nil {
		return false
	}
	if !known.Groups[c.v.group].Excluded[c.n.peer.id].Lost {
		return false
	}
	c.v.forced = true
	return true
}

// checkLone holds whenever a copy begins to be overwritten, or is declared bad: what only
// it has, because it was declared lost or because a person has written to it, is not before
// a recovery has kept it, or an operator has given it up.
func (w *World) checkLone(target *replica) {
	if !target.lone && !target.byPerson {
		return
	}
	if known := w.witness.State(); known != nil && known.Groups[target.v.group].Excluded[target.n.id].Discard != 0 {
		return // an operator has looked at both, and given this one up
	}
	if !w.deliberate(target) {
		w.breaks("S6: what only %s has of %s is thrown away unasked", target.n.id, target.v.group)
	}
}
