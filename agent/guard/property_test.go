package guard_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"sbarbiter/agent/guard"
	"sbarbiter/internal/boottime"
)

// holder is what an agent and its group may do to a guard, drawn by chance. The
// latest hard stop that any word taken can have named is known beside it.
type holder struct {
	r    *rig
	conn guard.ConnID
	hard boottime.Instant // 0: nothing runs
	sent boottime.Instant
	down bool // a whole round of steps was seen done
}

// Whatever is said and whatever hangs: nothing is fed with a deadline beyond the
// hard stop of what may run here, a reset comes with the first step at or after
// it, and nothing comes after a reset.
func TestNoScheduleOutlivesTheHardStop(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t}
		r.guard = guard.New(r.clock())
		h := &holder{r: r, conn: 1}
		r.join(h.conn, 1)
		reset := false
		check := func(acts []guard.Action) {
			now := start.Add(r.at)
			for _, a := range acts {
				if reset {
					rt.Fatalf("%s after a reset", say(a))
				}
				switch a := a.(type) {
				case guard.Feed:
					if h.hard != 0 && !h.down && a.Before > h.hard {
						rt.Fatalf("at %v: %s, and the hard stop is %v", now, say(a), h.hard.Sub(start))
					}
				case guard.Note:
					h.down = h.down || a.What == "stopped"
				case guard.Reset:
					reset = true
				}
			}
			if h.hard != 0 && !h.down && now >= h.hard && !reset {
				rt.Fatalf("at %v nothing was reset, and the hard stop was %v", r.at, h.hard.Sub(start))
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			r.at += rapid.SampledFrom([]time.Duration{50 * time.Millisecond, 250 * time.Millisecond, time.Second, 3 * time.Second}).Draw(rt, "pass")
			check(r.step(guard.Tick{}))
			check(r.step(h.draw(rt)))
		}
	})
}

// draw makes an event, and notes what it is worth if the guard takes it.
func (h *holder) draw(rt *rapid.T) guard.Event {
	r := h.r
	now := start.Add(r.at)
	switch rapid.SampledFrom([]string{"renew", "renew", "speak", "lie", "down", "lost", "buried", "join", "ended"}).Draw(rt, "event") {
	case "renew":
		return h.word(r.right("nfs", 4))
	case "speak": // an answer to a request of long ago
		x := r.right("nfs", 4)
		ago := rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second}).Draw(rt, "ago")
		x.Sent, x.Soft, x.Hard, x.Dead = x.Sent.Add(-ago), x.Soft.Add(-ago), x.Hard.Add(-ago), x.Dead.Add(-ago)
		return h.word(x)
	case "lie":
		x := r.right("nfs", 4)
		x.Hard = x.Dead
		words++
		return guard.Told{Conn: h.conn, Number: words, At: now, Rights: []guard.Right{x}}
	case "down":
		return h.word()
	case "lost":
		h.conn, h.r = 0, r
		return guard.Lost{Conn: 1}
	case "buried":
		return guard.Buried{}
	case "join":
		h.conn = 1
		return guard.Joined{Conn: 1, Incarnation: 1, Terms: terms}
	}
	for i := len(r.did) - 1; i >= 0; i-- {
		if run, ok := r.did[i].(guard.Run); ok {
			return guard.Ended{Group: run.Group, Order: run.Order}
		}
	}
	return guard.Tick{}
}

// word says rights, which count only on a connection that the guard knows.
func (h *holder) word(rights ...guard.Right) guard.Event {
	words++
	now := start.Add(h.r.at)
	if h.conn != 0 {
		switch {
		case len(rights) == 0:
			h.hard, h.sent, h.down = 0, 0, false
		case h.hard == 0:
			h.hard, h.sent, h.down = rights[0].Hard, rights[0].Sent, false
		case rights[0].Sent > h.sent:
			h.hard, h.sent = rights[0].Hard, rights[0].Sent
		default:
			h.hard = min(h.hard, rights[0].Hard)
		}
	}
	return guard.Told{Conn: h.conn, Number: words, At: now, Rights: rights}
}
