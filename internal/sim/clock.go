package sim

import (
	"time"

	"sbarbiter/internal/boottime"
)

// clock is a machine's boot-time clock. It runs fast or slow by some parts in a
// million, and is reckoned in whole numbers: the same on every machine.
type clock struct {
	w     *World
	ppm   int64            // now
	drift int64            // while it is not calm
	since time.Duration    // true time at which it
	read  boottime.Instant // showed this
}

// now reads the clock.
func (c *clock) now() boottime.Instant { return c.after(c.w.now - c.since) }

func (c *clock) after(elapsed time.Duration) boottime.Instant {
	d := int64(elapsed)
	return c.read + boottime.Instant(d+d/million*c.ppm+d%million*c.ppm/million)
}

const million = 1_000_000

// reset makes the clock show an instant now.
func (c *clock) reset(at boottime.Instant) { c.since, c.read = c.w.now, at }

// newClock returns a clock of a drawn rate.
func (w *World) newClock() *clock {
	ppm := w.rng.Int64N(2*mostDrift+1) - mostDrift
	c := &clock{w: w, ppm: ppm, drift: ppm}
	w.clocks = append(w.clocks, c)
	return c
}

// mostDrift keeps the difference of two clocks' rates below one percent.
const mostDrift = 4500

// Drift makes a host's clock run fast by so many millionths, or slow, instead of
// what was drawn: also by more than clocks are allowed to.
func (w *World) Drift(h Host, ppm int64) {
	c := w.witness.voters[0].clock
	if h < W {
		c = w.nodes[h].clock
	}
	c.reset(c.now())
	c.ppm, c.drift = ppm, ppm
}

// driftApart makes a node's clock as slow as it may be, and all others as fast.
func (w *World) driftApart(n *Node) {
	for _, c := range w.clocks {
		c.reset(c.now())
		c.ppm, c.drift = mostDrift, mostDrift
	}
	w.Drift(n.host, -mostDrift)
}

func (c *clock) setCalm(calm bool) {
	c.reset(c.now())
	c.ppm = c.drift
	if calm {
		c.ppm = 0
	}
}

// until returns how long it is until the clock shows an instant.
func (c *clock) until(at boottime.Instant) time.Duration {
	left := int64(at - c.read)
	rate := million + c.ppm
	d := time.Duration(left - left/rate*c.ppm - left%rate*c.ppm/rate)
	for c.after(d-1) >= at {
		d--
	}
	for c.after(d) < at {
		d++
	}
	return max(c.since+d-c.w.now, 0)
}
