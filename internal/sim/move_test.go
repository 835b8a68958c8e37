package sim_test

import (
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

// A holder whose gateway is gone while its peer's answers gives the group to it, by a
// planned switchover; where the gateway is gone for both, it stays.
func TestIsolatedHolderHandsOverToAPeerThatIsNot(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		o := sim.Three(seed)
		g := o.Definition.Groups[db]
		g.MoveAfter = 2 * time.Second
		o.Definition.Groups[db] = g
		p := up(t, o)
		p.Node(sim.B).Gateway(false)
		p.Node(sim.A).Gateway(false)
		p.stays(sim.A, db, 15*time.Second)
		p.Node(sim.B).Gateway(true)
		p.holds(sim.B, db, 10*time.Second)
		p.nobodyShot()
		p.Node(sim.A).Gateway(true)
		p.stays(sim.B, db, 60*time.Second) // nothing moves back by itself
	}
}

func TestWithoutMoveAfterAnIsolatedHolderStays(t *testing.T) {
	p := up(t, stonith(1))
	p.Node(sim.A).Gateway(false)
	p.stays(sim.A, db, 60*time.Second)
}
