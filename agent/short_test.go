package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// The promiser is bound for as long as it said, and not for as long as this
// node's own file has it.
func TestAPromiseCountsForAsLongAsThePeerSaid(t *testing.T) {
	m, now := pledged()
	g := m.by["g0"]
	g.phase, g.right.epoch = Running, 4
	m.peer.sent.note(7, now)
	m.peer.beat.Echo = 7
	m.onPeerGroup(now, g, PeerGroup{Group: "g0", Promised: 4, PromisedFor: 5 * time.Second})
	if got := g.right.promise.Sub(now); got != 5*time.Second {
		t.Errorf("counted for %v, promised for 5s", got)
	}
}

// A machine that was paused from outside may wake with a clock that stood still:
// the witness's clock gives it away.
func TestAnAnswerThatShowsThatTheOwnClockStoodStillRaisesTheBarrier(t *testing.T) {
	m, now := pledged()
	g := m.by["g0"]
	g.phase, g.right.epoch = Running, 4
	g.right.lease = now.Add(20 * time.Second)
	m.beatSent.note(1, now)
	m.beatSent.note(2, now.Add(time.Second/4))
	answer := func(n uint64, at, theirs time.Duration) {
		m.onAnswer(now.Add(at), Answered{
			Answer: leader.BeatAnswer{Number: n}, Version: arbiter.Version{Incarnation: 1, Starts: 1}, Clock: now.Add(time.Hour + theirs),
		})
	}
	answer(1, 10*time.Millisecond, 0)
	if g.barred {
		t.Fatal("one reading of another clock says nothing")
	}
	answer(2, 260*time.Millisecond, 30*time.Second)
	if !g.barred {
		t.Error("half a minute is missing, and the group is not blocked")
	}
}
