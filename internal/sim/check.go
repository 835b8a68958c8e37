package sim

import (
	"fmt"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
)

func (w *World) breaks(format string, a ...any) {
	what := fmt.Sprintf(format, a...)
	w.broken = append(w.broken, what)
	w.line("BROKEN", "", what, "")
}

// check holds after every step: nobody runs a group beside somebody else, and
// epochs only grow.
func (w *World) check() {
	a, b := w.nodes[A], w.nodes[B]
	for i, id := range w.groups {
		if a.running && b.running && a.served[i].up && b.served[i].up {
			w.breaks("S1: both nodes run %s", id)
		}
	}
	c := w.witness.State()
	if c == nil {
		return
	}
	if c.Epoch < w.epoch && !c.Learning {
		w.breaks("S4: the epoch went back from %d to %d", w.epoch, c.Epoch)
	}
	w.epoch = max(w.epoch, c.Epoch)
}

// checkPromotion holds whenever a copy has become Primary.
func (w *World) checkPromotion(c *replica) {
	g := c.v.group
	if p := c.other(); p.drbd.Role() == drbd.RolePrimary {
		w.breaks("S1: both copies of %s are Primary", g)
	}
	if d := c.state().Disk; d != drbd.DiskUpToDate {
		w.breaks("S3: %s promotes its copy of %s, which is %s", c.n.id, g, d)
	}
	if known := w.witness.State(); known != nil && !known.Learning {
		if e, ok := known.Groups[g].Excluded[c.n.id]; ok {
			w.breaks("S3: %s promotes its copy of %s, which is excluded (%s, own word %d)", c.n.id, g, e.Number, e.OwnWord)
		}
	}
	if lost := c.v.app.lacks(c); lost > 0 {
		w.breaks("S2: %s promotes its copy of %s, which lacks %d acknowledged records", c.n.id, g, lost)
	}
}

// checkResync holds whenever a copy begins to be overwritten by the other one.
func (w *World) checkResync(target *replica) {
	if lost := target.v.app.lacks(target.other()); lost > 0 {
		w.breaks("S2: %s's copy of %s is overwritten by one that lacks %d acknowledged records", target.n.id, target.v.group, lost)
	}
}

// splitBrain is DRBD's finding that both copies have writes of their own.
func (w *World) splitBrain(c *replica) {
	w.breaks("split brain: both copies of %s have writes of their own", c.v.group)
}

// checkShot holds whenever a shot lands on a machine that was on.
func (w *World) checkShot(target, by *Node) {
	if by.shot {
		w.breaks("S5: %s and %s have shot each other", target.id, by.id)
	}
	m := w.witness.State().Mandate
	switch {
	case w.witness.State().Learning: // it will hear of the mandate from its executor
	case m == nil || m.Phase == arbiter.Open:
		w.breaks("S5: %s was shot without a mandate under way", target.id)
	case m.Target != "" && m.Target != target.id:
		w.breaks("S5: %s was shot under a mandate against %s", target.id, m.Target)
	}
}

// Holder returns the node that runs a group's services for clients, if any.
func (w *World) Holder(g arbiter.GroupID) (Host, bool) {
	for _, n := range w.nodes {
		if n.Serves(g) {
			if c := n.replica(g); c == nil || n.Primary(g) && !c.drbd.Suspended() {
				return n.host, true
			}
		}
	}
	return W, false
}
