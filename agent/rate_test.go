package agent

import (
	"testing"
	"time"

	"sbarbiter/internal/boottime"
)

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
