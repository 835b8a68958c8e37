package leader

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

const (
	// silentFor is how long a node that is not heard is waited for before a recovery
	// is judged without its side, measureWithin how long one that is heard.
	silentFor, measureWithin = 3 * time.Second, 30 * time.Second
	// approveWithin is how long an operator may look at a decision.
	approveWithin = 10 * time.Minute
	// approveAgainWithin is how long where the plan had begun, and the group runs nowhere
	// meanwhile: who is asked again has answered a moment ago.
	approveAgainWithin = 2 * time.Minute
	// partedFor is how long DRBD has given up on one side before that is believed: what
	// a node does by itself is over sooner. Where both say so they have met and split.
	partedFor = 300 * time.Millisecond
	// measureAgain is when a split brain that could not be judged is looked at again.
	measureAgain = 30 * time.Second
	// backFor is how long a node that was not there is heard again before its side is
	// asked for: its agent has only just begun.
	backFor = 2 * time.Second
)

// The messages of nodes about a recovery.
type (
	// Measured is what a node has measured of its side.
	Measured struct {
		arbiter.Measured
		Seen arbiter.Version
	}
	// StepDone says that a step is done, or has failed.
	StepDone struct {
		arbiter.StepDone
		Seen arbiter.Version
	}
)

// Carrying is how far a node is with a step: shown, and decided on by nobody.
type Carrying struct {
	Recovery    arbiter.RecoveryID
	Step        int
	Note        string
	Left, Total uint64 // bytes still to be copied
}

// resolve opens a recovery, or a dry run beside it.
func (l *Leader) resolve(now boottime.Instant, d *desk, r *request, m arbiter.Resolve) {
	if m.Order.DryRun && !mutant.On(mutant.ShownInTheWay) {
		l.propose(now, d, r, arbiter.Show(m))
		return
	}
	l.propose(now, d, r, m)
}

// watch is what a leader knows of a group's recovery beyond the replicated state.
type watch struct {
	phase  arbiter.RecoveryPhase
	id     arbiter.RecoveryID
	round  uint32
	since  boottime.Instant // all of the above
	parted boottime.Instant // DRBD has given up since; 0: it has not
	there  boottime.Instant // both nodes are heard since; 0: they are not
	both   bool             // on both sides
	met    arbiter.RecoveryID
	overAt boottime.Instant
	shown  arbiter.RecoveryID // the dry run under way
	asked  boottime.Instant   // for it, since
}

// none is no recovery; nobody changes it.
var none arbiter.Recovery

// follow keeps the times that a group's recovery is judged by.
func (d *desk) follow(now boottime.Instant, id arbiter.GroupID, g *arbiter.Group) *watch {
	w := d.watches[id]
	if w == nil {
		w = &watch{}
		d.watches[id] = w
	}
	r := g.Recovery
	if r == nil {
		r = &none
	}
	if w.id != r.ID || w.phase != r.Phase || w.round != r.Round || w.since.IsZero() {
		if r.ID == 0 {
			w.overAt = now
		}
		w.id, w.phase, w.round, w.since = r.ID, r.Phase, r.Round, now
	}
	if s := g.Showing(); s != nil && s.ID != w.shown {
		w.shown, w.asked = s.ID, now
	}
	alone, connected := d.parted(now, id)
	w.both = alone == len(d.c.Definition.Nodes)
	switch {
	case connected:
		w.parted = 0
		if last := latest(g); last != nil {
			w.met = last.ID
		}
	case alone == 0:
		w.parted = 0
	case w.parted.IsZero():
		w.parted = now
	}
	switch {
	case !d.bothHeard(now, id):
		w.there = 0
	case w.there.IsZero():
		w.there = now
	}
	return w
}

func latest(g *arbiter.Group) *arbiter.Recovery {
	if len(g.Recovered) == 0 {
		return nil
	}
	return &g.Recovered[len(g.Recovered)-1]
}

// bothHeard reports whether both nodes say something of the group.
func (d *desk) bothHeard(now boottime.Instant, id arbiter.GroupID) bool {
	for _, n := range d.c.Definition.Nodes {
		if h := d.heard[n]; h == nil || d.suspected(now, n) || h.beat.group(id) == nil {
			return false
		}
	}
	return true
}

// parted tells how many nodes see that DRBD has given up, if both were heard a moment
// ago and see it disconnected; and whether they see it connected.
func (d *desk) parted(now boottime.Instant, id arbiter.GroupID) (alone int, connected bool) {
	linked := 0
	for _, n := range d.c.Definition.Nodes {
		h := d.heard[n]
		if h == nil || d.suspected(now, n) {
			return 0, false
		}
		b := h.beat.group(id)
		if b == nil || len(b.Evidence.Disks) == 0 {
			return 0, false
		}
		if slices.ContainsFunc(b.Evidence.Disks, func(disk arbiter.Disk) bool { return disk.Connected }) {
			linked++
		}
		if b.Parted {
			alone++
		}
	}
	if linked > 0 {
		alone = 0
	}
	return alone, linked == len(d.c.Definition.Nodes)
}

// recoveryDue returns the command about a recovery that time has made due, or nil.
func (d *desk) recoveryDue(now boottime.Instant) arbiter.Command {
	if !d.recovers() {
		return nil
	}
	for _, id := range d.groups {
		g := d.c.Groups[id]
		if g.Recovery == nil && g.Showing() == nil && !d.c.Definition.Groups[id].Automatic() {
			continue
		}
		w := d.follow(now, id, g)
		if s := g.Showing(); s != nil {
			if cmd := d.unmeasured(now, w.asked, s); cmd != nil {
				return cmd
			}
		}
		if g.Recovery != nil {
			if cmd := d.overdue(now, w, g); cmd != nil {
				return cmd
			}
			if !d.partedAgain(now, w, g.Recovery) {
				continue
			}
		} else if !d.mayOpen(now, w, g) {
			continue
		}
		if d.c.Definition.Groups[id].Automatic() {
			return arbiter.Resolve{Cluster: d.c.Definition.Cluster, Group: id, Order: arbiter.RecoveryOrder{
				By: "sbwitness", Reason: "DRBD has given up on both sides", Automatic: true,
			}}
		}
	}
	return nil
}

// recovers reports whether there is a recovery, or may be one that nobody asks for.
func (d *desk) recovers() bool {
	for id, g := range d.c.Groups {
		if g.Recovery != nil || g.Showing() != nil || d.c.Definition.Groups[id].Automatic() {
			return true
		}
	}
	return false
}

// overdue goes on without a side that does not come, and without an operator who
// does not.
func (d *desk) overdue(now boottime.Instant, w *watch, g *arbiter.Group) arbiter.Command {
	r := g.Recovery
	waited := now.Sub(w.since)
	switch r.Phase {
	case arbiter.Collecting, arbiter.Confirming:
		return d.unmeasured(now, w.since, r)
	case arbiter.Decided:
		within := approveWithin
		if g.HoldsUp() {
			within = approveAgainWithin
		}
		if waited >= within && !r.Order.WhenBack {
			return arbiter.CancelRecovery{
				Cluster: d.c.Definition.Cluster, Group: r.Group, Recovery: r.ID, By: "sbwitness", Reason: fmt.Sprintf("nobody has approved it within %v", within),
			}
		}
	case arbiter.Awaiting:
		// One that is heard and cannot be measured is asked now and then.
		if d.c.Mandate == nil && !d.c.Learning && !w.there.IsZero() && now.Sub(w.there) >= backFor && (waited >= measureAgain || w.there > w.since) {
			return arbiter.MeasureAgain{Cluster: d.c.Definition.Cluster, Group: r.Group, Recovery: r.ID}
		}
	case arbiter.Undecided, arbiter.Carrying, arbiter.Over:
	}
	return nil
}

// unmeasured goes on without a side that has not come since both were asked for; nil: it
// may come yet.
func (d *desk) unmeasured(now, asked boottime.Instant, r *arbiter.Recovery) arbiter.Command {
	waited := now.Sub(asked)
	for _, n := range d.c.Definition.Nodes {
		why := ""
		switch {
		case r.TaskOf(n) == nil:
		case d.suspected(now, n) && waited >= silentFor && now.Sub(d.since) >= silentFor:
			why = "it is not heard"
		case waited >= measureWithin:
			why = fmt.Sprintf("it has not answered within %v", measureWithin)
		}
		if why != "" {
			return arbiter.Unmeasured{Cluster: d.c.Definition.Cluster, Group: r.Group, Recovery: r.ID, Round: r.Round, Node: n, Why: why}
		}
	}
	return nil
}

// partedAgain reports whether the copies have split anew after a recovery had brought
// them together, and before that could be noted.
func (d *desk) partedAgain(now boottime.Instant, w *watch, r *arbiter.Recovery) bool {
	return r.Phase == arbiter.Carrying && !r.Apart() && !w.parted.IsZero() && now.Sub(w.parted) >= partedFor && !d.c.Learning && d.c.Mandate == nil
}

// mayOpen reports whether a split brain is looked at unasked: once each time that
// DRBD gives up, for whoever called a recovery off does not want it back.
func (d *desk) mayOpen(now boottime.Instant, w *watch, g *arbiter.Group) bool {
	if w.parted.IsZero() || !w.both && now.Sub(w.parted) < partedFor || d.c.Learning || d.c.Mandate != nil {
		return false
	}
	late := now.Sub(w.overAt) >= measureAgain
	for _, r := range slices.Backward(g.Recovered) {
		switch {
		case r.Outcome == arbiter.Recovered || w.met >= r.ID:
			return true
		case saysNothing(&r):
		case r.Outcome == arbiter.NoSplit && r.Decision != nil:
			return late && !r.Decision.Diagnosis.Kind.Tells()
		default:
			return false
		}
	}
	return true
}

// saysNothing reports whether a recovery is over by which nobody has said anything about
// the split: it was only looked at, or what somebody chose could not be done, or another
// order has taken its place.
func saysNothing(r *arbiter.Recovery) bool {
	switch r.Outcome {
	case arbiter.OnlyShown, arbiter.Superseded:
		return true
	case arbiter.NotChosen:
		return !r.Order.Automatic
	default:
		return false
	}
}
