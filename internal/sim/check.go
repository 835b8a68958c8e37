package sim

import (
	"fmt"

	"sbarbiter/arbiter"
)

func (w *World) breaks(format string, a ...any) {
	what := fmt.Sprintf(format, a...)
	w.broken = append(w.broken, what)
	w.line("BROKEN", "", what, "")
}

// check holds after every step: nobody runs a group beside somebody else, and
// epochs only grow.
func (w *World) check() {
	for _, id := range w.groups {
		if w.nodes[A].Runs(id) && w.nodes[B].Runs(id) {
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

// checkPromotion holds whenever a copy becomes Primary.
func (w *World) checkPromotion(c *replica) {
	g := c.v.group
	if p := c.other(); p.primary && p.n.running {
		w.breaks("S1: both copies of %s are Primary", g)
	}
	if c.disk != arbiter.UpToDate {
		w.breaks("S3: %s promotes its copy of %s, which is %s", c.n.id, g, c.disk)
	}
	if known := w.witness.State(); known != nil && !known.Learning {
		if e, ok := known.Groups[g].Excluded[c.n.id]; ok {
			w.breaks("S3: %s promotes its copy of %s, which is excluded (%s, own word %d)", c.n.id, g, e.Number, e.OwnWord)
		}
	}
	lost := 0
	for _, id := range c.v.acked {
		if !c.has[id] {
			lost++
		}
	}
	if lost > 0 {
		w.breaks("S2: %s promotes its copy of %s, which lacks %d of %d acknowledged writes", c.n.id, g, lost, len(c.v.acked))
	}
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
			if c := n.replica(g); c == nil || c.primary && !c.frozen {
				return n.host, true
			}
		}
	}
	return W, false
}
