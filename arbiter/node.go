package arbiter

import "slices"

// nodeUp takes a node's report: the first message of every life of its agent.
func (a *applying) nodeUp(cmd NodeUp) Verdict {
	c, ok := a.state.Clusters[cmd.Caller.Cluster]
	if !ok {
		return unknownCluster(cmd.Caller.Cluster)
	}
	n, ok := c.Nodes[cmd.Caller.Node]
	if !ok {
		return refuse(UnknownNode, "cluster %s has no node %s", cmd.Caller.Cluster, cmd.Caller.Node)
	}
	v := a.introduce(c, n, cmd)
	a.record(c, "", cmd.Caller.Node, "report", v)
	return v
}

func (a *applying) introduce(c *Cluster, n *Node, cmd NodeUp) Verdict {
	caller := cmd.Caller
	if cmd.Report.Fresh && caller.Incarnation <= n.Incarnation {
		// An empty store counts from one again; the witness remembers for it.
		caller.Incarnation = n.Incarnation + 1
	}
	if v := c.impostor(n, caller); v != nil {
		return *v
	}
	if n.Boot != caller.Boot {
		c.newBoot(n, caller, cmd.Report)
	}
	if n.Incarnation != caller.Incarnation {
		n.Incarnation, n.Answers, n.Newest = caller.Incarnation, nil, 0
	}
	if caller.Floor > c.Epoch && !c.Learning {
		c.forget()
	}
	c.learn(n, caller, cmd.Report)
	v := done("%s is up: boot %s, agent start %d", caller.Node, caller.Boot, caller.Incarnation)
	v.Incarnation = caller.Incarnation
	return v
}

// impostor refuses identities that went back or are used by two machines.
func (c *Cluster) impostor(n *Node, caller Caller) *Verdict {
	switch {
	case slices.Contains(n.Superseded, caller.Boot):
		if caller.Incarnation > n.Incarnation {
			n.Twins = true
			return refused(TwinIdentity, "boot %s of %s came back after a later one: two machines use this identity; switch one off", caller.Boot, caller.Node)
		}
		return refused(StaleBoot, "%s has started anew since boot %s", caller.Node, caller.Boot)
	case n.Boot == caller.Boot && caller.Incarnation < n.Incarnation:
		return refused(StaleAgent, "the agent on %s has been restarted since start %d", caller.Node, caller.Incarnation)
	case n.Boot != "" && n.Boot != caller.Boot && caller.Incarnation <= n.Incarnation:
		return refused(RolledBack, "the store of %s counts agent start %d, but start %d was seen: its disk was rolled back. "+
			"Stop sbagent there, remove its state directory, let its data resynchronise in full, and start sbagent again",
			caller.Node, caller.Incarnation, n.Incarnation)
	}
	return nil
}

// newBoot proves the node's earlier life dead. A node that runs a group by its
// peer's word keeps it under its new boot id.
func (c *Cluster) newBoot(n *Node, caller Caller, report Report) {
	if n.Boot != "" {
		n.Superseded = lastOf(append(n.Superseded, n.Boot), keptBoots)
	}
	n.Boot = caller.Boot
	shot := c.shotAt(caller.Node)
	kept := map[GroupID]*Lease{}
	for id, g := range c.Groups {
		r := report.Groups[id]
		if l := g.Lease; l != nil && l.Holder == caller.Node && r.Runs && r.Epoch == l.Epoch && !shot {
			kept[id] = l
			g.Lease = nil
		}
	}
	c.endAll(caller.Node, ByBoot, E5, 0)
	for id, l := range kept {
		l.Boot = caller.Boot
		c.Groups[id].Lease = l
	}
	c.voidOpen(caller.Node)
	if shot {
		c.Mandate.Phase = Settled
	}
}

// forget makes the cluster learn again what its nodes know.
func (c *Cluster) forget() {
	c.Learning, c.Mandate = true, nil
	for _, n := range c.Nodes {
		n.Reported, n.Answers = false, nil
	}
	for _, g := range c.Groups {
		g.Reports, g.Order = nil, nil
	}
}

// learn collects reports until both nodes have spoken.
func (c *Cluster) learn(n *Node, caller Caller, report Report) {
	if !c.Learning {
		return
	}
	n.Reported = true
	c.Epoch = max(c.Epoch, caller.Floor)
	for id, r := range report.Groups {
		g, ok := c.Groups[id]
		if !ok {
			continue
		}
		if g.Reports == nil {
			g.Reports = map[NodeID]GroupReport{}
		}
		g.Reports[caller.Node] = r
		c.Epoch = max(c.Epoch, r.Epoch)
	}
	for _, m := range report.Mandates {
		// A shot of an earlier memory may still land: its target gets nothing
		// before the leader has waited out the longest deadline.
		c.Mandates = max(c.Mandates, m)
		c.Mandate = &Mandate{ID: m, Target: c.Definition.Peer(caller.Node), Executor: caller.Node, Phase: Settled}
	}
	for _, other := range c.Nodes {
		if !other.Reported {
			return
		}
	}
	c.learnt()
}

// learnt ends the learning. Epochs and exclusion numbers go on far above
// everything that a lost memory may have given out.
func (c *Cluster) learnt() {
	if c.Epoch > 0 {
		c.Epoch = (c.Epoch + 1<<32) / 4 * 4
	}
	for id, g := range c.Groups {
		c.learntGroup(id, g)
	}
	c.Learning = false
}

func (c *Cluster) learntGroup(id GroupID, g *Group) {
	g.Lease = nil
	var last GroupReport
	for _, node := range c.Definition.Nodes {
		r := g.Reports[node]
		if r.Epoch > last.Epoch || r.Epoch == last.Epoch && r.Runs {
			last = r
		}
		if r.Runs && (g.Lease == nil || r.Epoch > g.Lease.Epoch) {
			g.Lease = &Lease{Holder: node, Boot: c.Nodes[node].Boot, Epoch: r.Epoch, Started: true}
		}
		g.learnExclusion(node, r)
		g.learnObtained(c.Definition.Peer(node), node, r)
		g.Begun = g.Begun || r.Epoch > 0
	}
	if g.Lease == nil && last.Epoch > 0 {
		// Both have said, under their present boot ids, that they run nothing.
		g.Last = Ending{Holder: last.Holder, Epoch: last.Epoch, Cause: ByReceipt, Grade: E5}
	}
	g.Reports, g.Clock = nil, nil
}

func (g *Group) learnExclusion(node NodeID, r GroupReport) {
	if r.Excluded == 0 && r.OwnWord == 0 {
		return
	}
	e := g.Excluded[node]
	e.Number, e.OwnWord = max(e.Number, r.Excluded), max(e.OwnWord, r.OwnWord)
	g.exclude(node, e)
}

func (g *Group) learnObtained(peer, by NodeID, r GroupReport) {
	if r.Obtained == 0 {
		return
	}
	e := g.Excluded[peer]
	if r.Obtained >= e.Number {
		e.Number, e.By, e.Epoch = r.Obtained, by, r.Epoch
	}
	g.exclude(peer, e)
}

// renounce begins a new incarnation of this memory.
func (a *applying) renounce(cmd Renounce) Verdict {
	s := a.state
	if !cmd.Shown.Ahead(s.Version) {
		return refuse(NothingToDo, "version %+v is not ahead of this memory", cmd.Shown)
	}
	s.Version.Incarnation = max(s.Version.Incarnation, cmd.Shown.Incarnation) + 1
	s.Version.Starts = 1
	v := done("an agent has seen incarnation %d, leadership %d, entry %d of this witness, which are not in its memory: "+
		"the memory is older than its answers, so incarnation %d begins and learns from the nodes",
		cmd.Shown.Incarnation, cmd.Shown.Starts, cmd.Shown.Index, s.Version.Incarnation)
	for _, c := range s.Clusters {
		c.Exclusions = 0
		c.forget()
		a.record(c, "", "", "new incarnation", v)
	}
	return v
}
