package arbiter

// mandate gives the caller the permission to shoot target, to begin later.
func (c *Cluster) mandate(cmd Acquire, target NodeID) Verdict {
	c.Mandates++
	c.Mandate = &Mandate{
		ID: c.Mandates, Target: target, Boot: c.Nodes[target].Boot,
		Executor: cmd.Caller.Node, Group: cmd.Group, Phase: Open,
	}
	return Verdict{
		Kind: FenceFirst, Mandate: c.Mandates, Holder: target, Epoch: epochOf(c.Groups[cmd.Group].Lease),
		Sentence: sentence("mandate %d: %s is silent; %s may shoot it and is then granted %s", c.Mandates, target, cmd.Caller.Node, cmd.Group),
	}
}

// shotAt reports whether a shot at node may be on its way.
func (c *Cluster) shotAt(node NodeID) bool {
	return c.Mandate != nil && c.Mandate.Target == node && c.Mandate.Phase != Open
}

// voidOpen takes back a mandate against node that has not begun.
func (c *Cluster) voidOpen(node NodeID) {
	if c.Mandate != nil && c.Mandate.Target == node && c.Mandate.Phase == Open {
		c.Mandate = nil
	}
}

// begin is the one question before a shot, and its answer the permission.
func (a *applying) begin(c *Cluster, n *Node, cmd Begin) Verdict {
	v := c.mayBegin(n, cmd)
	if v.Kind == Permitted {
		c.Mandate.Phase, c.Mandate.Readings = Begun, cmd.Readings
	}
	var group GroupID
	if c.Mandate != nil {
		group = c.Mandate.Group
	}
	a.record(c, group, cmd.Caller.Node, "begin", v)
	return v
}

func (c *Cluster) mayBegin(n *Node, cmd Begin) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || m.Executor != cmd.Caller.Node || m.Phase != Open {
		return refuse(MandateOver, "mandate %d is not open for %s", cmd.Mandate, cmd.Caller.Node)
	}
	if v := c.ready(cmd.Caller); v != nil {
		return *v
	}
	if n.Standby || n.Twins || c.Maintenance {
		c.Mandate = nil
		return refuse(MandateOver, "%s may not be granted anything now, so nobody is shot for it", cmd.Caller.Node)
	}
	g := c.Groups[m.Group]
	j := cmd.Judgement
	if c.Nodes[m.Target].Boot != m.Boot || j.Epoch != epochOf(g.Lease) || g.Lease != nil && !j.Suspected && !j.Expired {
		c.Mandate = nil
		return refuse(TargetAlive, "%s has been heard again; nobody is shot", m.Target)
	}
	return Verdict{
		Kind: Permitted, Mandate: m.ID, Holder: m.Target,
		Sentence: sentence("mandate %d: %s shoots %s now", m.ID, m.Executor, m.Target),
	}
}

// reportFence takes the result of a shot. A proof ends the target's leases and
// grants the group that was asked for, if the rules still allow it.
func (a *applying) reportFence(c *Cluster, n *Node, cmd ReportFence) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || m.Executor != cmd.Caller.Node || m.Phase == Open {
		return refuse(MandateOver, "mandate %d is not under way for %s; nothing was recorded", cmd.Mandate, cmd.Caller.Node)
	}
	v := a.fenced(c, n, cmd)
	a.record(c, m.Group, cmd.Caller.Node, "fence", v)
	return v
}

func (a *applying) fenced(c *Cluster, n *Node, cmd ReportFence) Verdict {
	m := c.Mandate
	proven := cmd.Grade >= E3 && cmd.Failure == ""
	switch {
	case m.Phase == Settled:
		if !cmd.InFlight {
			c.Mandate = nil
		}
		return done("%s had given up its leases by itself before the shot was over", m.Target)
	case cmd.Alive && proven:
		c.unshot(cmd, "it was heard after its power had been read as off")
		return refuse(TargetAlive, "%s was heard after its power had been read as off: the reading is wrong", m.Target)
	case !proven:
		why := cmd.Failure
		if why == "" {
			why = sentence("the shot reached grade %s only", cmd.Grade)
		}
		c.unshot(cmd, why)
		return refuse(NotProven, "%s is not proven off: %s", m.Target, why)
	}
	c.Mandate = nil
	c.endAll(m.Target, ByFence, cmd.Grade, m.ID)
	return c.reward(n, m, cmd)
}

// reward grants the group that the shot was fired for.
func (c *Cluster) reward(n *Node, m *Mandate, cmd ReportFence) Verdict {
	g := c.Groups[m.Group]
	v := c.ready(cmd.Caller)
	if v == nil {
		v = c.admit(n, m.Group, cmd.Caller.Node, &cmd.Evidence)
	}
	switch {
	case v != nil:
		out := done("%s is proven off (%s); %s is not granted: %s", m.Target, cmd.Grade, m.Group, v.Sentence)
		out.Reason = v.Reason
		return out
	case g.Lease != nil || !c.graded(m.Group, cmd.Caller.Node) || g.Order != nil && g.Order.To != cmd.Caller.Node:
		return done("%s is proven off (%s)", m.Target, cmd.Grade)
	}
	out := c.grant(m.Group, cmd.Caller, cmd.Evidence.Watchdog)
	out.Mandate = m.ID
	return out
}

// unshot notes that a shot proved nothing, and closes its mandate unless the
// shot may still land.
func (c *Cluster) unshot(cmd ReportFence, why string) {
	c.blame(why)
	if !cmd.InFlight {
		c.Mandate = nil
	}
}

func (c *Cluster) blame(why string) {
	for _, g := range c.Groups {
		if g.Lease != nil && g.Lease.Holder == c.Mandate.Target {
			g.Lease.Unshot = why
		}
	}
}

// endMandate closes a mandate on the leader's conclusion.
func (a *applying) endMandate(c *Cluster, cmd EndMandate) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || m.Phase != cmd.Phase {
		return refuse(MandateOver, "mandate %d is not %s any more", cmd.Mandate, cmd.Phase)
	}
	if m.Phase == Begun {
		c.blame(cmd.Reason)
	}
	c.Mandate = nil
	v := done("mandate %d against %s is over: %s", m.ID, m.Target, cmd.Reason)
	a.record(c, m.Group, m.Target, "mandate over", v)
	return v
}
