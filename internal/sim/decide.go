package sim

import (
	"sbarbiter/arbiter"
)

// mostDecisions is how often an operator decides in one episode: what was decided
// may be forgotten by a witness that loses its memory then.
const mostDecisions = 3

// decide is the operator who looks at both copies where both are stale, keeps the
// better one and gives the other one up. What the kept one lacks is lost by that
// word. It reports whether there was anything to decide.
func (w *World) decide() bool {
	known, decided := w.witness.State(), false
	if known == nil {
		return false
	}
	for i, id := range w.groups {
		if len(known.Groups[id].Excluded) < len(w.nodes) {
			continue
		}
		v := w.disks[i]
		keep := v.ends[A]
		if b := v.ends[B]; !keep.whole() || b.whole() && v.app.lacks(b) < v.app.lacks(keep) {
			keep = b
		}
		v.app.forgive(keep)
		w.witness.Order(arbiter.GiveUp{
			Cluster: w.Definition.Cluster, Group: id, Node: keep.other().n.id, By: "operator", Reason: "looked at both",
		})
		decided = true
	}
	return decided
}

// whole reports whether a copy is one of a moment.
func (c *replica) whole() bool {
	switch c.state().Disk {
	case "UpToDate", "Consistent", "Outdated":
		return true
	}
	return false
}

// forgive takes what a copy lacks for given up.
func (a *application) forgive(c *replica) {
	for b := range a.acked {
		a.acked[b] = min(a.acked[b], c.drbd.Content(placeOf(b)))
	}
}
