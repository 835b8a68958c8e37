package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestHeapGivesWhatIsDueFirstAndOfTheSameInstantWhatWasPutFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var h heap
	put := uint64(0)
	for round := range 200 {
		for range rng.IntN(40) {
			put++
			h.push(event{at: time.Duration(rng.IntN(20)), seq: put})
		}
		var last event
		for range rng.IntN(len(h) + 1) {
			is := h.pop()
			if is.before(&last) {
				t.Fatalf("round %d: %v, number %d, came behind %v, number %d", round, is.at, is.seq, last.at, last.seq)
			}
			last = is
		}
	}
}
