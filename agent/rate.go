package agent

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// rate compares this machine's clock with another's by two readings of it. A
// machine that was paused from outside (a virtual machine, say) may wake with a
// clock that has not moved: then no deadline it counts means anything.
type rate struct {
	other boottime.Instant // an earlier reading of the other clock
	own   boottime.Instant // no later than when it was taken
}

// lag takes a reading of the other clock, taken between asked and now, and
// returns by how much the own clock fell behind since the one before, beyond
// what two good clocks may differ by; zero if it did not.
func (r *rate) lag(asked, now, other boottime.Instant) time.Duration {
	was := *r
	*r = rate{other: other, own: asked}
	if was.other.IsZero() || other.IsZero() || other < was.other {
		return 0 // the first reading, or the other machine has started anew
	}
	theirs, ours := other.Sub(was.other), now.Sub(was.own)
	if theirs <= arbiter.Guard(ours) {
		return 0
	}
	return theirs - ours
}

// compare raises the barrier when the own clock is found to have stood still.
func (m *Machine) compare(asked, now, other boottime.Instant, r *rate, whose string) {
	if lag := r.lag(asked, now, other); lag > 0 {
		m.interrupted(now, fmt.Sprintf("this machine's clock fell %v behind that of %s", lag.Round(time.Millisecond), whose))
	}
}
