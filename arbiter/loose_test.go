package arbiter

import (
	"testing"

	"sbarbiter/recovery"
)

// DRBD forgets nothing of what it was told for that a witness does: what it is asked for
// by a recovery that an old memory cannot say the end of, it may still want.
func TestVictimOfAForgottenRecoveryMayStillWantToGiveItsCopyUp(t *testing.T) {
	for outcome, loose := range map[RecoveryOutcome]bool{Abandoned: true, Forgotten: true, Cancelled: false, Recovered: false} {
		g := &Group{}
		g.remember(Recovery{Outcome: outcome, Plan: &recovery.Plan{Victim: "node-b", Survivor: "node-a"}})
		g.remember(Recovery{Outcome: OnlyShown})
		if is := g.loose("node-b"); is != loose || g.loose("node-a") {
			t.Errorf("%s: %t", outcome, is)
		}
	}
}

func TestOnlyTheLatestRecoveriesAreRemembered(t *testing.T) {
	plan := &recovery.Plan{Victim: "node-b", Survivor: "node-a"}
	g := &Group{}
	for i := range RecoveryID(3 * keptRecoveries) {
		r := Recovery{ID: i, Outcome: Abandoned, Plan: plan}
		if i == 1 {
			r.Outcome = Recovered
		}
		g.remember(r)
	}
	if n := len(g.Recovered); n != keptRecoveries || g.Recovered[n-1].ID != 3*keptRecoveries-1 {
		t.Errorf("%d, the latest %d", n, g.Recovered[n-1].ID)
	}
}
