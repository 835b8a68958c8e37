package wire

import (
	"maps"
	"slices"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// ToDefinition writes what an operator declares of a cluster, groups by name.
func ToDefinition(d arbiter.Definition) *sbv1.Definition {
	p := &sbv1.Definition{
		Cluster: string(d.Cluster), Nodes: []string{string(d.Nodes[0]), string(d.Nodes[1])},
		Timing: toTiming(d.Timing), Stonith: d.Stonith, Watchdog: d.Watchdog, AcceptPauseRisk: d.AcceptPauseRisk,
		HoldTimeNs: d.HoldTime.Nanoseconds(), ShotsPerHour: d.ShotsPerHour,
	}
	for _, id := range slices.Sorted(maps.Keys(d.Groups)) {
		g := d.Groups[id]
		p.Groups = append(p.Groups, &sbv1.GroupDefinition{
			Name: string(id), Drbd: g.DRBD, Preferred: string(g.Preferred), MinimumGrade: uint32(g.MinimumGrade),
			Manual: g.Manual, TakeoverDelayNs: g.TakeoverDelay.Nanoseconds(), PromoteWhenPeerGone: g.PromoteWhenPeerGone,
			Recovery: all(g.Recovery, toPolicy), MoveAfterNs: g.MoveAfter.Nanoseconds(),
		})
	}
	return p
}

// FromDefinition reads what an operator declares of a cluster. Whether it makes
// sense is asked by [arbiter.Definition.Check].
func FromDefinition(p *sbv1.Definition) (arbiter.Definition, error) {
	if p == nil {
		return arbiter.Definition{}, errMissing
	}
	var r reader
	d := arbiter.Definition{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Groups: map[arbiter.GroupID]arbiter.GroupDefinition{},
		Timing: fromTiming(&r, p.GetTiming()), Stonith: p.GetStonith(), Watchdog: p.GetWatchdog(), AcceptPauseRisk: p.GetAcceptPauseRisk(),
		HoldTime: r.span("hold_time_ns", p.GetHoldTimeNs()), ShotsPerHour: uint32(r.count("shots_per_hour", p.GetShotsPerHour())),
	}
	if nodes := p.GetNodes(); len(nodes) == len(d.Nodes) {
		for i, n := range nodes {
			d.Nodes[i] = arbiter.NodeID(r.name("nodes", n))
		}
	} else {
		r.fail("nodes", "a cluster has exactly two, not %d", len(nodes))
	}
	for _, g := range few(&r, "groups", p.GetGroups()) {
		id := arbiter.GroupID(r.name("groups.name", g.GetName()))
		if _, twice := d.Groups[id]; twice {
			r.fail("groups", "%s is given twice", id)
		}
		d.Groups[id] = fromGroupDefinition(&r, g)
	}
	return d, r.err()
}

func fromGroupDefinition(r *reader, p *sbv1.GroupDefinition) arbiter.GroupDefinition {
	field := "groups." + p.GetName() + "."
	return arbiter.GroupDefinition{
		DRBD: p.GetDrbd(), Preferred: arbiter.NodeID(r.mayName(field+"preferred", p.GetPreferred())),
		MinimumGrade: r.grade(field+"minimum_grade", p.GetMinimumGrade()), Manual: p.GetManual(),
		TakeoverDelay: r.span(field+"takeover_delay_ns", p.GetTakeoverDelayNs()), PromoteWhenPeerGone: p.GetPromoteWhenPeerGone(),
		Recovery:  each(r, field+"recovery", p.GetRecovery(), fromPolicy),
		MoveAfter: r.span(field+"move_after_ns", p.GetMoveAfterNs()),
	}
}

func toTiming(t arbiter.Timing) *sbv1.Timing {
	return &sbv1.Timing{
		TtlNs: t.TTL.Nanoseconds(), PromiseNs: t.Promise.Nanoseconds(), RenewNs: t.Renew.Nanoseconds(),
		RpcTimeoutNs: t.RPCTimeout.Nanoseconds(), SuspectAfterNs: t.SuspectAfter.Nanoseconds(),
		FenceTimeoutNs: t.FenceTimeout.Nanoseconds(), StartGateNs: t.StartGate.Nanoseconds(),
	}
}

func fromTiming(r *reader, p *sbv1.Timing) arbiter.Timing {
	if p == nil {
		r.in("timing", errMissing)
	}
	return arbiter.Timing{
		TTL: r.span("timing.ttl_ns", p.GetTtlNs()), Promise: r.span("timing.promise_ns", p.GetPromiseNs()),
		Renew: r.span("timing.renew_ns", p.GetRenewNs()), RPCTimeout: r.span("timing.rpc_timeout_ns", p.GetRpcTimeoutNs()),
		SuspectAfter: r.span("timing.suspect_after_ns", p.GetSuspectAfterNs()),
		FenceTimeout: r.span("timing.fence_timeout_ns", p.GetFenceTimeoutNs()), StartGate: r.span("timing.start_gate_ns", p.GetStartGateNs()),
	}
}
