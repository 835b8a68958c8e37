package agent

import (
	"testing"
	"time"
)

// The guard says with every word that it has begun to stop a group. A stop that is
// under way is not begun again for that: only the last one ordered is believed, so
// that none ever would be.
func TestAGuardThatRepeatsItselfDoesNotKeepAStopFromEnding(t *testing.T) {
	m := holder(stonith())
	m.Step(boot, Tick{})
	now := boot.Add(time.Second)
	stop, ok := first[Stop](m.Step(now, Found{Group: "db", ByGuard: true}))
	if !ok {
		t.Fatal("not stopped")
	}
	for range 3 {
		now = now.Add(250 * time.Millisecond)
		if _, again := first[Stop](m.Step(now, Found{Group: "db", ByGuard: true})); again {
			t.Error("a stop under way is begun again")
		}
	}
	m.Step(now, StopDone{Group: "db", Order: stop.Order, Down: true})
	if p := m.groups[0].phase; p != Stopped {
		t.Errorf("confirmed down, and it is %s", p)
	}
}
