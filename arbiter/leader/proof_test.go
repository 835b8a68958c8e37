package leader_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// The power was read as off a second after it was read as on, and the report of
// that was long on its way: whether its target was heard after the reading is told
// by when the shot began, not by when the report arrives.
func TestReportThatWasLongOnItsWayIsDatedFromTheBeginning(t *testing.T) {
	const off = boottime.Instant(time.Second)
	for _, c := range []struct {
		heard time.Duration // after the beginning
		alive bool
	}{{800 * time.Millisecond, false}, {1200 * time.Millisecond, true}} {
		s, e, m := mandated(t)
		s.must(s.begin(m))
		s.pass(c.heard)
		s.beat(nodeA, e)
		s.pass(3 * time.Second)
		v := s.say(leader.ReportFence{Clock: off, ReportFence: arbiter.ReportFence{
			Caller: s.caller(nodeB), Mandate: m, Grade: arbiter.E3, Evidence: fit(),
			Readings: []arbiter.Reading{{Device: "bmc", Power: "off", At: off}},
		}})
		if alive := v.Reason == arbiter.TargetAlive; alive != c.alive || !alive && v.Kind != arbiter.Granted {
			t.Errorf("its target was heard %v after the beginning: %+v", c.heard, v)
		}
	}
}
