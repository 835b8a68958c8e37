package guard

import (
	"fmt"
	"time"

	"sbarbiter/internal/boottime"
)

// ladder is the order of the steps; share is the part of a round's time, in
// tenths, at which each gives way to the next whatever has become of it.
var ladder = []struct {
	step  Step
	share int
}{{Services, 5}, {Unmount, 8}, {Demote, 10}}

// stop is how far a group is on its way down the ladder.
type stop struct {
	begun  bool
	down   bool // every step of one round was seen done
	from   boottime.Instant
	rung   int    // index into ladder
	order  uint64 // of the step under way; 0: none
	until  boottime.Instant
	failed bool // a step of this round was not seen done
}

// begin starts to stop a group. Once begun it runs to its end.
func (g *Guard) begin(now boottime.Instant, gr *group) {
	if gr.stop.begun {
		return
	}
	g.alarm(gr.Group, "stopping", fmt.Sprintf("the agent is silent and the right under epoch %d runs out; reset in %v unless it is down by then",
		gr.Epoch, gr.Hard.Sub(now).Round(time.Millisecond)))
	if gr.barredAt.IsZero() {
		g.bar(now, gr)
	}
	gr.stop = stop{begun: true}
	g.round(now, gr)
}

// round goes down the whole ladder within the time that is left.
func (g *Guard) round(now boottime.Instant, gr *group) {
	gr.stop.from, gr.stop.failed = now, false
	g.rung(now, gr, 0)
}

func (g *Guard) rung(now boottime.Instant, gr *group, i int) {
	s := &gr.stop
	left := gr.Hard.Sub(s.from)
	s.rung, s.until = i, s.from.Add(left*time.Duration(ladder[i].share)/10)
	s.order = g.run(gr, ladder[i].step, s.until)
}

func (g *Guard) run(gr *group, step Step, before boottime.Instant) uint64 {
	g.orders++
	g.do(Run{gr.Group, step, g.orders, before})
	return g.orders
}

// climb goes to the next step when the time of the present one is over.
func (g *Guard) climb(now boottime.Instant, gr *group) {
	s := &gr.stop
	switch {
	case !s.begun || s.down || gr.gone:
	case s.order == 0: // between two rounds
		if now.Sub(s.from) > 0 {
			g.round(now, gr)
		}
	case now >= s.until:
		g.alarm(gr.Group, "step hangs", string(ladder[s.rung].step))
		s.failed = true
		g.next(now, gr)
	}
}

func (g *Guard) next(now boottime.Instant, gr *group) {
	s := &gr.stop
	switch {
	case s.rung+1 < len(ladder):
		g.rung(now, gr, s.rung+1)
	case s.failed:
		s.order, s.from = 0, now.Add(settleWithin)
	default:
		s.order, s.down = 0, true
		g.note(gr.Group, "stopped", "by the guard; confirmed down")
	}
}

// ended takes the outcome of a step. One that comes after its time counts for
// nothing: the next one has begun.
func (g *Guard) ended(now boottime.Instant, ev Ended) {
	gr := g.group(ev.Group)
	if gr == nil {
		return
	}
	if ev.Err != nil {
		g.alarm(gr.Group, "not done", ev.Err.Error())
	}
	if ev.Order == gr.cutting {
		gr.cutting = 0
		if ev.Err != nil {
			gr.againAt = now.Add(settleWithin)
		}
	}
	if ev.Err == nil && gr.joining != 0 && ev.Order == gr.joining {
		gr.cutAt, gr.joinAt, gr.joining = 0, 0, 0
		g.forget(gr)
		return
	}
	if gr.stop.order == 0 || ev.Order != gr.stop.order {
		return
	}
	gr.stop.failed = gr.stop.failed || ev.Err != nil
	g.next(now, gr)
}
