package sim_test

import (
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

// People who promote a copy by hand beside a holder, write to it, and give one of the two
// up afterwards, some of them the wrong one first. Few seeds have it; here each has.
func TestPeopleWhoSplitAPairGetItTogetherAgain(t *testing.T) {
	came := playPeople(t, "has a peer that a person promotes and writes to while the two are parted")
	if came[arbiter.Recovered] < 15 {
		t.Errorf("too few recoveries, the pairs do not split: %v", came)
	}
}

// Where a machine is off, an order waits for it; with a limit it is carried out unasked,
// and never beyond that.
func TestOrderThatWaitsForAMachineGetsAPairTogetherAgain(t *testing.T) {
	came := playPeople(t, "has split, and an operator's order waits for a machine that is off")
	if came[arbiter.Recovered] < 15 {
		t.Errorf("too few recoveries, the pairs do not split: %v", came)
	}
}

// What does not come to its end is let go of, and what is left is resolved anew, also by
// keeping the copy that was being given up.
func TestRecoveryThatIsLetGoOfIsFollowedByAnother(t *testing.T) {
	came := playPeople(t, "has split, and an operator lets go of what does not come to its end")
	if came[arbiter.Abandoned] < 15 || came[arbiter.Recovered] < 8 {
		t.Errorf("too few are let go of, or resolved: %v", came)
	}
}

// playPeople plays what people do, for some seeds, and counts how recoveries have ended.
func playPeople(t *testing.T, kind string) map[arbiter.RecoveryOutcome]int {
	t.Helper()
	came := map[arbiter.RecoveryOutcome]int{}
	for seed := range uint64(40) {
		w := sim.Play(sim.DrawOne(seed, []string{kind}))
		for _, b := range w.Broken() {
			t.Errorf("seed %d: %s", seed, b)
		}
		known := w.Witness().State()
		if known == nil {
			continue
		}
		for _, g := range known.Groups {
			for _, r := range g.Recovered {
				came[r.Outcome]++
			}
		}
	}
	return came
}
