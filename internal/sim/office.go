package sim

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// office is what confirmed a node in office in this boot, and the last shot at
// it that was permitted. From then on nothing may confirm it any more.
type office struct {
	renewed  time.Duration    // the beat by which a leader last renewed a lease of its came at
	excluded boottime.Instant // its last exclusion of its peer was asked for at
	shot     boottime.Instant // permission was asked for at; 0: none was
}

// entitled reports whether a node may run a group, as it knows itself.
func (n *Node) entitled(g arbiter.GroupID) bool {
	if !n.running || n.dying || n.bootMem == nil {
		return false
	}
	r := n.bootMem.Groups[g]
	return n.clock.now() < max(r.Lease, r.Promise)
}

// checkRights holds whenever a node's rights have changed: S1 rests on there
// being one at a time, whether services happen to run or not.
func (w *World) checkRights() {
	for _, id := range w.groups {
		if w.nodes[A].entitled(id) && w.nodes[B].entitled(id) {
			w.breaks("S1: both nodes have a right to run %s", id)
		}
	}
}

// renewedBy notes that a leader has renewed a lease, by a beat that reached it at
// at: answered late, behind a slow log, it is no later sign of life.
func (w *World) renewedBy(n *Node, at time.Duration) { n.office.renewed = max(n.office.renewed, at) }

// applied notes what a command that was carried out means to a shot. asked is
// when it was proposed.
func (w *World) applied(cmd arbiter.Command, v arbiter.Verdict, asked time.Duration) {
	switch cmd := cmd.(type) {
	case arbiter.Begin:
		if v.Kind == arbiter.Permitted && !v.Repeated {
			w.permitted(w.nodeOf(v.Holder), asked)
		}
	case arbiter.Exclude:
		if n := w.nodeOf(cmd.Caller.Node); v.OK() && !v.Repeated && n.bootID() == cmd.Caller.Boot {
			n.office.excluded = n.clock.after(asked - n.clock.since)
		}
	}
}

func (w *World) nodeOf(id arbiter.NodeID) *Node {
	return w.nodes[slices.IndexFunc(w.nodes[:], func(n *Node) bool { return n.id == id })]
}

// permitted: nobody is shot whose lease a witness has renewed a moment before, or
// did so until the one that leads now began to listen.
func (w *World) permitted(target *Node, asked time.Duration) {
	heard := target.office.renewed
	if w.witness.listens <= asked { // one that was late since had listened when it was asked
		heard = max(heard, w.witness.listens)
	}
	if ago := asked - heard; target.office.renewed > 0 && ago < w.Definition.Timing.SuspectAfter*95/100 {
		w.breaks("S5: a shot at %s is permitted, whose lease was renewed, by a witness that has listened for %v since", target.id, ago)
	}
	target.office.shot = 0 // of a machine that does not run there is nothing to confirm
	if target.running {
		target.office.shot = target.clock.after(asked - target.clock.since)
	}
}

// checkSpared holds whenever a shot lands: since it was permitted, its target
// must not have been confirmed in office, by a witness or by its peer.
func (w *World) checkSpared(target *Node) {
	o, t := target.office, w.Definition.Timing
	if o.shot == 0 || target.bootMem == nil {
		return
	}
	for _, id := range w.groups {
		r := target.bootMem.Groups[id]
		if max(r.Lease.Add(-t.TTL), r.Promise.Add(-t.Promise)) > o.shot {
			w.breaks("S5: %s is shot, whose right to %s was confirmed after the shot had begun", target.id, id)
		}
	}
	if o.excluded > o.shot {
		w.breaks("S5: %s is shot, which was allowed to go on alone after the shot had begun", target.id)
	}
}

// distant are the faults that keep a witness from the nodes and nothing else.
var distant = []string{
	"is cut off from the witness", "cannot talk to the witness", "cannot hear the witness",
	"loses messages to the witness", "answers of the witness are slow", "messages to the witness are slow",
	"witness dies", "witness restarts", "witness loses its disk", "witness's disk is slow",
}

// talking reports whether an episode leaves both nodes alone with each other:
// then nobody may stop what runs.
func talking(e Episode) bool {
	return time.Duration(e.After) >= 2*time.Second && !slices.ContainsFunc(e.Faults, func(f Fault) bool { return !slices.Contains(distant, f.What) })
}

// checkSteady holds whenever something is stopped or reset.
func (w *World) checkSteady(n *Node, what string) {
	if w.steady {
		w.breaks("L2: both nodes talk to each other, and %s %s", n.id, what)
	}
}
