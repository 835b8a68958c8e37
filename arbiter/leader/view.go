package leader

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/timing"
)

// View is what a leader knows of a cluster, for people.
type View struct {
	Cluster *arbiter.Cluster
	Nodes   map[arbiter.NodeID]NodeView
	Leases  map[arbiter.GroupID]time.Duration // what remains of them; negative once expired
	Reaches []arbiter.NodeID                  // whose power this host can switch
	Held    map[arbiter.GroupID]time.Duration // for so long a group that was taken over is not taken over again
}

// NodeView is what a leader has heard of a node.
type NodeView struct {
	Heard  bool
	Silent time.Duration
	Beat   Beat
	Report *Report // nil: none yet
}

// Views returns a copy of what this leader knows of the clusters named, or of
// all.
func (l *Leader) Views(now boottime.Instant, ids ...arbiter.ClusterID) []View {
	if len(ids) == 0 {
		ids = slices.Sorted(maps.Keys(l.desks))
	}
	var out []View
	for _, id := range ids {
		if d := l.desks[id]; d != nil {
			v := d.view(now)
			v.Reaches = slices.Clone(l.hands[id])
			out = append(out, v)
		}
	}
	return out
}

// Pair is all that this leader knows of the cluster's timing.
func (v View) Pair() timing.Pair {
	reports := map[arbiter.NodeID]*Report{}
	for id, n := range v.Nodes {
		if n.Report != nil {
			reports[id] = n.Report
		}
	}
	p := Pair(v.Cluster.Definition, reports)
	p.WitnessShoots = timing.Means(len(v.Reaches) == len(v.Cluster.Definition.Nodes))
	return p
}

// Suspects reports whether a node has not been heard for as long as makes it suspect.
func (v View) Suspects(node arbiter.NodeID) bool {
	return !v.Nodes[node].Heard || v.Nodes[node].Silent >= v.Cluster.Definition.Timing.SuspectAfter
}

// Parted reports whether both nodes are heard, the group's copies are not connected, and
// DRBD has given up on one side: what an operator is told of.
func (v View) Parted(id arbiter.GroupID) bool {
	apart := false
	for _, n := range v.Cluster.Definition.Nodes {
		beat := v.Nodes[n].Beat
		b := beat.group(id)
		if b == nil || v.Suspects(n) || slices.ContainsFunc(b.Evidence.Disks, func(d arbiter.Disk) bool { return d.Connected }) {
			return false
		}
		apart = apart || b.Parted
	}
	return apart
}

// PartedBefore reports whether DRBD had given up on one side and one of the two nodes has
// fallen silent since, of which nothing has come back.
func (v View) PartedBefore(id arbiter.GroupID) bool {
	silent, apart := 0, false
	for _, n := range v.Cluster.Definition.Nodes {
		beat := v.Nodes[n].Beat
		b := beat.group(id)
		if v.Suspects(n) {
			silent++
		} else if b == nil {
			return false
		}
		if b != nil && slices.ContainsFunc(b.Evidence.Disks, func(d arbiter.Disk) bool { return d.Connected }) {
			return false
		}
		apart = apart || b != nil && b.Parted
	}
	return silent == 1 && apart
}

// Found reports whether DRBD itself has said that a group's copies have split, as one of the
// two nodes has told last. Where it has not, they may only have been disconnected by hand.
func (v View) Found(id arbiter.GroupID) bool {
	return v.told(id, func(b *GroupBeat) bool { return b.Split })
}

// Unsplit reports whether a group's copies cannot have split while somebody looked, for one
// of them has nothing of its own: they were disconnected by hand.
func (v View) Unsplit(id arbiter.GroupID) bool {
	return !v.Found(id) && v.told(id, func(b *GroupBeat) bool { return b.Idle })
}

// told reports whether one of the nodes has told something of a group last.
func (v View) told(id arbiter.GroupID, what func(*GroupBeat) bool) bool {
	return slices.ContainsFunc(v.Cluster.Definition.Nodes[:], func(n arbiter.NodeID) bool {
		beat := v.Nodes[n].Beat
		b := beat.group(id)
		return b != nil && what(b)
	})
}

// Parted reports what [View.Parted] does, of a cluster as it is now.
func (l *Leader) Parted(now boottime.Instant, cluster arbiter.ClusterID, id arbiter.GroupID) bool {
	d := l.desks[cluster]
	return d != nil && View{Cluster: d.c, Nodes: d.nodes(now)}.Parted(id)
}

// Version returns the place of this leader's answers in history.
func (l *Leader) Version() arbiter.Version { return l.version }

// Listening returns how long this leader has listened without a gap.
func (l *Leader) Listening(now boottime.Instant) time.Duration { return now.Sub(l.since) }

func (d *desk) view(now boottime.Instant) View {
	v := View{Cluster: d.c.Clone(), Nodes: d.nodes(now), Leases: map[arbiter.GroupID]time.Duration{}, Held: map[arbiter.GroupID]time.Duration{}}
	for id, at := range d.deadlines {
		v.Leases[id] = at.at.Sub(now)
	}
	for id, until := range d.takeovers {
		v.Held[id] = until.at.Sub(now)
	}
	return v
}

func (d *desk) nodes(now boottime.Instant) map[arbiter.NodeID]NodeView {
	out := map[arbiter.NodeID]NodeView{}
	for _, id := range d.c.Definition.Nodes {
		if h := d.heard[id]; h != nil {
			out[id] = NodeView{Heard: true, Silent: now.Sub(h.at), Beat: h.beat, Report: h.report}
		} else {
			out[id] = NodeView{Silent: now.Sub(d.since)}
		}
	}
	return out
}
