package heartbeat

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"sbarbiter/internal/boottime"
)

func TestWindowRemembersLikeASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen := make(map[uint64]bool)
		top := uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "adds") {
			jump := rapid.OneOf(rapid.IntRange(-140, 140), rapid.IntRange(0, 2), rapid.Just(1)).Draw(t, "jump")
			seq := uint64(max(1, int(top)+jump))
			forgotten := seq <= top && top-seq >= windowBits
			if got, want := w.add(seq), !seen[seq] && !forgotten; got != want {
				t.Fatalf("add %d below top %d: first=%v, want %v", seq, top, got, want)
			}
			if !forgotten {
				seen[seq] = true
			}
			top = max(top, seq)
		}
		end := top + uint64(rapid.IntRange(0, 150).Draw(t, "silence"))
		span := uint64(rapid.IntRange(1, windowSpan).Draw(t, "span"))
		want := 0
		for s := end; s > 0 && end-s < span; s-- {
			if seen[s] {
				want++
			}
		}
		if got := w.count(end, span); got != want {
			t.Fatalf("count(%d, %d) = %d, want %d", end, span, got, want)
		}
	})
}

// story is a ledger of two links and short words for what arrives.
type story struct {
	*ledger
	t   *testing.T
	now boottime.Instant
}

func tell(t *testing.T) *story {
	return &story{newLedger(50, 0, []Link{{Name: "x"}, {Name: "y"}}), t, boottime.Instant(time.Hour)}
}

func (s *story) hears(link int, boot string, incarnation, seq uint64, want outcome) {
	s.t.Helper()
	s.now += boottime.Instant(time.Millisecond)
	d := &datagram{boot: boot, incarnation: incarnation, seq: seq, clock: s.now}
	if got := s.observe(link, s.now, d, 0); got != want {
		s.t.Fatalf("link %d, %s/%d seq %d: outcome %d, want %d", link, boot, incarnation, seq, got, want)
	}
}

func TestEachPayloadCountsOnceWhateverTheLink(t *testing.T) {
	s := tell(t)
	s.hears(0, "b1", 1, 1, delivered)
	s.hears(1, "b1", 1, 1, duplicate)
	s.hears(1, "b1", 1, 2, delivered)
	s.hears(0, "b1", 1, 2, duplicate)
	s.hears(0, "b1", 1, 2, replayed)
	s.hears(0, "b1", 1, 5, delivered)
	s.hears(1, "b1", 1, 4, late)
	r := s.report()
	if r[0].Received != 3 || r[1].Received != 3 || r[0].Replays != 1 || r[1].Late != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestRecordingOfTheSameLifeIsDropped(t *testing.T) {
	s := tell(t)
	for seq := uint64(1); seq <= 300; seq++ {
		s.hears(0, "b1", 1, seq, delivered)
	}
	at := s.report()[0].LastReceived
	for seq := uint64(1); seq <= 300; seq++ {
		s.hears(0, "b1", 1, seq, replayed)
	}
	if r := s.report()[0]; r.Replays != 300 || r.LastReceived != at {
		t.Fatalf("a replay counts as a sign of life: %+v", r)
	}
}

func TestRestartedAgentBeginsAnewAndItsOldLifeIsOver(t *testing.T) {
	s := tell(t)
	s.hears(0, "b1", 1, 70, delivered)
	s.hears(0, "b1", 2, 1, delivered)
	s.hears(0, "b1", 1, 71, outdated)
	s.hears(0, "b1", 2, 2, delivered)
}

func TestRebootedMachineBeginsAnewAndItsOldBootIsDroppedForGood(t *testing.T) {
	s := tell(t)
	s.hears(0, "b1", 1, 70, delivered)
	s.hears(0, "b2", 2, 1, delivered)
	s.hears(0, "b1", 1, 70, outdated) // a recording
	s.hears(1, "b1", 1, 12, outdated)
	s.hears(0, "b1", 1, 71, conflicting) // it lives on
	s.hears(0, "b1", 1, 71, outdated)
	s.hears(0, "b1", 9, 1, conflicting) // whatever it claims
	s.hears(0, "b2", 2, 2, delivered)
}

func TestTwoMachinesUnderOneNameAreAConflict(t *testing.T) {
	s := tell(t)
	s.hears(0, "b1", 4, 1, delivered)
	s.hears(0, "b2", 4, 1, conflicting)
	s.hears(0, "b3", 3, 1, outdated) // may be a recording
	d := &datagram{boot: "b3", incarnation: 3, seq: 2, clock: s.now, echo: echo{incarnation: s.own}}
	if got := s.observe(0, s.now, d, 0); got != conflicting {
		t.Fatalf("a rolled-back machine that hears us: outcome %d", got)
	}
	s.hears(0, "b1", 4, 2, delivered)
}

func TestStoredIncarnationHoldsFromTheFirstDatagram(t *testing.T) {
	s := tell(t)
	s.ledger = newLedger(50, 7, []Link{{Name: "x"}})
	s.hears(0, "b0", 6, 900, outdated)
	s.hears(0, "b1", 7, 1, delivered)
}

func TestLossIsCountedPerLink(t *testing.T) {
	s := tell(t)
	for seq := uint64(1); seq <= 200; seq++ {
		s.hears(0, "b1", 1, seq, delivered)
		if seq%4 != 0 {
			s.hears(1, "b1", 1, seq, duplicate)
		}
	}
	r := s.report()
	if r[0].ReceivedLossPercent != 0 || r[1].ReceivedLossPercent < 24 || r[1].ReceivedLossPercent > 26 {
		t.Fatalf("want 0 and 25 %%, got %v and %v", r[0].ReceivedLossPercent, r[1].ReceivedLossPercent)
	}
	for seq := uint64(201); seq <= 300; seq++ { // now the second is cut
		s.hears(0, "b1", 1, seq, delivered)
	}
	if r := s.report(); r[1].ReceivedLossPercent != 100 {
		t.Fatalf("a cut link loses %v %%", r[1].ReceivedLossPercent)
	}
	for seq := uint64(301); seq <= 350; seq++ { // it is mended: what the cut has taken is no loss
		s.hears(0, "b1", 1, seq, delivered)
		s.hears(1, "b1", 1, seq, duplicate)
		if r := s.report(); r[1].ReceivedLossPercent != 0 {
			t.Fatalf("mended at 301, it loses %v %% at %d", r[1].ReceivedLossPercent, seq)
		}
	}
	for seq := uint64(351); seq <= 450; seq++ { // that it loses every fourth again is told again
		s.hears(0, "b1", 1, seq, delivered)
		if seq%4 != 0 {
			s.hears(1, "b1", 1, seq, duplicate)
		}
	}
	if r := s.report(); r[1].ReceivedLossPercent < 24 || r[1].ReceivedLossPercent > 26 {
		t.Fatalf("want 25 %%, got %v", r[1].ReceivedLossPercent)
	}
}

func TestLossIsNotToldOfABeginning(t *testing.T) {
	s := tell(t)
	for seq := uint64(1); seq <= 60; seq++ {
		s.hears(0, "b1", 1, seq, delivered)
		if seq >= 41 && seq != 43 { // the second link comes later, and one of its first is lost
			s.hears(1, "b1", 1, seq, duplicate)
		}
		if r := s.report(); seq >= 41 && r[1].ReceivedLossPercent > 5 {
			t.Fatalf("at %d it loses %v %%", seq, r[1].ReceivedLossPercent)
		}
	}
}

func TestPeersEchoTellsWhatArrivesThere(t *testing.T) {
	s := tell(t)
	sentAt := s.now
	echoed := func(sent uint64, e echo) LinkStats {
		s.now += boottime.Instant(10 * time.Millisecond)
		e.incarnation, e.clock, e.hold = s.own, sentAt, 4000
		d := &datagram{boot: "b1", incarnation: 1, seq: s.top + 1, clock: s.now, echo: e}
		s.observe(0, s.now, d, sent)
		return s.report()[0]
	}
	st := echoed(100, echo{newest: 99, received: 90, span: 100})
	if st.SentLossPercent != 10 || st.Confirmed != sentAt || st.RTT != 6*time.Millisecond {
		t.Fatalf("%+v", st)
	}
	// The peer still talks, but hears nothing any more.
	if st := echoed(150, echo{newest: 100, received: 100, span: 100}); st.SentLossPercent != 50 {
		t.Fatalf("half of the last 100 are unheard, got %v %%", st.SentLossPercent)
	}
	if st := echoed(900, echo{newest: 100, received: 100, span: 100}); st.SentLossPercent != 100 {
		t.Fatalf("got %v %%", st.SentLossPercent)
	}
}

func TestEchoOfAnEarlierLifeOfOursIsIgnored(t *testing.T) {
	s := tell(t)
	d := &datagram{boot: "b1", incarnation: 1, seq: 1, echo: echo{incarnation: s.own - 1, newest: 5, span: 5, clock: 1}}
	s.observe(0, s.now, d, 10)
	if st := s.report()[0]; st.Confirmed != 0 || st.SentLossPercent != 0 {
		t.Fatalf("%+v", st)
	}
}
