package arbiter

import (
	"maps"
	"slices"

	"sbarbiter/internal/mutant"
)

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
	a.found(c, cmd.Caller.Node)
	v := a.introduce(c, n, cmd)
	a.record(c, "", cmd.Caller.Node, "report", v)
	return v
}

func (a *applying) introduce(c *Cluster, n *Node, cmd NodeUp) Verdict {
	caller := cmd.Caller
	if v := plausible(caller, cmd.Report); v != nil {
		return *v
	}
	if v := returned(n, cmd); v != nil {
		return *v
	}
	again := n.Boot == caller.Boot && cmd.Report.Since != 0 && cmd.Report.Since == n.Since
	if cmd.Report.Fresh && caller.Incarnation <= n.Incarnation {
		if v := n.number(&caller, cmd.Report, again); v != nil {
			return *v
		}
	}
	if v := c.impostor(n, caller, cmd.Report); v != nil {
		if v.Reason == RolledBack {
			c.distrust(caller.Node, a.state.Version.Incarnation)
		}
		return *v
	}
	if n.Boot != caller.Boot {
		c.newBoot(n, caller, cmd.Report)
	}
	if n.Incarnation != caller.Incarnation {
		n.Incarnation, n.Answers, n.Newest = caller.Incarnation, nil, 0
	}
	n.Since = cmd.Report.Since
	n.Floor = max(n.Floor, caller.Floor)
	if cmd.Report.Fresh && !again {
		n.Floor = caller.Floor
	}
	if caller.Floor > c.Epoch && !c.Learning {
		// Numbers given by the lost memory must not be given again.
		c.Exclusions += 1 << 20
		c.forget()
		a.forgetRecoveries(c)
	}
	c.learn(n, caller, cmd.Report, a.state.Version.Incarnation)
	v := done("%s is up: boot %s, agent start %d", caller.Node, caller.Boot, caller.Incarnation)
	v.Incarnation = caller.Incarnation
	return v
}

// number gives a life of an agent whose store was empty, and counts from one again, its
// number: the witness remembers for it. The same life keeps the one it was given:
// whoever hears late that it was introduced asks to be so again. And what a life before
// the present one has sent, and was long on its way, introduces nobody.
func (n *Node) number(caller *Caller, report Report, again bool) *Verdict {
	if n.Boot == caller.Boot && report.Since != 0 && report.Since < n.Since {
		return refused(StaleAgent, "the agent on %s has been restarted since it sent this", caller.Node)
	}
	caller.Incarnation = n.Incarnation
	if !again || mutant.On(mutant.FreshNumberedAnew) {
		caller.Incarnation++
	}
	return nil
}

// plausible refuses a report that no real history can have led to.
func plausible(caller Caller, report Report) *Verdict {
	bad := caller.Boot == "" || caller.Incarnation >= implausible || caller.Floor >= implausible
	for _, r := range report.Groups {
		bad = bad || r.Epoch >= implausible || r.Excluded >= implausible || r.Obtained >= implausible
	}
	for _, m := range report.Mandates {
		bad = bad || m >= implausible
	}
	if !bad {
		return nil
	}
	return refused(Implausible, "%s reports no boot id, or a counter that nothing can have counted to: its store is damaged. "+
		"Stop sbagent there, remove its state directory, and start it again", caller.Node)
}

// returned refuses a boot that has been superseded. Two machines use the
// identity where that boot has a later start of its agent to show; an empty
// store counts from one again and shows nothing.
func returned(n *Node, cmd NodeUp) *Verdict {
	caller := cmd.Caller
	if !slices.Contains(n.Superseded, caller.Boot) {
		return nil
	}
	if caller.Incarnation <= n.Incarnation {
		return refused(StaleBoot, "%s has started anew since boot %s", caller.Node, caller.Boot)
	}
	n.Twins = true
	return refused(TwinIdentity, "boot %s of %s came back after a later one: two machines use this identity; switch one off", caller.Boot, caller.Node)
}

// impostor refuses identities whose counters went back.
func (c *Cluster) impostor(n *Node, caller Caller, report Report) *Verdict {
	switch {
	case n.Boot == caller.Boot && caller.Incarnation < n.Incarnation:
		return refused(StaleAgent, "the agent on %s has been restarted since start %d", caller.Node, caller.Incarnation)
	case n.Boot != "" && n.Boot != caller.Boot && caller.Incarnation <= n.Incarnation:
		return refused(RolledBack, "the store of %s counts agent start %d, but start %d was seen: its disk was rolled back. "+
			"Stop sbagent there, remove its state directory, let its data resynchronise in full, and start sbagent again",
			caller.Node, caller.Incarnation, n.Incarnation)
	case caller.Incarnation > n.Incarnation && caller.Floor < n.Floor && !report.Fresh:
		return refused(RolledBack, "the store of %s knows no epoch above %d, but it has shown %d: its disk was rolled back. "+
			"Stop sbagent there, remove its state directory, let its data resynchronise in full, and start sbagent again",
			caller.Node, caller.Floor, n.Floor)
	}
	return nil
}

// distrust excludes a node whose disk was rolled back: its data went back with
// its counters.
func (c *Cluster) distrust(node NodeID, incarnation uint32) {
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		g := c.Groups[id]
		if e := g.Excluded[node]; e.Number == 0 && c.Definition.Groups[id].DRBD {
			g.unfit(node)
			g.exclude(node, Exclusion{Number: c.number(incarnation), OwnWord: e.OwnWord, Epoch: c.Epoch, Discard: e.Discard, Lost: e.Lost, Since: e.Since})
		}
	}
}

// newBoot proves the node's earlier life dead. A node that runs a group by its
// peer's word keeps it under its new boot id.
func (c *Cluster) newBoot(n *Node, caller Caller, report Report) {
	if n.Boot != "" {
		n.Superseded = lastOf(append(n.Superseded, n.Boot), keptBoots)
	}
	n.Boot = caller.Boot
	shot := c.shotAt(caller.Node)
	for id, g := range c.Groups {
		if runs := report.Groups[id].Runs && !mutant.On(mutant.BootEndsAll); !runs && !mutant.On(mutant.OldLeaseForNewBoot) {
			g.endOf(Ending{Holder: caller.Node, Cause: ByBoot, Grade: E5, Boot: caller.Boot})
		} else if l := g.Lease; l != nil && l.Holder == caller.Node {
			l.Boot, l.Watchdog = caller.Boot, Watchdog{} // nothing is armed yet, as far as is known
		}
	}
	c.voidOpen(caller.Node)
	if shot {
		c.Mandate.Phase = Settled
	}
}

// forget makes the cluster learn again what its nodes know. A shot that may be
// on its way is not forgotten: the leader waits it out.
func (c *Cluster) forget() {
	c.Learning = true
	if m := c.Mandate; m != nil && m.Phase == Open {
		c.Mandate = nil
	} else if m != nil {
		m.Phase = Settled
	}
	for _, n := range c.Nodes {
		n.Reported, n.Answers = false, nil
	}
	for _, g := range c.Groups {
		g.Reports, g.Order, g.StandIn = nil, nil, nil
	}
}

// learn collects reports until both nodes have spoken.
func (c *Cluster) learn(n *Node, caller Caller, report Report, incarnation uint32) {
	if !c.Learning {
		return
	}
	n.Reported = true
	c.Epoch = max(c.Epoch, mutant.Weak(mutant.FloorIgnored, caller.Floor, 0))
	for id, g := range c.Groups {
		r, known := report.Groups[id]
		if !known {
			delete(g.Reports, caller.Node)
			continue
		}
		if g.Reports == nil {
			g.Reports = map[NodeID]GroupReport{}
		}
		g.Reports[caller.Node] = r
	}
	for _, r := range report.Groups {
		c.Epoch = max(c.Epoch, mutant.Weak(mutant.FloorIgnored, r.Epoch, 0))
	}
	for _, m := range mutant.Weak(mutant.MandatesForgotten, report.Mandates, nil) {
		c.inFlight(m, caller.Node)
	}
	for _, other := range c.Nodes {
		if !other.Reported && !mutant.On(mutant.NothingLearnt) {
			return
		}
	}
	c.learnt(incarnation)
}

// inFlight takes note of a shot that an earlier memory permitted and that may
// still land: its target gets nothing before the leader has waited out the
// longest deadline. Where both nodes may shoot, neither gets anything.
func (c *Cluster) inFlight(id MandateID, executor NodeID) {
	c.Mandates = max(c.Mandates, id)
	target := c.Definition.Peer(executor)
	if m := c.Mandate; m != nil && m.Target != target {
		target, id = "", max(m.ID, id)
	}
	c.Mandate = &Mandate{ID: id, Target: target, Executor: executor, Phase: Settled}
}

// learnt ends the learning. Epochs, mandates and exclusion numbers go on far
// above everything that a lost memory may have given out. The one before it may
// have learnt more, from a copy of a disk that is gone, and been lost before anybody
// heard what it gave: so each incarnation has a range of its own, whatever it learnt.
func (c *Cluster) learnt(incarnation uint32) {
	if (c.Epoch > 0 || incarnation > 1) && !mutant.On(mutant.NumbersGivenAgain) {
		c.Epoch = Epoch(above(uint64(c.Epoch), incarnation)) / 4 * 4
		c.Mandates = MandateID(above(uint64(c.Mandates), incarnation))
	}
	for id, g := range c.Groups {
		c.learntGroup(id, g)
		for _, e := range g.Excluded {
			if uint64(e.Number)>>32 == uint64(incarnation) {
				c.Exclusions = max(c.Exclusions, uint32(e.Number))
			}
		}
	}
	c.numberPending(incarnation)
	c.Learning = false
}

// above returns where an incarnation's numbers begin, which has learnt the floor: as
// far above it as it would be had every incarnation before heard of the last one's.
func above(floor uint64, incarnation uint32) uint64 {
	n := uint64(incarnation)
	return max(floor+n<<32, mutant.Weak(mutant.RangeOfTheLast, n*(n+1)/2<<32, 0))
}

// numberPending numbers the exclusions that a holder knows by its peer's word
// alone: without a number nobody could name them, and clear them.
func (c *Cluster) numberPending(incarnation uint32) {
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		g := c.Groups[id]
		for _, node := range c.Definition.Nodes {
			if e, ok := g.Excluded[node]; ok && e.Number == 0 && e.OwnWord == 0 && !mutant.On(mutant.PendingUnnumbered) {
				e.Number = c.number(incarnation)
				g.exclude(node, e)
			}
		}
	}
}

func (c *Cluster) learntGroup(id GroupID, g *Group) {
	last := g.Last
	if l := g.Lease; l != nil {
		last = Ending{Holder: l.Holder, Epoch: l.Epoch}
	}
	g.Lease = nil
	for _, node := range c.Definition.Nodes {
		r := g.Reports[node]
		if r.Epoch > last.Epoch && c.Definition.Peer(r.Holder) != "" {
			last = Ending{Holder: r.Holder, Epoch: r.Epoch}
		}
		if r.Runs && r.Epoch > 0 && (g.Lease == nil || r.Epoch > g.Lease.Epoch) {
			g.Lease = &Lease{Holder: node, Boot: c.Nodes[node].Boot, Epoch: r.Epoch, Started: true, TTL: c.Definition.Timing.TTL}
		}
		if c.Definition.Groups[id].DRBD {
			g.learnExclusion(node, r)
			g.learnObtained(c.Definition.Peer(node), node, r)
		}
		g.Begun = g.Begun || r.Epoch > 0
	}
	ended := g.Ended
	g.Reports, g.Ended = nil, nil
	if g.Lease != nil || last.Epoch == 0 {
		return
	}
	// Both have said, under their present boot ids, that they run nothing. What
	// either of them held besides is not seen off any better by that.
	for _, node := range c.Definition.Nodes {
		e := Ending{Holder: node, Epoch: ended[node].Epoch, Cause: ByReport, Grade: E5}
		if node == last.Holder {
			e.Epoch = last.Epoch
		}
		g.end(e)
	}
	g.Last = g.Ended[last.Holder]
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
	if r.Obtained == 0 && !r.Pending {
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
	if !s.Misses(cmd.Shown) {
		return refuse(NothingToDo, "version %+v is in this memory", cmd.Shown)
	}
	next := max(s.Version.Incarnation, cmd.Shown.Incarnation)
	if next >= 1<<31 {
		return refuse(Implausible, "incarnation %d was shown, and no witness has lost its memory that often: the store of that agent is damaged", next)
	}
	s.Version.Incarnation = next + 1
	s.Version.Starts = 1
	s.Leads = []Leadership{{Starts: 1, Nonce: s.Version.Nonce, Index: a.index}}
	v := done("an agent has seen incarnation %d, leadership %d, entry %d of this witness, which are not in its memory: "+
		"the memory is older than its answers, so incarnation %d begins and learns from the nodes",
		cmd.Shown.Incarnation, cmd.Shown.Starts, cmd.Shown.Index, s.Version.Incarnation)
	for _, id := range slices.Sorted(maps.Keys(s.Clusters)) {
		c := s.Clusters[id]
		c.Exclusions, c.Recoveries = 0, 0
		c.forget()
		a.forgetRecoveries(c)
		a.record(c, "", "", "new incarnation", v)
	}
	return v
}
