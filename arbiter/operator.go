package arbiter

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/internal/mutant"
)

// define declares a cluster, or takes a new definition of a known one.
func (a *applying) define(cmd Define) Verdict {
	def := cmd.Definition
	if err := def.Check(); err != nil {
		return refuse(BadDefinition, "%v", err)
	}
	c, ok := a.state.Clusters[def.Cluster]
	if !ok {
		c = &Cluster{Nodes: map[NodeID]*Node{}, Groups: map[GroupID]*Group{}, Learning: true}
		a.state.Clusters[def.Cluster] = c
	} else if v := c.mayBecome(&def); v != nil {
		return *v
	}
	def.Groups = cloneGroups(def.Groups)
	c.Definition = def
	for _, g := range c.Groups {
		if g.Lease != nil {
			g.Lease.TTL = max(g.Lease.TTL, def.Timing.TTL)
		}
	}
	for _, id := range def.Nodes {
		if c.Nodes[id] == nil {
			c.Nodes[id] = &Node{}
		}
		c.Nodes[id].Twins = false
	}
	for id := range c.Groups {
		if _, ok := def.Groups[id]; !ok {
			delete(c.Groups, id)
		}
	}
	for id := range def.Groups {
		if c.Groups[id] == nil {
			c.Groups[id] = &Group{}
		}
	}
	v := done("cluster %s is declared by %s: nodes %s and %s, %d group(s)", def.Cluster, cmd.By, def.Nodes[0], def.Nodes[1], len(def.Groups))
	a.record(c, "", "", "define", v)
	return v
}

// mayBecome refuses a definition that would pull a group or a node away from
// under a lease.
func (c *Cluster) mayBecome(def *Definition) *Verdict {
	for _, id := range c.Definition.Nodes {
		if !slices.Contains(def.Nodes[:], id) {
			return refused(BadDefinition, "cluster %s: node %s cannot be renamed or replaced while the cluster is declared", def.Cluster, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		g := c.Groups[id]
		d, ok := def.Groups[id]
		if g.Lease != nil && !ok {
			return refused(BadDefinition, "cluster %s: group %s is held by %s; stop it before you remove it", def.Cluster, id, g.Lease.Holder)
		}
		if g.Recovery != nil && !ok {
			return refused(BadDefinition, "cluster %s: recovery %s of group %s is under way; see that it ends, or cancel it, before you remove the group", def.Cluster, g.Recovery.ID, id)
		}
		if ok && d.DRBD != c.Definition.Groups[id].DRBD {
			return refused(BadDefinition, "cluster %s: group %s cannot gain or lose its DRBD resource; remove it and add another", def.Cluster, id)
		}
	}
	if c.Mandate != nil {
		return refused(MandateUnderWay, "cluster %s: mandate %d is under way; try again when it is over", def.Cluster, c.Mandate.ID)
	}
	return nil
}

// order asks for a planned change of holder, places a group that nobody holds,
// or withdraws either.
func (a *applying) order(c *Cluster, cmd Order) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	v := c.mayOrder(g, cmd)
	if v == nil {
		d := c.place(g, cmd)
		v = &d
	}
	a.record(c, cmd.Group, cmd.To, "switchover", *v)
	return *v
}

func (c *Cluster) place(g *Group, cmd Order) Verdict {
	if cmd.To == "" {
		g.Order = nil
		return done("the switchover of %s is withdrawn: %s", cmd.Group, cmd.Reason)
	}
	g.Order = &Switch{To: cmd.To, Epoch: epochOf(g.Lease), By: cmd.By}
	delete(g.Failed, cmd.To)
	by := cmd.By
	if cmd.Reason != "" {
		by += ": " + cmd.Reason
	}
	if g.Lease == nil {
		return done("%s is to be started on %s, says %s", cmd.Group, cmd.To, by)
	}
	if mutant.On(mutant.OrderFrees) {
		g.end(Ending{Holder: g.Lease.Holder, Epoch: g.Lease.Epoch, Cause: ByReceipt, Grade: E5})
		return done("%s is free for %s", cmd.Group, cmd.To)
	}
	return done("%s is to move from %s to %s, says %s", cmd.Group, g.Lease.Holder, cmd.To, by)
}

func (c *Cluster) mayOrder(g *Group, cmd Order) *Verdict {
	n, known := c.Nodes[cmd.To]
	switch {
	case cmd.To == "" && g.Order == nil:
		return refused(NothingToDo, "no switchover of %s is under way", cmd.Group)
	case cmd.To == "":
		return nil
	case !known:
		return refused(UnknownNode, "cluster %s has no node %s", cmd.Cluster, cmd.To)
	case c.Learning:
		return refused(WitnessLearning, "this witness is learning what the nodes know")
	case g.Lease != nil && g.Lease.Holder == cmd.To:
		return refused(NothingToDo, "%s runs %s already", cmd.To, cmd.Group)
	case c.Mandate != nil:
		return refused(MandateUnderWay, "mandate %d against %s is under way", c.Mandate.ID, c.Mandate.Target)
	case cmd.Target == nil:
		return refused(NotInStep, "%s has not been heard; it cannot take %s over", cmd.To, cmd.Group)
	case g.Lease != nil && c.Definition.Groups[cmd.Group].DRBD && !cmd.Target.InStep():
		return refused(NotInStep, "%s's copy of %s is not connected and UpToDate on all volumes; a switchover would lose writes", cmd.To, cmd.Group)
	}
	was := g.Order
	g.Order = &Switch{To: cmd.To} // the operator's approval, for groups in manual mode
	v := c.admit(n, cmd.Group, cmd.To, cmd.Target)
	g.Order = was
	return v
}

func (a *applying) standby(c *Cluster, cmd Standby) Verdict {
	n, ok := c.Nodes[cmd.Node]
	if !ok {
		return refuse(UnknownNode, "cluster %s has no node %s", cmd.Cluster, cmd.Node)
	}
	n.Standby = cmd.On
	v := done("%s takes groups again, says %s", cmd.Node, cmd.By)
	if cmd.On {
		for _, g := range c.Groups {
			g.unfit(cmd.Node)
		}
		v = done("%s is in standby and takes no groups, says %s", cmd.Node, cmd.By)
	}
	a.record(c, "", cmd.Node, "standby", v)
	return v
}

// ends says how long maintenance lasts, so that a slip of the key is seen at once.
func (m Maintenance) ends() string {
	if m.Until == 0 {
		return "until somebody ends it"
	}
	return "until " + time.Unix(m.Until, 0).UTC().Format("2006-01-02 15:04 UTC")
}

func (a *applying) maintenance(c *Cluster, cmd Maintenance) Verdict {
	c.Maintenance, c.Until = cmd.On, cmd.Until
	v := done("maintenance of %s is over, says %s", cmd.Cluster, cmd.By)
	if cmd.On {
		v = done("%s is in maintenance %s: nothing is taken over, says %s", cmd.Cluster, cmd.ends(), cmd.By)
	}
	a.record(c, "", "", "maintenance", v)
	return v
}

// confirm takes an operator's word that a node is off. It ends the leases that
// the operator was shown, and no later one.
func (a *applying) confirm(c *Cluster, cmd Confirm) Verdict {
	v := c.confirmed(cmd)
	a.record(c, "", cmd.Node, "fence confirm", v)
	return v
}

func (c *Cluster) confirmed(cmd Confirm) Verdict {
	if _, ok := c.Nodes[cmd.Node]; !ok {
		return refuse(UnknownNode, "cluster %s has no node %s", cmd.Cluster, cmd.Node)
	}
	if cmd.Alive && !mutant.On(mutant.WordWhileHeard) {
		return refuse(TargetAlive, "%s was heard a moment ago, here or by the other node, perhaps by its DRBD connection alone, so it is not off; look again", cmd.Node)
	}
	ended := 0
	for _, g := range c.Groups {
		if l := g.Lease; l != nil && l.Holder == cmd.Node && slices.Contains(cmd.Epochs, l.Epoch) {
			g.end(Ending{Holder: cmd.Node, Epoch: l.Epoch, Cause: ByOperator, Grade: E1})
			ended++
		}
	}
	if ended == 0 {
		return refuse(NothingToDo, "%s holds none of the leases named; sbctl status shows who holds what", cmd.Node)
	}
	c.voidOpen(cmd.Node)
	return done("%s is off, says %s: %s; %d lease(s) ended with grade E1", cmd.Node, cmd.By, cmd.Reason, ended)
}
