package arbiter

import "fmt"

// grant gives a group that nobody holds to the caller, under a new epoch.
func (c *Cluster) grant(id GroupID, caller Caller, w Watchdog) Verdict {
	g := c.Groups[id]
	basis := g.basisFor(caller.Node)
	basis.Switchover = g.Order != nil && g.Order.To == caller.Node && g.Order.Epoch != 0 && g.Order.Epoch == g.Last.Epoch
	c.Epoch = c.Epoch.Next()
	g.Lease = &Lease{Holder: caller.Node, Boot: caller.Boot, Epoch: c.Epoch, Basis: basis, Watchdog: w}
	g.Order, g.Begun = nil, true
	if m := c.Mandate; m != nil && m.Phase == Open && m.Group == id {
		c.Mandate = nil
	}
	return Verdict{
		Kind: Granted, Holder: caller.Node, Epoch: c.Epoch, Basis: basis,
		Sentence: sentence("%s is granted %s under epoch %d; %s", caller.Node, id, c.Epoch, basis),
	}
}

// basisFor returns what a grant to node rests on now.
func (g *Group) basisFor(node NodeID) Basis {
	e := g.Last
	if g.Clock != nil && g.Clock.Holder != node {
		e = *g.Clock
	}
	return Basis{Cause: e.Cause, Holder: e.Holder, Epoch: e.Epoch, Grade: e.Grade}
}

func (b Basis) String() string {
	if b.Cause == ByNothing {
		return "nobody held it before"
	}
	return fmt.Sprintf("the lease %d of %s ended with grade %s: %s", b.Epoch, b.Holder, b.Grade, b.Grade.Meaning())
}

// end ends the group's lease.
func (c *Cluster) end(g *Group, e Ending) {
	g.Lease, g.Last = nil, e
	c.seenOff(g, e)
}

// seenOff forgets that a holder's lease ended by the clock once that holder is
// proven off.
func (c *Cluster) seenOff(g *Group, e Ending) {
	if g.Clock != nil && g.Clock.Holder == e.Holder && e.Grade >= E3 {
		g.Clock = nil
	}
}

// endAll ends every lease of node, and improves what is known of the leases of
// it that had ended on weaker grounds.
func (c *Cluster) endAll(node NodeID, cause Cause, grade Grade, m MandateID) {
	for _, g := range c.Groups {
		e := Ending{Holder: node, Cause: cause, Grade: grade, Mandate: m}
		switch {
		case g.Lease != nil && g.Lease.Holder == node:
			e.Epoch = g.Lease.Epoch
			c.end(g, e)
		case g.Lease == nil && g.Last.Holder == node && g.Last.Grade < grade:
			e.Epoch = g.Last.Epoch
			c.end(g, e)
		default:
			c.seenOff(g, e)
		}
	}
}

// started notes that services run under a lease: from here on the grant before
// it matters to nobody's promise.
func (a *applying) started(c *Cluster, cmd Started) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	if !holds(g, cmd.Caller, cmd.Epoch) {
		return refuse(NotHolder, "%s does not hold %s under epoch %d", cmd.Caller.Node, cmd.Group, cmd.Epoch)
	}
	if g.Lease.Started {
		return done("already noted")
	}
	g.Lease.Started, g.Clock = true, nil
	delete(g.Failed, cmd.Caller.Node)
	v := done("%s runs %s under epoch %d", cmd.Caller.Node, cmd.Group, cmd.Epoch)
	v.Epoch = cmd.Epoch
	a.record(c, cmd.Group, cmd.Caller.Node, "started", v)
	return v
}

// release takes a stop receipt.
func (a *applying) release(c *Cluster, cmd Release) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	node := cmd.Caller.Node
	if l := g.Last; g.Lease == nil && l.Holder == node && l.Epoch == cmd.Epoch && l.Grade < E5 {
		c.end(g, Ending{Holder: node, Epoch: cmd.Epoch, Cause: ByReceipt, Grade: E5})
		return done("%s has stopped %s, whose lease %d had ended on weaker grounds", node, cmd.Group, cmd.Epoch)
	}
	if !holds(g, cmd.Caller, cmd.Epoch) {
		return refuse(NotHolder, "%s does not hold %s under epoch %d; there is nothing to give back", node, cmd.Group, cmd.Epoch)
	}
	if cmd.Started {
		g.Clock = nil
	}
	c.end(g, Ending{Holder: node, Epoch: cmd.Epoch, Cause: ByReceipt, Grade: E5})
	if cmd.Failed {
		if g.Failed == nil {
			g.Failed = map[NodeID]string{}
		}
		g.Failed[node] = cmd.Reason
	}
	c.voidOpen(node)
	if m := c.Mandate; m != nil && m.Target == node && m.Phase == Begun && m.Group == cmd.Group {
		m.Phase = Settled
	}
	v := done("%s has stopped %s and given epoch %d back: %s", node, cmd.Group, cmd.Epoch, cmd.Reason)
	v.Epoch = cmd.Epoch
	a.record(c, cmd.Group, node, "release", v)
	return v
}

func holds(g *Group, caller Caller, e Epoch) bool {
	l := g.Lease
	return l != nil && l.Holder == caller.Node && l.Boot == caller.Boot && l.Epoch == e
}

func sentence(format string, a ...any) string { return fmt.Sprintf(format, a...) }

func refused(r Reason, format string, a ...any) *Verdict {
	v := refuse(r, format, a...)
	return &v
}
