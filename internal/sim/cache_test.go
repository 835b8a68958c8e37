package sim_test

import (
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

// The target of a resync loses its power, and with it what its disk's cache had of
// the blocks that both bitmaps call copied. It is copied anew as a whole, so that it
// can take over afterwards.
func TestTargetOfAResyncThatLosesItsPowerIsCopiedAnew(t *testing.T) {
	for seed := uint64(200); seed < 210; seed++ {
		p := up(t, stonith(seed))
		p.CutReplication(true)
		p.quiet(8 * time.Second)
		p.Node(sim.A).FailStarts(true) // nothing is written meanwhile: a commit would flush the cache
		p.Node(sim.A).Reset("somebody pressed the button")
		p.quiet(12 * time.Second)
		p.CutReplication(false)
		if _, ok := p.RunUntil(p.Now()+20*time.Second, func() bool { return p.Node(sim.B).Copying(db) }); !ok {
			t.Fatal("nothing is copied")
		}
		p.Node(sim.B).Unplug()
		p.quiet(3 * time.Second)
		p.Node(sim.B).Plug()
		p.readmitted(60 * time.Second)
		p.Node(sim.A).Crash()
		p.holds(sim.B, db, 60*time.Second)
	}
}
