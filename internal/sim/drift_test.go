package sim_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

// lasts reports what breaks when a holder whose clock is slow and a witness whose
// clock is fast differ by so many millionths, and the holder lives for as long
// as its right lets it.
func lasts(seed uint64, apart int64) string {
	o := tight(seed)
	o.Worst = true
	w := sim.New(o)
	w.Drift(sim.A, -apart/2)
	w.Drift(sim.B, apart/2)
	w.Drift(sim.W, apart-apart/2)
	w.Start()
	w.RunUntil(20*time.Second, func() bool { _, up := w.Holder(db); return up })
	w.Run(30 * time.Second)
	w.LiveToTheEnd()
	w.Run(60 * time.Second)
	return strings.Join(w.Broken(), "; ")
}

// Clocks may differ in rate by less than 1 %. The holder's own margin allows for
// somewhat more; where it breaks is told, so that somebody notices when it moves.
func TestClocksThatDriftByMoreThanAllowedBreakAGuaranteeInTheEnd(t *testing.T) {
	const step, most = 10_000, 400_000
	for apart := int64(step); apart <= most; apart += 3 * step {
		for seed := uint64(1); seed <= 24; seed++ {
			what := lasts(seed, apart)
			if what == "" {
				continue
			}
			if apart <= step {
				t.Fatalf("seed %d: clocks that differ by %.1f %%: %s", seed, float64(apart)/10_000, what)
			}
			t.Logf("the smallest difference of rates at which a guarantee broke: %.1f %% (seed %d: %s)", float64(apart)/10_000, seed, what)
			return
		}
	}
	t.Fatalf("nothing breaks at a difference of %d %%: the simulation would not notice a margin that is missing", most/10_000)
}
