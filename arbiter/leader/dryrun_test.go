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

// dryRun is bob's "sbctl resolve --dry-run".
func (s *stage) dryRun() arbiter.RecoveryID {
	s.t.Helper()
	return s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "bob", DryRun: true}}).Recovery
}

// tasks measures whatever the nodes are asked for in answer to their beats.
func (s *stage) tasks() {
	s.t.Helper()
	for n, a := range s.parted() {
		if a.Task == nil || a.Task.Round == 0 {
			continue
		}
		changed := uint64(1 << 20)
		if n == nodeA {
			changed = 9 << 20
		}
		s.must(leader.Measured{Measured: arbiter.Measured{
			Caller: s.caller(n), Group: data, Recovery: a.Task.Recovery, Round: a.Task.Round, Side: sideOf(n, changed),
		}})
	}
}

// shown is the dry run of that number.
func (s *stage) shown(id arbiter.RecoveryID) *arbiter.Recovery {
	s.t.Helper()
	for _, r := range s.state.Clusters[cluster].Groups[data].Documents() {
		if r.ID == id {
			return r
		}
	}
	s.t.Fatalf("dry run %s is gone without a word", id)
	return nil
}

// Whoever has only looked has not said that nothing is to be done.
func TestDryRunSwitchesNoPolicyOff(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	id := s.dryRun()
	s.tasks()
	if r := s.shown(id); r.Outcome != arbiter.OnlyShown || r.Plan == nil || r.Plan.Victim != recovery.Node(nodeB) {
		t.Fatalf("bob is shown %s %s: %s", r.Phase, r.Outcome, r.Note)
	}
	s.passParted(time.Second)
	r := s.underWay()
	if r == nil || !r.Order.Automatic {
		t.Fatalf("the policy does not act: %+v", r)
	}
	s.tasks()
	if r = s.underWay(); r.Phase != arbiter.Carrying {
		t.Errorf("%s: %s", r.Phase, r.Note)
	}
}

// The other way round: what is being measured is decided as if nobody looked, and who
// looks is shown the same.
func TestDryRunEndsNothingThatIsBeingMeasured(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.passParted(time.Second)
	first := s.underWay()
	s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(nodeA), Group: data, Recovery: first.ID, Round: 1, Side: sideOf(nodeA, 9<<20)}})
	id := s.dryRun()
	s.tasks()
	if r := s.underWay(); r == nil || r.ID != first.ID || r.Phase != arbiter.Carrying {
		t.Fatalf("what was begun has come to %+v", r)
	}
	if r := s.shown(id); r.Outcome != arbiter.OnlyShown || r.Decision.Victim != recovery.Node(nodeB) {
		t.Errorf("bob is shown %s %s: %s", r.Phase, r.Outcome, r.Note)
	}
	if v := s.say(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "bob", DryRun: true}}); v.Reason != arbiter.RecoveryUnderWay {
		t.Errorf("of what is carried out bob hears %s", v.Sentence)
	}
}

func TestDryRunLeavesAnOrderThatWaitsAlone(t *testing.T) {
	s := split(t)
	most := uint64(1 << 20)
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "alice", Discard: nodeB, WhenBack: true, AtMost: &most}})
	first := s.underWay()
	away := recovery.Side{Node: recovery.Node(nodeB), Missing: "its disk is being replaced"}
	s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(nodeA), Group: data, Recovery: first.ID, Round: 1, Side: sideOf(nodeA, 9<<20)}})
	s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(nodeB), Group: data, Recovery: first.ID, Round: 1, Side: away}})
	if r := s.underWay(); r.Phase != arbiter.Awaiting {
		t.Fatalf("%s: %s", r.Phase, r.Note)
	}
	id := s.dryRun()
	s.tasks()
	if r := s.shown(id); r.Outcome != arbiter.OnlyShown || r.Decision.Diagnosis.Kind != recovery.SplitBrain {
		t.Errorf("bob is shown %s %s: %s", r.Phase, r.Outcome, r.Note)
	}
	if r := s.underWay(); r == nil || r.ID != first.ID || r.Phase != arbiter.Awaiting {
		t.Fatalf("alice's order has come to %+v", r)
	}
	s.passParted(time.Minute)
	s.tasks()
	if r := s.underWay(); r == nil || r.ID != first.ID || r.Phase != arbiter.Carrying || r.Approved != "alice" {
		t.Errorf("it is back, and alice's order has come to %+v", r)
	}
}

// A node that is not heard is shown as such, and a dry run that nobody wants any more
// can be called off like anything else, by its own number.
func TestDryRunEndsByItself(t *testing.T) {
	s := newStage(t)
	s.beat(nodeA, 0)
	id := s.dryRun()
	s.passWith(40*time.Second, s.beating(nodeA, 0))
	if r := s.shown(id); r.Phase != arbiter.Over || !strings.Contains(r.Note, "nothing is known of") {
		t.Errorf("bob is shown %s: %s", r.Phase, r.Note)
	}
	id = s.dryRun()
	s.must(arbiter.CancelRecovery{Cluster: cluster, Group: data, Recovery: id, By: "bob"})
	if r := s.shown(id); r.Outcome != arbiter.Cancelled {
		t.Errorf("%s %s: %s", r.Phase, r.Outcome, r.Note)
	}
}

// What a log from before dry runs stood beside has of one: it ended what was measured,
// and that is what it does when it is read again. The policy acts on the split.
func TestDryRunOfAnOldLogSwitchesNoPolicyOff(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	auto := arbiter.RecoveryOrder{By: "sbwitness", Automatic: true}
	for _, o := range []arbiter.RecoveryOrder{auto, {By: "bob", DryRun: true}} {
		s.index(arbiter.Resolve{Cluster: cluster, Group: data, Order: o})
	}
	r := s.underWay()
	if !r.Order.DryRun {
		t.Fatalf("the log is read another way than it was written: %+v", r)
	}
	for _, n := range []arbiter.NodeID{nodeA, nodeB} {
		s.index(arbiter.Measured{Caller: s.caller(n), Group: data, Recovery: r.ID, Round: 1, Side: sideOf(n, 1<<20)})
	}
	if s.underWay() != nil {
		t.Fatalf("%+v", s.underWay())
	}
	s.elect()
	s.passParted(5 * time.Second)
	if r := s.underWay(); r == nil || !r.Order.Automatic {
		t.Errorf("the policy does not act: %+v", r)
	}
}

// refusedOrder is bob's order to keep a copy that is not whole.
func (s *stage) refusedOrder() {
	s.t.Helper()
	s.must(arbiter.Resolve{Cluster: cluster, Group: data, Order: arbiter.RecoveryOrder{By: "bob", Discard: nodeB}})
	r := s.underWay()
	for n, side := range map[arbiter.NodeID]recovery.Side{nodeA: sideOf(nodeA, 9<<20), nodeB: sideOf(nodeB, 1<<20)} {
		if n == nodeA {
			side.Volumes[0].Disk = drbd.DiskInconsistent
		}
		s.must(leader.Measured{Measured: arbiter.Measured{Caller: s.caller(n), Group: data, Recovery: r.ID, Round: 1, Side: side}})
	}
	all := s.state.Clusters[cluster].Groups[data].Recovered
	if s.underWay() != nil || all[len(all)-1].Outcome != arbiter.NotChosen {
		s.t.Fatalf("bob's order has come to %+v", all)
	}
}

// An order that was refused has touched nothing, and was no word against the policy.
func TestRefusedOrderSwitchesNoPolicyOff(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.refusedOrder()
	s.passParted(time.Second)
	if s.underWay() == nil {
		t.Error("the policy does not act")
	}
}

// What somebody has called off stays so, whoever looks at it afterwards, and however often.
func TestWhatWasCalledOffStaysSoWhoeverLooks(t *testing.T) {
	s := split(t, recovery.DiscardLeastChanges)
	s.passParted(time.Second)
	s.must(arbiter.CancelRecovery{Cluster: cluster, Group: data, By: "alice"})
	for range 20 {
		s.dryRun()
		s.tasks()
	}
	s.refusedOrder()
	s.passParted(time.Minute)
	if r := s.underWay(); r != nil {
		t.Errorf("it came back: %+v", r)
	}
}
