package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"sbarbiter/internal/sim"
)

// options say what is searched.
type options struct {
	within  time.Duration
	hours   float64
	from    uint64
	perHour int
	workers int
	dir     string
}

// runLength is how long one world lives.
const runLength = time.Hour

// search plays schedules of seed after seed, and reports. Every worker has seeds
// and a guide of its own, so that what it plays does not hang on how fast the
// others are.
func (o *options) search() error {
	t := &tally{faults: map[string]int{}, began: time.Now(), known: sim.NewGuide().Known()}
	var workers sync.WaitGroup
	for i := range uint64(o.workers) {
		workers.Go(func() {
			guide := sim.NewGuide()
			for seed := o.from + i; o.wanted(t); seed += uint64(o.workers) {
				o.play(t, guide, seed)
			}
		})
	}
	workers.Wait()
	return t.report()
}

// play plays the schedule of one seed. Every fourth is short, and may begin
// before the pair has found itself.
func (o *options) play(t *tally, guide *sim.Guide, seed uint64) {
	var s *sim.Schedule
	if seed/uint64(o.workers)%4 == 0 {
		s = sim.Draw(seed)
	} else {
		s = guide.Draw(seed, runLength, o.perHour)
	}
	w := sim.Play(s)
	guide.Learn(s, w)
	t.add(w)
	if len(w.Broken()) > 0 {
		t.broke(o.dir, s, w)
	}
}

// wanted reports whether the search goes on.
func (o *options) wanted(t *tally) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.hours > 0 {
		return t.result.Hours < o.hours
	}
	return time.Since(t.began) < o.within
}

// tally is what a search has found so far.
type tally struct {
	mu     sync.Mutex
	began  time.Time
	result result
	faults map[string]int
	known  *sim.Coverage
	errs   []error
}

// result is the last line of a search.
type result struct {
	Hours      float64 `json:"hours"`
	Stepped    float64 `json:"hours_stepped"`
	Seeds      int     `json:"seeds"`
	Faults     int     `json:"faults"`
	Violations int     `json:"violations"`
	Excepted   int     `json:"excepted"` // ended by what the guarantees except
	Shrinking  float64 `json:"shrink_core_s"`
	Reached    int     `json:"pairs_reached"`
	Total      int     `json:"pairs_total"`
	PerCore    float64 `json:"hours_per_core_s"`
}

func (t *tally) add(w *sim.World) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.Add(w.Coverage())
	t.result.Seeds++
	if w.Excepted() != "" {
		t.result.Excepted++
	}
	t.result.Hours += w.True().Hours()
	t.result.Stepped += w.Now().Hours()
	for what, n := range w.Faults() {
		t.faults[what] += n
		t.result.Faults += n
	}
}

// broke shrinks a schedule that broke something, tells its story and writes the
// file that replays it.
func (t *tally) broke(dir string, s *sim.Schedule, w *sim.World) {
	small, took := shrink(s)
	played := sim.Play(small)
	name := filepath.Join(dir, fmt.Sprintf("seed-%d.json", s.Seed))
	small.Found = played.Broken()[0]
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(name, small.Encode(), 0o644)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Violations++
	t.result.Shrinking += took
	fmt.Printf("seed %d: %s\n\n%s\n", s.Seed, w.Broken()[0], sim.Story(small, played))
	if err != nil {
		t.errs = append(t.errs, fmt.Errorf("keep the schedule of seed %d: %w", s.Seed, err))
		return
	}
	fmt.Printf("replay it with: go run ./internal/sim/cmd/sim -replay %s\n\n", name)
}

// report prints what was done, and the result as the last line.
func (t *tally) report() error {
	fmt.Println("faults injected:")
	for _, what := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Printf("  %7d  %s\n", t.faults[what], what)
	}
	t.reportPairs()
	r := &t.result
	r.PerCore = r.Hours / (cpuSeconds(syscall.RUSAGE_SELF) - r.Shrinking)
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	fmt.Printf("RESULT %s\n", line)
	if r.Violations > 0 {
		t.errs = append(t.errs, fmt.Errorf("%d of %d schedules broke something", r.Violations, r.Seeds))
	}
	return errors.Join(t.errs...)
}

// reportPairs prints which pairs of state and event were never reached, and what
// contradicts the reasons why some cannot be.
func (t *tally) reportPairs() {
	r := &t.result
	r.Reached, r.Total = t.known.Count()
	fmt.Printf("pairs of state and event: %d of %d reached\n", r.Reached, r.Total)
	explained := t.known.Explained()
	for _, why := range slices.Sorted(maps.Keys(explained)) {
		fmt.Printf("  %7d  not reached, %s\n", explained[why], why)
	}
	missed := t.known.Unreached()
	for _, p := range missed {
		fmt.Printf("  not reached: %s\n", p)
	}
	for _, p := range t.known.Refuted() {
		t.errs = append(t.errs, fmt.Errorf("reached, though internal/sim/explained.go says that it cannot be: %s", p))
	}
	if len(missed) > 0 && sim.LongEnough(time.Duration(r.Hours*float64(time.Hour))) {
		t.errs = append(t.errs, fmt.Errorf("%d pairs were not reached in %.0f hours, and nothing explains it: say why in internal/sim/explained.go, or teach the generator to", len(missed), r.Hours))
	}
}

// shrink shrinks a schedule, and says what that took of the processor: hundreds of
// plays, the hours of which are not searched ones.
func shrink(s *sim.Schedule) (small *sim.Schedule, took float64) {
	runtime.LockOSThread() // on which nothing else runs meanwhile
	defer runtime.UnlockOSThread()
	before := cpuSeconds(syscall.RUSAGE_THREAD)
	small = sim.Shrink(s, sim.Broken)
	return small, cpuSeconds(syscall.RUSAGE_THREAD) - before
}

// cpuSeconds returns what this process or thread has used of the machine's processors
// so far.
func cpuSeconds(who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
