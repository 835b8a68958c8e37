package arbiter_test

import (
	"fmt"
	"strings"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// Generations of two sides that were both promoted after their link was cut, and of
// the same ones where the fork lies so far back that no bitmap counts from it.
var forked = map[string]map[arbiter.NodeID]string{
	"fork": {
		"node-a": "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	},
	"old-fork": {
		"node-a": "1111000000000002:2222000000000002:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0",
		"node-b": "3333000000000002:4444000000000002:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0",
	},
	"in-step": {
		"node-a": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0",
		"node-b": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0",
	},
	"strangers": { // to 8.4 two empty histories are a common one
		"node-a": "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "AAAA000000000002:BBBB000000000002:0000000000000000:0000000000000000:1:1:0:0:0:0:0",
	},
	"overtaken": { // node-b took what node-a had of the fork, and node-a went on alone
		"node-a": "7777841B974EA3B2:6BB4841B974EA3B2:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0",
		"node-b": "6BB4841B974EA3B2:0000000000000000:2118A6CB62BB9566:0000000000000000:1:1:0:0:0:0:0",
	},
	"moved-on": {
		"node-a": "7777841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "7777F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	},
}

const mib = 1 << 20

// sideOf is what a node would measure after a split brain of the kind that is
// named: changed MiB of its 256, Secondary.
func sideOf(node arbiter.NodeID, kind string, changed uint64) recovery.Side {
	n := changed * mib
	return recovery.Side{
		Node: recovery.Node(node), Family: drbd.Family84, Role: drbd.RoleSecondary,
		Volumes: []recovery.Volume{{
			Resource: "r0", Size: 256 * mib, Disk: drbd.DiskUpToDate, Generations: forked[kind][node], OutOfSync: &n, SnapshotRoom: 256 * mib,
		}},
		Tenures: []recovery.Tenure{{Epoch: 4, Leased: node == "node-a"}},
	}
}

// recoveryCommand turns a line about a recovery into its command.
func (s *stage) recoveryCommand(w *words) (arbiter.Command, error) {
	id := arbiter.GroupID(w.arg(0))
	r := s.group(id).Recovery
	if r == nil {
		r = &arbiter.Recovery{ID: s.latest(id)}
	}
	switch w.first {
	case "resolve":
		o := arbiter.RecoveryOrder{
			By: w.get("by", "alice"), Discard: arbiter.NodeID(w.get("discard", "")), Policy: recovery.PolicyName(w.get("policy", "")),
			Automatic: w.has("automatic"), DryRun: w.has("dry-run"), WhenBack: w.has("when-back"),
		}
		if most := w.number("at-most", 0) * mib; most > 0 {
			o.AtMost = &most
		}
		return arbiter.Resolve{Cluster: pair, Group: id, Order: o}, nil
	case "approve":
		a := arbiter.Approve{Cluster: pair, Group: id, Recovery: r.ID, Revision: w.number("revision", r.Revision), By: w.get("by", "alice")}
		if most := w.number("at-most", 0) * mib; most > 0 {
			a.AtMost = &most
		}
		return a, nil
	case "cancel":
		return arbiter.CancelRecovery{Cluster: pair, Group: id, By: w.get("by", "alice"), Reason: "wrong side"}, nil
	case "abandon":
		return arbiter.CancelRecovery{Cluster: pair, Group: id, By: w.get("by", "alice"), Reason: "its disk is gone", Abandon: true}, nil
	case "measure-again":
		return arbiter.MeasureAgain{Cluster: pair, Group: id, Recovery: r.ID}, nil
	case "unmeasured":
		return arbiter.Unmeasured{Cluster: pair, Group: id, Recovery: r.ID, Round: r.Round, Node: arbiter.NodeID(w.arg(1)), Why: "it is not heard"}, nil
	case "measures":
		side := sideOf(w.node, w.get("kind", "fork"), w.number("changed", 2))
		if w.has("primary") {
			side.Role = drbd.RolePrimary
		}
		if w.has("mounted") {
			side.Mounted = []string{"/srv"}
		}
		if w.has("inconsistent") {
			side.Volumes[0].Disk = drbd.DiskInconsistent
		}
		if w.has("diskless") {
			side.Volumes[0] = recovery.Volume{Resource: "r0", Disk: drbd.DiskDiskless}
		}
		if why := w.get("missing", ""); why != "" {
			side = recovery.Side{Node: side.Node, Missing: why}
		}
		return arbiter.Measured{Caller: s.caller(w), Group: id, Recovery: r.ID, Round: uint32(w.number("round", uint64(r.Round))), Side: side}, nil
	case "does":
		t := r.TaskOf(w.node)
		if t == nil {
			t = &arbiter.Task{Step: r.Step, Tries: r.Tries, Attempt: r.Attempt}
		}
		return arbiter.StepDone{
			Caller: s.caller(w), Group: id, Recovery: r.ID, Tries: t.Tries, Attempt: uint32(w.number("attempt", uint64(t.Attempt))),
			Step: int(w.number("step", uint64(t.Step))), Failure: strings.ReplaceAll(w.get("failure", ""), "_", " "), Unkept: w.has("unkept"),
		}, nil
	}
	return nil, fmt.Errorf("unknown verb %q", w.first)
}

func (s *stage) latest(id arbiter.GroupID) arbiter.RecoveryID {
	if over := s.group(id).Recovered; len(over) > 0 {
		return over[len(over)-1].ID
	}
	return 0
}

// showRecovery describes the recovery of a group in one line.
func (s *stage) showRecovery(id arbiter.GroupID) string {
	g := s.group(id)
	r := g.Recovery
	if r == nil && len(g.Recovered) == 0 {
		return "none"
	}
	if r == nil {
		r = &g.Recovered[len(g.Recovered)-1]
		return fmt.Sprintf("%s over: %s: %s", r.ID, r.Outcome, r.Note)
	}
	out := fmt.Sprintf("%s %s", r.ID, r.Phase)
	if r.Phase == arbiter.Carrying {
		out += fmt.Sprintf(" %d/%d %s", r.Step+1, len(r.Plan.Steps), r.Plan.Steps[r.Step])
	}
	if r.Failure != "" {
		out += ": " + r.Failure
	}
	if r.Phase == arbiter.Awaiting {
		out += ": " + r.Note
	}
	for _, n := range nodes {
		if e, ok := r.Earlier[n]; ok {
			out += fmt.Sprintf("; of %s it is known that it had changed %s", n, recovery.Bytes(*e.Volumes[0].OutOfSync))
		}
	}
	return out
}
