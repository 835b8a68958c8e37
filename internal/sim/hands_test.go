package sim_test

import (
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

// The nodes do not reach each other's power switches, the witness does.
func far(o *sim.Options) { o.Hands, o.Far = true, true }

func TestTheWitnessShootsWhomNoNodeReaches(t *testing.T) {
	o := stonith(1)
	far(&o)
	o.Definition.Watchdog = false // nothing but a shot proves anything
	p := up(t, o)
	p.Node(sim.A).Crash()
	took := p.holds(sim.B, db, 20*time.Second)
	t.Logf("power cut to running: %v", took)
	if p.Said(sim.W, "shooting", 0) != 1 || p.Said(sim.B, "shot failed", 0) == 0 {
		t.Error("the witness has not shot once, after its first executor")
	}
	if took < o.Definition.Timing.FenceTimeout {
		t.Error("the first executor's time was not waited out")
	}
	p.Node(sim.A).Plug()
	p.readmitted(25 * time.Second)
	p.stays(sim.B, db, 5*time.Second)
}

// A holder that nobody hears runs on: the witness shoots it, before anybody else
// runs the group.
func TestTheWitnessShootsAHolderThatRunsOn(t *testing.T) {
	o := stonith(2)
	far(&o)
	o.Definition.Watchdog, o.Watchdog = false, 0 // nothing resets it
	p := up(t, o)
	p.Node(sim.A).PauseAgent(true)
	p.holds(sim.B, db, 45*time.Second) // DRBD is heard until the lease has run out
	if p.Said(sim.A, "POWER OFF", 0) != 1 {
		t.Error("it was not shot")
	}
	p.quiet(10 * time.Second)
}

func TestAShotOfTheWitnessDiesWithItsLeadership(t *testing.T) {
	o := stonith(3)
	far(&o)
	o.Voters = 3
	o.Definition.Watchdog = false
	p := up(t, o)
	p.Node(sim.A).Crash()
	p.RunUntil(p.Now()+20*time.Second, func() bool {
		return p.Said(sim.W, "shooting", 0)+p.Said(sim.W2, "shooting", 0)+p.Said(sim.W3, "shooting", 0) > 0
	})
	p.Witness().CrashLeader()
	shot := p.Now()
	if _, runs := p.RunUntil(shot+60*time.Second, func() bool { _, up := p.Holder(db); return up }); !runs {
		t.Error("by the next leader's count nobody comes to run it")
	}
	if took := p.Now() - shot; took < o.Definition.Timing.FenceTimeout {
		t.Errorf("somebody runs it %v after the shot was cut short, while that could land", took)
	}
	p.quiet(5 * time.Second)
}

// TestRandomTroubleWithTheWitnessShooting is TestRandomTroubleBreaksNothing on
// pairs whose witness shoots, beside the nodes or instead of them.
func TestRandomTroubleWithTheWitnessShooting(t *testing.T) {
	n := *runs / 4
	if testing.Short() {
		n /= 10
	}
	shots := 0
	for s := *from; s < *from+n; s++ {
		w := sim.PlayOn(sim.Draw(s), func(o *sim.Options) {
			o.Hands, o.Far = true, s%3 != 0
			o.Definition.Stonith = true
		})
		shots += w.Said(sim.W, "shooting", 0) + w.Said(sim.W2, "shooting", 0) + w.Said(sim.W3, "shooting", 0)
		for _, b := range w.Broken() {
			t.Errorf("seed %d: %s", s, b)
			if *seed != 0 {
				t.Log("\n" + w.Timeline())
			}
		}
	}
	t.Logf("%d runs, the witness has shot %d times", n, shots)
	if n >= 100 && shots == 0 {
		t.Error("the witness has never shot: the case looks at nothing")
	}
}
