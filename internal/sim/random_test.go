package sim_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

var (
	seed = flag.Uint64("seed", 0, "replay this random schedule and print its timeline")
	runs = flag.Uint64("runs", 1500, "how many random schedules are run")
	from = flag.Uint64("from", 1, "the first seed")
)

// TestRandomTroubleBreaksNothing draws a few faults from each seed. Nothing may
// break while they last, and once all is mended somebody runs every group.
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
	o := []func(uint64) sim.Options{stonith, watchdog, tight}[s%3](s)
	if s%5 == 0 {
		o.Definition.Groups[web] = arbiter.GroupDefinition{Preferred: "node-b"}
	}
	w := sim.New(o)
	w.Start()
	if from := 4*time.Second + time.Duration(s%24)*time.Second; s%2 == 0 {
		w.Trouble(1+int(s%7), from, from+time.Duration(3+s%17)*time.Second) // all at once
	} else {
		w.Trouble(1+int(s%4), 4*time.Second, 60*time.Second)
	}
	w.Run(60 * time.Second)
	for _, b := range w.Broken() {
		return w, b
	}
	_, ok := w.RunUntil(140*time.Second, func() bool { return settled(w, o) })
	for _, b := range w.Broken() {
		return w, b
	}
	if w.Excepted() != "" {
		return w, ""
	}
	if !ok {
		return w, fmt.Sprintf("not settled %v after everything was mended", w.Now()-60*time.Second)
	}
	w.Run(w.Now() + 3*time.Second)
	for _, b := range w.Broken() {
		return w, b
	}
	if !settled(w, o) {
		return w, "settled, but not for long"
	}
	return w, ""
}

// settled reports whether every group runs, with both copies in step and nobody
// excluded.
func settled(w *sim.World, o sim.Options) bool {
	if w.Witness().State().Mandate != nil || !w.Node(sim.A).Up() || !w.Node(sim.B).Up() {
		return false
	}
	for id, g := range o.Definition.Groups {
		if _, up := w.Holder(id); !up {
			return false
		}
		if g.DRBD && (!w.InStep(id) || len(w.Witness().State().Groups[id].Excluded) > 0) {
			return false
		}
	}
	return true
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
