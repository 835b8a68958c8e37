package agent

import (
	"testing"
	"time"
)

// A holder that hears nobody goes through everything that time alone makes due.
func TestNothingHappensBeforeItIsDue(t *testing.T) {
	m := holder(stonith())
	due := boot
	for d := time.Duration(0); d < 15*time.Second; d += 500 * time.Microsecond {
		now := boot.Add(d)
		actions := m.Step(now, Tick{})
		if len(actions) > 0 && now < due {
			t.Fatalf("%v after the start the machine does %+v, and was due only at %v", d, actions, due.Sub(boot))
		}
		if _, over := first[Reset](actions); over {
			return
		}
		due = m.Due()
		if due <= now {
			t.Fatalf("%v after the start something was due at %v and is not done", d, due.Sub(boot))
		}
	}
	t.Fatal("the machine was never reset")
}

func TestAMachineSteppedOnlyWhenDueStopsAndResetsWhenATickingOneDoes(t *testing.T) {
	for _, cfg := range []Config{stonith(), profile(8*time.Second, 3*time.Second, 2*time.Second, time.Second, 250*time.Millisecond)} {
		ticking := until[Reset](t, holder(cfg))
		m := holder(cfg)
		now := boot
		for range 1000 {
			if _, ok := first[Reset](m.Step(now, Tick{})); ok {
				break
			}
			now = m.Due()
		}
		if d := now.Sub(boot); d > ticking || d < ticking-10*time.Millisecond {
			t.Errorf("stepped when due it resets %v after the start, ticked every 10 ms after %v", d, ticking)
		}
	}
}
