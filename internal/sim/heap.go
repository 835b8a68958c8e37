package sim

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
)

// never is when nothing is due.
const never = time.Duration(1<<63 - 1)

// happening is something that happens once.
type happening interface{ happen() }

// once is a happening that needs no type of its own.
type once func()

func (o once) happen() { o() }

// fading is a happening that may have lost its point before it comes.
type fading interface{ pointless() bool }

type event struct {
	at   time.Duration
	seq  uint64
	what happening
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// heap holds events, the next one first.
type heap []event

func (h *heap) push(e event) {
	*h = append(*h, e)
	h.rise(len(*h) - 1)
}

func (h *heap) rise(i int) {
	s := *h
	for i > 0 {
		up := (i - 1) / 2
		if !s[i].before(&s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *heap) pop() event {
	s := *h
	last := len(s) - 1
	top, sinks := s[0], s[last]
	s[last] = event{}
	*h = s[:last]
	if last == 0 {
		return top
	}
	i := 0
	for down := 1; down < last; down = 2*i + 1 {
		if right := down + 1; right < last && s[right].before(&s[down]) {
			down = right
		}
		if sinks.before(&s[down]) {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = sinks
	return top
}

// sweep drops what has lost its point.
func (h *heap) sweep() {
	s := *h
	kept := s[:0]
	for _, e := range s {
		if f, ok := e.what.(fading); !ok || !f.pointless() {
			kept = append(kept, e)
		}
	}
	clear(s[len(kept):])
	*h = kept
	for i := range kept {
		h.rise(i)
	}
}

// timer is something that happens again and again. There are few of them, so
// that the next one is found by looking at all; setting one is free. When each is
// due stands in the world, side by side.
type timer struct {
	w   *World
	i   int // in the world's due
	run func()
}

// timer returns a timer that is not set.
func (w *World) timer(run func()) *timer {
	t := &timer{w, len(w.timers), run}
	w.timers, w.due = append(w.timers, t), append(w.due, never)
	return t
}

func (t *timer) set(d time.Duration) { t.w.due[t.i] = t.w.now + max(d, 0) }

func (t *timer) stop() { t.w.due[t.i] = never }

func sortGroups(ids []arbiter.GroupID) { slices.Sort(ids) }
