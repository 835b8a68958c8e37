package leader_test

import (
	"slices"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// second is a witness that reaches node-a's power, and a mandate whose first
// executor has failed.
func second(t *testing.T) (*stage, arbiter.Epoch, arbiter.MandateID) {
	t.Helper()
	s, e, m := mandated(t)
	s.reaches = []arbiter.NodeID{nodeA}
	s.l.Reaches(map[arbiter.ClusterID][]arbiter.NodeID{cluster: s.reaches})
	s.must(s.begin(m))
	s.fails(m)
	return s, e, m
}

// fails reports that node-b's shot did nothing.
func (s *stage) fails(m arbiter.MandateID) {
	s.t.Helper()
	if v := s.say(leader.ReportFence{Clock: s.now, ReportFence: arbiter.ReportFence{
		Caller: s.caller(nodeB), Mandate: m, Failure: "the device does not answer", Evidence: fit(),
	}}); v.Reason != arbiter.NotProven {
		s.t.Fatalf("a failed shot is answered with %+v", v)
	}
}

// asking lets node-b ask for the group as an agent does.
func (s *stage) asking() func() { return func() { s.say(s.acquire(nodeB)) } }

func (s *stage) look(power string) {
	s.t.Helper()
	if len(s.looks) == 0 {
		s.t.Fatal("nobody looks at the power")
	}
	l := s.looks[len(s.looks)-1]
	s.send(leader.Looked{Cluster: l.Cluster, Mandate: l.Mandate, Readings: s.reading(power)})
}

func (s *stage) reading(power string) []arbiter.Reading {
	return []arbiter.Reading{{Device: "bmc", Power: power, At: s.now}}
}

func (s *stage) mandate() *arbiter.Mandate { return s.state.Clusters[cluster].Mandate }

// shoots lets the witness come to its shot.
func (s *stage) shoots() leader.Shoot {
	s.t.Helper()
	s.passWith(durations.FenceTimeout+time.Second, s.asking())
	s.look("on")
	s.passWith(durations.Renew, s.asking())
	if len(s.shots) != 1 {
		s.t.Fatalf("%d shots", len(s.shots))
	}
	return s.shots[0]
}

func TestTheWitnessShootsAfterTheFirstExecutorsDeadline(t *testing.T) {
	s, _, m := second(t)
	begun := s.now
	s.passWith(durations.FenceTimeout-time.Second, s.asking())
	if len(s.looks) > 0 || len(s.shots) > 0 {
		t.Fatalf("before the first executor's deadline: %v, %v", s.looks, s.shots)
	}
	s.passWith(2*time.Second, s.asking())
	if len(s.looks) != 1 || s.looks[0] != (leader.Look{Cluster: cluster, Mandate: m, Target: nodeA}) {
		t.Fatalf("looks: %v", s.looks)
	}
	if s.mandate().Phase != arbiter.Open {
		t.Errorf("before the power was read the mandate is %s", s.mandate().Phase)
	}
	s.look("on")
	if len(s.shots) > 0 {
		t.Fatal("shot at without being asked for the group again")
	}
	s.passWith(durations.Renew, s.asking())
	if len(s.shots) != 1 || s.now.Sub(begun) < durations.FenceTimeout {
		t.Fatalf("shots: %v", s.shots)
	}
	shot := s.shots[0]
	if shot.Target != nodeA || shot.Mandate != m || shot.Before != shot.Asked.Add(durations.FenceTimeout) || !slices.ContainsFunc(shot.Readings, func(r arbiter.Reading) bool { return r.Power == "on" }) {
		t.Errorf("%+v", shot)
	}
	if v := s.say(s.acquire(nodeB)); v.Reason != arbiter.MandateUnderWay {
		t.Errorf("meanwhile node-b is answered %+v", v)
	}
	s.send(leader.ShotDone{Cluster: cluster, Mandate: m, Grade: arbiter.E3, Readings: s.reading("off")})
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Granted || v.Basis.Grade != arbiter.E3 || v.Basis.Cause != arbiter.ByFence {
		t.Errorf("after the proof node-b is answered %+v", v)
	}
}

// A shot takes longer than a node may be silent; while it shoots a node does not ask for
// the group. Its report is a word that it wants it still, and its next ask is on its way.
func TestReportOfALongShotLeavesTheNextOneToTheWitness(t *testing.T) {
	s, _, m := mandated(t)
	s.reaches = []arbiter.NodeID{nodeA}
	s.l.Reaches(map[arbiter.ClusterID][]arbiter.NodeID{cluster: s.reaches})
	s.must(s.begin(m))
	s.pass(durations.SuspectAfter + time.Second)
	s.fails(m)
	s.pass(step)
	if is := s.mandate(); is == nil || is.ID != m || !is.ByWitness {
		t.Fatalf("the mandate is over, and the witness's host does not shoot: %+v", is)
	}
	s.pass(durations.SuspectAfter + step)
	if is := s.mandate(); is != nil {
		t.Errorf("nobody asks any more, and mandate %d is open", is.ID)
	}
}

func TestTheWitnessSparesWhomItHearsAgain(t *testing.T) {
	s, e, _ := second(t)
	s.passWith(5*time.Second, s.asking())
	if a := s.beat(nodeA, e); a.Renewed != e {
		t.Errorf("the target of a mandate that has not begun is answered %+v", a)
	}
	if s.mandate() != nil {
		t.Errorf("the mandate is %s", s.mandate().Phase)
	}
}

func TestTheWitnessShootsOnlyForWhoStillAsks(t *testing.T) {
	s, _, _ := second(t)
	s.pass(durations.FenceTimeout + 3*time.Second)
	if s.mandate() != nil || len(s.looks) > 0 {
		t.Errorf("nobody asks, and the mandate is %+v, looks %v", s.mandate(), s.looks)
	}
}

func TestWhoHearsTheTargetPutsNoQuestion(t *testing.T) {
	s, _, _ := second(t)
	s.passWith(durations.FenceTimeout+3*time.Second, func() {
		ask := s.acquire(nodeB)
		ask.Evidence.HearsPeer = true
		s.say(ask)
	})
	if len(s.looks) > 0 || len(s.shots) > 0 {
		t.Errorf("looks %v, shots %v", s.looks, s.shots)
	}
}

// An ask that waited behind a slow disk says what was true when it was sent.
func TestNothingIsShotOnAnOldAsk(t *testing.T) {
	s, _, _ := second(t)
	s.passWith(durations.FenceTimeout+time.Second, s.asking())
	s.look("on")
	s.slowLog = true
	s.send(leader.Release{Release: arbiter.Release{Caller: s.caller(nodeB), Group: data, Epoch: 4}})
	s.send(s.acquire(nodeB))
	s.pass(time.Second)
	s.settle()
	s.slowLog = false
	for len(s.proposed) > 0 {
		s.settle()
	}
	if len(s.shots) > 0 {
		t.Fatalf("shot by an ask that was sent a second ago: %+v", s.shots)
	}
	s.asking()()
	if len(s.shots) != 1 {
		t.Errorf("by a new ask: %v", s.shots)
	}
}

// It is heard while the question is being written down. It may be shot then, and a
// node that heard it would not.
func TestTheWitnessSparesWhomItHearsWhileItAsks(t *testing.T) {
	s, e, _ := second(t)
	s.passWith(durations.FenceTimeout+time.Second, s.asking())
	s.look("on")
	s.slowLog = true
	s.send(s.acquire(nodeB))
	beat := s.send(s.beatOf(nodeA, e))
	s.pass(step)
	s.slowLog = false
	for len(s.proposed) > 0 {
		s.settle()
	}
	if len(s.shots) > 0 {
		t.Fatalf("shot at a node that was heard a moment ago: %+v", s.shots)
	}
	if a := s.answers[beat].Beat; s.mandate() != nil || a == nil || a.Groups[0].Renewed != e {
		t.Errorf("the mandate is %+v, and its target is answered %+v", s.mandate(), a)
	}
}

func TestNothingIsShotOnAnOldLook(t *testing.T) {
	s, _, _ := second(t)
	s.passWith(durations.FenceTimeout+time.Second, s.asking())
	s.passWith(4*time.Second, s.asking())
	if len(s.looks) != 2 {
		t.Fatalf("%d looks: one that is not answered is repeated", len(s.looks))
	}
	s.send(leader.Looked{Cluster: cluster, Mandate: 4711, Readings: s.reading("on")})
	s.passWith(durations.Renew, s.asking())
	if len(s.shots) > 0 {
		t.Error("another mandate's look counts")
	}
	s.look("on")
	// Nothing asks for three seconds (but often enough to keep the mandate).
	s.pass(durations.SuspectAfter)
	s.l.Request(s.now, 0, s.beatOf(nodeB, 0))
	s.pass(durations.SuspectAfter)
	if len(s.shots) > 0 {
		t.Error("shot without an ask")
	}
}

func TestASignOfLifeAfterTheReadingIsBelieved(t *testing.T) {
	s, e, m := second(t)
	s.shoots()
	read := s.reading("off")
	s.pass(step)
	if a := s.beat(nodeA, e); a.Reason != arbiter.MandateBegun {
		t.Errorf("the target is answered %+v", a)
	}
	s.send(leader.ShotDone{Cluster: cluster, Mandate: m, Grade: arbiter.E3, Readings: read})
	if v := s.say(s.acquire(nodeB)); v.Kind == arbiter.Granted {
		t.Errorf("granted: %s", v.Sentence)
	}
	if l := s.state.Clusters[cluster].Groups[data].Lease; l == nil || l.Holder != nodeA {
		t.Errorf("the lease is %+v", l)
	}
}

func TestAfterTheWitnessNobodyIsLeft(t *testing.T) {
	s, e, m := second(t)
	s.shoots()
	s.send(leader.ShotDone{Cluster: cluster, Mandate: m, Failure: "still on"})
	if s.mandate() != nil {
		t.Fatalf("the mandate is %s", s.mandate().Phase)
	}
	if v := s.say(s.acquire(nodeB)); v.Kind == arbiter.FenceFirst {
		t.Error("the next mandate follows at once")
	}
	if a := s.beat(nodeA, e); a.Renewed != e {
		t.Errorf("the target's renewals count again, and it is answered %+v", a)
	}
}

func TestANewLeaderCountsTheFirstExecutorsTimeAnew(t *testing.T) {
	s, _, m := second(t)
	s.passWith(durations.FenceTimeout-time.Second, s.asking())
	s.elect()
	s.passWith(durations.FenceTimeout-time.Second, s.asking())
	if len(s.looks) > 0 {
		t.Errorf("%v after its election the new leader looks already", durations.FenceTimeout-time.Second)
	}
	s.passWith(3*time.Second, s.asking())
	if len(s.looks) == 0 {
		t.Error("the new leader never comes to it")
	}
	// One that cannot reach the device ends the mandate.
	s.reaches = nil
	s.elect()
	s.passWith(time.Second, s.asking())
	if mandate := s.mandate(); mandate != nil && mandate.ID == m {
		t.Errorf("mandate %d is kept for a witness that cannot carry it out", m)
	}
}

func TestABeginWhoseAnswerIsLostShootsNobody(t *testing.T) {
	s, e, _ := second(t)
	s.passWith(durations.FenceTimeout+time.Second, s.asking())
	s.look("on")
	s.slowLog = true
	s.send(s.acquire(nodeB))
	s.lose(true)
	s.slowLog = false
	s.passWith(durations.Renew, s.asking())
	if len(s.shots) > 0 {
		t.Fatalf("shots %v", s.shots)
	}
	if a := s.beat(nodeA, e); a.Reason != arbiter.MandateBegun {
		t.Errorf("the begun mandate is forgotten: %+v", a)
	}
	s.passWith(arbiter.Guard(durations.FenceTimeout)+step, s.asking())
	if a := s.beat(nodeA, e); a.Renewed != e {
		t.Errorf("after its deadline: %+v", a)
	}
}

// The lease runs out behind an armed watchdog just when the witness could begin:
// what the node is told has been carried out.
func TestAGrantByTheClockComesBeforeTheWitnesssQuestion(t *testing.T) {
	s := newStage(t, func(d *arbiter.Definition) { d.Watchdog, d.Timing.FenceTimeout = true, 5*time.Second })
	s.reaches = []arbiter.NodeID{nodeA}
	s.l.Reaches(map[arbiter.ClusterID][]arbiter.NodeID{cluster: s.reaches})
	ask := s.acquire(nodeA)
	ask.Evidence.Watchdog = arbiter.Watchdog{Armed: true, Hardware: true, Timeout: 5 * time.Second}
	s.must(ask)
	s.passWith(durations.SuspectAfter+step, s.beating(nodeB, 0))
	m := s.must(s.acquire(nodeB)).Mandate
	s.must(s.begin(m))
	s.fails(m)
	for n := 0; s.remaining() > 2*step; n++ {
		s.pass(step)
		if n%5 == 0 {
			s.say(s.acquire(nodeB))
		}
	}
	s.look("on")
	s.pass(4 * step)
	v := s.say(s.acquire(nodeB))
	if l := s.state.Clusters[cluster].Groups[data].Lease; v.Kind != arbiter.Granted || l == nil || l.Holder != nodeB || l.Epoch != v.Epoch {
		t.Fatalf("node-b is told %+v, and the lease is %+v", v, l)
	}
	if len(s.shots) > 0 {
		t.Errorf("and its old holder is shot: %v", s.shots)
	}
}
