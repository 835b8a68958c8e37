package witness

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	sbv1 "sbarbiter/proto/sb/v1"
)

// clusterStatus is a view as operators see it. listening is how long the leader
// has listened.
func clusterStatus(v leader.View, listening time.Duration) *sbv1.ClusterStatus {
	c := v.Cluster
	out := &sbv1.ClusterStatus{
		Definition: wire.ToDefinition(c.Definition), Epoch: uint64(c.Epoch), Learning: c.Learning,
		Maintenance: c.Maintenance, MaintenanceUntil: c.Until, Alarms: alarms(v, listening),
	}
	for _, id := range c.Definition.Nodes {
		out.Nodes = append(out.Nodes, nodeStatus(v, id))
	}
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		out.Groups = append(out.Groups, groupStatus(v, id))
	}
	if m := c.Mandate; m != nil {
		out.Mandate = &sbv1.MandateStatus{
			Id: uint64(m.ID), Target: string(m.Target), Executor: m.Shooter(), Group: string(m.Group), Phase: string(m.Phase),
		}
	}
	return out
}

func nodeStatus(v leader.View, id arbiter.NodeID) *sbv1.NodeStatus {
	n, heard := v.Cluster.Nodes[id], v.Nodes[id]
	out := &sbv1.NodeStatus{
		Name: string(id), Introduced: n.Boot != "", SilentNs: -1, Boot: string(n.Boot), Incarnation: uint64(n.Incarnation),
		Standby: n.Standby, Twins: n.Twins,
	}
	if !heard.Heard {
		return out
	}
	b := heard.Beat
	out.SilentNs = heard.Silent.Nanoseconds()
	out.References, out.Needed = uint32(b.References), uint32(b.Needed)
	for _, l := range b.Links {
		out.Links = append(out.Links, &sbv1.LinkStatus{
			Name: l.Name, HearsPeer: l.HearsPeer, LostInPercent: uint32(l.LostIn), LostOutPercent: uint32(l.LostOut),
		})
	}
	if len(b.Groups) > 0 {
		out.Watchdog = wire.ToWatchdog(b.Groups[0].Evidence.Watchdog) // the machine has one
	}
	return out
}

func groupStatus(v leader.View, id arbiter.GroupID) *sbv1.GroupStatus {
	g := v.Cluster.Groups[id]
	out := &sbv1.GroupStatus{Name: string(id), Split: splitOf(v, id), Words: uint64(g.Words)}
	if l := g.Lease; l != nil {
		out.Holder, out.Epoch, out.Started, out.Unshot = string(l.Holder), uint64(l.Epoch), l.Started, l.Unshot
		out.Basis, out.RemainingNs = wire.ToBasis(l.Basis), v.Leases[id].Nanoseconds()
	}
	if g.Last.Cause != arbiter.ByNothing {
		e := g.Last
		out.Last = wire.ToBasis(arbiter.Basis{Cause: e.Cause, Holder: e.Holder, Epoch: e.Epoch, Grade: e.Grade, Boot: e.Boot, Mandate: e.Mandate})
	}
	if g.Order != nil {
		out.OrderTo = string(g.Order.To)
	}
	if s := g.StandIn; s != nil {
		out.StandIn = &sbv1.StandInStatus{Node: string(s.Node), Lost: string(v.Cluster.Definition.Peer(s.Node)), By: s.By, Word: uint64(s.Word)}
	}
	for _, node := range v.Cluster.Definition.Nodes {
		if e, ok := g.Excluded[node]; ok {
			out.Exclusions = append(out.Exclusions, &sbv1.ExclusionStatus{
				Node: string(node), Number: uint64(e.Number), OwnWord: e.OwnWord, By: string(e.By), Epoch: uint64(e.Epoch), Discard: uint64(e.Discard),
				Lost: e.Lost, SinceMs: e.Since,
			})
		}
		out.Nodes = append(out.Nodes, groupOnNode(v, node, id))
	}
	return out
}

func groupOnNode(v leader.View, node arbiter.NodeID, id arbiter.GroupID) *sbv1.GroupOnNode {
	out := &sbv1.GroupOnNode{Node: string(node), Failed: v.Cluster.Groups[id].Failed[node]}
	b := beatOf(v, node, id)
	if b == nil {
		return out
	}
	out.Phase = b.Phase
	out.Disks = wire.ToEvidence(b.Evidence).GetDisks()
	for _, s := range b.Services {
		out.Services = append(out.Services, &sbv1.ServiceStatus{Name: s.Name, State: s.State})
	}
	return out
}

// beatOf returns what a node last said about a group, nil if it has not spoken.
func beatOf(v leader.View, node arbiter.NodeID, id arbiter.GroupID) *leader.GroupBeat {
	groups := v.Nodes[node].Beat.Groups
	i := slices.IndexFunc(groups, func(b leader.GroupBeat) bool { return b.Group == id })
	if i < 0 {
		return nil
	}
	return &groups[i]
}

// Bounds of an answer to why.
const (
	fewRecords  = 10
	mostRecords = 200
)

// why picks the last decisions about a group: its own, and those about the
// cluster as a whole.
func why(records []arbiter.Record, group arbiter.GroupID, limit int) []arbiter.Record {
	if limit <= 0 {
		limit = fewRecords
	}
	limit = min(limit, mostRecords)
	var out []arbiter.Record
	for _, r := range slices.Backward(records) {
		if len(out) == limit {
			break
		}
		if group == "" || r.Group == "" || r.Group == group {
			out = append(out, r)
		}
	}
	slices.Reverse(out)
	return out
}
