package witness

import (
	"fmt"
	"slices"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// withoutTheGoodCopy says what a group waits for whose only good copy is on a node that
// is not heard, and how to do without it; nothing where that is not so.
func withoutTheGoodCopy(v leader.View, id arbiter.GroupID) string {
	c, g := v.Cluster, v.Cluster.Groups[id]
	if len(g.Excluded) != 1 || g.Lease != nil && v.Leases[id] >= 0 {
		return ""
	}
	for _, stale := range c.Definition.Nodes {
		good := c.Definition.Peer(stale)
		hears := slices.ContainsFunc(v.Nodes[stale].Beat.Links, func(l leader.Link) bool { return l.HearsPeer })
		if _, is := g.Excluded[stale]; !is || v.Suspects(stale) || !v.Suspects(good) || hears {
			continue
		}
		if g.Lease != nil && g.Lease.Holder == stale {
			return "" // it is about to stand in for the other one
		}
		first := ""
		if g.Lease != nil {
			first = "sbctl fence confirm " + string(g.Lease.Holder) + ", then "
		}
		return fmt.Sprintf("%[1]s, which has the only good copy, is to be heard; start it; if its machine is lost for good, type: %[4]ssbctl group init %[2]s --keep %[3]s --lost", good, id, stale, first)
	}
	return ""
}

// standingIn says that an operator has declared a machine lost, and how that is taken
// back; nothing where nobody has.
func standingIn(c *arbiter.Cluster, id arbiter.GroupID) string {
	s := c.Groups[id].StandIn
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s's copy is to stand in for that of %s, which %s has declared lost%s; to take that back: sbctl group init %s --cancel --word %d",
		s.Node, c.Definition.Peer(s.Node), s.By, refusal(c, id), id, s.Word)
}

// staleCopy says that a copy is stale, and what becomes of it.
func staleCopy(v leader.View, id arbiter.GroupID, node arbiter.NodeID, e arbiter.Exclusion) string {
	if s := v.Cluster.Groups[id].StandIn; s != nil && s.Node == node {
		return fmt.Sprintf("%s: the copy on %s is stale (%s), and is to stand in for that of %s", id, node, numbers(e), v.Cluster.Definition.Peer(node))
	}
	return fmt.Sprintf("%s: the copy on %s is stale (%s) and is not promoted before it has resynchronised; %s", id, node, numbers(e), mendCopy(v, id, e))
}

// mendCopy says what is to be done about a stale copy.
func mendCopy(v leader.View, id arbiter.GroupID, e arbiter.Exclusion) string {
	if e.Lost {
		return fmt.Sprintf("an operator has declared its machine lost: what only that has is not overwritten before a recovery, by you or by a policy, has kept it; if the two have split, type: %s", v.Cluster.ResolveLine(id))
	}
	if split := splitOf(v, id); split != nil {
		return "where the two have split, DRBD does not do that by itself; type: " + split.GetDo()
	}
	return "look at DRBD's connection there"
}
