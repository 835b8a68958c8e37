package arbiter

import "sbarbiter/internal/mutant"

// acquire answers a node that asks for a group. The first rule that fits
// decides.
func (a *applying) acquire(c *Cluster, n *Node, cmd Acquire) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	v := a.judge(c, n, g, cmd)
	g.date(a.entry.At)
	a.record(c, cmd.Group, cmd.Caller.Node, "acquire", v)
	return v
}

func (a *applying) judge(c *Cluster, n *Node, g *Group, cmd Acquire) Verdict {
	if v := c.ready(cmd.Caller); v != nil {
		return *v
	}
	if v := a.again(c, g, cmd); v != nil {
		return *v
	}
	if v := c.admit(n, cmd.Group, cmd.Caller.Node, &cmd.Evidence); v != nil {
		return *v
	}
	if v := a.notLost(c, g, cmd.Caller.Node, cmd.Judgement, &cmd.Evidence); v != nil {
		return *v
	}
	if v := c.underMandate(g, cmd); v != nil {
		return *v
	}
	if g.Lease == nil {
		if v := c.ordered(g, cmd); v != nil {
			return *v
		}
	}
	if g.Lease == nil && c.graded(cmd.Group, cmd.Caller.Node) {
		if v := c.refuted(g, cmd); v != nil {
			return *v
		}
		if v := c.yields(g, cmd); v != nil {
			return *v
		}
		return c.grant(cmd.Group, cmd.Caller, cmd.Evidence.Watchdog)
	}
	return a.takeover(c, g, cmd)
}

// ready refuses everything that a witness without the whole story must not
// decide.
func (c *Cluster) ready(caller Caller) *Verdict {
	if c.Learning {
		return refused(WitnessLearning, "this witness is learning what the nodes know; it grants nothing before both have reported")
	}
	if caller.Floor > c.Epoch && !mutant.On(mutant.FloorIgnored) {
		return refused(WitnessBehind, "%s has seen epoch %d, this witness knows none above %d", caller.Node, caller.Floor, c.Epoch)
	}
	return nil
}

// again answers a holder that asks for what it holds: the same epoch, unless a
// shot at it may be on its way.
func (a *applying) again(c *Cluster, g *Group, cmd Acquire) *Verdict {
	l := g.Lease
	if l == nil || l.Holder != cmd.Caller.Node || l.Boot != cmd.Caller.Boot {
		return nil
	}
	if c.shotAt(l.Holder) && !mutant.On(mutant.AgainAfterBegin) {
		return refused(MandateBegun, "a shot at %s has begun; it gets nothing before that is over", l.Holder)
	}
	if v := c.excluded(g, cmd.Group, l.Holder, &cmd.Evidence); v != nil {
		return v
	}
	c.voidOpen(l.Holder)
	l.Watchdog, l.Unshot = cmd.Evidence.Watchdog, ""
	return &Verdict{
		Kind: Granted, Holder: l.Holder, Epoch: l.Epoch, Basis: l.Basis,
		Sentence: sentence("%s holds %s under epoch %d and may go on", l.Holder, cmd.Group, l.Epoch),
	}
}

// admit applies the rules about the caller itself: what an operator has said of
// it, its copy of the data, and what it reaches. Every grant passes here.
func (c *Cluster) admit(n *Node, id GroupID, node NodeID, ev *Evidence) *Verdict {
	g, def := c.Groups[id], c.Definition.Groups[id]
	if v := c.allowed(n, id, node); v != nil || mutant.On(mutant.GrantUnchecked) {
		return v
	}
	if v := c.excluded(g, id, node, ev); v != nil {
		return v
	}
	if def.DRBD && !g.Begun && !ev.InStep() {
		return refused(NeverInStep, "group %s was never granted, so its first holder needs both copies connected and UpToDate; let DRBD finish its first sync", id)
	}
	if v := isolated(def, node, ev); v != nil {
		return v
	}
	return g.recovers(id, node)
}

// allowed applies what an operator has said.
func (c *Cluster) allowed(n *Node, id GroupID, node NodeID) *Verdict {
	g, def := c.Groups[id], c.Definition.Groups[id]
	switch {
	case n.Twins:
		return refused(TwinIdentity, "two machines use the identity of %s; switch one off and declare the cluster again with sbctl cluster add", node)
	case c.Maintenance:
		return refused(InMaintenance, "cluster %s is in maintenance; sbctl maintenance off ends it", c.Definition.Cluster)
	case n.Standby:
		return refused(InStandby, "%s is in standby; sbctl unstandby %s ends it", node, node)
	case def.Manual && (g.Order == nil || g.Order.To != node):
		return refused(ManualMode, "group %s is started by an operator only; sbctl switchover %s --to %s does it", id, id, node)
	}
	return nil
}

// excluded applies the rules about the caller's copy.
func (c *Cluster) excluded(g *Group, id GroupID, node NodeID, ev *Evidence) *Verdict {
	if !c.Definition.Groups[id].DRBD {
		return nil
	}
	if g.noGoodCopy(c.Definition) {
		return refused(NoGoodCopy, "both copies of %s are stale: %s's disk failed, or it was excluded, before the other one was in step again; an operator has to say which is kept: sbctl group init %s --keep NODE", id, node, id)
	}
	if g.standsIn(node) {
		return unwhole(id, node, ev)
	}
	if e, ok := g.Excluded[node]; ok {
		return refused(IsExcluded, "%s's copy of %s is stale (exclusion %s, obtained by %s under epoch %d); it must resynchronise first",
			node, id, e.Number, e.By, e.Epoch)
	}
	if ev.OwnWord != 0 {
		return refused(IsExcluded, "%s has recorded itself that its copy of %s is stale; it must resynchronise first", node, id)
	}
	if !ev.OwnUsable() {
		return refused(DiskUnusable, "%s's copy of %s is not UpToDate or Consistent on every volume%s", node, id, c.lostAgain(g, id, node, ev))
	}
	return nil
}

func isolated(def GroupDefinition, node NodeID, ev *Evidence) *Verdict {
	if !ev.Isolated() {
		return nil
	}
	if def.PromoteWhenPeerGone && (!ev.HearsPeer || ev.PeerReaches <= ev.References) {
		return nil
	}
	return refused(IsIsolated, "%s reaches %d of the %d reference addresses it needs", node, ev.References, ev.Needed)
}

// underMandate answers while a node of the cluster may be shot.
func (c *Cluster) underMandate(g *Group, cmd Acquire) *Verdict {
	m := c.Mandate
	if m == nil || mutant.On(mutant.MandateNotExclusive) {
		return nil
	}
	mine := m.Executor == cmd.Caller.Node && m.Group == cmd.Group
	switch {
	case mine && m.ByWitness && c.outlasts(g, cmd):
		return nil // the clock was quicker than the second executor; see takeover
	case mine && m.Phase == Open && m.ByWitness:
		return refused(MandateUnderWay, "mandate %d: %s could not shoot %s; the witness's own host tries next", m.ID, m.Executor, m.Target)
	case mine && m.Phase == Open:
		return &Verdict{
			Kind: FenceFirst, Mandate: m.ID, Holder: m.Target, Epoch: epochOf(g.Lease),
			Sentence: sentence("mandate %d: %s may shoot %s", m.ID, m.Executor, m.Target),
		}
	case m.Phase == Settled && m.Target != "" && m.Target != cmd.Caller.Node && g.Lease == nil:
		return nil
	}
	v := refused(MandateUnderWay, "mandate %d against %s is %s; ask again when it is over", m.ID, m.Target, m.Phase)
	if mine && m.ByWitness && m.Phase == Begun {
		v.Mandate = m.ID // for its memory: a witness that loses its own learns it from there
	}
	return v
}

// refuted refuses a grant that rests on an operator's word about a node that is heard
// again, and has neither said that it has stopped nor started anew: a machine that
// stood still, and was taken for off, goes on where it was.
func (c *Cluster) refuted(g *Group, cmd Acquire) *Verdict {
	e := c.before(g, cmd.Caller.Node)
	if e.Cause != ByOperator || e.Holder == cmd.Caller.Node || !cmd.Judgement.PeerHeard && !cmd.Evidence.HearsPeer {
		return nil
	}
	return refused(TargetAlive, "%s was declared off by an operator, and is heard; nobody takes %s over before it has stopped that, has started anew, or is silent: power it off",
		e.Holder, cmd.Group)
}

// graded reports whether the last holder is proven gone as well as the operator
// demands.
func (c *Cluster) graded(id GroupID, caller NodeID) bool {
	e := c.before(c.Groups[id], caller)
	return e.Cause == ByNothing || e.Holder == caller || e.Grade >= c.Definition.Groups[id].MinimumGrade
}

// ordered keeps a free group for the node that an operator chose.
func (c *Cluster) ordered(g *Group, cmd Acquire) *Verdict {
	if g.Order == nil || g.Order.To == cmd.Caller.Node {
		return nil
	}
	return refused(SwitchUnderWay, "%s is being moved to %s", cmd.Group, g.Order.To)
}

// yields refuses a free group to the node that should not have it.
func (c *Cluster) yields(g *Group, cmd Acquire) *Verdict {
	node, j := cmd.Caller.Node, cmd.Judgement
	switch {
	case g.Order != nil:
		return nil
	case j.Gate:
		return refused(GateClosed, "the other node has not been heard since the cluster started; it is waited for a little longer")
	case j.Peer != nil && c.better(cmd.Group, node, &cmd.Evidence, j.Peer):
		return refused(PeerPreferred, "%s is the better place for %s", c.Definition.Peer(node), cmd.Group)
	}
	return nil
}

// better reports whether the peer, which wants the group as well, goes first:
// not isolated, then able to start it, then newest data, then preferred, then
// last holder.
func (c *Cluster) better(id GroupID, node NodeID, own, peer *Evidence) bool {
	g, def, other := c.Groups[id], c.Definition.Groups[id], c.Definition.Peer(node)
	if v := c.admit(c.Nodes[other], id, other, peer); v != nil {
		return false
	}
	if a, b := g.Failed[node] != "" || own.Failed, g.Failed[other] != "" || peer.Failed; a != b {
		return a
	}
	if a, b := own.OwnUpToDate(), peer.OwnUpToDate(); def.DRBD && a != b {
		return b
	}
	if def.Preferred != "" {
		return def.Preferred == other
	}
	return g.Last.Holder == other
}

// takeover answers for a group that is held, or whose last holder is not proven
// gone well enough.
func (a *applying) takeover(c *Cluster, g *Group, cmd Acquire) Verdict {
	j, target := cmd.Judgement, c.before(g, cmd.Caller.Node).Holder
	if g.Lease != nil {
		target = g.Lease.Holder
	}
	if target != c.Definition.Peer(cmd.Caller.Node) || j.Epoch != epochOf(g.Lease) {
		return refuse(HeldByPeer, "%s changed hands a moment ago; ask again", cmd.Group)
	}
	switch {
	case g.Lease != nil && !j.Suspected && !j.Expired:
		return held(g.Lease, cmd.Group, "and was heard a moment ago")
	case g.Lease != nil && !j.Expired && cmd.Evidence.HearsPeer:
		return held(g.Lease, cmd.Group, "and the caller hears it, though this witness does not")
	case g.Lease == nil && (j.PeerHeard || cmd.Evidence.HearsPeer):
		return c.stuck(g, cmd, target) // nobody shoots a machine that is heard and holds nothing
	case j.Delay:
		return refuse(TakeoverDelayed, "%s is taken over only after its takeover delay", cmd.Group)
	case c.HoldsBack(g.Lease):
		return refuse(HeldBack, "%s took %s over a moment ago and is lost again; nobody takes it over before hold_time (%v) has passed since. Look at both nodes; once you have seen that %s is off, type: sbctl fence confirm %s",
			target, cmd.Group, c.Definition.HoldTime, target, target)
	}
	if v := c.outlived(g, cmd); v != nil {
		return *v
	}
	if c.Definition.Stonith && c.shotOut() {
		return refuse(ShotsSpent, "%d shots have begun within the hour and shots_per_hour allows no more; look at both nodes; once you have seen that %s is off, type: sbctl fence confirm %s",
			c.Shots, target, target)
	}
	// Where the clock has spoken and only the caller's own promise still runs,
	// another shot at a holder that could not be shot would end later than that.
	waits := g.Lease != nil && g.Lease.Unshot != "" && j.Expired && c.ByClock(cmd.Group)
	if c.Definition.Stonith && !j.Backoff && !waits && (c.Mandate == nil || mutant.On(mutant.MandateNotExclusive)) {
		return c.mandate(cmd, target)
	}
	return c.stuck(g, cmd, target)
}

// outlived grants a group whose lease and watchdog have run out (E2).
func (c *Cluster) outlived(g *Group, cmd Acquire) *Verdict {
	if !c.outlasts(g, cmd) {
		return nil
	}
	dog := g.Lease.Watchdog
	e := Ending{Holder: g.Lease.Holder, Epoch: g.Lease.Epoch, Cause: ByClock, Grade: E2}
	g.end(e)
	v := c.grant(cmd.Group, cmd.Caller, cmd.Evidence.Watchdog)
	v.Sentence += sentence(" It had reported %s.", dog)
	return &v
}

// ByClock reports whether the group's holder is believed dead once its lease has
// run out, at E2: the operator allows it, and the holder had reported under this
// very lease an armed watchdog whose timeout, as its driver reports it, fits into
// the lease.
func (c *Cluster) ByClock(id GroupID) bool {
	g, def := c.Groups[id], c.Definition
	if g == nil || g.Lease == nil || !def.Watchdog || def.Groups[id].MinimumGrade > E2 {
		return false
	}
	return g.Lease.Watchdog.resets(max(g.Lease.TTL, def.Timing.TTL), def.AcceptPauseRisk) || mutant.On(mutant.E2Unarmed)
}

// outlasts reports whether the clock and the holder's watchdog prove enough. A
// mandate is in the way, unless its first executor has failed: the second one
// makes nobody wait for longer than the clock would.
func (c *Cluster) outlasts(g *Group, cmd Acquire) bool {
	l, m := g.Lease, c.Mandate
	switch {
	case l == nil || !cmd.Judgement.Expired && !mutant.On(mutant.E2BeforeExpiry) || cmd.Judgement.Epoch != l.Epoch || !c.ByClock(cmd.Group):
		return false
	case m != nil && !(m.ByWitness && m.Target == l.Holder && m.Executor == cmd.Caller.Node):
		return false
	case cmd.Evidence.Promising && !mutant.On(mutant.E2WhilePromising):
		return false
	}
	// Power is surer than a clock: where it can be tried, it is tried first.
	return !c.Definition.Stonith || l.Unshot != "" || c.shotOut()
}

// stuck says what a group that cannot be taken over is waiting for.
func (c *Cluster) stuck(g *Group, cmd Acquire, target NodeID) Verdict {
	confirm := sentence("once you have seen that %s is off, type: sbctl fence confirm %s", target, target)
	switch {
	case g.Lease == nil:
		return refuse(GradeTooLow, "the end of %s's lease is proven at %s, %s demands %s; power %s off or start it anew, with its power device or agent working",
			target, c.before(g, cmd.Caller.Node).Grade, cmd.Group, c.Definition.Groups[cmd.Group].MinimumGrade, target)
	case g.Lease.Unshot != "":
		return held(g.Lease, cmd.Group, sentence("is silent and could not be shot: %s; %s", g.Lease.Unshot, confirm))
	case cmd.Judgement.Expired:
		return held(g.Lease, cmd.Group, "is silent and nothing proves it dead; "+confirm)
	}
	return held(g.Lease, cmd.Group, "is silent; its lease still runs")
}

func held(l *Lease, id GroupID, what string) Verdict {
	v := refuse(HeldByPeer, "%s holds %s under epoch %d %s", l.Holder, id, l.Epoch, what)
	v.Holder, v.Epoch = l.Holder, l.Epoch
	return v
}

func epochOf(l *Lease) Epoch {
	if l == nil {
		return 0
	}
	return l.Epoch
}
