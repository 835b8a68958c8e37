package runner

import (
	"context"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

// slowHands copy a volume away, which takes a day.
type slowHands struct{ s *story }

func (slowHands) Prepare(context.Context) {}

func (h slowHands) Measure(context.Context, carry.Group) (recovery.Side, error) {
	h.s.note("measured")
	return recovery.Side{}, nil
}

func (h slowHands) Do(ctx context.Context, _ recovery.Plan, s recovery.Step, _ string) (carry.Progress, error) {
	h.s.note("begun " + string(s.Kind))
	select {
	case <-ctx.Done():
		h.s.note("broken off")
		return carry.Progress{}, ctx.Err()
	case <-time.After(24 * time.Hour):
		return carry.Progress{Done: true, Ready: true}, nil
	}
}

func TestNextRecoveryDoesNotWaitForACopyThatNobodyWants(t *testing.T) {
	withHands := func(s *story) {
		s.runner.recoverer.hands = slowHands{s}
		s.runner.recoverer.copies = map[arbiter.GroupID]carry.Group{"nfs": {Name: "nfs", Resources: []string{"r0"}}}
		p := recovery.Plan{Version: recovery.PlanVersion, Group: "nfs", Family: drbd.Family84, Victim: "node-a", Survivor: "node-b"}
		for _, n := range []recovery.Node{"node-a", "node-b"} {
			p.Basis = append(p.Basis, recovery.Basis{Node: n, Volume: "r0/0", Generations: "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0"})
		}
		for _, k := range []recovery.StepKind{recovery.StopServices, recovery.Demote, recovery.Disconnect, recovery.DumpMetadata, recovery.Snapshot, recovery.Measure, recovery.Discard, recovery.Connect, recovery.FollowResync, recovery.Readmit} {
			step := recovery.Step{Node: "node-a", Kind: k, Resource: "r0"}
			switch k {
			case recovery.Measure, recovery.Connect, recovery.FollowResync, recovery.Readmit:
				step.Node = "node-b"
			}
			switch k {
			case recovery.StopServices, recovery.Measure, recovery.FollowResync, recovery.Readmit:
				step.Resource = ""
			}
			p.Steps = append(p.Steps, step)
		}
		s.witness.task = &arbiter.Task{Recovery: 1, Name: "1-1", Tries: 1, Step: 4, Plan: &p}
	}
	tell(t, []string{"r0"}, func(s *story) {
		s.pass(3 * time.Second)
		s.must("begun snapshot")
		s.mustNot("broken off")
		s.witness.wants(&arbiter.Task{Recovery: 2, Round: 1})
		s.pass(3 * time.Second)
		s.must("broken off")
		s.must("measured")
	}, withHands)
}
