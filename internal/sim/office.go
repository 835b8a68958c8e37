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
	spoke    time.Duration    // the last of its beats that a witness has answered arrived at
	counts   time.Duration    // a lease of its was granted, renewed or used last at
	misled   bool             // an old copy of the witness's disk, which nobody had noticed, confirmed it
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
func (w *World) renewedBy(n *Node, v *voter, at time.Duration) {
	n.office.renewed, n.office.counts = max(n.office.renewed, at), w.now
	n.office.misled = n.office.misled || w.witness.unnoticed()
	if v == w.witness.leading() {
		w.confirmed(n, w.witness.open())
	}
}

// confirmed notes that a node's right was confirmed while a mandate against it was
// open: it must never begin.
func (w *World) confirmed(n *Node, open arbiter.Mandate) {
	if open.Target == n.id {
		w.void = void{open.ID, w.witness.disks}
	}
}

// proved reports whether a mandate's proof has ended a lease.
func (w *World) proved(mandate arbiter.MandateID) bool {
	for _, g := range w.witness.State().Groups {
		if g.Last.Cause == arbiter.ByFence && g.Last.Mandate == mandate {
			return true
		}
	}
	return false
}

// void is a mandate that must not begin.
type void struct {
	mandate arbiter.MandateID
	disk    int // of the witness
}

// applied notes what a command that was carried out means to a shot. asked is
// when it was proposed.
func (w *World) applied(cmd arbiter.Command, v arbiter.Verdict, asked time.Duration) {
	if !v.OK() || v.Repeated {
		return
	}
	switch cmd := cmd.(type) {
	case arbiter.Begin:
		if v.Kind == arbiter.Permitted {
			w.permitted(w.nodeOf(v.Holder), v.Mandate, asked)
		}
	case arbiter.Acquire:
		w.nodeOf(cmd.Caller.Node).office.counts = asked
	case arbiter.Exclude:
		w.allowed(w.nodeOf(cmd.Caller.Node), cmd, asked)
	case arbiter.ReportFence:
		w.proven(w.nodeOf(cmd.Caller.Node).peer, cmd.Mandate)
	case arbiter.Approve:
		w.disks[w.index(cmd.Group)].said = cmd.Recovery
	case arbiter.Confirm:
		w.believed(w.nodeOf(cmd.Node), cmd, asked)
	}
}

// believed: an operator's word was taken, which S1 excepts where it is false. About a node
// that was heard a moment before no word is.
func (w *World) believed(n *Node, cmd arbiter.Confirm, asked time.Duration) {
	ago := asked - n.office.spoke
	if n.office.spoke > w.witness.listens && ago >= 0 && ago < w.Definition.Timing.SuspectAfter*95/100 {
		w.breaks("S1: %s counts as off at an operator's word, and was heard %v before", n.id, ago)
	}
	w.falseWord = w.falseWord || cmd.Reason == unseen
}

// allowed: a node was allowed to go on without its peer.
func (w *World) allowed(n *Node, cmd arbiter.Exclude, asked time.Duration) {
	c := w.witness.State()
	g := c.Groups[cmd.Group]
	w.confirmed(n, w.witness.wasOpen)
	_, stale := g.Excluded[n.id]
	w.lastCopy = w.lastCopy || stale || cmd.Evidence.OwnWord != 0 && !g.Excluded[n.peer.id].Lost
	longest := arbiter.Guard(max(c.Definition.Timing.TTL, g.Lease.TTL)) * million / (million - mostDrift)
	if ago := asked - max(n.office.counts, w.witness.listens); n.office.counts > 0 && ago > longest {
		w.breaks("L1: %s's copy of %s is excluded for %s, whose lease nobody has renewed for %v", n.peer.id, cmd.Group, n.id, ago)
	}
	n.office.counts = asked
	n.office.misled = n.office.misled || w.witness.unnoticed()
	if n.bootID() == cmd.Caller.Boot {
		n.office.excluded = n.clock.after(asked - n.clock.since)
	}
}

// dating is how much earlier than a leader can date it a reading may have been:
// as long as a permission may be on its way, and some.
const dating = shootWithin + 300*time.Millisecond

// proven: a power switch that begins to lie between two readings is beyond any
// proof, but for a node that was heard after the second.
func (w *World) proven(target *Node, mandate arbiter.MandateID) {
	switch b := &target.bmc; {
	case !b.lied || !target.running || !w.proved(mandate):
	case target.office.spoke > b.offAt+dating && b.offAt > w.witness.listens:
		w.breaks("S1: %s is taken for seen off, and was heard after that", target.id)
	default:
		w.except("a power switch that began to lie between two readings")
	}
}

func (w *World) nodeOf(id arbiter.NodeID) *Node {
	return w.nodes[slices.IndexFunc(w.nodes[:], func(n *Node) bool { return n.id == id })]
}

// permitted: nobody is shot whose lease a witness has renewed a moment before, or
// did so until the one that leads now began to listen.
func (w *World) permitted(target *Node, mandate arbiter.MandateID, asked time.Duration) {
	if w.void == (void{mandate, w.witness.disks}) {
		w.breaks("S5: a shot at %s is permitted under a mandate that was open when its right was confirmed", target.id)
	}
	heard := target.office.renewed
	if w.witness.listens <= asked { // one that was late since had listened when it was asked
		heard = max(heard, w.witness.listens)
	}
	if ago := asked - heard; target.office.renewed > 0 && ago < w.Definition.Timing.SuspectAfter*95/100 {
		w.breaks("S5: a shot at %s is permitted, whose lease was renewed, by a witness that has listened for %v since", target.id, ago)
	}
	target.office.shot = 0 // of a machine that does not run there is nothing to confirm
	if target.running {
		target.office.shot = target.clock.after(max(asked-target.clock.since, 0)) // it may have stood still since
	}
}

// checkSpared holds whenever a shot lands: since it was permitted, its target
// must not have been confirmed in office, by a witness or by its peer.
func (w *World) checkSpared(target *Node) {
	o, t := target.office, w.Definition.Timing
	if o.shot == 0 || target.bootMem == nil {
		return
	}
	if o.misled {
		w.except("an old copy of the witness's disk confirmed a node, and knew of no shot at it")
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

// quiet reports the same of an episode but for one [World.reinstated], which has a
// moment of its own in which nobody may stop anything.
func quiet(e Episode) bool {
	once := 0
	return !slices.ContainsFunc(e.Faults, func(f Fault) bool {
		if f.What == bootsUnheard {
			once++
			return once > 1
		}
		return !slices.Contains(distant, f.What)
	})
}

// stopping reports whether a group is being stopped. What a node began to stop while
// it heard nobody has its deadline: it runs to its end, or into a reset, whoever talks
// to that node by then, and L2 says nothing about it.
func (w *World) stopping() bool {
	for _, n := range w.nodes {
		for _, s := range n.services {
			if n.running && s.stops && s.number != 0 {
				return true
			}
		}
	}
	return false
}

// checkSteady holds whenever something is stopped or reset.
func (w *World) checkSteady(n *Node, what string) {
	if w.steady {
		w.breaks("L2: both nodes talk to each other, and %s %s", n.id, what)
	}
}
