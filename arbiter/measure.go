package arbiter

import (
	"time"

	"sbarbiter/recovery"
)

// measured takes what a node has measured of its side.
func (a *applying) measured(c *Cluster, cmd Measured) Verdict {
	if g := c.Groups[cmd.Group]; g != nil && g.Showing() != nil && g.Showing().ID == cmd.Recovery {
		return a.glimpsed(c, g, cmd)
	}
	g, r, v := c.recoveryOf(cmd.Group, cmd.Recovery)
	switch {
	case v != nil:
		return *v
	case !r.measuring() || r.Round != cmd.Round:
		return refuse(RecoveryOver, "measurement %d of recovery %s is not waited for any more", cmd.Round, cmd.Recovery)
	case NodeID(cmd.Side.Node) != cmd.Caller.Node:
		return refuse(WrongIdentity, "%s has measured %s's side", cmd.Caller.Node, cmd.Side.Node)
	case c.Mandate != nil:
		return measureLater(c.Mandate)
	case cmd.Side.Missing != "" && r.running():
		r.Failure = cmd.Side.Missing
		return refuse(NotMeasured, "%s could not be measured: %s; a recovery that has begun waits until it can", cmd.Side.Node, cmd.Side.Missing)
	}
	// A moment may have come between two looks: then it is right the next time. Where it is
	// not, that is said of what has not begun.
	if err := cmd.Side.Check(); err != nil && (r.running() || r.Failure == "") {
		r.Failure = err.Error()
		return refuse(NotMeasured, "the side of %s cannot be so: %v", cmd.Caller.Node, err)
	}
	a.take(c, g, cmd.Side)
	d := done("%s has measured its side of %s", cmd.Caller.Node, cmd.Group)
	d.Recovery = cmd.Recovery
	return d
}

// measureLater refuses what is seen of a machine while it is being shot.
func measureLater(m *Mandate) Verdict {
	return refuse(MandateUnderWay, "mandate %d against %s is under way; measure again when it is over", m.ID, m.Target)
}

// unmeasured goes on without a side that does not answer, where nothing has begun.
func (a *applying) unmeasured(c *Cluster, cmd Unmeasured) Verdict {
	if g := c.Groups[cmd.Group]; g != nil && g.Showing() != nil && g.Showing().ID == cmd.Recovery && c.Nodes[cmd.Node] != nil {
		a.glimpse(c, g, recovery.Side{Node: recovery.Node(cmd.Node), Missing: cmd.Why})
		return done("%s does not say what it has of %s: %s", cmd.Node, cmd.Group, cmd.Why)
	}
	g, r, v := c.recoveryOf(cmd.Group, cmd.Recovery)
	switch {
	case v != nil:
		return *v
	case !r.measuring() || r.running() || r.Round != cmd.Round || c.Nodes[cmd.Node] == nil:
		return refuse(RecoveryOver, "measurement %d of recovery %s is not waited for any more", cmd.Round, cmd.Recovery)
	}
	if _, known := r.Sides[cmd.Node]; !known {
		a.take(c, g, recovery.Side{Node: recovery.Node(cmd.Node), Missing: cmd.Why})
	}
	return done("%s does not say what it has of %s: %s", cmd.Node, cmd.Group, cmd.Why)
}

func (c *Cluster) recoveryOf(id GroupID, n RecoveryID) (*Group, *Recovery, *Verdict) {
	g, ok := c.Groups[id]
	if !ok {
		v := unknownGroup(c, id)
		return nil, nil, &v
	}
	if g.Recovery == nil || g.Recovery.ID != n {
		return nil, nil, refused(RecoveryOver, "recovery %s of %s is over; sbctl recovery list shows what became of it", n, id)
	}
	return g, g.Recovery, nil
}

// take notes a side. With both the recovery goes on. So does a dry run, which comes first:
// a node that has to carry something out measures nothing any more.
func (a *applying) take(c *Cluster, g *Group, s recovery.Side) {
	a.glimpse(c, g, s)
	r := g.Recovery
	if !a.gather(c, g, r, s) {
		return
	}
	switch r.Phase {
	case Confirming:
		a.confirmDecision(c, g)
	case Carrying:
		a.compare(c, g)
	case Collecting, Undecided, Decided, Over:
		a.decide(c, g)
	}
}

// gather notes a side, and reports whether it has both now.
func (a *applying) gather(c *Cluster, g *Group, r *Recovery, s recovery.Side) bool {
	if r.Sides == nil {
		r.Sides = map[NodeID]recovery.Side{}
	}
	s = s.Clone()
	s.Taken = time.UnixMilli(a.entry.At).UTC()
	r.Sides[NodeID(s.Node)] = s
	e := recovery.Evidence{Group: string(r.Group)}
	for i, n := range c.Definition.Nodes {
		side, known := r.Sides[n]
		if !known {
			return false
		}
		e.Sides[i] = side
	}
	r.Earlier = g.earlier(e)
	r.Sides, r.Evidence = nil, &e
	return true
}
