package leader

import (
	"time"

	"sbarbiter/internal/boottime"
)

// idle is how long a leader without clusters leaves it at that.
const idle = time.Second

// Due returns the next instant at which the shell has to call [Leader.Tick]:
// until then, and as long as nothing else happens, time alone changes nothing.
// It may be earlier than necessary and never later; only the end of a
// maintenance, which goes by the time of day, may be noticed at the one after.
// A leader that is told nothing for longer than a renewal interval would take
// itself to have been late, so something is always due.
func (l *Leader) Due() boottime.Instant {
	next := l.awake.Add(idle)
	for _, d := range l.order {
		next = min(next, l.dueOf(d))
	}
	return next
}

func (l *Leader) dueOf(d *desk) boottime.Instant {
	next := l.awake.Add(d.c.Definition.Timing.Renew / 2)
	if d.busy != nil {
		return next
	}
	at := func(t boottime.Instant) {
		if t > l.awake {
			next = min(next, t)
		}
	}
	if m := d.c.Mandate; m != nil {
		at(d.mandate.at + 1)
		at(max(d.asked[m.Executor], d.since).Add(d.c.Definition.Timing.SuspectAfter) + 1)
	}
	for _, since := range d.orders {
		at(since.Add(orderTimeout) + 1)
	}
	d.nextCalm(at)
	d.nextMove(at)
	return next
}
