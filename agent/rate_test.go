package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// Another witness leads, on a host that has been up for longer. The agent hears
// of its leadership in the welcome, before the first beat is answered.
func TestAnotherLeadersClockIsNoPause(t *testing.T) {
	m := holder(stonith())
	at := boot.Add
	answered := func(d time.Duration, clock boottime.Instant, v arbiter.Version) []Action {
		m.beatAt = 0
		b, ok := first[Beat](m.Step(at(d), Tick{}))
		if !ok {
			t.Fatalf("no beat after %v", d)
		}
		return m.Step(at(d), Answered{Answer: leader.BeatAnswer{Number: b.Beat.Number}, Version: v, Clock: clock})
	}
	one, two := arbiter.Version{Incarnation: 1, Starts: 1, Nonce: 1}, arbiter.Version{Incarnation: 1, Starts: 2, Nonce: 2}
	m.Step(at(0), SessionUp{})
	m.Step(at(0), Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: one})
	answered(0, at(0), one)
	m.Step(at(time.Second/4), SessionUp{})
	m.Step(at(time.Second/4), Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: two})
	if _, barred := first[Barrier](answered(time.Second/4, at(2*time.Hour), two)); barred {
		t.Error("clients are turned away because another witness leads")
	}
	if _, barred := first[Barrier](answered(time.Second/2, at(3*time.Hour), two)); !barred {
		t.Error("an hour's pause of this machine goes unnoticed")
	}
}

func TestAClockThatStoodStillIsNoticed(t *testing.T) {
	const start = boottime.Instant(time.Hour)
	at := start.Add
	for name, c := range map[string]struct {
		asked, now, other time.Duration
		behind            bool
	}{
		"both clocks moved alike":                       {asked: 10 * time.Second, now: 10100 * time.Millisecond, other: 10 * time.Second},
		"the answer was slow":                           {asked: 10 * time.Second, now: 19 * time.Second, other: 10 * time.Second},
		"the own clock is slower by less than 1 %":      {asked: 100 * time.Second, now: 100 * time.Second, other: 100900 * time.Millisecond},
		"the own machine was paused and its clock too":  {asked: 250 * time.Millisecond, now: 300 * time.Millisecond, other: 30 * time.Second, behind: true},
		"the other machine was paused":                  {asked: 30 * time.Second, now: 30 * time.Second, other: time.Second},
		"the other machine has started anew in between": {asked: 30 * time.Second, now: 30 * time.Second, other: -50 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var r rate
			if lag := r.lag(at(0), at(0), at(0)); lag != 0 {
				t.Fatalf("the first reading says nothing, but the clock is called %v late", lag)
			}
			if lag := r.lag(at(c.asked), at(c.now), at(c.other)); (lag > 0) != c.behind {
				t.Errorf("lag %v", lag)
			}
		})
	}
}
