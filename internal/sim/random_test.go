package sim_test

import (
	"flag"
	"sync"
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

var (
	seed = flag.Uint64("seed", 0, "replay this random schedule and print its timeline")
	runs = flag.Uint64("runs", 300, "how many random schedules are run")
	from = flag.Uint64("from", 1, "the first seed")
)

// TestRandomTroubleBreaksNothing draws a few faults from each seed. Nothing may
// break while they last, and once all is mended somebody runs every group. It is
// a taste: make sim goes on where it ends.
func TestRandomTroubleBreaksNothing(t *testing.T) {
	if *seed != 0 {
		w, why := trouble(*seed)
		t.Log("\n" + w.Timeline())
		if why != "" {
			t.Fatal(why)
		}
		return
	}
	n := *runs
	if testing.Short() {
		n /= 10
	}
	began := time.Now()
	var mu sync.Mutex
	var simulated time.Duration
	seeds := make(chan uint64)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for s := range seeds {
				w, why := trouble(s)
				mu.Lock()
				simulated += w.Now()
				if why != "" {
					t.Errorf("seed %d: %s; replay it with -run TestRandomTroubleBreaksNothing -seed %d", s, why, s)
				}
				mu.Unlock()
			}
		})
	}
	for s := *from; s < *from+n; s++ {
		seeds <- s
	}
	close(seeds)
	workers.Wait()
	t.Logf("%d runs, %.1f simulated hours, %.2f hours a second", n, simulated.Hours(), simulated.Hours()/time.Since(began).Seconds())
}

// trouble runs one seed and says what broke.
func trouble(s uint64) (*sim.World, string) {
	w := sim.Play(sim.Draw(s))
	for _, b := range w.Broken() {
		return w, b
	}
	return w, ""
}

func TestSameSeedIsTheSameRun(t *testing.T) {
	for s := uint64(1); s <= 20; s++ {
		a, _ := trouble(s)
		b, _ := trouble(s)
		if a.Steps != b.Steps || a.Timeline() != b.Timeline() {
			t.Errorf("seed %d: two runs differ", s)
		}
	}
}
