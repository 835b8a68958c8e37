package wire

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

var policyNames = rapid.SampledFrom(recovery.PolicyNames)

var policies = rapid.Custom(func(t *rapid.T) recovery.Policy {
	p := recovery.Policy{
		Name: policyNames.Draw(t, "name"), Node: recovery.Node(mayNames.Draw(t, "node")), Of: rapid.SliceOfN(policyNames, 0, 3).Draw(t, "of"),
		MinRatio: float64(rapid.IntRange(0, 100).Draw(t, "ratio")) / 4,
		Guards: recovery.Guards{
			RequireSnapshot: flags.Draw(t, "snapshot"), RequireUnmounted: flags.Draw(t, "unmounted"), NotIfOpen: flags.Draw(t, "open"),
		},
	}
	if flags.Draw(t, "limited") {
		n := rapid.Uint64().Draw(t, "limit")
		p.MaxDiscard = &n
	}
	return p
})

var carryings = rapid.Custom(func(t *rapid.T) *leader.Carrying {
	return &leader.Carrying{
		Recovery: arbiter.RecoveryID(numbers.Draw(t, "recovery")), Step: counts.Draw(t, "step"), Note: texts.Draw(t, "note"),
		Left: rapid.Uint64().Draw(t, "left"), Total: rapid.Uint64().Draw(t, "total"),
	}
})

var tasks = rapid.Custom(func(t *rapid.T) *arbiter.Task {
	task := &arbiter.Task{Recovery: arbiter.RecoveryID(numbers.Draw(t, "recovery")), Round: uint32(counts.Draw(t, "round"))}
	if task.Round != 0 {
		return task
	}
	task.Name, task.Tries, task.Attempt = names.Draw(t, "name"), uint32(counts.Draw(t, "tries")), uint32(counts.Draw(t, "attempt"))
	task.Plan = &recovery.Plan{
		Version: recovery.PlanVersion, Group: names.Draw(t, "group"), Family: drbd.Family84, Victim: "node-a", Survivor: "node-b",
		Basis: []recovery.Basis{{Node: "node-a", Volume: "r0/0", Generations: "x"}}, Discard: rapid.Uint64().Draw(t, "discard"),
		Steps: []recovery.Step{{Node: "node-a", Kind: recovery.StopServices}, {Node: "node-a", Kind: recovery.Snapshot, Resource: "r0", Volume: 1}},
	}
	task.Step = rapid.IntRange(0, 1).Draw(t, "step")
	return task
})

func sideOf(t *rapid.T) recovery.Side {
	n := rapid.Uint64().Draw(t, "changed")
	return recovery.Side{
		Node: "node-a", Family: drbd.Family84, Role: drbd.RolePrimary, Mounted: []string{"/srv"},
		Volumes: []recovery.Volume{{Resource: "r0", Size: 1, Disk: drbd.DiskUpToDate, Generations: "x", OutOfSync: &n}},
		Tenures: []recovery.Tenure{{Epoch: 4, Leased: true}},
	}
}

func TestWordsAboutARecoveryArrive(t *testing.T) {
	t.Run("side", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Measured {
			who := senders.Draw(t, "sender")
			return leader.Measured{Seen: who.Seen, Measured: arbiter.Measured{
				Caller: who.Caller, Group: "nfs", Recovery: arbiter.RecoveryID(numbers.Draw(t, "recovery")),
				Round: uint32(rapid.IntRange(1, 9).Draw(t, "round")), Side: sideOf(t),
			}}
		}), ToMeasured, FromMeasured)
	})
	t.Run("step", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.StepDone {
			who := senders.Draw(t, "sender")
			return leader.StepDone{Seen: who.Seen, StepDone: arbiter.StepDone{
				Caller: who.Caller, Group: "nfs", Recovery: arbiter.RecoveryID(numbers.Draw(t, "recovery")), Tries: 1, Attempt: 2,
				Step: counts.Draw(t, "step"), Note: texts.Draw(t, "note"), Failure: texts.Draw(t, "failure"), Unkept: flags.Draw(t, "unkept"),
			}}
		}), ToStepDone, FromStepDone)
	})
}

func TestWordsAboutARecoveryThatMakeNoSenseAreRefused(t *testing.T) {
	caller := ToCaller(arbiter.Caller{Cluster: "c", Node: "n", Boot: "b"}, arbiter.Version{})
	for name, p := range map[string]*sbv1.ReportSideRequest{
		"no recovery":       {Caller: caller, Group: "nfs", Round: 1, Side: []byte("{}")},
		"no round":          {Caller: caller, Group: "nfs", Recovery: 1, Side: []byte("{}")},
		"no side":           {Caller: caller, Group: "nfs", Recovery: 1, Round: 1},
		"an endless reason": {Caller: caller, Group: "nfs", Recovery: 1, Round: 1, Side: document(recovery.Side{Missing: strings.Repeat("x", longestText+1)})},
		"endless":           {Caller: caller, Group: "nfs", Recovery: 1, Round: 1, Side: bytes.Repeat([]byte(" "), longestSide+1)},
	} {
		if m, err := FromMeasured(p); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	// The rest of an answer may renew a lease: a bad plan does not take it along.
	for _, plan := range []string{`{"steps":[]}`, "rubbish", strings.Repeat(" ", longestDocument+1), ""} {
		task, err := fromTask(&sbv1.RecoveryTask{Recovery: 1, Plan: []byte(plan)})
		if err != nil || task.Check() == nil {
			t.Errorf("%.20q: %+v, %v", plan, task, err)
		}
	}
}

// FuzzTask feeds what comes as a plan to whoever would carry it out.
func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"version":1,"group":"g","family":"8.4","victim":"a","survivor":"b","steps":[{"node":"b","kind":"follow-resync"},{"node":"a","kind":"discard","resource":"r0"}]}`), uint32(0))
	f.Add([]byte(`{"steps":[{"resource":".."}]}`), uint32(7))
	f.Fuzz(func(_ *testing.T, plan []byte, step uint32) {
		task, err := fromTask(&sbv1.RecoveryTask{Recovery: 1, Plan: plan, Step: step})
		if err != nil || task.Check() != nil {
			return
		}
		for _, n := range []arbiter.NodeID{"a", "b", ""} {
			task.Steps(n)
		}
	})
}
