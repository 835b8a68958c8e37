package arbiter

import (
	"fmt"
	"maps"
	"slices"

	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// keptRecoveries is how many recoveries of a group are remembered.
const keptRecoveries = 8

// carryOut begins a plan out: the victim's copy is excluded and the survivor's is
// not any more, in one step.
func (a *applying) carryOut(c *Cluster, g *Group) {
	r := g.Recovery
	victim, survivor := NodeID(r.Plan.Victim), NodeID(r.Plan.Survivor)
	if r.Stale == "" {
		r.Before, r.Epoch = maps.Clone(g.Excluded), max(epochOf(g.Lease), g.Last.Epoch)
	}
	r.Tries++
	r.Phase, r.Step, r.Attempt, r.Failure = Carrying, 0, 0, ""
	g.unfit(victim)
	r.Stale, r.Number = victim, c.number(a.state.Version.Incarnation)
	if !mutant.On(mutant.VictimNotExcluded) {
		was := g.Excluded[victim]
		g.exclude(victim, Exclusion{Number: r.Number, OwnWord: was.OwnWord, By: survivor, Epoch: c.Epoch, Lost: was.Lost, Since: was.Since})
	}
	if e, stale := g.Excluded[survivor]; stale {
		g.clear(survivor, e)
	}
	r.Note = fmt.Sprintf("%s's copy is kept, up to %s of %s's changes are given up: %s", survivor, recovery.Bytes(r.Plan.Discard), victim, r.Decision.Why)
}

// compare lets a recovery that has begun go on if what both sides have now is what
// was decided on.
func (a *applying) compare(c *Cluster, g *Group) {
	r := g.Recovery
	err := r.Plan.Holds(*r.Evidence)
	if r.Evidence.Writes(r.Plan.Victim) && err == nil {
		err = fmt.Errorf("%s is Primary again: what was kept of its copy is older", r.Plan.Victim)
	}
	if _, stale := g.Excluded[r.Survivor()]; stale && err == nil {
		err = fmt.Errorf("the copy of %s was excluded meanwhile", r.Survivor())
	}
	if err != nil && !mutant.On(mutant.MeasuredOnce) {
		a.decideAgain(c, g, err.Error())
		return
	}
	r.Plan.Foresee(*r.Evidence) // what is kept grows by it, or it goes back to its decision
	a.next(c, g, "both sides are as they were decided on")
}

// next goes on to the step after the one that is done.
func (a *applying) next(c *Cluster, g *Group, note string) {
	r := g.Recovery
	s := r.Plan.Steps[r.Step]
	v := done("recovery %s of %s: %s is done", r.ID, r.Group, s)
	if note != "" {
		v.Sentence += ": " + note
	}
	a.record(c, r.Group, NodeID(s.Node), "recovery", v)
	r.Step, r.Failure = r.Step+1, ""
	if r.Step == r.Plan.NoReturn()+1 {
		g.foundAgain(r.Victim())
	}
	switch {
	case r.at(recovery.Measure):
		r.Round++
		r.Sides = nil
	case r.at(recovery.Readmit):
		a.readmitted(c, g)
	}
}

// readmitted ends a recovery whose victim's copy is not stale any more.
func (a *applying) readmitted(c *Cluster, g *Group) {
	r := g.Recovery
	if !r.at(recovery.Readmit) && !r.at(recovery.FollowResync) {
		return
	}
	if _, stale := g.Excluded[r.Victim()]; stale {
		return
	}
	a.over(g, Recovered, fmt.Sprintf("both copies are in step, and %s's is readmitted", r.Victim()))
	a.tell(c, r)
}

// stepDone takes a node's word that a step is done, or has failed once more.
func (a *applying) stepDone(c *Cluster, cmd StepDone) Verdict {
	g, r, no := c.recoveryOf(cmd.Group, cmd.Recovery)
	if no != nil {
		return *no
	}
	t := r.TaskOf(cmd.Caller.Node)
	if t == nil || t.Round != 0 || t.Tries != cmd.Tries || t.Attempt != cmd.Attempt || t.Step != cmd.Step {
		return refuse(RecoveryOver, "step %d of recovery %s is not waited for", cmd.Step+1, cmd.Recovery)
	}
	s := r.Plan.Steps[r.Step]
	if cmd.Failure != "" {
		return a.stepFailed(c, g, s, cmd)
	}
	if NodeID(s.Node) != cmd.Caller.Node {
		return refuse(RecoveryOver, "whether step %d of recovery %s is done, %s says", cmd.Step+1, cmd.Recovery, s.Node)
	}
	if l := g.Lease; s.Kind == recovery.StopServices && l != nil && l.Holder == r.Victim() {
		return refuse(HoldsGroup, "%s holds %s under epoch %d still", l.Holder, cmd.Group, l.Epoch)
	}
	a.next(c, g, cmd.Note)
	d := done("%s is done", s)
	d.Recovery = cmd.Recovery
	return d
}

// stepFailed notes why. A resynchronisation that does not come about has used the
// flag up, which counts for one handshake: it is given again. A copy that would be
// given up though not all of it is kept goes back to the decision, and is kept anew.
func (a *applying) stepFailed(c *Cluster, g *Group, s recovery.Step, cmd StepDone) Verdict {
	r := g.Recovery
	v := done("recovery %s of %s: %s has not worked: %s", r.ID, r.Group, s, cmd.Failure)
	if s.Kind == recovery.FollowResync && !mutant.On(mutant.FlagNotGivenAgain) {
		r.Step = r.Plan.NoReturn()
		r.Attempt++
		v.Sentence += "; the copies are brought together anew"
	}
	v.Recovery = r.ID
	if cmd.Unkept && r.Step == r.Plan.NoReturn() && r.Attempt == 0 {
		a.decideAgain(c, g, cmd.Failure)
		return v
	}
	if cmd.Failure != r.Failure || s.Kind == recovery.FollowResync {
		a.record(c, r.Group, NodeID(s.Node), "recovery", v)
	}
	r.Failure = cmd.Failure
	return v
}

// cancel calls a recovery off, while nothing has been given up.
func (a *applying) cancel(c *Cluster, cmd CancelRecovery) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	r := g.Recovery
	if v := a.cancelShow(g, cmd); v != nil {
		a.record(c, cmd.Group, "", "recovery", *v)
		return *v
	}
	var v Verdict
	switch {
	case r == nil:
		return refuse(NothingToDo, "no recovery of %s is under way", cmd.Group)
	case cmd.Recovery != 0 && cmd.Recovery != r.ID:
		return refuse(RecoveryOver, "recovery %s of %s is over, and %s is under way", cmd.Recovery, cmd.Group, r.ID)
	case cmd.Abandon && r.Cancellable():
		v = refuse(BadOrder, "recovery %s of %s has given nothing up yet: call it off (sbctl recovery cancel %s)", r.ID, cmd.Group, cmd.Group)
	case cmd.Abandon:
		v = a.abandon(g, cmd)
	case !r.Cancellable():
		v = refuse(PastReturn, "recovery %s of %s has begun to give %s's changes up; it can only go on", r.ID, cmd.Group, r.Plan.Victim)
	default:
		c.putBack(g, a.state.Version.Incarnation)
		a.over(g, Cancelled, calledOff(cmd))
		v = done("recovery %s of %s is %s", r.ID, cmd.Group, r.Note)
	}
	v.Recovery = r.ID
	a.record(c, cmd.Group, "", "recovery", v)
	return v
}

func calledOff(cmd CancelRecovery) string {
	return fmt.Sprintf("called off by %s: %s", cmd.By, orElse(cmd.Reason, "no reason was given"))
}

// putBack makes stale what was stale before the recovery, and nothing else, unless
// the survivor has been granted the group meanwhile: then its copy is the only one
// that has what was written since.
func (c *Cluster) putBack(g *Group, incarnation uint32) {
	r := g.Recovery
	if r.Tries == 0 || g.Excluded[r.Stale].Number != r.Number || g.grantedSince(r) || mutant.On(mutant.NothingPutBack) {
		return
	}
	was, before := r.Before[r.Stale]
	if !before && g.Excluded[r.Stale].OwnWord != 0 {
		return // its disk has failed since: nothing would be good any more
	}
	kept := c.Definition.Peer(r.Stale)
	if e, was := r.Before[kept]; was {
		if _, is := g.Excluded[kept]; !is {
			g.unfit(kept)
			e.Number = c.number(incarnation)
			g.exclude(kept, e)
		}
	}
	if !before {
		delete(g.Excluded, r.Stale)
		return
	}
	e := g.Excluded[r.Stale]
	e.Discard = was.Discard // an operator had ordered it to be made anew
	g.exclude(r.Stale, e)
}

// keepsFor reports whether a copy that was stale counts as good for this recovery alone,
// which may still go back to its decision, or be called off: it must not have run then.
func (r *Recovery) keepsFor(g *Group, node NodeID) bool {
	if r == nil || r.Stale == "" || r.Stale == node || !r.Cancellable() || g.grantedSince(r) {
		return false
	}
	_, stale := r.Before[node]
	return stale
}

// grantedSince reports whether the group was granted after a recovery had begun.
func (g *Group) grantedSince(r *Recovery) bool {
	return max(epochOf(g.Lease), g.Last.Epoch) > r.Epoch && !mutant.On(mutant.PutBackSinceGranted)
}

// forgetRecoveries ends what a memory that has turned out to be an old one had under
// way: it may be over long since.
func (a *applying) forgetRecoveries(c *Cluster) {
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		const note = "this witness's memory was older than its own earlier answers; look at both nodes, and resolve it again where that is needed"
		g := c.Groups[id]
		if g.Recovery != nil {
			a.over(g, Forgotten, note)
		}
		if s := g.Showing(); s != nil {
			a.endShow(s, Forgotten, note)
		}
	}
}

// over ends a recovery and keeps it among the latest.
func (a *applying) over(g *Group, outcome RecoveryOutcome, note string) {
	r := g.Recovery
	r.Phase, r.Outcome, r.Note, r.Ended, r.Sides = Over, outcome, note, a.entry.At, nil
	g.Recovery = nil
	g.remember(*r.clone())
}

// recovers refuses a group whose recovery keeps the other node's copy, or may not keep
// this one's in the end.
func (g *Group) recovers(id GroupID, node NodeID) *Verdict {
	if s := g.Recovery.Survivor(); s != "" && s != node {
		return refused(RecoveryUnderWay, "recovery %s of %s keeps %s's copy; ask again when it is over", g.Recovery.ID, id, s)
	}
	if g.Recovery.keepsFor(g, node) && !mutant.On(mutant.KeptTooSoon) {
		return refused(RecoveryUnderWay, "%s's copy of %s was stale, and recovery %s has not measured both sides for the last time: nobody runs it before; if an operator is asked again: sbctl resolve %s, or sbctl recovery cancel %s",
			node, id, g.Recovery.ID, id, id)
	}
	return nil
}
