package agent

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// starting returns a machine that has just begun to start its group, under a right
// that lasts for long.
func starting(t *testing.T) (*Machine, *group, Start) {
	t.Helper()
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	m.session, m.spoken = true, true
	m.sees(Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}})
	g := m.groups[0]
	g.joined = true
	g.right = right{epoch: 8, since: boot, sent: boot, lease: boot.Add(time.Hour)}
	m.prepare(boot, g)
	s, ok := first[Start](m.take())
	if !ok {
		t.Fatal("not started")
	}
	return m, g, s
}

var errNotOutdated = errors.New("refusing to be Primary while peer is not outdated")

// attempts ticks the machine until a time, has DRBD refuse every start, and returns
// when it was tried again.
func attempts(m *Machine, to boottime.Instant) (at []boottime.Instant, last Start) {
	refused := StartDone{Group: "db", Epoch: 8, Err: errNotOutdated, Refused: true}
	m.Step(boot, refused)
	for now := boot; now < to; now = now.Add(50 * time.Millisecond) {
		if s, ok := first[Start](m.Step(now, Tick{})); ok {
			at, last = append(at, now), s
			m.Step(now, refused)
		}
	}
	return at, last
}

func TestPromotionThatDRBDRefusesForAMomentIsTriedAgain(t *testing.T) {
	m, g, first := starting(t)
	at, again := attempts(m, boot.Add(10*time.Second))
	if len(at) < 3 || g.phase != Starting || g.failed != "" {
		t.Fatalf("tried again at %v, now %s (%s)", at, g.phase, g.failed)
	}
	if again != first {
		t.Errorf("tried again with %+v, the start was %+v", again, first)
	}
	m.Step(boot.Add(10*time.Second), StartDone{Group: "db", Epoch: 8})
	if g.phase != Running {
		t.Errorf("it is %s", g.phase)
	}
}

func TestPromotionThatIsRefusedForTheWholeBudgetFails(t *testing.T) {
	m, g, first := starting(t)
	at, _ := attempts(m, boot.Add(2*time.Minute))
	if g.phase != Stopping || g.right.failed == "" {
		t.Errorf("it is %s", g.phase)
	}
	if n := len(at); n == 0 || at[n-1] >= first.Before {
		t.Errorf("tried again at %v, the budget ends at %v", at, first.Before)
	}
	if len(at) > 30 {
		t.Errorf("tried %d times", len(at))
	}
}

func TestRefusedPromotionIsNotTriedAgainWithoutARight(t *testing.T) {
	m, g, _ := starting(t)
	g.right.lease = boot.Add(20 * time.Second)
	at, _ := attempts(m, boot.Add(12*time.Second))
	if g.phase != Stopping || len(at) == 0 {
		t.Fatalf("it is %s, tried again at %v", g.phase, at)
	}
	if last := at[len(at)-1]; last >= boot.Add(2450*time.Millisecond) {
		t.Errorf("tried again %v after the last renewal", last.Sub(boot))
	}
}

// What DRBD has recorded since would let it promote without its handler.
func TestRefusedPromotionIsTriedAgainOnlyWithThePeerExcludedWhereDRBDWouldNotAsk(t *testing.T) {
	m, g, _ := starting(t)
	m.Step(boot, StartDone{Group: "db", Epoch: 8, Err: errNotOutdated, Refused: true})
	m.Step(boot, Storage{Resource: "r0", Known: true, Recorded: true, Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: "Outdated"}}})
	for now := boot; now < boot.Add(5*time.Second); now = now.Add(50 * time.Millisecond) {
		if _, ok := first[Start](m.Step(now, Tick{})); ok {
			t.Fatal("promoted over a copy that nobody has excluded")
		}
	}
	m.onExclusion(boot.Add(5*time.Second), g, arbiter.Verdict{Kind: arbiter.Done, Number: 9})
	if _, ok := first[Start](m.take()); !ok {
		t.Error("not tried again once it is")
	}
}

// Nobody else may be able to run it: the first attempts come soon after each other.
func TestFailedStartIsTriedAgainSoonThenSeldom(t *testing.T) {
	m, g, _ := starting(t)
	var pauses []time.Duration
	for range 8 {
		g.phase, g.right.epoch = Starting, 8
		m.onStarted(boot, StartDone{Group: "db", Epoch: 8, Err: errors.New("the service does not start")})
		pauses = append(pauses, g.backoff.Sub(boot))
	}
	if pauses[0] > 2*time.Second || pauses[7] != startBackoff {
		t.Errorf("pauses %v", pauses)
	}
	g.phase = Starting
	m.onStarted(boot, StartDone{Group: "db", Epoch: 8})
	g.phase = Starting
	m.onStarted(boot, StartDone{Group: "db", Epoch: 8, Err: errors.New("the service does not start")})
	if p := g.backoff.Sub(boot); p != pauses[0] {
		t.Errorf("after it has run: %v", p)
	}
}

// A copy that stands in for one that is lost may have to be promoted by force, which does
// not take DRBD's handler's no for an answer: the other copy is excluded before.
func TestCopyThatStandsInIsPromotedOnlyOnceTheOtherIsExcluded(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	m.session, m.spoken = true, true
	m.sees(Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Volume: "r0/0", Own: "Outdated", Peer: "DUnknown"}}})
	g := m.groups[0]
	g.joined = true
	g.right = right{epoch: 8, since: boot, sent: boot, lease: boot.Add(time.Hour)}
	g.granted = arbiter.Basis{Cause: arbiter.ByOperator, Holder: "node-b", Epoch: 4, Grade: arbiter.E1, StandIn: true}
	m.prepare(boot, g)
	actions := m.take()
	if _, ok := first[Start](actions); ok {
		t.Fatal("promoted, and the other copy counts as good")
	}
	call, _ := first[Call](actions)
	if e, ok := call.Message.(leader.Exclude); !ok || !e.Promoting {
		t.Fatalf("%+v", actions)
	}
	start, ok := first[Start](m.Step(boot+1, CallDone{Request: call.Request, Verdict: arbiter.Verdict{Kind: arbiter.Done, Number: 9}}))
	if !ok || !start.StandIn {
		t.Fatalf("%+v", start)
	}
	m.Step(boot+2, StartDone{Group: "db", Epoch: 8, Err: errNotOutdated, Refused: true})
	again, ok := first[Start](m.Step(boot.Add(time.Second), Tick{}))
	if !ok || again != start {
		t.Errorf("tried again with %+v", again)
	}
}
