package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// shoot proves node off for its peer, which is granted the group.
func (s *stage) shoot(executor arbiter.NodeID) arbiter.Epoch {
	s.t.Helper()
	v := s.must(s.acquire(executor))
	if v.Kind != arbiter.FenceFirst {
		s.t.Fatalf("no mandate for %s: %s", executor, v.Sentence)
	}
	on := arbiter.Reading{Device: "bmc", Power: "on", At: 1}
	s.must(leader.Begin{Begin: arbiter.Begin{Caller: s.caller(executor), Mandate: v.Mandate, Readings: []arbiter.Reading{on}}})
	off := arbiter.Reading{Device: "bmc", Power: "off", At: 4}
	v = s.must(leader.ReportFence{Clock: 5, ReportFence: arbiter.ReportFence{
		Caller: s.caller(executor), Mandate: v.Mandate, Grade: arbiter.E3, Readings: []arbiter.Reading{on, off}, Evidence: fit(),
	}})
	if v.Kind != arbiter.Granted {
		s.t.Fatalf("proven off, and not granted: %s", v.Sentence)
	}
	return v.Epoch
}

// reboot lets a node's machine start anew.
func (s *stage) reboot(n arbiter.NodeID) {
	s.t.Helper()
	c := s.callers[n]
	c.Boot, c.Incarnation, c.Request, c.Floor = c.Boot+"'", c.Incarnation+1, 0, s.state.Clusters[cluster].Epoch
	s.must(leader.Hello{Sender: s.sender(n)})
}

// takenOver is a stage on which node-b has taken the group over from node-a,
// which is back, and is silent itself.
func takenOver(t *testing.T, change ...func(*arbiter.Definition)) *stage {
	t.Helper()
	s := newStage(t, change...)
	e := s.grant(nodeA)
	s.beat(nodeA, e)
	s.passWith(durations.SuspectAfter+step, s.beating(nodeB, 0))
	e = s.shoot(nodeB)
	s.pass(time.Second)
	s.reboot(nodeA)
	s.passWith(time.Second, s.beating(nodeA, 0), s.beating(nodeB, e))
	s.passWith(durations.SuspectAfter+step, s.beating(nodeA, 0))
	return s
}

func holding(d time.Duration) func(*arbiter.Definition) {
	return func(def *arbiter.Definition) { def.HoldTime = d }
}

func TestSecondTakeoverWithinTheHoldTimeWaits(t *testing.T) {
	s := takenOver(t, holding(5*time.Minute))
	v := s.say(s.acquire(nodeA))
	if v.Reason != arbiter.HeldBack || !strings.Contains(v.Sentence, "hold_time (5m0s)") {
		t.Fatalf("taken over again at once: %+v", v)
	}
	if left := s.l.Views(s.now)[0].Held[data]; left < 4*time.Minute || left > 6*time.Minute {
		t.Errorf("held back for another %v", left)
	}
	s.passWith(5*time.Minute+5*time.Second, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Kind != arbiter.FenceFirst {
		t.Errorf("after the hold time: %+v", v)
	}
	if n := s.proposedOf(is[arbiter.Calm]); n != 1 {
		t.Errorf("its end is written down %d times", n)
	}
}

func TestNextLeaderMayHoldBackLongerAndNotShorter(t *testing.T) {
	s := takenOver(t, holding(time.Minute))
	s.passWith(50*time.Second, s.beating(nodeA, 0))
	s.elect()
	s.passWith(50*time.Second, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.HeldBack {
		t.Errorf("a new leader forgets: %+v", v)
	}
	s.passWith(15*time.Second, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Kind != arbiter.FenceFirst {
		t.Errorf("after it has counted once: %+v", v)
	}
	s.elect()
	s.passWith(durations.SuspectAfter+step, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Reason == arbiter.HeldBack {
		t.Errorf("what one leader has waited for the next waits for again: %+v", v)
	}
}

// A witness that is late now and then is not to hold a group back, or to count a
// shot, for ever.
func TestALateLeaderGoesOnCounting(t *testing.T) {
	s := takenOver(t, holding(5*time.Minute), func(def *arbiter.Definition) { def.ShotsPerHour = 1 })
	late := func(d time.Duration) {
		for range int(d / time.Minute) {
			s.passWith(time.Minute-time.Second, s.beating(nodeA, 0))
			s.now = s.now.Add(time.Second)
			s.tick()
		}
		s.passWith(durations.SuspectAfter+step, s.beating(nodeA, 0))
	}
	late(6 * time.Minute)
	if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.ShotsSpent {
		t.Errorf("six minutes after a takeover that is held back for five: %+v", v)
	}
	late(56 * time.Minute)
	if v := s.say(s.acquire(nodeA)); v.Kind != arbiter.FenceFirst {
		t.Errorf("an hour after the shot: %+v", v)
	}
}

func TestWithoutAHoldTimeNobodyWaits(t *testing.T) {
	s := takenOver(t)
	if v := s.say(s.acquire(nodeA)); v.Kind != arbiter.FenceFirst {
		t.Errorf("%+v", v)
	}
}

func TestShotsOfAnHourAreCounted(t *testing.T) {
	s := takenOver(t, func(def *arbiter.Definition) { def.ShotsPerHour = 1 })
	if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.ShotsSpent {
		t.Fatalf("a second shot within the hour: %+v", v)
	}
	s.passWith(59*time.Minute, s.beating(nodeA, 0))
	s.elect()
	s.passWith(10*time.Minute, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Reason != arbiter.ShotsSpent {
		t.Errorf("a new leader takes the shot for older than it knows it to be: %+v", v)
	}
	s.passWith(51*time.Minute, s.beating(nodeA, 0))
	if v := s.say(s.acquire(nodeA)); v.Kind != arbiter.FenceFirst {
		t.Errorf("an hour later: %+v", v)
	}
}

func TestSuspectedNodeThatIsBackIsNotShot(t *testing.T) {
	s, e, m := mandated(t)
	s.beat(nodeA, e)
	if v := s.say(s.begin(m)); v.OK() {
		t.Errorf("it was heard again, and is shot: %+v", v)
	}
	if shots := s.state.Clusters[cluster].Shots; shots != 0 {
		t.Errorf("%d shots are counted and none was fired", shots)
	}
}

var dog = arbiter.Watchdog{Armed: true, Hardware: true, Timeout: 5 * time.Second}

func watchdogOnly(def *arbiter.Definition) { def.Stonith, def.Watchdog = false, true }

// lost is a stage on which node-a held the group, with that watchdog by its last
// beat, and is silent until its lease has run out.
func lost(t *testing.T, asked, beaten arbiter.Watchdog, change ...func(*arbiter.Definition)) *stage {
	t.Helper()
	s := newStage(t, change...)
	ask := s.acquire(nodeA)
	ask.Evidence.Watchdog = asked
	e := s.must(ask).Epoch
	b := s.beatOf(nodeA, e)
	b.Groups[0].Evidence.Watchdog = beaten
	s.send(b)
	s.passWith(arbiter.Guard(durations.TTL)+step, s.beating(nodeB, 0))
	return s
}

func TestClockProvesOnlyWhatTheWatchdogOfThisEpochDoes(t *testing.T) {
	soft, long, untimed := dog, dog, dog
	soft.Hardware, long.Timeout, untimed.Timeout = false, 20*time.Second, 0
	pausing := func(def *arbiter.Definition) { watchdogOnly(def); def.AcceptPauseRisk = true }
	better := func(def *arbiter.Definition) {
		watchdogOnly(def)
		def.Groups = map[arbiter.GroupID]arbiter.GroupDefinition{data: {DRBD: true, MinimumGrade: arbiter.E3}}
	}
	never := func(def *arbiter.Definition) { def.Stonith = false }
	for name, c := range map[string]struct {
		asked, beaten arbiter.Watchdog
		def           func(*arbiter.Definition)
		granted       bool
	}{
		"armed":                           {dog, dog, watchdogOnly, true},
		"armed later":                     {arbiter.Watchdog{}, dog, watchdogOnly, true},
		"armed no more":                   {dog, arbiter.Watchdog{}, watchdogOnly, false},
		"software":                        {soft, soft, watchdogOnly, false},
		"software, and the risk accepted": {soft, soft, pausing, true},
		"longer than the lease":           {long, long, watchdogOnly, false},
		"not read back":                   {untimed, untimed, watchdogOnly, false},
		"minimum_grade above it":          {dog, dog, better, false},
		"not allowed":                     {dog, dog, never, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := lost(t, c.asked, c.beaten, c.def)
			v := s.say(s.acquire(nodeB))
			if (v.Kind == arbiter.Granted) != c.granted {
				t.Fatalf("%+v", v)
			}
			if c.granted && (v.Basis.Cause != arbiter.ByClock || v.Basis.Grade != arbiter.E2 || !strings.Contains(v.Sentence, "watchdog, armed with 5s")) {
				t.Errorf("rests on %+v: %s", v.Basis, v.Sentence)
			}
		})
	}
}

// A dead power controller makes the takeover wait for the watchdog's time, and a
// further shot that cannot help does not make it wait for longer.
func TestDeadPowerControllerWaitsForTheClockAndNoLonger(t *testing.T) {
	s := newStage(t, func(def *arbiter.Definition) { def.Watchdog = true })
	ask := s.acquire(nodeA)
	ask.Evidence.Watchdog = dog
	e := s.must(ask).Epoch
	b := s.beatOf(nodeA, e)
	b.Groups[0].Evidence.Watchdog = dog
	s.send(b)
	ends := s.now.Add(arbiter.Guard(durations.TTL))
	s.passWith(durations.SuspectAfter+step, s.beating(nodeB, 0))
	for s.now <= ends {
		v := s.say(s.acquire(nodeB))
		switch v.Kind {
		case arbiter.Granted:
			t.Fatalf("granted %v before the lease has ended", ends.Sub(s.now))
		case arbiter.FenceFirst:
			s.must(s.begin(v.Mandate))
			s.passWith(12*time.Second, s.beating(nodeB, 0)) // the device hangs for as long as it may
			s.say(leader.ReportFence{Clock: 5, ReportFence: arbiter.ReportFence{Caller: s.caller(nodeB), Mandate: v.Mandate, Failure: "no answer", Evidence: fit()}})
		default:
			s.passWith(durations.Renew, s.beating(nodeB, 0))
		}
	}
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Granted || v.Basis.Grade != arbiter.E2 || s.now > ends.Add(2*durations.Renew) {
		t.Errorf("%v after the lease's end: %+v", s.now.Sub(ends), v)
	}
}

// What earlier leaders have written down counts, and no more of it than that.
func TestNextLeaderCountsOnFromTheDatesOfTheOneBefore(t *testing.T) {
	for name, c := range map[string]struct {
		ago  int64 // seconds
		held bool  // after 15 s
	}{
		"50 s ago":                   {50, false},
		"20 s ago":                   {20, true},
		"by a clock that is ahead":   {-3600, true},
		"by one that nobody knows":   {1_700_000_000, true}, // dated 0
		"by a clock far in the past": {1_600_000_000, false},
	} {
		s := takenOver(t, holding(time.Minute), func(def *arbiter.Definition) { def.ShotsPerHour = 1 })
		cl := s.state.Clusters[cluster]
		cl.Groups[data].Lease.Granted = (s.wall - c.ago) * 1000
		cl.ShotsAt[0] = (s.wall - c.ago - 3600) * 1000 // so that it bars nobody where the other does not
		if c.held {
			cl.ShotsAt[0] = (s.wall - 3700) * 1000
		}
		s.elect()
		s.passWith(15*time.Second, s.beating(nodeA, 0))
		if v := s.say(s.acquire(nodeA)); (v.Reason == arbiter.HeldBack) != c.held || !c.held && v.Kind != arbiter.FenceFirst {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
