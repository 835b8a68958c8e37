package sim

import "time"

// Between episodes, when nothing is wrong and the pair has recovered, a world is
// calm: clocks run true, messages take the same time each, processes are not
// late and the application rests. A calm world soon goes round in circles, and
// what is left of the time until something happens need not be stepped through.

// calmHop is what a message takes in a calm world.
const calmHop = 400 * time.Microsecond

// lookAgain is how long after a look that found no circle the next one is taken,
// where it does not say itself when that will be.
const lookAgain = time.Second

// rest lets time pass in which nothing goes wrong.
func (w *World) rest(d time.Duration) {
	end := w.now + d
	for w.now < end && !w.ended() && !w.settled() {
		w.Run(min(w.now+lookAgain, end))
	}
	w.setCalm(true)
	for end-w.now > 3*period && !w.ended() {
		same, wait := w.circles()
		if same && !w.Stepping {
			skipped := (end - w.now) / period * period
			w.leapt += skipped
			end -= skipped
			break
		}
		w.Run(min(w.now+wait, end))
	}
	w.Run(end)
	w.setCalm(false)
}

// setCalm begins or ends a calm: the clocks' rates are those of the weather.
func (w *World) setCalm(calm bool) {
	w.calm = calm
	for _, c := range w.clocks {
		c.setCalm(calm)
	}
}

// circles goes on for a period or two, and reports whether the last one has
// changed nothing; if it has, when it is worth while to look again.
func (w *World) circles() (same bool, wait time.Duration) {
	if !w.clear() {
		return false, lookAgain
	}
	w.portray(&w.looks.before)
	w.Run(w.now + period)
	w.heap.sweep()
	if len(w.heap) > 0 || w.ended() {
		return false, lookAgain
	}
	w.portray(&w.looks.behind)
	return w.looks.before.samePeriod(&w.looks.behind)
}

// clear goes on until nothing is under way; it does not wait long for that.
func (w *World) clear() bool {
	w.heap.sweep()
	_, ok := w.RunUntil(w.now+period, func() bool { return len(w.heap) == 0 })
	return ok
}

// vary draws a time between two; a calm world takes the first.
func (w *World) vary(lo, hi time.Duration) time.Duration {
	if w.calm {
		return lo
	}
	return w.between(lo, hi)
}
