package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// split is a stage whose two nodes say that DRBD has given up, as it does when it
// finds that both were written to. The group has a policy, if one is named.
func split(t *testing.T, names ...recovery.PolicyName) *stage {
	s := newStage(t, func(d *arbiter.Definition) {
		g := d.Groups[data]
		for _, n := range names {
			g.Recovery = append(g.Recovery, recovery.Policy{Name: n})
		}
		d.Groups[data] = g
	})
	s.parted()
	return s
}

// parted sends a beat of each node: node-a's DRBD has given up, node-b's has not
// noticed yet.
func (s *stage) parted() map[arbiter.NodeID]*leader.GroupAnswer {
	out := map[arbiter.NodeID]*leader.GroupAnswer{}
	for _, n := range []arbiter.NodeID{nodeA, nodeB} {
		b := s.beatOf(n, 0)
		b.Groups[0].Evidence.Disks[0].Connected, b.Groups[0].Evidence.Disks[0].Peer = false, "DUnknown"
		b.Groups[0].Parted = n == nodeA
		out[n] = s.answerOf(s.send(b))
	}
	return out
}

func (s *stage) passParted(d time.Duration) {
	s.passWith(d, func() { s.parted() })
}

// sides reports what both have measured: node-b has changed less.
func (s *stage) sides(r *arbiter.Recovery) {
	s.t.Helper()
	s.measured(r, 1<<20)
}

// measured is the same where node-b has changed so many bytes.
func (s *stage) measured(r *arbiter.Recovery, ofB uint64) {
	s.t.Helper()
	for n, changed := range map[arbiter.NodeID]uint64{nodeA: 9 << 20, nodeB: ofB} {
		s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(n), Group: data, Recovery: r.ID, Round: r.Round, Side: sideOf(n, changed)}})
	}
}

// sideOf is what a node has that has changed so many bytes since the two were one.
func sideOf(n arbiter.NodeID, changed uint64) recovery.Side {
	gi := "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0"
	if n == nodeB {
		gi = "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0"
	}
	return recovery.Side{
		Node: recovery.Node(n), Family: drbd.Family84, Role: drbd.RoleSecondary,
		Volumes: []recovery.Volume{{Resource: "r0", Size: 64 << 20, Disk: drbd.DiskUpToDate, Generations: gi, OutOfSync: &changed}},
	}
}

func (s *stage) underWay() *arbiter.Recovery { return s.state.Clusters[cluster].Groups[data].Recovery }

// Where both say that DRBD has given up nothing is waited for.
func TestSplitThatBothSidesSeeIsLookedAtAtOnce(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	b := s.beatOf(nodeB, 0)
	b.Groups[0].Evidence.Disks[0].Connected, b.Groups[0].Evidence.Disks[0].Peer, b.Groups[0].Parted = false, "DUnknown", true
	s.send(b)
	s.pass(time.Millisecond)
	if s.underWay() == nil {
		t.Error("nobody looks at it")
	}
}

func TestSplitBrainIsResolvedByThePolicyThatWasWrittenDown(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.passParted(time.Second)
	r := s.underWay()
	if r == nil || !r.Order.Automatic {
		t.Fatalf("nobody looks at it: %+v", r)
	}
	for n, a := range s.parted() {
		if a.Task == nil || a.Task.Round != 1 || a.Task.Recovery != r.ID {
			t.Errorf("%s is not asked to measure: %+v", n, a.Task)
		}
	}
	s.sides(r)
	if r = s.underWay(); r.Phase != arbiter.Carrying || r.Victim() != nodeB {
		t.Fatalf("%s: %s", r.Phase, r.Note)
	}
	answers := s.parted()
	if a := answers[nodeB]; a.Task == nil || a.Task.Plan.Steps[a.Task.Step].Kind != recovery.StopServices || !a.Apart || a.Own.Number == 0 {
		t.Errorf("the victim is told %+v", a)
	}
	if a := answers[nodeA]; a.Task != nil || !a.Apart {
		t.Errorf("the survivor is told %+v", a)
	}
}

// A recovery whose copies were brought together and have split again, before that was
// noted, stands in nobody's way.
func TestSplitBrainBeforeTheReadmissionIsLookedAtAnew(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.passParted(time.Second)
	first := s.underWay()
	s.sides(first)
	for range 20 {
		r := s.underWay()
		switch step := r.Plan.Steps[r.Step]; step.Kind {
		case recovery.Measure:
			s.sides(r)
		case recovery.Readmit:
			s.passParted(time.Second)
			if r := s.underWay(); r == nil || r.ID == first.ID || !r.Order.Automatic {
				t.Errorf("nobody looks at it: %+v", r)
			}
			return
		default:
			s.must(leader.StepDone{StepDone: arbiter.StepDone{
				Caller: s.caller(arbiter.NodeID(step.Node)), Group: data, Recovery: r.ID, Tries: r.Tries, Attempt: r.Attempt, Step: r.Step,
			}})
		}
	}
	t.Error("it does not come to its last step")
}

func TestWhatWasCalledOffDoesNotComeBackByItself(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.passParted(time.Second)
	s.must(arbiter.CancelRecovery{Cluster: cluster, Group: data, By: "alice"})
	s.passParted(2 * time.Minute)
	if r := s.underWay(); r != nil {
		t.Fatalf("opened again: %+v", r)
	}
	s.beat(nodeA, 0) // connected
	s.beat(nodeB, 0)
	s.passWith(time.Second, s.beating(nodeA, 0), s.beating(nodeB, 0))
	s.passParted(time.Second)
	if s.underWay() == nil {
		t.Error("the next split brain is not looked at")
	}
}

// A disk that is not attached tells nothing of its copy: it is looked at again, and the
// policy acts once it is there. What was seen to be no split is not looked at for ever.
func TestSplitThatCouldNotBeSeenIsLookedAtAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*recovery.Side)
		again  bool
	}{
		"not attached": {func(s *recovery.Side) { s.Volumes[0].Disk, s.Volumes[0].Generations = drbd.DiskDiskless, "" }, true},
		"not readable": {func(s *recovery.Side) { *s = recovery.Side{Node: s.Node, Missing: "drbdmeta says no"} }, true},
		"in step": {func(s *recovery.Side) {
			s.Volumes[0].Generations = "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
		}, false},
	} {
		s := split(t, recovery.DiscardLeastChanges)
		s.passParted(time.Second)
		first := s.underWay()
		for _, n := range []arbiter.NodeID{nodeA, nodeB} {
			side := sideOf(n, 1<<20)
			if n == nodeB {
				c.change(&side)
			}
			s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(n), Group: data, Recovery: first.ID, Round: 1, Side: side}})
		}
		if last := s.state.Clusters[cluster].Groups[data].Recovered[0]; last.Outcome != arbiter.NoSplit {
			t.Fatalf("%s: %s: %s", name, last.Outcome, last.Note)
		}
		s.passParted(29 * time.Second)
		if r := s.underWay(); r != nil {
			t.Fatalf("%s: looked at at once: %+v", name, r)
		}
		s.passParted(2 * time.Second)
		if again := s.underWay() != nil; again != c.again {
			t.Errorf("%s: looked at again: %v", name, again)
		} else if again {
			s.sides(s.underWay())
			if r := s.underWay(); r == nil || r.Phase != arbiter.Carrying {
				t.Errorf("%s: and then the policy does not act: %+v", name, r)
			}
		}
	}
}

func TestSplitBrainWithoutAPolicyIsLeftToAPerson(t *testing.T) {
	for _, s := range []*stage{split(t), split(t, recovery.Manual)} {
		s.passParted(5 * time.Second)
		if r := s.underWay(); r != nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestRecoveryIsJudgedWithoutANodeThatIsNotHeard(t *testing.T) {
	s := newStage(t)
	s.beat(nodeA, 0)
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "alice", Discard: nodeB}})
	s.passWith(2*time.Second, s.beating(nodeA, 0))
	if s.underWay() == nil {
		t.Fatal("judged before it could be heard")
	}
	s.passWith(40*time.Second, s.beating(nodeA, 0))
	over := s.state.Clusters[cluster].Groups[data].Recovered
	if s.underWay() != nil || len(over) != 1 || !strings.Contains(over[0].Note, "it has not answered within 30s") && !strings.Contains(over[0].Note, "it is not heard") {
		t.Errorf("%+v", over)
	}
}

func TestDecisionThatNobodyApprovesIsCalledOff(t *testing.T) {
	s := split(t)
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "alice", Discard: nodeB}})
	s.sides(s.underWay())
	if r := s.underWay(); r.Phase != arbiter.Decided {
		t.Fatalf("%s: %s", r.Phase, r.Note)
	}
	s.passParted(9 * time.Minute)
	if s.underWay() == nil {
		t.Fatal("called off under the operator's eyes")
	}
	s.passParted(2 * time.Minute)
	if r := s.underWay(); r != nil {
		t.Errorf("it waits for ever: %+v", r)
	}
}

// Where the plan had begun the group runs nowhere while an operator is asked again: that
// is for two minutes, and then what was stopped may run as before.
func TestDecisionThatNobodyTakesAgainIsCalledOffSoon(t *testing.T) {
	s := split(t)
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "alice", Discard: nodeB}})
	s.sides(s.underWay())
	r := s.underWay()
	s.must(arbiter.Approve{Cluster: cluster, Group: data, Recovery: r.ID, Revision: r.Revision, By: "alice"})
	s.sides(r)
	for r = s.underWay(); !r.Cancellable() || r.Phase != arbiter.Carrying || r.Plan.Steps[r.Step].Kind != recovery.Measure; r = s.underWay() {
		s.must(leader.StepDone{StepDone: arbiter.StepDone{
			Caller: s.caller(arbiter.NodeID(r.Plan.Steps[r.Step].Node)), Group: data, Recovery: r.ID, Tries: r.Tries, Attempt: r.Attempt, Step: r.Step,
		}})
	}
	s.measured(r, 2<<20)
	if r = s.underWay(); !s.state.Clusters[cluster].Groups[data].HoldsUp() {
		t.Fatalf("%s: %s", r.Phase, r.Note)
	}
	s.passParted(119 * time.Second)
	if s.underWay() == nil {
		t.Fatal("called off under the operator's eyes")
	}
	s.passParted(2 * time.Second)
	if r := s.underWay(); r != nil || len(s.state.Clusters[cluster].Groups[data].Excluded) != 0 {
		t.Errorf("the group runs nowhere any more: %+v", r)
	}
}

// A recovery that waits for a machine does so for as long as it takes, and goes on
// within seconds of its return.
func TestRecoveryWaitsForAMachineThatIsOff(t *testing.T) {
	s := newStage(t)
	s.beat(nodeA, 0)
	most := uint64(1 << 20)
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "alice", Discard: nodeB, WhenBack: true, AtMost: &most}})
	side := func() {
		if r := s.underWay(); r.TaskOf(nodeA) != nil {
			s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(nodeA), Group: data, Recovery: r.ID, Round: r.Round, Side: recovery.Side{
				Node: recovery.Node(nodeA), Family: drbd.Family84, Role: drbd.RoleSecondary,
				Volumes: []recovery.Volume{{Resource: "r0", Size: 64 << 20, Disk: drbd.DiskUpToDate, Generations: "6BB4841B974EA3B3:2118A6CB62BB9567:0:0:1:1:1:0:0:0:0"}},
			}}})
		}
	}
	side()
	s.passWith(40*time.Second, s.beating(nodeA, 0))
	if r := s.underWay(); r.Phase != arbiter.Awaiting || r.Round != 1 {
		t.Fatalf("%s, measured %d times: %s", r.Phase, r.Round, r.Note)
	}
	s.passWith(3*time.Hour, s.beating(nodeA, 0))
	if r := s.underWay(); r == nil || r.Phase != arbiter.Awaiting || r.Round != 1 {
		t.Fatalf("it does not wait: %+v", r)
	}
	s.passParted(5 * time.Second)
	r := s.underWay()
	if r.Phase != arbiter.Collecting {
		t.Fatalf("it is back, and the recovery is %s: %s", r.Phase, r.Note)
	}
	s.sides(r)
	if r = s.underWay(); r.Phase != arbiter.Carrying || r.Victim() != nodeB || r.Approved != "alice" {
		t.Errorf("%s by %q: %s", r.Phase, r.Approved, r.Note)
	}
}
