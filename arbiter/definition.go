package arbiter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sbarbiter/recovery"
	"sbarbiter/timing"
)

// Definition is what an operator declares of a cluster.
type Definition struct {
	Cluster ClusterID                   `json:"cluster"`
	Nodes   [2]NodeID                   `json:"nodes"`
	Groups  map[GroupID]GroupDefinition `json:"groups"`
	Timing  Timing                      `json:"timing"`
	// Stonith: mandates are given. Watchdog: a lease of a holder with an armed
	// watchdog may be taken over once it has run out (E2).
	Stonith  bool `json:"stonith,omitempty"`
	Watchdog bool `json:"watchdog,omitempty"`
	// AcceptPauseRisk lets E2 rest on a watchdog that stands still with its
	// machine (softdog, a virtual machine's).
	AcceptPauseRisk bool `json:"accept_pause_risk,omitempty"`
	// HoldTime is for how long after a takeover a group is not taken over again;
	// 0: not at all. ShotsPerHour is how many shots may begin in an hour; 0: any.
	HoldTime     time.Duration `json:"hold_time,omitempty"`
	ShotsPerHour uint32        `json:"shots_per_hour,omitempty"`
}

// GroupDefinition is what an operator declares of a group.
type GroupDefinition struct {
	DRBD                bool          `json:"drbd,omitempty"`
	Preferred           NodeID        `json:"preferred,omitempty"`
	MinimumGrade        Grade         `json:"minimum_grade,omitempty"`
	Manual              bool          `json:"manual,omitempty"`
	TakeoverDelay       time.Duration `json:"takeover_delay,omitempty"`
	PromoteWhenPeerGone bool          `json:"promote_when_peer_gone,omitempty"`
	// MoveAfter is how long a holder is isolated, and its peer not, before the group
	// is moved to the peer by a planned switchover; 0: it stays.
	MoveAfter time.Duration `json:"move_after,omitempty"`
	// Recovery are the policies that are asked in their order after a split brain.
	Recovery []recovery.Policy `json:"recovery,omitempty"`
}

// Automatic reports whether a policy may decide with nobody asked.
func (g GroupDefinition) Automatic() bool {
	return len(g.Recovery) > 0 && g.Recovery[0].Name != recovery.Manual
}

func cloneGroups(groups map[GroupID]GroupDefinition) map[GroupID]GroupDefinition {
	out := maps.Clone(groups)
	for id, g := range out {
		g.Recovery = recovery.ClonePolicies(g.Recovery)
		out[id] = g
	}
	return out
}

// Timing holds the durations that witness and agents must agree on.
type Timing struct {
	TTL          time.Duration `json:"ttl"`           // of a lease, counted by the holder from before its renewal left
	Promise      time.Duration `json:"promise"`       // of the peer's word, counted the same way
	Renew        time.Duration `json:"renew"`         // between renewals, and between beats to the peer
	RPCTimeout   time.Duration `json:"rpc_timeout"`   // of one request to the witness
	SuspectAfter time.Duration `json:"suspect_after"` // of silence
	FenceTimeout time.Duration `json:"fence_timeout"` // of one shot, from Begin to the last reading
	StartGate    time.Duration `json:"start_gate"`    // both nodes are waited for at a cluster start
}

// Guard returns how long the granting side counts a duration of d that the
// other side counts from earlier.
func Guard(d time.Duration) time.Duration { return timing.Guard(d) }

// Peer returns the other node of the pair, or "" if n is not in it.
func (d *Definition) Peer(n NodeID) NodeID {
	switch n {
	case d.Nodes[0]:
		return d.Nodes[1]
	case d.Nodes[1]:
		return d.Nodes[0]
	}
	return ""
}

// Check returns what is wrong with d, or nil.
func (d *Definition) Check() error {
	var errs []error
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if d.Cluster == "" {
		fail("cluster: a name is needed")
	}
	if d.Nodes[0] == "" || d.Nodes[1] == "" || d.Nodes[0] == d.Nodes[1] {
		fail("nodes: two different names are needed, not %q and %q", d.Nodes[0], d.Nodes[1])
	}
	if len(d.Groups) == 0 {
		fail("groups: a cluster without a group has nothing to arbitrate; add one")
	}
	for _, id := range slices.Sorted(maps.Keys(d.Groups)) {
		g := d.Groups[id]
		if id == "" {
			fail("groups: a group needs a name")
		}
		if g.MinimumGrade > E5 {
			fail("groups.%s.minimum_grade: %s does not exist; the grades are E0 to E5", id, g.MinimumGrade)
		}
		if g.TakeoverDelay < 0 {
			fail("groups.%s.takeover_delay: %v is negative", id, g.TakeoverDelay)
		}
		if g.MoveAfter < 0 {
			fail("groups.%s.move_after: %v is negative", id, g.MoveAfter)
		}
		if g.Preferred != "" && d.Peer(g.Preferred) == "" {
			fail("groups.%s.preferred: %q is not a node of this cluster", id, g.Preferred)
		}
		errs = append(errs, d.checkPolicies(id, g))
	}
	if d.HoldTime < 0 {
		fail("hold_time: %v is negative", d.HoldTime)
	}
	errs = append(errs, d.Timing.check())
	return errors.Join(errs...)
}

func (d *Definition) checkPolicies(id GroupID, g GroupDefinition) error {
	if len(g.Recovery) > 0 && !g.DRBD {
		return fmt.Errorf("groups.%s.recovery: the group has no DRBD resource, so there is nothing to recover", id)
	}
	for i, p := range g.Recovery {
		if err := p.Validate(); err != nil {
			return fmt.Errorf("groups.%s.recovery[%d]: %w", id, i, err)
		}
		if p.Node != "" && d.Peer(NodeID(p.Node)) == "" {
			return fmt.Errorf("groups.%s.recovery[%d]: %s is not a node of this cluster", id, i, p.Node)
		}
	}
	return nil
}

func (t Timing) check() error {
	if t.Renew <= 0 || t.RPCTimeout <= 0 || t.FenceTimeout <= 0 {
		return fmt.Errorf("timing: renew, rpc_timeout and fence_timeout must be above zero, not %v, %v and %v",
			t.Renew, t.RPCTimeout, t.FenceTimeout)
	}
	if need := timing.SuspicionNeeds(t.Renew, t.RPCTimeout); t.SuspectAfter < need {
		return fmt.Errorf("timing.suspect_after: %v is less than 3 x renew + rpc_timeout = %v; raise suspect_after", t.SuspectAfter, need)
	}
	if need := 2*t.Renew + t.RPCTimeout; t.TTL < need || t.Promise < need {
		return fmt.Errorf("timing: ttl %v and promise %v must not be less than 2 x renew + rpc_timeout = %v", t.TTL, t.Promise, need)
	}
	if t.StartGate < 0 {
		return fmt.Errorf("timing.start_gate: %v is negative", t.StartGate)
	}
	return nil
}
