package sim

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
)

type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (e event) before(f event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// heap holds events, the next one first.
type heap []event

func (h *heap) push(e event) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *heap) pop() event {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0], s[last] = s[last], event{}
	s = s[:last]
	*h = s
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && s[down].before(s[least]) {
				least = down
			}
		}
		if least == i {
			return top
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}

func sortGroups(ids []arbiter.GroupID) { slices.Sort(ids) }
