package sim

import (
	"time"

	"sbarbiter/arbiter"
)

// resolve is the operator of a pair whose copies have parted because a node was lost
// before it was on record that a disk had failed (docs/architecture.md, "What is not
// closed"). Nothing automatic brings these together again, so it counts as recovered
// only if the group runs all the same, if the witness says that DRBD has given up, and
// if the two are one again after this operator has resolved it, who keeps the copy that
// runs. What the other one has alone is given up by that word. It reports whether there
// was anything to resolve.
func (w *World) resolve() bool {
	known, resolves := w.witness.State(), false
	if known == nil {
		return false
	}
	for i, id := range w.groups {
		v := w.disks[i]
		if v == nil || !v.app.unrecorded && !v.forced {
			continue
		}
		r := known.Groups[id].Recovery
		if r != nil {
			w.approve(id, 0, w.now+w.recovery()) // whoever ordered it may have gone away
			resolves = resolves || v.forced
		}
		if r != nil && (!v.forced || r.Apart()) || !w.alarmed(id) {
			continue
		}
		holder, runs := w.Holder(id)
		if !runs {
			continue
		}
		order := arbiter.RecoveryOrder{By: "operator", Reason: "keeps the copy that runs", Discard: w.nodes[holder].peer.id}
		w.witness.Order(arbiter.Resolve{Cluster: w.Definition.Cluster, Group: id, Order: order})
		w.approve(id, 0, w.now+w.recovery())
		resolves = true
	}
	return resolves
}

// alarmed reports whether a witness says that DRBD has given up.
func (w *World) alarmed(g arbiter.GroupID) bool {
	v := w.witness.leading()
	if v == nil {
		return false
	}
	views := v.lead.Views(v.clock.now(), w.Definition.Cluster)
	return len(views) == 1 && views[0].Parted(g)
}

// approve is the operator's word to each decision of the recovery, as it is shown.
func (w *World) approve(g arbiter.GroupID, agreed uint64, end time.Duration) {
	decided := func() *arbiter.Recovery {
		known := w.witness.State()
		if known == nil || known.Groups[g] == nil {
			return nil
		}
		if r := known.Groups[g].Recovery; r != nil && r.Phase == arbiter.Decided && r.Revision != agreed {
			return r
		}
		return nil
	}
	w.when(func() bool { return decided() != nil }, end, func() {
		r := decided()
		w.witness.Order(arbiter.Approve{Cluster: w.Definition.Cluster, Group: g, Recovery: r.ID, Revision: r.Revision, By: "operator"})
		w.approve(g, r.Revision, end)
	})
}
