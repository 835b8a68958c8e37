package sim_test

import (
	"testing"
	"time"

	"sbarbiter/internal/sim"
)

func TestLeadingWitnessDeadMovesNothing(t *testing.T) {
	p := up(t, sim.Three(51))
	changes := p.Witness().Changes
	p.Witness().CrashLeader()
	p.stays(sim.A, db, 30*time.Second)
	if p.Witness().Changes == changes {
		t.Fatal("nobody leads in its place")
	}
	p.Witness().Restart()
	p.stays(sim.A, db, 10*time.Second)
	p.nobodyShot()
}

// An old leader that is cut off from the other voters answers nobody's renewal,
// though both nodes still reach it.
func TestOldLeaderThatIsCutOffRenewsNothing(t *testing.T) {
	for seed := uint64(52); seed < 60; seed++ {
		p := up(t, sim.Three(seed))
		p.Witness().Part(true)
		p.stays(sim.A, db, 20*time.Second)
		p.Node(sim.A).Crash()
		p.holds(sim.B, db, 10*time.Second)
		p.Witness().Part(false)
		p.stays(sim.B, db, 10*time.Second)
	}
}

func TestLeadingWitnessDeadWhileTheHolderIsShotEndsTheSame(t *testing.T) {
	for seed := uint64(60); seed < 68; seed++ {
		p := up(t, sim.Three(seed))
		p.Node(sim.A).Crash()
		p.quiet(1200*time.Millisecond + time.Duration(seed%8)*200*time.Millisecond)
		p.Witness().CrashLeader()
		p.holds(sim.B, db, 40*time.Second)
		p.Witness().Restart()
		p.Node(sim.A).Plug()
		p.readmitted(60 * time.Second)
	}
}

func TestTwoOfThreeWitnessesDeadIsLikeNone(t *testing.T) {
	p := up(t, sim.Three(68))
	p.Witness().CrashLeader()
	p.stays(sim.A, db, 5*time.Second)
	p.Witness().CrashLeader()
	p.stays(sim.A, db, time.Minute)
	p.Node(sim.A).Crash()
	p.quiet(30 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("one voter of three has granted a group")
	}
	p.Witness().Restart()
	p.holds(sim.B, db, 40*time.Second)
}
