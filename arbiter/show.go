package arbiter

import (
	"cmp"
	"slices"

	"sbarbiter/recovery"
)

// keptShown is how many dry runs of a group are remembered: whoever has asked for one
// reads it a moment after it is over.
const keptShown = 4

// Show measures both sides of a group and says what would be decided about them. It
// stands beside the group's recovery: it takes no other one's place, none waits for it,
// and nothing follows from it. In logs of before there was such, a dry run is a [Resolve],
// which ended what it found.
type Show struct {
	Cluster ClusterID     `json:"cluster"`
	Group   GroupID       `json:"group"`
	Order   RecoveryOrder `json:"order"`
}

// Documents are the recoveries of a group and its dry runs, oldest first. The recovery
// under way is the last.
func (g *Group) Documents() []*Recovery {
	all := g.past()
	if s := g.Showing(); s != nil {
		all = append(all, s)
	}
	if g.Recovery != nil {
		all = append(all, g.Recovery)
	}
	return all
}

// past are those that are over.
func (g *Group) past() []*Recovery {
	var all []*Recovery
	for i := range g.Recovered {
		all = append(all, &g.Recovered[i])
	}
	for i := range g.Shown {
		if g.Shown[i].Phase == Over {
			all = append(all, &g.Shown[i])
		}
	}
	slices.SortFunc(all, func(a, b *Recovery) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Showing is the dry run under way, or nil.
func (g *Group) Showing() *Recovery {
	if n := len(g.Shown); n > 0 && g.Shown[n-1].Phase != Over {
		return &g.Shown[n-1]
	}
	return nil
}

// TaskOf returns what is wanted of a node now: by the recovery, or by a dry run where
// that wants nothing.
func (g *Group) TaskOf(node NodeID) *Task {
	if t := g.Recovery.TaskOf(node); t != nil {
		return t
	}
	return g.Showing().TaskOf(node)
}

// show opens a dry run.
func (a *applying) show(c *Cluster, cmd Show) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	v := c.mayShow(g, cmd)
	if v == nil {
		d := a.openShow(c, g, cmd)
		v = &d
	}
	a.record(c, cmd.Group, cmd.Order.Discard, "recovery", *v)
	return *v
}

func (c *Cluster) mayShow(g *Group, cmd Show) *Verdict {
	if v := g.beingCarriedOut(cmd.Group); v != nil {
		return v
	}
	if s := g.Showing(); s != nil && s.Order.By != cmd.Order.By {
		return refused(RecoveryUnderWay, "%s is having both sides of %s measured right now, to see what they are (%s); ask again in a moment", s.Order.By, cmd.Group, s.ID)
	}
	return c.sensible(cmd.Cluster, cmd.Group, cmd.Order)
}

// openShow begins with what has been measured a moment ago for a recovery.
func (a *applying) openShow(c *Cluster, g *Group, cmd Show) Verdict {
	if s := g.Showing(); s != nil {
		a.endShow(s, Superseded, "asked for anew by "+s.Order.By)
	}
	r := a.newRecovery(c, cmd.Group, cmd.Order)
	if g.Recovery.measuring() {
		r.Sides = cloneSides(g.Recovery.Sides)
	}
	g.Shown = append(slices.Clone(g.Shown), *r)
	g.Shown = g.Shown[max(0, len(g.Shown)-keptShown):]
	d := done("recovery %s of %s, which only shows, is opened by %s; both sides are measured", r.ID, cmd.Group, cmd.Order.By)
	d.Recovery = r.ID
	return d
}

func (a *applying) endShow(r *Recovery, outcome RecoveryOutcome, note string) {
	r.Phase, r.Outcome, r.Note, r.Ended, r.Sides = Over, outcome, note, a.entry.At, nil
}

// glimpse takes a side for the dry run under way, whoever it was measured for.
func (a *applying) glimpse(c *Cluster, g *Group, s recovery.Side) {
	r := g.Showing()
	if r == nil {
		return
	}
	if _, known := r.Sides[NodeID(s.Node)]; known || !a.gather(c, g, r, s) {
		return
	}
	r.Grounds, r.Revision = clonePointer(r.Evidence), a.index
	d, err := c.decision(r)
	r.Decision = &d
	var p recovery.Plan
	if err == nil && d.Victim != "" {
		p, err = g.planned(r)
	}
	switch {
	case err != nil:
		a.endShow(r, NotChosen, err.Error())
	case !d.Diagnosis.Kind.Split():
		a.endShow(r, NoSplit, because(d))
	default:
		if d.Victim != "" {
			r.Plan = &p
		}
		a.endShow(r, OnlyShown, d.Why)
	}
	a.tell(c, r)
}

// glimpsed takes what a node has measured for a dry run.
func (a *applying) glimpsed(c *Cluster, g *Group, cmd Measured) Verdict {
	switch {
	case NodeID(cmd.Side.Node) != cmd.Caller.Node:
		return refuse(WrongIdentity, "%s has measured %s's side", cmd.Caller.Node, cmd.Side.Node)
	case c.Mandate != nil:
		return measureLater(c.Mandate)
	}
	a.glimpse(c, g, cmd.Side)
	d := done("%s has measured its side of %s", cmd.Caller.Node, cmd.Group)
	d.Recovery = cmd.Recovery
	return d
}

// cancelShow calls a dry run off that nobody wants any more; nil: that is not meant.
func (a *applying) cancelShow(g *Group, cmd CancelRecovery) *Verdict {
	s := g.Showing()
	if s == nil || cmd.Abandon || cmd.Recovery != s.ID && (cmd.Recovery != 0 || g.Recovery != nil) {
		return nil
	}
	a.endShow(s, Cancelled, calledOff(cmd))
	v := done("recovery %s of %s, which only shows, is %s", s.ID, cmd.Group, s.Note)
	v.Recovery = s.ID
	return &v
}
