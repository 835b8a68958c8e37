package arbiter

import (
	"fmt"

	"sbarbiter/internal/mutant"
)

// grant gives a group that nobody holds to the caller, under a new epoch.
func (c *Cluster) grant(id GroupID, caller Caller, w Watchdog) Verdict {
	g := c.Groups[id]
	basis := c.before(g, caller.Node).basis()
	// Only the receipt of the holder that was asked to move makes it a
	// switchover; a holder that died on the way was taken over from.
	basis.Switchover = g.Order != nil && g.Order.To == caller.Node && basis.Cause == ByReceipt &&
		basis.Epoch != 0 && basis.Epoch == g.Order.Epoch
	basis.StandIn = g.standsIn(caller.Node)
	c.Epoch = c.Epoch.Next()
	g.Lease = &Lease{Holder: caller.Node, Boot: caller.Boot, Epoch: c.Epoch, Basis: basis, Watchdog: w, TTL: c.Definition.Timing.TTL}
	g.Order, g.Begun = nil, true
	if m := c.Mandate; m != nil && m.Phase == Open && m.Group == id {
		c.Mandate = nil
	}
	return Verdict{
		Kind: Granted, Holder: caller.Node, Epoch: c.Epoch, Basis: basis,
		Sentence: sentence("%s is granted %s under epoch %d; %s", caller.Node, id, c.Epoch, basis),
	}
}

// before returns the ending that a grant to node rests on now: how the other
// node's last lease ended, or, where somebody has run services since, how the
// last lease did.
func (c *Cluster) before(g *Group, node NodeID) Ending {
	if e, ok := g.Ended[c.Definition.Peer(node)]; ok && !mutant.On(mutant.EndingNotSticky) {
		return e
	}
	return g.Last
}

func (e Ending) basis() Basis {
	return Basis{Cause: e.Cause, Holder: e.Holder, Epoch: e.Epoch, Grade: e.Grade, Boot: e.Boot, Mandate: e.Mandate}
}

func (b Basis) String() string {
	switch b.Cause {
	case ByNothing:
		return "nobody held it before"
	case ByReport:
		return "both nodes told a witness without memory that they ran nothing"
	}
	return fmt.Sprintf("the lease %d of %s ended with grade %s: %s", b.Epoch, b.Holder, b.Grade, b.Grade.Meaning())
}

// end ends the group's lease. An order to move it is done by the holder's
// receipt and falls with every other ending: it named a lease that is no more.
func (g *Group) end(e Ending) {
	if g.Order != nil && g.Order.Epoch != 0 && e.Cause != ByReceipt {
		g.Order = nil
	}
	g.Lease, g.Last = nil, e
	g.Excluded = mutant.Weak(mutant.ExclusionExpires, g.Excluded, nil)
	if g.Ended == nil {
		g.Ended = map[NodeID]Ending{}
	}
	g.Ended[e.Holder] = e
}

// endAll ends every lease of e's holder.
func (c *Cluster) endAll(e Ending) {
	for _, g := range c.Groups {
		g.endOf(e)
	}
}

// endOf ends the group's lease if it is of e's holder. Where that lease had
// ended before, on grounds no better, it improves what is known of its end.
func (g *Group) endOf(e Ending) {
	if l := g.Lease; l != nil && l.Holder == e.Holder {
		e.Epoch = l.Epoch
		g.end(e)
		return
	}
	if was, ok := g.Ended[e.Holder]; ok && was.Grade <= e.Grade {
		e.Epoch = was.Epoch
		g.Ended[e.Holder] = e
	}
	if g.Last.Holder == e.Holder && g.Last.Grade <= e.Grade {
		e.Epoch = g.Last.Epoch
		g.Last = e
	}
}

// started notes that services run under a lease: from here on the grant before
// it matters to nobody's promise.
func (a *applying) started(c *Cluster, cmd Started) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	if c.shotAt(cmd.Caller.Node) {
		return refuse(MandateBegun, "a shot at %s has begun", cmd.Caller.Node)
	}
	if !holds(g, cmd.Caller, cmd.Epoch) {
		return refuse(NotHolder, "%s does not hold %s under epoch %d", cmd.Caller.Node, cmd.Group, cmd.Epoch)
	}
	if g.Lease.Started {
		return done("already noted")
	}
	g.Lease.Started, g.Ended = true, nil
	if g.standsIn(cmd.Caller.Node) {
		g.StandIn = nil
	}
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
	if r, ok := g.Reports[node]; ok && r.Epoch <= cmd.Epoch {
		r.Runs = false // what it reported to a learning witness is overtaken
		g.Reports[node] = r
	}
	receipt := Ending{Holder: node, Epoch: cmd.Epoch, Cause: ByReceipt, Grade: E5}
	was, ended := g.Ended[node]
	if ended && was.Epoch == cmd.Epoch && was.Grade < E5 && (g.Lease == nil || g.Lease.Holder != node) {
		g.endOf(receipt)
		v := done("%s has stopped %s, whose lease %d had ended on weaker grounds", node, cmd.Group, cmd.Epoch)
		a.record(c, cmd.Group, node, "release", v)
		return v
	}
	if !holds(g, cmd.Caller, cmd.Epoch) {
		return refuse(NotHolder, "%s does not hold %s under epoch %d; there is nothing to give back", node, cmd.Group, cmd.Epoch)
	}
	if cmd.Started {
		g.Ended = nil
	}
	g.end(receipt)
	if cmd.Failed {
		g.fail(node, cmd.Reason)
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

func (g *Group) fail(node NodeID, why string) {
	if g.Failed == nil {
		g.Failed = map[NodeID]string{}
	}
	if why == "" {
		why = "no reason was given"
	}
	g.Failed[node] = why
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
