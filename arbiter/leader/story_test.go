package leader_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

func TestRenewalIsAnsweredBehindAVerification(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.pass(5 * time.Second)
	s.slowVerify = true
	first := s.send(s.beatOf(nodeA, e))
	if s.answerOf(first) != nil || len(s.verifying) != 1 {
		t.Fatal("a renewal is answered without a question to the log")
	}
	before := s.remaining()
	second := s.send(s.beatOf(nodeB, 0))
	if len(s.verifying) != 1 {
		t.Fatal("a beat does not wait for the verification under way")
	}
	arrived := s.now
	s.pass(200 * time.Millisecond)
	s.verify(true)
	if a := s.answerOf(first); a == nil || a.Renewed != e {
		t.Errorf("verified, and answered with %+v", a)
	}
	if s.answerOf(second) != nil || len(s.verifying) != 1 {
		t.Error("a beat that came after the question is answered by it")
	}
	if got, want := s.remaining(), arrived.Add(arbiter.Guard(durations.TTL)).Sub(s.now); got != want || got <= before {
		t.Errorf("the lease runs another %v, not %v: it counts from when the beat arrived", got, want)
	}
}

func TestWhoLeadsNoMoreAnswersNothing(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.pass(time.Second)
	s.slowVerify = true
	ticket := s.send(s.beatOf(nodeA, e))
	before := s.remaining()
	s.verify(false)
	if a, ok := s.answers[ticket]; !ok || !a.Unknown() {
		t.Errorf("a renewal that nobody vouches for is answered with %+v", a)
	}
	if s.remaining() != before {
		t.Error("it has moved the deadline")
	}
}

func TestNoRenewalWhileAnEndingIsOnItsWay(t *testing.T) {
	end := func(s *stage, e arbiter.Epoch) leader.Message {
		return leader.Release{Release: arbiter.Release{Caller: s.caller(nodeA), Group: data, Epoch: e}}
	}
	t.Run("and it arrives", func(t *testing.T) {
		s := newStage(t)
		e := s.grant(nodeA)
		s.slowLog = true
		s.send(end(s, e))
		beat := s.send(s.beatOf(nodeA, e))
		s.pass(100 * time.Millisecond)
		if s.answerOf(beat) != nil {
			t.Fatal("renewed while the end of the lease is in flight")
		}
		s.settle()
		if a := s.answerOf(beat); a == nil || a.Reason != arbiter.NotHolder {
			t.Errorf("after the end: %+v", a)
		}
	})
	t.Run("and the beat was being verified", func(t *testing.T) {
		s := newStage(t)
		e := s.grant(nodeA)
		s.slowLog, s.slowVerify = true, true
		beat := s.send(s.beatOf(nodeA, e))
		s.send(end(s, e))
		s.verify(true)
		if s.answerOf(beat) != nil {
			t.Fatal("renewed while the end of the lease is in flight")
		}
		s.settle()
		if a := s.answerOf(beat); a == nil || a.Renewed != 0 {
			t.Errorf("after the end: %+v", a)
		}
	})
	for name, applied := range map[string]bool{"and it is lost": false, "and it seems lost": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			e := s.grant(nodeA)
			s.slowLog = true
			release := s.send(end(s, e))
			beat := s.send(s.beatOf(nodeA, e))
			s.lose(applied)
			if a := s.answers[release]; !a.Unknown() {
				t.Errorf("an unknown outcome is answered with %+v", a)
			}
			if a := s.answerOf(beat); a == nil || (a.Renewed == e) == applied {
				t.Errorf("the barrier has shown what became of it, and the beat is answered with %+v", a)
			}
		})
	}
}

func TestEveryLeadershipBeginsWithFullLeases(t *testing.T) {
	s := newStage(t)
	s.grant(nodeA)
	s.pass(19 * time.Second)
	s.elect()
	if got, want := s.remaining(), arbiter.Guard(durations.TTL); got != want {
		t.Errorf("after a restart the lease runs another %v, not %v", got, want)
	}
	s.pass(10 * time.Second)
	s.now = s.now.Add(durations.Renew + time.Millisecond) // stopped for a moment
	s.tick()
	if got, want := s.remaining(), arbiter.Guard(durations.TTL); got != want {
		t.Errorf("after the leader was late the lease runs another %v, not %v", got, want)
	}
	if got := s.l.Listening(s.now); got != 0 {
		t.Errorf("a leader that was late says that it has listened for %v", got)
	}
}

func TestSuspicionNeedsListening(t *testing.T) {
	s := newStage(t)
	s.grant(nodeA)
	s.pass(10 * time.Second)
	s.elect()
	s.pass(durations.SuspectAfter - step)
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Refused || v.Reason != arbiter.HeldByPeer {
		t.Errorf("before the leader has listened long enough: %+v", v)
	}
	s.pass(step)
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.FenceFirst {
		t.Errorf("after suspect_after of silence: %+v", v)
	}
}

// mandated is a stage on which node-a holds the group and is silent, and node-b
// may shoot it.
func mandated(t *testing.T) (*stage, arbiter.Epoch, arbiter.MandateID) {
	t.Helper()
	s := newStage(t)
	e := s.grant(nodeA)
	s.passWith(durations.SuspectAfter+step, s.beating(nodeB, 0))
	v := s.must(s.acquire(nodeB))
	if v.Kind != arbiter.FenceFirst {
		t.Fatalf("no mandate: %s", v.Sentence)
	}
	return s, e, v.Mandate
}

func (s *stage) begin(m arbiter.MandateID) leader.Begin {
	return leader.Begin{Clock: 2, Begin: arbiter.Begin{
		Caller: s.caller(nodeB), Mandate: m, Readings: []arbiter.Reading{{Device: "bmc", Power: "on", At: 1}},
	}}
}

func TestBeginNeedsListening(t *testing.T) {
	s, _, m := mandated(t)
	s.elect()
	if v := s.say(s.begin(m)); v.Reason != arbiter.MandateUnderWay {
		t.Errorf("a leader that has heard nobody yet answers Begin with %+v", v)
	}
	asking := func() { s.say(s.acquire(nodeB)) }
	s.passWith(durations.SuspectAfter, asking)
	if v := s.say(s.begin(m)); v.Kind != arbiter.Permitted {
		t.Errorf("a leader that has listened answers Begin with %+v", v)
	}
}

func TestBeatVoidsAnOpenMandateBeforeItIsAnswered(t *testing.T) {
	s, e, m := mandated(t)
	s.slowLog = true
	beat := s.send(s.beatOf(nodeA, e))
	if s.answerOf(beat) != nil || !is[arbiter.EndMandate](s.proposed[0].Command) {
		t.Fatal("a renewal is answered while its sender may be shot")
	}
	s.settle()
	s.slowLog = false
	if a := s.answerOf(beat); a == nil || a.Renewed != e {
		t.Errorf("the holder is heard again, and answered with %+v", a)
	}
	if v := s.say(s.begin(m)); v.OK() {
		t.Errorf("it may be shot all the same: %+v", v)
	}
}

func TestBegunMandateEndsByItsDeadline(t *testing.T) {
	s, e, m := mandated(t)
	s.must(s.begin(m))
	if a := s.beat(nodeA, e); a.Reason != arbiter.MandateBegun {
		t.Errorf("the target is answered with %+v", a)
	}
	s.pass(durations.FenceTimeout)
	s.elect() // counts anew
	s.pass(arbiter.Guard(durations.FenceTimeout))
	if a := s.beat(nodeA, e); a.Reason != arbiter.MandateBegun {
		t.Errorf("at its deadline by a new leader's count the mandate is over: %+v", a)
	}
	s.pass(step)
	if a := s.beat(nodeA, e); a.Renewed != e {
		t.Errorf("after the deadline the target is answered with %+v", a)
	}
	if l := s.state.Clusters[cluster].Groups[data].Lease; l.Unshot == "" {
		t.Error("nobody is told that the shot failed")
	}
}

func TestMandateOfASilentAskerIsOver(t *testing.T) {
	s, _, _ := mandated(t)
	s.pass(durations.SuspectAfter + 2*step)
	if m := s.state.Clusters[cluster].Mandate; m != nil {
		t.Errorf("node-b does not ask any more, and mandate %d is open", m.ID)
	}
}

func TestFailedShotIsFollowedByAPause(t *testing.T) {
	s, _, m := mandated(t)
	s.must(s.begin(m))
	v := s.say(leader.ReportFence{Clock: 5, ReportFence: arbiter.ReportFence{
		Caller: s.caller(nodeB), Mandate: m, Failure: "wrong password", Evidence: fit(),
	}})
	if v.Reason != arbiter.NotProven {
		t.Fatalf("a failed shot is answered with %+v", v)
	}
	if v := s.say(s.acquire(nodeB)); v.Kind == arbiter.FenceFirst {
		t.Error("the next mandate follows at once")
	}
	s.pass(5 * time.Second)
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.FenceFirst {
		t.Errorf("after the pause: %+v", v)
	}
}

func TestRepeatedRefusalsDoNotReachTheLog(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	count := func() int { return s.proposedOf(is[arbiter.Acquire]) }
	before := count()
	for range 20 {
		s.beat(nodeA, e)
		if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Refused {
			t.Fatalf("granted: %+v", v)
		}
		s.pass(durations.Renew)
	}
	if got := count() - before; got != 1 {
		t.Errorf("twenty equal refusals are %d entries in the log", got)
	}
	s.must(arbiter.Maintenance{Cluster: cluster, On: true, By: "alice"})
	s.say(s.acquire(nodeB))
	if got := count() - before; got != 2 {
		t.Errorf("a refusal for another reason makes %d entries", got)
	}
}

// The log is not asked, so the witness makes sure that it leads: a deposed one
// would tell of a holder that has stopped since.
func TestARefusalThatIsNotLoggedIsAnsweredBehindAVerification(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.beat(nodeA, e)
	s.say(s.acquire(nodeB))
	s.slowVerify = true
	for _, m := range []leader.Message{s.acquire(nodeB), leader.Begin{Begin: arbiter.Begin{Caller: s.caller(nodeB), Mandate: 7}}} {
		before := len(s.log)
		leads := s.send(m)
		if _, answered := s.answers[leads]; answered || len(s.verifying) != 1 {
			t.Fatalf("%T is answered without a question", m)
		}
		s.verify(true)
		if a := s.answers[leads]; a.Verdict == nil || a.Verdict.Kind != arbiter.Refused {
			t.Errorf("%T is answered with %+v", m, a)
		}
		deposed := s.send(m)
		s.verify(false)
		if a, answered := s.answers[deposed]; !answered || !a.Unknown() {
			t.Errorf("%T: who leads no more answers %+v", m, a)
		}
		if len(s.log) != before {
			t.Errorf("%T reached the log", m)
		}
	}
}

func TestSwitchoverThatTakesTooLongIsWithdrawn(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.beat(nodeB, 0)
	s.must(arbiter.Order{Cluster: cluster, Group: data, To: nodeB, By: "alice"})
	if a := s.beat(nodeA, e); a.MoveTo != nodeB {
		t.Errorf("the holder is told %+v", a)
	}
	s.passWith(time.Minute, s.beating(nodeA, e), s.beating(nodeB, 0))
	if s.state.Clusters[cluster].Groups[data].Order == nil {
		t.Fatal("withdrawn too early")
	}
	s.pass(2 * step)
	if s.state.Clusters[cluster].Groups[data].Order != nil {
		t.Error("after more than a minute the switchover still stands")
	}
}

func TestMaintenanceEndsByTheTimeOfDay(t *testing.T) {
	s := newStage(t)
	s.must(arbiter.Maintenance{Cluster: cluster, On: true, Until: s.wall + 10, By: "alice"})
	s.wall += 9
	s.tick()
	if !s.state.Clusters[cluster].Maintenance {
		t.Fatal("over too early")
	}
	s.wall++
	s.tick()
	if s.state.Clusters[cluster].Maintenance {
		t.Error("its time has passed and it goes on")
	}
}

func TestStandbyMovesTheGroups(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.beat(nodeB, 0)
	s.must(arbiter.Standby{Cluster: cluster, Node: nodeA, On: true, By: "alice"})
	if a := s.beat(nodeA, e); a.MoveTo != nodeB {
		t.Errorf("the holder in standby is told %+v", a)
	}
}

func TestStartGateWaitsForTheOtherNode(t *testing.T) {
	const gate = 30 * time.Second
	gated := func(d *arbiter.Definition) { d.Timing.StartGate = gate }
	t.Run("until it is closed no more", func(t *testing.T) {
		s := newStage(t, gated)
		s.pass(2 * durations.SuspectAfter) // node-b is not heard any more
		if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.GateClosed {
			t.Fatalf("alone at a cluster start: %+v", v)
		}
		s.passWith(gate-step, s.beating(nodeA, 0))
		if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.GateClosed {
			t.Errorf("before the gate opens: %+v", v)
		}
		s.pass(step)
		s.grant(nodeA)
	})
	t.Run("or until it has had time to say that it does not want it", func(t *testing.T) {
		s := newStage(t, gated)
		if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.GateClosed {
			t.Fatalf("the other node has only introduced itself: %+v", v)
		}
		s.passWith(3*durations.SuspectAfter, s.beating(nodeB, 0))
		s.grant(nodeA)
	})
}

func TestWitnessWithAnOldMemoryBeginsAnew(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	seen := s.state.Version
	seen.Starts += 3
	old := s.beatOf(nodeB, 0)
	old.Seen = seen
	s.slowLog = true
	for range 3 {
		if v := s.say(old); v.Reason != arbiter.WitnessBehind {
			t.Fatalf("a later version is answered with %+v", v)
		}
	}
	if got := s.proposedOf(is[arbiter.Renounce]); got != 1 {
		t.Fatalf("the memory is renounced %d times", got)
	}
	s.settle()
	s.slowLog = false
	if got := s.l.Version().Incarnation; got != 2 {
		t.Errorf("the new memory has incarnation %d", got)
	}
	if v := s.say(s.beatOf(nodeA, e)); v.Reason != arbiter.NotIntroduced {
		t.Errorf("a node that has not reported to the new memory is answered with %+v", v)
	}
	report := arbiter.Report{Groups: map[arbiter.GroupID]arbiter.GroupReport{data: {Holder: nodeA, Epoch: e, Runs: true}}}
	s.callers[nodeA].Floor, s.callers[nodeB].Floor = e, e
	s.must(leader.Hello{Sender: s.sender(nodeA), Report: report})
	if a := s.beat(nodeA, e); a.Reason != arbiter.WitnessLearning {
		t.Errorf("while it learns, the witness answers with %+v", a)
	}
	s.must(leader.Hello{Sender: s.sender(nodeB)})
	if a := s.beat(nodeA, e); a.Renewed != e {
		t.Errorf("when both have reported, the holder is answered with %+v", a)
	}
}

// A copy of the disk that is started again counts its own leaderships on, so
// counting alone does not tell it from the original.
func TestRestoredCopyIsKnownByTheLeadershipsItLacks(t *testing.T) {
	s := newStage(t)
	mine := s.state.Version
	theirs := mine
	theirs.Nonce += 100
	s.elect()
	b := s.beatOf(nodeB, 0)
	b.Seen = mine
	if _, ok := s.answers[s.send(b)]; !ok || s.answers[s.ticket].Beat == nil {
		t.Fatalf("a node that has seen this memory's former leadership is answered with %+v", s.answers[s.ticket])
	}
	b = s.beatOf(nodeB, 0)
	b.Seen = theirs
	if v := s.say(b); v.Reason != arbiter.WitnessBehind {
		t.Errorf("a leadership that is not in the memory is answered with %+v", v)
	}
}

func TestSlowDiskMakesNobodySilent(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.beat(nodeA, e)
	s.slowLog = true
	s.send(leader.Release{Release: arbiter.Release{Caller: s.caller(nodeB), Group: data, Epoch: 1}})
	ask := s.acquire(nodeB)
	asked := s.send(ask) // queued before the holder's next beat
	s.passWith(3*durations.SuspectAfter, s.beating(nodeA, e))
	s.slowLog = false
	s.settle()
	if v := s.answers[asked].Verdict; v == nil || v.Kind != arbiter.Refused {
		t.Errorf("the holder spoke all the while, and the other node is answered with %+v", v)
	}
}

func TestEarlierLifeSaysNothingOfTheNext(t *testing.T) {
	s := newStage(t, func(d *arbiter.Definition) {
		d.Groups[data] = arbiter.GroupDefinition{DRBD: true, Preferred: nodeB}
	})
	b := s.beatOf(nodeB, 0)
	b.Groups[0].Wants = true
	s.send(b)
	if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.PeerPreferred {
		t.Fatalf("the preferred node wants the group: %+v", v)
	}
	s.callers[nodeB].Boot, s.callers[nodeB].Incarnation = "boot-2", 2
	s.must(leader.Hello{Sender: s.sender(nodeB)})
	s.grant(nodeA)
}

func TestVersionNeverGoesBack(t *testing.T) {
	s := newStage(t)
	old := s.state.Version
	s.grant(nodeA)
	now := s.l.Version()
	s.perform(s.l.Replaced(s.now, old, nil))
	if got := s.l.Version(); got != now {
		t.Errorf("after %+v comes %+v: agents take that for an older memory", now, got)
	}
}

func TestWhatABeatSaysIsNotedOnce(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	b := s.beatOf(nodeA, e)
	b.Caller.Request = s.callers[nodeA].Request // that of the grant: it must not answer for the note
	b.Groups[0].Running = true
	s.send(b)
	if !s.state.Clusters[cluster].Groups[data].Lease.Started {
		t.Error("services run and the log does not know")
	}
	for range 5 {
		b := s.beatOf(nodeA, e)
		b.Groups[0].Running = true
		s.send(b)
	}
	if got := s.proposedOf(is[arbiter.Started]); got != 1 {
		t.Errorf("the start is noted %d times", got)
	}
}

func TestNodesAreToldOfWhatConcernsThem(t *testing.T) {
	s := newStage(t)
	s.notices = nil
	s.grant(nodeA)
	if len(s.notices) != 2 {
		t.Errorf("a grant is told to %d nodes", len(s.notices))
	}
}

// A witness whose host stands still now and then has listened for as long, all in all.
func TestWitnessThatStandsStillNowAndThenLosesNoPatience(t *testing.T) {
	s := newStage(t, func(d *arbiter.Definition) { d.Timing.StartGate = 30 * time.Second })
	opened := false
	for began := s.now; s.now.Sub(began) < 2*time.Minute && !opened; {
		s.passWith(10*time.Second, s.beating(nodeA, 0))
		opened = s.say(s.acquire(nodeA)).Reason != arbiter.GateClosed
		s.now = s.now.Add(300 * time.Millisecond)
	}
	if !opened {
		t.Error("the start gate is closed for ever")
	}

	s = newStage(t)
	s.beat(nodeB, 0)
	s.must(arbiter.Order{Cluster: cluster, Group: data, To: nodeB, By: "alice"})
	for began := s.now; s.now.Sub(began) < 3*time.Minute && s.order() != nil; {
		s.passWith(10*time.Second, s.beating(nodeA, 0))
		s.now = s.now.Add(300 * time.Millisecond)
	}
	if s.order() != nil {
		t.Error("a group is kept for a node that never comes")
	}
}
