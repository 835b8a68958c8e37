package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// A restarted agent whose right runs out before it has looked at what runs here
// orders a second stop while the first is under way. What the first has seen
// down says nothing about what a start in between may have brought up.
func TestOnlyTheLastStopOrderedEndsARight(t *testing.T) {
	m := holder(stonith())
	at := boot.Add(until[Stop](t, m))
	last, ok := first[Stop](m.Step(at, Found{Group: "db", Up: true}))
	if !ok {
		t.Fatal("what was found running is not stopped")
	}
	m.Step(at, StopDone{Group: "db", Order: last.Order - 1, Down: true})
	if g := m.groups[0]; g.phase != Stopping || g.release != nil {
		t.Fatalf("the group is %s and given back on the word of a stop that another one followed", g.phase)
	}
	m.Step(at, StopDone{Group: "db", Order: last.Order, Down: true})
	if g := m.groups[0]; g.phase != Stopped || g.release == nil {
		t.Fatalf("the group is %s after the last stop", g.phase)
	}
}

// A peer that was paused between making a beat and sending it answers a beat of
// the agent's earlier life, under the number that a later beat of this life has.
func TestPromiseThatAnswersAnEarlierLifesBeatCountsForNothing(t *testing.T) {
	m := holder(stonith())
	var tell Tell
	now := boot
	for ; now < boot.Add(2*time.Second); now = now.Add(50 * time.Millisecond) {
		if next, ok := first[Tell](m.Step(now, Tick{})); ok {
			tell = next
		}
	}
	hear := func(echo uint64) boottime.Instant {
		m.Step(now, PeerHeard{Fresh: true, Beat: PeerBeat{Number: 1, Echo: echo, Groups: []PeerGroup{{
			Group: "db", Phase: Stopped, Promised: 8, PromisedFor: 20 * time.Second,
		}}}})
		return m.groups[0].right.promise
	}
	for echo := range uint64(20) {
		if until := hear(echo); until != 0 {
			t.Fatalf("the answer to beat %d, which this agent has not sent, is a promise until %v", echo, until)
		}
	}
	if hear(tell.Beat.Number) == 0 {
		t.Fatal("the answer to this agent's own beat is no promise")
	}
}

// The readmission by the word that stood was applied before the disk failed
// again; the news of it arrives after.
func TestDiskThatFailsWhileItsReadmissionIsOnTheWayStaysExcluded(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.Step(boot, DiskFailed{"r0"})
	m.learnExclusions(g, leader.GroupAnswer{Group: "db", Own: arbiter.Exclusion{OwnWord: m.mem.Groups["db"].OwnWord}})
	m.Step(boot+1, DiskFailed{"r0"})
	m.learnExclusions(g, leader.GroupAnswer{Group: "db"})
	if m.mem.Groups["db"].OwnWord == 0 {
		t.Fatal("the failed disk is forgotten: the node would promote it")
	}
}

// The store of a node that runs a group is lost, its agent restarted, and the
// witness has lost its memory too: what it learns must not be that nobody runs it.
func TestHolderWhoseStoreIsLostReportsWhatItRuns(t *testing.T) {
	cfg := stonith()
	m := New(boot, cfg, nil, &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{
		"db": {Epoch: 8, Lease: boot.Add(cfg.Timing.TTL), Started: true},
	}})
	hello, ok := first[Hello](m.Step(boot, SessionUp{}))
	if r := hello.Hello.Report.Groups["db"]; !ok || !r.Runs || r.Epoch != 8 || r.Holder != cfg.Node || hello.Hello.Caller.Floor != 8 {
		t.Errorf("a node that runs a group under epoch 8 reports %+v, floor %d", r, hello.Hello.Caller.Floor)
	}
}

// The second life of an agent with an empty store knows no more than the first:
// until a witness has spoken it gives no word, and says that its store is new.
// Taken for an old one, its low counters would look like a disk that was rolled
// back.
func TestStoreThatBeganEmptyIsFreshUntilAWitnessHasSpoken(t *testing.T) {
	cfg := stonith()
	nothing := &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}}
	m := New(boot, cfg, nil, nothing)
	next := func() arbiter.Report {
		t.Helper()
		save, ok := first[Save](m.Step(boot, Tick{}))
		if !ok {
			t.Fatal("nothing is stored")
		}
		mem, err := DecodeMemory(save.Memory)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Incarnation++
		m = New(boot, cfg, mem, nothing)
		hello, ok := first[Hello](m.Step(boot, SessionUp{}))
		if !ok {
			t.Fatal("no report")
		}
		m.dirty = true
		return hello.Hello.Report
	}
	if !next().Fresh {
		t.Error("the next life does not say that the store is new")
	}
	m.Step(boot, Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}})
	m.dirty = true
	if next().Fresh {
		t.Error("a witness has spoken, and the next life calls the store new")
	}
}

// A service that was enabled at boot, say. A report under the new boot id would
// end the lease with the best grade there is.
func TestNothingIsReportedWhileSomethingRunsWithoutARight(t *testing.T) {
	mem := NewMemory()
	mem.Groups["db"] = GroupMemory{Holder: "node-a", Epoch: 8}
	m := New(boot, stonith(), mem, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	stop, ok := first[Stop](m.Step(boot, Found{Group: "db", Up: true}))
	if !ok {
		t.Fatal("what runs without a right is not stopped")
	}
	m.Step(boot, SessionUp{})
	for d := time.Duration(0); d < 5*time.Second; d += 50 * time.Millisecond {
		if _, ok := first[Hello](m.Step(boot.Add(d), Tick{})); ok {
			t.Fatalf("%v after it was found running, the witness is told that nothing runs here", d)
		}
	}
	if _, ok := first[Hello](m.Step(boot.Add(5*time.Second), StopDone{Group: "db", Order: stop.Order, Down: true})); !ok {
		t.Error("a node that has stopped everything does not report")
	}
}

func TestShotOfAnEarlierLifeIsForgottenOnceItIsOver(t *testing.T) {
	mem := NewMemory()
	mem.Mandates = []arbiter.MandateID{7}
	mem.Begun = 7
	m := New(boot, stonith(), mem, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	over := boot.Add(arbiter.Guard(stonith().Timing.FenceTimeout))
	for now := boot; ; now = m.Due() {
		m.Step(now, Tick{})
		if len(m.mem.Mandates) == 0 {
			if now != over || m.mem.Begun != 7 {
				t.Fatalf("forgotten %v after the start, not %v; the highest begun is %d", now.Sub(boot), over.Sub(boot), m.mem.Begun)
			}
			return
		}
		if now > over {
			t.Fatalf("still remembered %v after the start", now.Sub(boot))
		}
	}
}

// A witness was replaced while its old host was cut off, and the agent has reported
// to the new one. What the old one still says renews nothing and answers nothing.
func TestAnswersOfAWitnessThatWasReplacedAreDropped(t *testing.T) {
	m := holder(stonith())
	m.Step(boot, SessionUp{})
	m.Step(boot, Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: arbiter.Version{Incarnation: 2}})
	at := boot.Add(time.Second)
	beat, ok := first[Beat](m.Step(at, Tick{}))
	if !ok {
		t.Fatal("no beat")
	}
	answer := Answered{
		Version: arbiter.Version{Incarnation: 1}, Clock: at,
		Answer: leader.BeatAnswer{Number: beat.Beat.Number, Groups: []leader.GroupAnswer{{Group: "db", Renewed: 8}}},
	}
	lease := m.groups[0].right.lease
	if m.Step(at, answer); m.groups[0].right.lease != lease {
		t.Error("a witness that was replaced renews a lease")
	}
	answer.Version.Incarnation = 2
	if m.Step(at, answer); m.groups[0].right.lease <= lease {
		t.Error("the new witness renews nothing")
	}
}

// The receipt of the life before has not arrived, or the answer that granted it the
// group, and this one does not ask: nobody would have it for ever, for the other node
// hears this one.
func TestReceiptThatAnEarlierLifeHasNotBroughtIsSentAgain(t *testing.T) {
	for _, c := range []struct {
		why    string
		memory GroupMemory
		whole  bool // the file that dies with the boot is there
		sent   bool
	}{
		{"given back", GroupMemory{Holder: "node-a", Epoch: 8, GivenBack: true}, true, true},
		{"not confirmed down", GroupMemory{Holder: "node-a", Epoch: 8}, true, false},
		{"never taken", GroupMemory{Holder: "node-a", Epoch: 4, GivenBack: true}, true, true},
		{"perhaps taken", GroupMemory{Holder: "node-a", Epoch: 4, GivenBack: true}, false, false},
	} {
		mem := NewMemory()
		mem.Groups["db"] = c.memory
		m := New(boot, stonith(), mem, &BootMemory{Cleared: c.whole, Groups: map[arbiter.GroupID]HeldRight{}})
		m.Step(boot, SessionUp{})
		m.Step(boot, Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}})
		answered := func(at boottime.Instant) (leader.Release, bool) {
			t.Helper()
			beat, ok := first[Beat](m.Step(at, Tick{}))
			if !ok {
				t.Fatal("no beat")
			}
			call, _ := first[Call](m.Step(at, Answered{Clock: at, Answer: leader.BeatAnswer{
				Number: beat.Beat.Number, Standby: true, Groups: []leader.GroupAnswer{{Group: "db", Holder: "node-a", Epoch: 8}},
			}}))
			r, ok := call.Message.(leader.Release)
			m.Step(at, CallDone{Request: call.Request, Verdict: arbiter.Verdict{Kind: arbiter.Done}})
			return r, ok
		}
		if r, ok := answered(boot.Add(time.Second)); ok != c.sent || ok && r.Epoch != 8 {
			t.Errorf("%s: a receipt is sent: %v, %+v", c.why, ok, r)
		}
		if _, ok := answered(boot.Add(2 * time.Second)); ok {
			t.Errorf("%s: a receipt is sent though this life has sent one, or may not", c.why)
		}
	}
}

// The answer that granted the group was lost, and came again when it counted for
// nothing; then a recovery excluded this node's copy. It never ran the group.
func TestLeaseThatWasNeverTakenAndMayNotBeIsGivenBack(t *testing.T) {
	now, cfg := boot.Add(time.Minute), stonith()
	cfg.Groups[0].Resources = nil
	m := New(now, cfg, nil, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	m.Step(now, SessionUp{})
	m.Step(now, Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}})
	next := func(a leader.GroupAnswer) Call {
		now = now.Add(time.Second)
		beat, _ := first[Beat](m.Step(now, Tick{}))
		a.Group = "db"
		call, _ := first[Call](m.Step(now, Answered{Clock: now, Answer: leader.BeatAnswer{Number: beat.Beat.Number, Groups: []leader.GroupAnswer{a}}}))
		return call
	}
	answer := func(c Call, v arbiter.Verdict) (Call, bool) {
		if _, ok := c.Message.(leader.Acquire); !ok {
			t.Fatalf("no ask: %+v", c)
		}
		return first[Call](m.Step(now, CallDone{Request: c.Request, Verdict: v}))
	}
	refused := arbiter.Verdict{Kind: arbiter.Refused, Reason: arbiter.IsIsolated}
	held := leader.GroupAnswer{Holder: "node-a", Epoch: 8}
	answer(next(leader.GroupAnswer{}), refused)
	ask := next(leader.GroupAnswer{})
	if c := next(held); c.Message != nil {
		if _, ok := c.Message.(leader.Release); ok {
			t.Error("given back while an ask is on its way")
		}
	}
	if c, ok := answer(ask, arbiter.Verdict{Kind: arbiter.Granted, Epoch: 8, Repeated: true}); ok {
		t.Errorf("more than asking again is done at once after a repeated grant: %+v", c)
	}
	refused.Reason = arbiter.IsExcluded
	c, _ := answer(next(held), refused)
	r, ok := c.Message.(leader.Release)
	if !ok || r.Epoch != 8 || r.Started {
		t.Fatalf("the lease that was never taken is not given back: %+v", c)
	}
	if !m.mem.Groups["db"].GivenBack {
		t.Error("that it was given back is not stored")
	}
}
