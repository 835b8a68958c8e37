package arbiter

import (
	"fmt"
	"slices"

	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// earlier looks up what this recovery, or one before it, has last measured of the
// sides that e lacks. It is for people: nothing is decided on it.
func (g *Group) earlier(e recovery.Evidence) map[NodeID]recovery.Side {
	out := map[NodeID]recovery.Side{}
	for _, s := range e.Sides {
		if s.Missing == "" {
			continue
		}
		if known := g.lastMeasured(s.Node); known != nil {
			out[NodeID(s.Node)] = known.Clone()
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (g *Group) lastMeasured(n recovery.Node) *recovery.Side {
	for _, r := range slices.Backward(g.Documents()) {
		for _, e := range []*recovery.Evidence{r.Evidence, r.Grounds} {
			if e == nil {
				continue
			}
			for _, s := range e.Sides {
				if s.Node == n && s.Missing == "" {
					return &s
				}
			}
		}
		if s, ok := r.Earlier[NodeID(n)]; ok {
			return &s
		}
	}
	return nil
}

// await lets a recovery wait for a side that is not there. It holds nobody up: the
// group may be granted, moved and promoted as if there were none, and an operator's
// next order takes its place.
func (a *applying) await(c *Cluster, r *Recovery) {
	missing := NodeID(r.Evidence.Missing())
	r.Phase, r.Plan = Awaiting, nil
	r.Note = fmt.Sprintf("%s; both sides are measured as soon as %s is there again, and nothing is done before", r.Decision.Diagnosis.Why, missing)
	if r.Order.AtMost == nil {
		r.Note += "; then an operator is asked"
	}
}

// measureAgain measures both sides of a recovery that has waited for one.
func (c *Cluster) measureAgain(cmd MeasureAgain) Verdict {
	_, r, no := c.recoveryOf(cmd.Group, cmd.Recovery)
	switch {
	case no != nil:
		return *no
	case r.Phase != Awaiting:
		return refuse(RecoveryOver, "recovery %s of %s waits for nobody", cmd.Recovery, cmd.Group)
	}
	r.Phase, r.Sides = Collecting, nil
	r.Round++
	return done("recovery %s of %s: both sides are measured", cmd.Recovery, cmd.Group)
}

// beforehand carries out what an operator has agreed to before the loss could be
// measured, if it is no more than he has allowed.
func (a *applying) beforehand(c *Cluster, g *Group) {
	r := g.Recovery
	why := c.unattended(g)
	if most := *r.Order.AtMost; why == "" && r.Decision.Discard > most && !mutant.On(mutant.AtMostIgnored) {
		now, allowed := recovery.Apart(r.Decision.Discard, most)
		why = fmt.Sprintf("up to %s of %s's changes would be given up, and %s has allowed %s", now, r.Plan.Victim, r.Order.By, allowed)
	}
	if why != "" {
		r.Phase, r.Note = Decided, why
		return
	}
	r.Approved, r.Plan.Discard = r.Order.By, *r.Order.AtMost
	a.carryOut(c, g)
}

// abandon lets go of a recovery that can only go on, and whose victim does not come
// back. What is given up stays excluded; how far that came is seen when it is
// measured the next time.
func (a *applying) abandon(g *Group, cmd CancelRecovery) Verdict {
	r := g.Recovery
	victim := r.Plan.Victim
	if mutant.On(mutant.AbandonedIsGood) {
		delete(g.Excluded, NodeID(victim))
	}
	a.over(g, Abandoned, fmt.Sprintf("let go of by %s at step %d of %d (%s): %s's copy stays excluded",
		cmd.By, r.Step+1, len(r.Plan.Steps), orElse(cmd.Reason, "no reason was given"), victim))
	return done("recovery %s of %s is %s", r.ID, cmd.Group, r.Note)
}

// loose reports whether a node was to give its copy up in a recovery that was let go
// of, or forgotten, in the middle: DRBD there may still want to, at the next handshake.
func (g *Group) loose(n NodeID) bool {
	for _, r := range slices.Backward(g.Recovered) {
		switch {
		case r.Outcome == Recovered:
			return false
		case r.leftLoose() && NodeID(r.Plan.Victim) == n:
			return true
		}
	}
	return false
}

// LastSplit is the latest recovery that saw a split brain of which nothing shows that it
// is over: no later one has told otherwise, and a copy is stale since then. It is for
// people: nothing is decided on it.
func (g *Group) LastSplit() *Recovery {
	for _, r := range slices.Backward(g.past()) {
		switch {
		case r.Decision == nil || !r.Decision.Diagnosis.Kind.Tells():
		case r.Outcome == Recovered || !r.Decision.Diagnosis.Kind.Split():
			return nil
		default:
			for _, e := range g.Excluded {
				if e.Since <= r.Ended {
					return r
				}
			}
			return nil
		}
	}
	return nil
}

// leftLoose reports whether a recovery has ended after its victim may have been told to
// give its copy up, and perhaps before it had. How far a forgotten one came, nobody knows.
func (r *Recovery) leftLoose() bool {
	return r.Plan != nil && (r.Outcome == Abandoned || r.Outcome == Forgotten)
}

// remember keeps the latest recoveries. What a node may still want of an earlier one is
// not forgotten for those that have come to nothing since.
func (g *Group) remember(r Recovery) {
	list := append(slices.Clone(g.Recovered), r)
	if len(list) > keptRecoveries {
		since := 0 // the latest that brought both copies together
		for i := range list {
			if list[i].Outcome == Recovered {
				since = i
			}
		}
		drop := 0
		for drop >= since && drop < keptRecoveries && list[drop].leftLoose() {
			drop++
		}
		drop %= keptRecoveries // where all of them are such: the oldest
		list = slices.Delete(list, drop, drop+1)
	}
	g.Recovered = list
}
