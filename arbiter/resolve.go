package arbiter

import (
	"fmt"
	"math"
	"slices"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// mostTries is how often policies may decide anew because what was measured has
// changed: then a person looks.
const mostTries = 3

// resolve opens a recovery of a group, in the place of one that has not begun.
func (a *applying) resolve(c *Cluster, cmd Resolve) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	v := c.mayResolve(g, cmd)
	if v == nil {
		d := a.open(c, g, cmd)
		v = &d
	}
	a.record(c, cmd.Group, cmd.Order.Discard, "recovery", *v)
	return *v
}

func (c *Cluster) mayResolve(g *Group, cmd Resolve) *Verdict {
	if v := c.inTheWay(g, cmd); v != nil {
		return v
	}
	return c.sensible(cmd.Cluster, cmd.Group, cmd.Order)
}

// sensible refuses what cannot be meant, whatever is under way.
func (c *Cluster) sensible(cluster ClusterID, group GroupID, o RecoveryOrder) *Verdict {
	switch {
	case !c.Definition.Groups[group].DRBD:
		return refused(NoDRBD, "group %s has no DRBD resource, so it cannot be in split brain", group)
	case c.Learning:
		return refused(WitnessLearning, "this witness is learning what the nodes know")
	case o.Discard != "" && o.Policy != "":
		return refused(BadOrder, "name whom to discard or a policy, and not both")
	case o.Discard != "" && c.Nodes[o.Discard] == nil:
		return refused(UnknownNode, "cluster %s has no node %s; its nodes are %s and %s", cluster, o.Discard, c.Definition.Nodes[0], c.Definition.Nodes[1])
	case o.Policy != "" && !slices.Contains(recovery.PolicyNames, o.Policy):
		return refused(BadOrder, "there is no policy %q", o.Policy)
	case (o.WhenBack || o.AtMost != nil) && (o.Discard == "" || o.DryRun || o.Automatic):
		return refused(BadOrder, "whoever is not there to be shown the loss has to name whom to discard")
	case o.Automatic && !c.Definition.Groups[group].Automatic():
		return refused(BadOrder, "group %s has no policy that decides by itself", group)
	}
	return nil
}

// beingCarriedOut refuses whatever else is meant for a group while a recovery gives one
// copy up. Once that was brought together with the other one nothing is left of it: where
// they have parted again before that was noted, another recovery is for what has become of
// them since.
func (g *Group) beingCarriedOut(id GroupID) *Verdict {
	r := g.Recovery
	if r == nil || r.Phase != Carrying && r.Phase != Confirming || r.at(recovery.Readmit) && !mutant.On(mutant.SplitAnewIgnored) {
		return nil
	}
	return refused(RecoveryUnderWay, "recovery %s of %s, begun by %s, is under way; sbctl recovery show %s tells how far it is", r.ID, id, r.Order.By, id)
}

// inTheWay refuses a second recovery, unless the first one waits for nobody.
func (c *Cluster) inTheWay(g *Group, cmd Resolve) *Verdict {
	r := g.Recovery
	if v := g.beingCarriedOut(cmd.Group); v != nil {
		return v
	}
	switch {
	case r == nil || r.Phase == Carrying:
		return nil
	case cmd.Order.Automatic:
		return refused(RecoveryUnderWay, "recovery %s of %s waits for an operator", r.ID, cmd.Group)
	case r.Order.Automatic || r.Order.WhenBack && !mutant.On(mutant.WaitingInTheWay) || r.Phase == Undecided || r.Order.By == cmd.Order.By:
		return nil
	}
	return refused(RecoveryUnderWay, "%s is looking at recovery %s of %s right now; sbctl recovery cancel %s ends that", r.Order.By, r.ID, cmd.Group, cmd.Group)
}

func (a *applying) open(c *Cluster, g *Group, cmd Resolve) Verdict {
	if r := g.Recovery; r != nil {
		if r.Cancellable() { // it may have begun, and gone back to its decision
			c.putBack(g, a.state.Version.Incarnation)
		}
		a.over(g, Superseded, "superseded by an order of "+cmd.Order.By)
	}
	g.Recovery = a.newRecovery(c, cmd.Group, cmd.Order)
	d := done("recovery %s of %s is opened by %s; both sides are measured", g.Recovery.ID, cmd.Group, cmd.Order.By)
	d.Recovery = g.Recovery.ID
	return d
}

// newRecovery is one of which both sides are measured first.
func (a *applying) newRecovery(c *Cluster, id GroupID, o RecoveryOrder) *Recovery {
	c.Recoveries++
	return &Recovery{
		ID: RecoveryID(uint64(a.state.Version.Incarnation)<<32 | uint64(c.Recoveries)), Group: id, Order: o,
		Phase: Collecting, Opened: a.entry.At, Round: 1, Note: "both sides are being measured",
	}
}

// decide draws the conclusion from the evidence. What was decided by policies that
// the operator wrote down for it begins at once; all else waits for a person.
func (a *applying) decide(c *Cluster, g *Group) {
	r := g.Recovery
	d, err := c.decision(r)
	was := r.Note
	spare, blind := spared(r, d.Diagnosis) && !mutant.On(mutant.SparedStaysStale), unseen(g) && !mutant.On(mutant.UnseenStaysGood)
	if (spare || blind) && (err != nil || !d.Diagnosis.Kind.Split()) {
		c.putBack(g, a.state.Version.Incarnation) // it ends here, or waits, and the copy is as it was
		r.Stale = ""
	}
	r.Decision, r.Plan, r.Approved, r.Failure, r.Step = &d, nil, "", "", 0
	r.Revision, r.Grounds = a.index, clonePointer(r.Evidence)
	switch {
	case r.Order.WhenBack && r.Evidence.Missing() != "":
		if a.await(c, r); r.Note == was {
			return // as before: the audit log has it
		}
	case err != nil:
		a.over(g, NotChosen, err.Error())
	case !d.Diagnosis.Kind.Split():
		a.over(g, NoSplit, because(d))
	case d.Victim == "":
		r.Phase, r.Note = Undecided, d.Why
	default:
		a.plan(c, g)
	}
	if r.Phase == Undecided && r.Order.DryRun {
		a.over(g, OnlyShown, r.Note)
	}
	if r.Tries > 0 && (r.Phase == Undecided || r.Phase == Decided && r.Order.WhenBack) {
		c.putBack(g, a.state.Version.Incarnation) // nobody is there to be asked: until then it runs where it ran
		r.Stale = ""
	}
	a.tell(c, r)
}

// spared reports whether the copy that a plan was to give up, and excluded, is whole, and
// either what was decided on, or the only one that is whole, or ahead of the other one, all
// of which it has: nobody else could run the group.
func spared(r *Recovery, d recovery.Diagnosis) bool {
	if r.Tries == 0 || r.Plan == nil {
		return false
	}
	whole, last := false, d.Source == r.Plan.Victim
	for _, s := range r.Evidence.Sides {
		bad := slices.ContainsFunc(s.Volumes, func(v recovery.Volume) bool { return !v.Disk.AtLeast(drbd.DiskOutdated) })
		if s.Node == r.Plan.Victim {
			whole = s.Missing == "" && !bad
			last = last || r.Plan.HoldsSide(s) == nil
		} else {
			last = last || bad
		}
	}
	return whole && last
}

// unseen reports whether a copy that was stale was to be kept, and nothing is known any
// more of the other one, or its disk is not attached. It may be all right: nothing was
// measured for the last time.
func unseen(g *Group) bool {
	r := g.Recovery
	if r.Tries == 0 || r.Plan == nil || !r.keepsFor(g, NodeID(r.Plan.Survivor)) {
		return false
	}
	return slices.ContainsFunc(r.Evidence.Sides[:], func(s recovery.Side) bool {
		away := slices.ContainsFunc(s.Volumes, func(v recovery.Volume) bool { return !v.Disk.AtLeast(drbd.DiskInconsistent) })
		return s.Node == r.Plan.Victim && (s.Missing != "" || away)
	})
}

func because(d recovery.Decision) string {
	if d.Diagnosis.Advice == "" {
		return d.Why
	}
	return d.Why + "; " + d.Diagnosis.Advice
}

// decision asks the operator's choice, the one policy named, or the group's list.
func (c *Cluster) decision(r *Recovery) (recovery.Decision, error) {
	list := c.Definition.Groups[r.Group].Recovery
	switch o := r.Order; {
	case o.Discard != "":
		return recovery.Choose(*r.Evidence, recovery.Node(o.Discard))
	case o.Policy != "":
		i := slices.IndexFunc(list, func(p recovery.Policy) bool { return p.Name == o.Policy })
		if i < 0 {
			return recovery.Decide(*r.Evidence, []recovery.Policy{{Name: o.Policy}}), nil
		}
		return recovery.Decide(*r.Evidence, list[i:i+1]), nil
	}
	return recovery.Decide(*r.Evidence, list), nil
}

// plan writes the steps down, and begins where nobody has to be asked.
func (a *applying) plan(c *Cluster, g *Group) {
	r := g.Recovery
	p, err := g.planned(r)
	if err != nil {
		a.over(g, NotChosen, err.Error())
		return
	}
	r.Plan, r.Note = &p, r.Decision.Why
	why := c.unattended(g)
	switch {
	case r.Order.DryRun:
		a.over(g, OnlyShown, r.Note)
	case r.Order.AtMost != nil:
		a.beforehand(c, g)
	case !r.Order.Automatic && !(r.Order.WhenBack && mutant.On(mutant.WaitedForUnasked)):
		r.Phase = Decided
	case why != "":
		r.Phase, r.Note = Undecided, why
	default:
		a.carryOut(c, g)
	}
}

// planned is the plan for what was decided.
func (g *Group) planned(r *Recovery) (recovery.Plan, error) {
	p, err := recovery.MakePlan(*r.Evidence, *r.Decision)
	if err == nil && g.loose(NodeID(p.Survivor)) && !mutant.On(mutant.LooseMet) {
		p.PartSurvivor()
	}
	return p, err //nolint:wrapcheck // MakePlan says it
}

// unattended says why this must not be carried out before somebody has seen it.
func (c *Cluster) unattended(g *Group) string {
	r := g.Recovery
	keep := NodeID(r.Plan.Survivor)
	switch {
	case r.Tries >= mostTries:
		return fmt.Sprintf("what was measured has changed %d times after it was decided on", r.Tries)
	case !r.Decision.Diagnosis.Kind.Proven() && !mutant.On(mutant.LagGivenUp):
		return r.Decision.Diagnosis.Why
	case g.Excluded[keep].OwnWord != 0:
		return fmt.Sprintf("%s, which would be kept, has itself recorded that its copy is stale", keep)
	}
	return ""
}

// tell writes the conclusion into the audit log.
func (a *applying) tell(c *Cluster, r *Recovery) {
	v := done("recovery %s of %s is %s: %s", r.ID, r.Group, r.Phase, r.Note)
	if r.Phase == Over {
		v = done("recovery %s of %s is over (%s): %s", r.ID, r.Group, r.Outcome, r.Note)
	}
	if r.Phase == Undecided {
		v.Sentence += "; type: " + c.ResolveLine(r.Group)
	}
	a.record(c, r.Group, NodeID(r.Decision.Victim), "recovery", v)
}

// ResolveLine is what an operator types to decide about a group.
func (c *Cluster) ResolveLine(id GroupID) string {
	return fmt.Sprintf("sbctl resolve %s --keep %s (or --keep %s)", id, c.Definition.Nodes[0], c.Definition.Nodes[1])
}

// approve takes an operator's word to a decision. Nothing has begun before both
// sides have been measured once more.
func (a *applying) approve(c *Cluster, cmd Approve) Verdict {
	_, r, no := c.recoveryOf(cmd.Group, cmd.Recovery)
	if no != nil {
		return *no
	}
	var v Verdict
	switch {
	case c.Learning:
		v = refuse(WitnessLearning, "this witness is learning what the nodes know")
	case r.Phase == Confirming || r.Phase == Carrying:
		v = refuse(RecoveryUnderWay, "recovery %s of %s has been approved by %s already", r.ID, cmd.Group, orElse(r.Approved, "a policy"))
	case r.Phase != Decided:
		v = refuse(BadOrder, "recovery %s of %s is %s: there is nothing to approve", r.ID, cmd.Group, r.Phase)
	case r.Revision != cmd.Revision && !mutant.On(mutant.RevisionUnchecked):
		v = refuse(EvidenceChanged, "what is known of %s has changed since decision %d was shown; look at decision %d first", cmd.Group, cmd.Revision, r.Revision)
	case cmd.AtMost != nil && *cmd.AtMost < r.Plan.Discard:
		now, allowed := recovery.Apart(r.Plan.Discard, *cmd.AtMost)
		v = refuse(EvidenceChanged, "up to %s of %s's changes would be given up, and %s allows %s", now, r.Plan.Victim, cmd.By, allowed)
	default:
		limit := ""
		if cmd.AtMost != nil {
			r.Plan.Discard, limit = *cmd.AtMost, ", up to "+recovery.Bytes(*cmd.AtMost)
		}
		r.Phase, r.Approved, r.Note = Confirming, cmd.By, "both sides are measured once more"
		r.Round++
		r.Sides = nil
		v = done("recovery %s of %s: %s agrees to discard %s's changes%s; both sides are measured once more", r.ID, cmd.Group, cmd.By, r.Plan.Victim, limit)
		v.Recovery = r.ID
	}
	a.record(c, cmd.Group, "", "recovery", v)
	return v
}

// confirmDecision begins what was approved, if it still is what was shown. A victim that
// is written to goes on changing until it is stopped: how much it has come to is seen then.
func (a *applying) confirmDecision(c *Cluster, g *Group) {
	r := g.Recovery
	p := r.Plan.Clone()
	if r.Evidence.Writes(p.Victim) {
		p.Discard = math.MaxUint64
	}
	if err := p.Holds(*r.Evidence); err != nil && !mutant.On(mutant.ApprovedUnmeasured) {
		a.decideAgain(c, g, err.Error())
		return
	}
	a.carryOut(c, g)
	a.tell(c, r)
}

// decideAgain goes back to the decision: the evidence is another one.
func (a *applying) decideAgain(c *Cluster, g *Group, why string) {
	r := g.Recovery
	v := done("recovery %s of %s goes back to the decision: %s", r.ID, r.Group, why)
	a.record(c, r.Group, "", "recovery", v)
	r.Phase = Collecting
	a.decide(c, g)
	if r.Phase == Decided {
		r.Note = why + "; " + r.Note
	}
}
