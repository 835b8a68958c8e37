package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
	"sbarbiter/recovery"
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
		if v == nil {
			continue
		}
		if id, is := advised(known.Groups[id]); is && id != v.obeyed && w.alarmed(v.group) {
			v.obeyed = id // once: where the two part again they have split anew
			v.lookAgain()
			resolves = true
			continue
		}
		if !v.app.unrecorded && !v.forced {
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

// advised returns the last recovery, if it has ended with the advice to connect the
// copies: they had split no more when it measured them again.
func advised(g *arbiter.Group) (arbiter.RecoveryID, bool) {
	if g.Recovery != nil || len(g.Recovered) == 0 {
		return 0, false
	}
	last := g.Recovered[len(g.Recovered)-1]
	if last.Decision == nil || last.Outcome != arbiter.NotChosen && last.Outcome != arbiter.NoSplit {
		return 0, false
	}
	kind := last.Decision.Diagnosis.Kind
	return last.ID, kind == recovery.Resync || kind == recovery.InSync
}

// lookAgain is an operator who has DRBD look for its peer again on whichever side does not.
func (v *volume) lookAgain() {
	for _, c := range v.ends {
		if c.n.running && c.state().Conn == drbd.ConnStandAlone {
			c.command(model.Connect, nil)
		}
	}
}

// alarmed reports whether a witness says that DRBD has given up.
func (w *World) alarmed(g arbiter.GroupID) bool {
	v := w.witness.leading()
	return v != nil && v.lead.Parted(v.clock.now(), w.Definition.Cluster, g)
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
