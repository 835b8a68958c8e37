package sim_test

import (
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

// People who promote a copy by hand beside a holder, write to it, and give one of the two
// up afterwards, some of them the wrong one first. Few seeds have it; here each has.
func TestPeopleWhoSplitAPairGetItTogetherAgain(t *testing.T) {
	recovered := 0
	for seed := range uint64(40) {
		s := sim.DrawOne(seed, []string{"has a peer that a person promotes and writes to while the two are parted"})
		w := sim.Play(s)
		for _, b := range w.Broken() {
			t.Errorf("seed %d: %s", seed, b)
		}
		known := w.Witness().State()
		if known == nil {
			continue
		}
		for _, g := range known.Groups {
			for _, r := range g.Recovered {
				if r.Outcome == arbiter.Recovered {
					recovered++
				}
			}
		}
	}
	if recovered < 15 {
		t.Errorf("only %d recoveries: the pairs do not split", recovered)
	}
}
