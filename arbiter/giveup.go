package arbiter

import "sbarbiter/internal/mutant"

// giveUp takes an operator's word which of two copies is kept, where no rule can
// say: both are stale, each in its own way, or the two were never in step. In one
// step the copy that is kept counts as good, and the other one as stale, under a
// number that orders it to be copied anew as a whole.
func (a *applying) giveUp(c *Cluster, cmd GiveUp) Verdict {
	g, ok := c.Groups[cmd.Group]
	if !ok {
		return unknownGroup(c, cmd.Group)
	}
	if cmd.Cancel {
		return a.takeBack(c, g, cmd)
	}
	v, what := g.wordInTurn(cmd), "copy given up"
	if v == nil {
		v = c.mayGiveUp(g, cmd)
	}
	if cmd.Lost {
		what = "copy lost"
	}
	switch {
	case v != nil:
	case cmd.Lost:
		d := c.lose(g, cmd)
		v = &d
	default:
		d := c.kept(g, cmd, a.state.Version.Incarnation)
		v = &d
	}
	if v.OK() {
		g.Words++
	}
	a.record(c, cmd.Group, cmd.Node, what, *v)
	return *v
}

// wordInTurn refuses a word that another one has come before: it was given by what was so
// then, or is the same one once more.
func (g *Group) wordInTurn(cmd GiveUp) *Verdict {
	if cmd.Word == 0 || cmd.Word == g.Words+1 || mutant.On(mutant.LateWordCounts) {
		return nil
	}
	return refused(WordOver, "word %d about the copies of %s has been given already, and counts once, also where it was taken back since; look at both as they are now (sbctl status), then say it anew", cmd.Word, cmd.Group)
}

func (c *Cluster) kept(g *Group, cmd GiveUp, incarnation uint32) Verdict {
	keep := c.Definition.Peer(cmd.Node)
	if e, stale := g.Excluded[keep]; stale {
		g.clear(keep, e)
	}
	g.unfit(cmd.Node)
	n := c.number(incarnation)
	g.exclude(cmd.Node, Exclusion{Number: n, OwnWord: g.Excluded[cmd.Node].OwnWord, Epoch: c.Epoch, Discard: n})
	g.Begun = true
	v := done("%s's copy of %s is given up (%s), and %s's is kept, says %s: %s", cmd.Node, cmd.Group, n, keep, cmd.By, cmd.Reason)
	v.Number = n
	return v
}

func (c *Cluster) mayGiveUp(g *Group, cmd GiveUp) *Verdict {
	keep := c.Definition.Peer(cmd.Node)
	switch {
	case c.Nodes[cmd.Node] == nil:
		return refused(UnknownNode, "cluster %s has no node %s", cmd.Cluster, cmd.Node)
	case !c.Definition.Groups[cmd.Group].DRBD:
		return refused(NoDRBD, "group %s has no DRBD resource, so there are no copies of it", cmd.Group)
	case c.Learning:
		return refused(WitnessLearning, "this witness is learning what the nodes know")
	case c.Mandate != nil:
		return refused(MandateUnderWay, "mandate %d against %s is under way", c.Mandate.ID, c.Mandate.Target)
	case g.Recovery != nil:
		return refused(RecoveryUnderWay, "recovery %s of %s is under way; let it end, or call it off", g.Recovery.ID, cmd.Group)
	case !cmd.Lost && g.Begun && !g.noGoodCopy(c.Definition):
		return refused(NothingToDo, "nothing has to be decided about %s: not both of its copies are stale, so the rules know which one is good, unless the two have split: then type sbctl resolve %s --keep %s%s", cmd.Group, cmd.Group, keep, c.orLost(g, cmd))
	case !cmd.Lost && g.Lease != nil && g.Lease.Holder == cmd.Node:
		return refused(HoldsGroup, "%s holds %s, and its copy cannot be given up under it; stop it there first (sbctl standby %s)", cmd.Node, cmd.Group, cmd.Node)
	case cmd.Kept == nil:
		return refused(NotInStep, "%s, whose copy is to be kept, has not been heard; start it and its agent", keep)
	case !cmd.Kept.OwnWhole():
		return refused(DiskUnusable, "%s's copy of %s cannot be kept: a volume of it is not attached, or half of a resynchronisation", keep, cmd.Group)
	}
	return nil
}

// orLost names the way that is left where the good copy is not to be had.
func (c *Cluster) orLost(g *Group, cmd GiveUp) string {
	keep := c.Definition.Peer(cmd.Node)
	if _, stale := g.Excluded[keep]; !stale {
		return ""
	}
	return sentence("; where %s, which has it, is lost for good: sbctl group init %s --keep %s --lost", cmd.Node, cmd.Group, keep)
}
