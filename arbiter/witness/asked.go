package witness

import (
	"fmt"
	"slices"

	"sbarbiter/arbiter"
)

// lastAsk returns the latest decision about a request for a group.
func lastAsk(c *arbiter.Cluster, id arbiter.GroupID) *arbiter.Record {
	for i := range slices.Backward(c.Audit) {
		if r := &c.Audit[i]; r.Group == id && (r.What == "acquire" || r.What == "fence") {
			return r
		}
	}
	return nil
}

// lastAnswer is what was said to the latest request for a group, as far as that is still
// so: who was refused asks again only after a while.
func lastAnswer(c *arbiter.Cluster, id arbiter.GroupID) string {
	r := lastAsk(c, id)
	switch {
	case r == nil || r.Reason == "":
		return "a node is to ask for it"
	case over(c, id, r) != "":
		return fmt.Sprintf("%s is to ask for it again: %s, for which it was refused", r.Node, over(c, id, r))
	}
	return r.Sentence
}

// refusal is why the group was not granted the last time it was asked for.
func refusal(c *arbiter.Cluster, id arbiter.GroupID) string {
	r := lastAsk(c, id)
	if r == nil || r.Reason == "" || r.Reason == arbiter.IsExcluded {
		return ""
	}
	return "; " + lastAnswer(c, id)
}

// over says that what a refusal rests on is so no more, "" where it is, or only the node
// can know.
func over(c *arbiter.Cluster, id arbiter.GroupID, r *arbiter.Record) string {
	g, n := c.Groups[id], c.Nodes[r.Node]
	still, now := true, ""
	switch r.Reason {
	case arbiter.InMaintenance:
		still, now = c.Maintenance, "maintenance is over"
	case arbiter.InStandby:
		still, now = n != nil && n.Standby, string(r.Node)+" is not in standby any more"
	case arbiter.TwinIdentity:
		still, now = n != nil && n.Twins, "only one machine has its name any more"
	case arbiter.WitnessLearning:
		still, now = c.Learning, "the witness has learnt what the nodes know"
	case arbiter.MandateUnderWay:
		still, now = c.Mandate != nil, "the shot is over"
	case arbiter.RecoveryUnderWay:
		still, now = g.Recovery != nil, "the recovery is over"
	case arbiter.NoGoodCopy:
		still, now = len(g.Excluded) == len(c.Definition.Nodes), "one of the copies counts as good again"
	default:
	}
	if still {
		return ""
	}
	return now
}
