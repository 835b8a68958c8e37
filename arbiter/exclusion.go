package arbiter

import (
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// exclude records that the copy of the caller's peer is stale, so that the
// caller may acknowledge writes alone.
func (a *applying) exclude(c *Cluster, cmd Exclude) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	v := a.mayExclude(c, g, cmd)
	if v == nil {
		d := c.exclusion(g, cmd, a.state.Version.Incarnation)
		g.dateStale(c.Definition.Peer(cmd.Caller.Node), a.entry.At)
		v = &d
	}
	a.record(c, cmd.Group, cmd.Caller.Node, "exclude", *v)
	return *v
}

func (a *applying) mayExclude(c *Cluster, g *Group, cmd Exclude) *Verdict {
	node := cmd.Caller.Node
	peer := c.Definition.Peer(node)
	switch {
	case !c.Definition.Groups[cmd.Group].DRBD:
		return refused(NoDRBD, "group %s has no DRBD resource, so nobody's copy of it can be stale", cmd.Group)
	case c.Learning:
		return refused(WitnessLearning, "this witness is learning what the nodes know")
	case g.Lease != nil && g.Lease.Holder == peer:
		return refused(GrantedToPeer, "%s was granted %s under epoch %d", peer, cmd.Group, g.Lease.Epoch)
	case c.shotAt(node) && !mutant.On(mutant.ExcludeAfterBegin):
		return refused(MandateBegun, "a shot at %s has begun", node)
	case !holds(g, cmd.Caller, cmd.Epoch):
		return refused(NotHolder, "%s does not hold %s under epoch %d", node, cmd.Group, cmd.Epoch)
	case (!cmd.Judgement.InTime || cmd.Judgement.Epoch != cmd.Epoch) && !mutant.On(mutant.ExcludeOutOfTime):
		return refused(RenewFirst, "%s has not renewed %s in time; renew first, then exclude", node, cmd.Group)
	}
	if v := a.notLost(c, g, node, cmd.Judgement, &cmd.Evidence); v != nil {
		return v
	}
	return c.mayExcludeCopy(g, cmd)
}

func (c *Cluster) mayExcludeCopy(g *Group, cmd Exclude) *Verdict {
	node := cmd.Caller.Node
	instead := cmd.Promoting && !g.Lease.Started && g.standsIn(node)
	if _, ok := g.Excluded[node]; (ok || cmd.Evidence.OwnWord != 0) && !instead && !mutant.On(mutant.ExcludeLastCopy) {
		return refused(LastCopy, "%s's own copy of %s is excluded; the last copy that is not cannot be excluded as well", node, cmd.Group)
	}
	fit := cmd.Evidence.OwnUpToDate()
	if cmd.Promoting && !g.Lease.Started {
		fit = cmd.Evidence.OwnUsable() || instead && cmd.Evidence.OwnWhole()
	}
	if !fit && !mutant.On(mutant.ExcludeWithBadDisk) {
		return refused(DiskUnusable, "%s's own copy of %s is not UpToDate on every volume, so it cannot go on alone", node, cmd.Group)
	}
	return nil
}

func (c *Cluster) exclusion(g *Group, cmd Exclude, incarnation uint32) Verdict {
	node := cmd.Caller.Node
	peer := c.Definition.Peer(node)
	c.voidOpen(mutant.Weak(mutant.ExcludeVoidsNothing, node, ""))
	g.unfit(peer)
	stands := g.willStandIn(node)
	if stands {
		g.stand(node)
	}
	e := Exclusion{
		Number:  c.number(incarnation),
		OwnWord: g.Excluded[peer].OwnWord, By: node, Epoch: cmd.Epoch, Discard: g.Excluded[peer].Discard,
		Lost: stands || g.Excluded[peer].Lost, Since: g.Excluded[peer].Since,
	}
	g.exclude(peer, e)
	v := done("%s's copy of %s is excluded (%s) at the word of %s under epoch %d", peer, cmd.Group, e.Number, node, cmd.Epoch)
	if stands {
		v.Sentence += sentence("; %s's, which was stale, stands in for it", node)
	}
	v.Number, v.Epoch = e.Number, cmd.Epoch
	return v
}

// number draws the next exclusion number.
func (c *Cluster) number(incarnation uint32) ExclusionNumber {
	c.Exclusions++
	return ExclusionNumber(uint64(incarnation)<<32 | uint64(c.Exclusions))
}

// unfit withdraws an order to move the group to a node that cannot take it any
// more: the holder would give it back for nobody.
func (g *Group) unfit(node NodeID) {
	if g.Order != nil && g.Order.To == node {
		g.Order = nil
	}
}

func (g *Group) exclude(node NodeID, e Exclusion) {
	if g.Excluded == nil {
		g.Excluded = map[NodeID]Exclusion{}
	}
	g.Excluded[node] = e
	if g.standsIn(node) {
		g.StandIn = nil // it was about what was stale before
	}
}

// dateStale notes since when a copy is stale, if that is not known.
func (g *Group) dateStale(node NodeID, at int64) {
	if e := g.Excluded[node]; e.Since == 0 {
		e.Since = at
		g.Excluded[node] = e
	}
}

// ownWord records a node's own word that its copy is stale.
func (a *applying) ownWord(c *Cluster, cmd OwnWord) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	if !c.Definition.Groups[cmd.Group].DRBD {
		return refuse(NoDRBD, "group %s has no DRBD resource, so nobody's copy of it can be stale", cmd.Group)
	}
	node := cmd.Caller.Node
	e := g.Excluded[node]
	if !g.NewWord(node, cmd.Number) {
		return done("already noted")
	}
	g.unfit(node)
	e.OwnWord = cmd.Number
	g.exclude(node, e)
	g.dateStale(node, a.entry.At)
	v := done("%s says that its copy of %s is stale (its record %d)", node, cmd.Group, cmd.Number)
	a.record(c, cmd.Group, node, "own word", v)
	return v
}

// NewWord reports whether a node's own word of that number is news: neither
// noted already nor readmitted since.
func (g *Group) NewWord(node NodeID, number uint64) bool {
	return number > max(g.Excluded[node].OwnWord, g.Cleared[node])
}

func (g *Group) clear(node NodeID, e Exclusion) {
	delete(g.Excluded, node)
	g.StandIn = nil
	if e.OwnWord == 0 {
		return
	}
	if g.Cleared == nil {
		g.Cleared = map[NodeID]uint64{}
	}
	g.Cleared[node] = max(g.Cleared[node], e.OwnWord)
}

// noGoodCopy reports whether both copies are excluded: a holder whose disk failed
// before the peer that it had excluded was in step again.
func (g *Group) noGoodCopy(d Definition) bool {
	for _, n := range d.Nodes {
		if _, stale := g.Excluded[n]; !stale {
			return false
		}
	}
	return true
}

// readmit clears an exclusion by the numbers that both sides knew while they
// were in step. A later exclusion has other numbers and stays.
func (a *applying) readmit(c *Cluster, cmd Readmit) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	e, ok := g.Excluded[cmd.Node]
	var v Verdict
	switch {
	case c.Learning:
		v = refuse(WitnessLearning, "this witness is learning what the nodes know")
	case c.shotAt(cmd.Caller.Node):
		v = refuse(MandateBegun, "a shot at %s has begun", cmd.Caller.Node)
	case !ok:
		return done("%s's copy of %s is not excluded", cmd.Node, cmd.Group)
	case (e.Number != cmd.Number || e.OwnWord != cmd.OwnWord) && !(mutant.On(mutant.ReadmitByEpoch) && e.Epoch == epochOf(g.Lease)):
		v = refuse(NotLatest, "%s's copy of %s is excluded by %s (own record %d), not by %s (%d)",
			cmd.Node, cmd.Group, e.Number, e.OwnWord, cmd.Number, cmd.OwnWord)
	case g.Recovery.Apart() && !g.Recovery.at(recovery.FollowResync) && g.Recovery.Victim() == cmd.Node && !mutant.On(mutant.ReadmittedTooSoon):
		v = refuse(RecoveryUnderWay, "recovery %s of %s has not brought the copies together yet", g.Recovery.ID, cmd.Group)
	case g.noGoodCopy(c.Definition) && !mutant.On(mutant.AlikeIsGood):
		// Whichever way DRBD has copied, the source lacked something.
		v = refuse(NoGoodCopy, "both copies of %s are stale, each in its own way: that they are alike now does not make them good", cmd.Group)
	case !cmd.Evidence.InStep():
		v = refuse(NotInStep, "%s is readmitted only while both copies are connected and UpToDate on all volumes", cmd.Node)
	default:
		g.clear(cmd.Node, e)
		v = done("%s has resynchronised %s and is readmitted", cmd.Node, cmd.Group)
	}
	a.record(c, cmd.Group, cmd.Node, "readmit", v)
	if v.OK() {
		a.readmitted(c, g)
	}
	return v
}
