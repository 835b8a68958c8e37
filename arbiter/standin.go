package arbiter

import (
	"fmt"
	"slices"

	"sbarbiter/internal/mutant"
)

// StandIn is an operator's word that a stale copy stands in for the only good one,
// whose machine is lost for good. The node whose copy that is may be granted the group,
// and, before it promotes it, exclude the lost one: only in that step the two change
// places. The word is gone as soon as the lost node speaks, or services have run.
type StandIn struct {
	Node NodeID `json:"node"` // whose stale copy
	By   string `json:"by"`
	Word WordID `json:"word,omitempty"` // its number; 0: it was given before there were any
}

// lose takes an operator's word that the machine with the only good copy of a group is
// lost for good. Nothing changes hands before the other node asks for the group, and
// the copy that is given up is not ordered to be made anew: should it ever come back, it
// is what only it has that a recovery decides about.
func (c *Cluster) lose(g *Group, cmd GiveUp) Verdict {
	if v := c.mayLose(g, cmd); v != nil {
		return *v
	}
	keep := c.Definition.Peer(cmd.Node)
	e := g.Excluded[keep]
	g.StandIn = &StandIn{Node: keep, By: cmd.By, Word: g.Words + 1}
	if g.Excluded[cmd.Node].Lost {
		return done("%s is lost for good all the same, says %s: %s; %s's copy of %s, which stands in for it, is promoted whatever DRBD has recorded of it", cmd.Node, cmd.By, cmd.Reason, keep, cmd.Group)
	}
	return done("%s, which alone has all that was acknowledged of %s, is lost for good, says %s: %s; %s's copy stands in for it, stale as it is (exclusion %s, under epoch %d), "+
		"unless %s is heard before %s promotes it",
		cmd.Node, cmd.Group, cmd.By, cmd.Reason, keep, e.Number, e.Epoch, cmd.Node, keep)
}

// mayLose refuses what is not the case, or can be had without losing anything.
func (c *Cluster) mayLose(g *Group, cmd GiveUp) *Verdict {
	keep := c.Definition.Peer(cmd.Node)
	e, stale := g.Excluded[keep]
	switch {
	case !g.Begun:
		return refused(NothingToDo, "%s was never granted, so nobody's copy of it is the only good one; say it without --lost", cmd.Group)
	case g.noGoodCopy(c.Definition):
		return refused(NoGoodCopy, "both copies of %s are stale, so there is no good one to be lost; say it without --lost: sbctl group init %s --keep %s", cmd.Group, cmd.Group, keep)
	case !stale && !g.Excluded[cmd.Node].Lost:
		return refused(NothingToDo, "%s's copy of %s is not stale: it needs nobody's word to run the group", keep, cmd.Group)
	case g.standsIn(keep):
		return refused(NothingToDo, "%s has said so already; %s is granted %s once nothing else is in the way", g.StandIn.By, keep, cmd.Group)
	case g.Lease != nil:
		return refused(HeldByPeer, "%s holds %s under epoch %d; once you have seen that it is off, type: sbctl fence confirm %s", g.Lease.Holder, cmd.Group, g.Lease.Epoch, g.Lease.Holder)
	case cmd.Alive || cmd.Kept != nil && cmd.Kept.HearsPeer:
		return refused(TargetAlive, "%s was heard a moment ago, here or by %s, perhaps by its DRBD connection alone, so it is not lost", cmd.Node, keep)
	case e.Discard != 0:
		return refused(DiskUnusable, "%s's copy of %s cannot stand in: an operator has given it up (%s), and its node has been told to declare it bad as a whole", keep, cmd.Group, e.Discard)
	}
	return nil
}

// takeBack ends an operator's word that a machine is lost, at an operator's. It only takes
// away what that word allows: a copy that was granted by it, and is stale, may not exclude
// the other one any more, and is given back.
func (a *applying) takeBack(c *Cluster, g *Group, cmd GiveUp) Verdict {
	s, lost, v := g.StandIn, NodeID(""), c.mayTakeBack(g, cmd)
	if v == nil {
		lost = c.Definition.Peer(s.Node)
		d := done("%s, which %s has declared lost, is not, says %s%s: %s", lost, s.By, cmd.By, inBrackets(cmd.Reason), g.withoutTheWord(cmd.Group, s.Node, lost))
		v, g.StandIn = &d, mutant.Weak(mutant.TakenBackKept, nil, s)
	}
	a.record(c, cmd.Group, lost, "copy not lost", *v)
	return *v
}

// withoutTheWord is what is so once the word is taken back. Where the two copies have
// changed places already, and nothing has run yet, it is not as it was before.
func (g *Group) withoutTheWord(id GroupID, node, lost NodeID) string {
	if g.willStandIn(node) {
		return fmt.Sprintf("%s's copy of %s does not stand in for its", node, id)
	}
	return fmt.Sprintf("%[1]s's copy of %[2]s has begun to stand in for its, and counts as the good one of the two (exclusion %[4]s of %[3]s's), but is promoted only if DRBD lets it be; "+
		"start %[3]s, and have DRBD connect the two; where they have split, a recovery decides: sbctl resolve %[2]s --keep %[3]s", node, id, lost, g.Excluded[lost].Number)
}

func (c *Cluster) mayTakeBack(g *Group, cmd GiveUp) *Verdict {
	s, id := g.StandIn, cmd.Group
	if s == nil {
		return refused(NothingToDo, "no copy of %s is to stand in for one that is lost: nobody has said so, or it has begun to", id)
	}
	if cmd.Word != 0 && cmd.Word != s.Word && !mutant.On(mutant.LateWordCounts) {
		return refused(WordOver, "word %d about %s is not in force, so it is not taken back: %s has said since, in word %d, that %s is lost; where that is what you take back, type: sbctl group init %s --cancel --word %d",
			cmd.Word, id, s.By, s.Word, c.Definition.Peer(s.Node), id, s.Word)
	}
	if l := g.Lease; l != nil && !g.willStandIn(l.Holder) {
		return refused(NothingToDo, "%s has begun to stand in for %s, and starts %s: of the two copies its own counts as good; should %s be back, a recovery keeps what only that one has",
			l.Holder, c.Definition.Peer(l.Holder), id, c.Definition.Peer(l.Holder))
	}
	return nil
}

// inBrackets is a reason that need not be given.
func inBrackets(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// standsIn reports whether an operator has said that a node's stale copy is to stand in
// for a good one that is lost.
func (g *Group) standsIn(node NodeID) bool { return g.StandIn != nil && g.StandIn.Node == node }

// unwhole refuses a copy that could not stand in for another: not one of a moment.
func unwhole(id GroupID, node NodeID, ev *Evidence) *Verdict {
	if ev.OwnWhole() {
		return nil
	}
	return refused(DiskUnusable, "%s's copy of %s cannot stand in for the one that is lost: a volume of it is not attached, or half of a resynchronisation", node, id)
}

// lostAgain is what is left where a copy has begun to stand in for another, whose node was
// heard before services have run: DRBD may have it down as outdated still.
func (c *Cluster) lostAgain(g *Group, id GroupID, node NodeID, ev *Evidence) string {
	peer := c.Definition.Peer(node)
	if !g.Excluded[peer].Lost || !ev.OwnWhole() {
		return ""
	}
	return sentence("; it is to stand in for %s's, which has been heard since: let DRBD connect the two; where %s is lost for good all the same, type: sbctl group init %s --keep %s --lost",
		peer, peer, id, node)
}

// notLost refuses to let a stale copy stand in for one whose node is heard, which ends
// the operator's word: it may be silent again by the next ask, and is there all the same.
func (a *applying) notLost(c *Cluster, g *Group, node NodeID, j Judgement, ev *Evidence) *Verdict {
	if !g.willStandIn(node) || !j.PeerHeard && !ev.HearsPeer || mutant.On(mutant.FoundIgnored) {
		return nil
	}
	lost := c.Definition.Peer(node)
	v := refused(TargetAlive, "%s, which %s has declared lost, is heard, so that word counts no more; %s's copy is stale and does not stand in for it",
		lost, g.StandIn.By, node)
	a.found(c, lost)
	return v
}

// willStandIn reports whether a copy is to stand in for the other one, and is still the
// stale one of the two.
func (g *Group) willStandIn(node NodeID) bool {
	_, stale := g.Excluded[node]
	return stale && g.standsIn(node)
}

// stand has a copy count as good, in the step in which its node excludes the lost one.
func (g *Group) stand(node NodeID) {
	s := g.StandIn
	g.clear(node, g.Excluded[node])
	g.StandIn = s // until services have run: what is on disk there may still say that it is stale
}

// found ends an operator's word that a node is lost: it speaks. What was granted by that
// word is not taken back.
func (a *applying) found(c *Cluster, node NodeID) {
	keep := c.Definition.Peer(node)
	for _, id := range c.waitingToStandIn(keep) {
		g := c.Groups[id]
		by := g.StandIn.By
		g.StandIn = nil
		if _, stale := g.Excluded[keep]; stale {
			a.record(c, id, node, "copy found", done("%s, which %s has declared lost, is heard, so that word counts no more: its copy of %s is the good one, and %s's stays stale", node, by, id, keep))
		}
	}
}

// foundAgain ends what protects a copy that was declared lost: a recovery has begun to
// give it up, which has kept it.
func (g *Group) foundAgain(node NodeID) {
	if e, stale := g.Excluded[node]; stale && e.Lost {
		e.Lost = false
		g.exclude(node, e)
	}
}

// waitingToStandIn returns the groups of which a node's stale copy is to stand in, in
// order.
func (c *Cluster) waitingToStandIn(node NodeID) []GroupID {
	var out []GroupID
	for id, g := range c.Groups {
		if g.standsIn(node) && !mutant.On(mutant.FoundIgnored) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
