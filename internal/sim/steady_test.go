package sim

import (
	"testing"
	"time"
)

// Leaping over calm times and stepping through them is the same: every line of
// the timeline, to the nanosecond, and the state at the end. After a change of the
// portrait, or of the cores, -seeds=4800 compares 240 runs.
func TestLeapingAndSteppingAreTheSameRun(t *testing.T) {
	var leapt, stepped time.Duration
	for seed := uint64(1); seed <= *seeds/20; seed++ {
		s := DrawLong(seed, 40*time.Minute, 6)
		a := Play(s)
		o := s.options()
		o.Stepping = true
		b := play(s, o)
		if a.True() != b.True() || a.Timeline() != b.Timeline() {
			t.Errorf("seed %d: leaping\n%s\nstepping\n%s", seed, a.Timeline(), b.Timeline())
		}
		if *a.source != *b.source {
			t.Errorf("seed %d: the runs have drawn differently", seed)
		}
		leapt += a.leapt
		stepped += a.now
	}
	if leapt < stepped {
		t.Errorf("%v were stepped through and only %v leapt over", stepped, leapt)
	}
	t.Logf("%v stepped through, %v leapt over", stepped, leapt)
}
