package sim_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

func TestPowerCutOfTheHolderIsTakenOverByAShot(t *testing.T) {
	p := up(t, stonith(1))
	p.Node(sim.A).Crash()
	took := p.holds(sim.B, db, 5*time.Second)
	t.Logf("power cut to running: %v", took)
	p.stays(sim.B, db, 10*time.Second)
	p.Node(sim.A).Plug()
	p.readmitted(25 * time.Second)
	p.stays(sim.B, db, 5*time.Second)
}

func TestWatchdogPairTakesOverWhenTheLeaseHasRunOut(t *testing.T) {
	for name, o := range map[string]struct {
		sim.Options
		within time.Duration
	}{"watchdog": {watchdog(2), 17 * time.Second}, "tight": {tight(2), 10 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			p := up(t, o.Options)
			p.quiet(o.Definition.Timing.Promise) // no promise from before its start binds the standby
			p.Node(sim.A).Crash()
			took := p.holds(sim.B, db, o.within)
			if took < o.Definition.Timing.TTL-o.Definition.Timing.Renew {
				t.Fatalf("taken over after %v, while the lease may have been running", took)
			}
			t.Logf("power cut to running: %v", took)
		})
	}
}

func TestDeadPowerSwitchLeavesTheTakeoverToTheWatchdog(t *testing.T) {
	p := up(t, stonith(3))
	p.quiet(20 * time.Second)
	p.Node(sim.A).Unplug()
	took := p.holds(sim.B, db, 24*time.Second)
	t.Logf("unplugged to running: %v", took)
	if p.Said(sim.B, "shot failed", 0) == 0 {
		t.Fatal("the failed shot was not told")
	}
}

func TestPowerCutOfTheStandbyNeedsNoShot(t *testing.T) {
	p := up(t, stonith(4))
	before := p.Acked(db)
	p.Node(sim.B).Crash()
	p.quiet(3 * time.Second)
	p.stays(sim.A, db, 20*time.Second)
	if p.Acked(db) < before+50 {
		t.Fatalf("%d writes acknowledged before the cut, %d now", before, p.Acked(db))
	}
	p.nobodyShot()
	p.Node(sim.B).Plug()
	p.readmitted(20 * time.Second)
}

func TestIsolatedHolderIsShotAndTheOtherTakesOver(t *testing.T) {
	p := up(t, stonith(5))
	p.isolate(sim.A, true)
	took := p.holds(sim.B, db, 5*time.Second)
	t.Logf("isolated to running: %v", took)
	p.isolate(sim.A, false)
	p.Node(sim.A).Plug()
	p.readmitted(25 * time.Second)
}

func TestIsolatedHolderWithoutPowerSwitchStopsByItself(t *testing.T) {
	p := up(t, watchdog(6))
	p.quiet(15 * time.Second)
	p.isolate(sim.A, true)
	took := p.holds(sim.B, db, 17*time.Second)
	t.Logf("isolated to running: %v", took)
	p.isolate(sim.A, false)
	p.readmitted(25 * time.Second)
	p.stays(sim.B, db, 5*time.Second)
}

func TestReplicationLinkCutAloneExcludesThePeerAndWritingGoesOn(t *testing.T) {
	p := up(t, stonith(7))
	p.CutReplication(true)
	at, ok := p.RunUntil(p.Now()+3*time.Second, func() bool { return p.Said(sim.A, "handler exits 4", 0) > 0 })
	if !ok {
		t.Fatal("the holder's writes did not go on")
	}
	t.Logf("link cut to writing: %v", at)
	p.quiet(time.Second)
	p.stays(sim.A, db, 10*time.Second)
	p.nobodyShot()
	p.CutReplication(false)
	p.readmitted(10 * time.Second)
}

func TestAllLinksBetweenTheNodesCutMovesNothing(t *testing.T) {
	p := up(t, stonith(8))
	p.Cut(sim.A, sim.B, true)
	p.CutReplication(true)
	p.quiet(3 * time.Second)
	p.stays(sim.A, db, 40*time.Second)
	p.nobodyShot()
	p.Cut(sim.A, sim.B, false)
	p.CutReplication(false)
	p.readmitted(10 * time.Second)
}

func TestFrozenHolderIsShotAndThawedOneIsNeverBesideTheOther(t *testing.T) {
	p := up(t, stonith(9))
	p.Node(sim.A).Freeze(true)
	p.holds(sim.B, db, 5*time.Second)
	p.Node(sim.A).Freeze(false)
	p.stays(sim.B, db, 10*time.Second)
}

func TestHolderThawedBeforeTheTakeoverIsBlockedUntilItsRightIsConfirmed(t *testing.T) {
	p := up(t, watchdog(10))
	p.Node(sim.A).Freeze(true)
	p.quiet(2 * time.Second)
	p.Node(sim.A).Freeze(false)
	p.holds(sim.A, db, 2*time.Second)
	p.stays(sim.A, db, 10*time.Second)
	if p.Said(sim.A, "was stopped", 0) == 0 || p.Said(sim.A, "unblocked", 0) != 1 {
		t.Fatal("the gap was not noticed, or the group not unblocked once")
	}
}

func TestAgentRestartedInTheSameBootTouchesNoService(t *testing.T) {
	p := up(t, stonith(11))
	for range 3 {
		p.Node(sim.A).KillAgent()
		p.Node(sim.B).KillAgent()
		p.stays(sim.A, db, 700*time.Millisecond)
		p.Node(sim.A).StartAgent()
		p.Node(sim.B).StartAgent()
		p.stays(sim.A, db, 5*time.Second)
	}
}

func TestDeadAgentIsEndedByTheWatchdog(t *testing.T) {
	p := up(t, stonith(12))
	p.Node(sim.A).KillAgent()
	p.holds(sim.B, db, 20*time.Second)
}

func TestWitnessRestartedUnderARunningPairMovesNothing(t *testing.T) {
	p := up(t, stonith(13))
	p.Witness().Crash()
	p.stays(sim.A, db, 5*time.Second)
	p.Witness().Restart()
	p.stays(sim.A, db, 30*time.Second)
}

func TestWitnessDeadForGoodStopsNothingWhileTheNodesTalk(t *testing.T) {
	for _, o := range []sim.Options{stonith(14), watchdog(14), tight(14)} {
		p := up(t, o)
		p.Witness().Crash()
		p.stays(sim.A, db, 5*time.Minute)
		p.Witness().Restart()
		p.stays(sim.A, db, time.Minute)
	}
}

func TestWitnessDeadThenHolderDeadIsNoTakeover(t *testing.T) {
	p := up(t, stonith(15))
	p.Witness().Crash()
	p.stays(sim.A, db, 30*time.Second)
	p.Node(sim.A).Crash()
	p.quiet(time.Minute)
	if _, runs := p.Holder(db); runs {
		t.Fatal("somebody runs the group without a witness")
	}
	if p.Said(sim.B, "! ", 0) == 0 {
		t.Fatal("nobody was told")
	}
	p.Witness().Restart()
	p.holds(sim.B, db, 30*time.Second)
}

func TestGatewayDownForAllMovesNothing(t *testing.T) {
	p := up(t, stonith(16))
	p.Node(sim.A).Gateway(false)
	p.Node(sim.B).Gateway(false)
	p.stays(sim.A, db, 40*time.Second)
}

func TestStandbyWithoutGatewayIsNotPromoted(t *testing.T) {
	p := up(t, stonith(17))
	p.Node(sim.B).Gateway(false)
	p.quiet(2 * time.Second)
	p.Node(sim.A).Crash()
	p.quiet(30 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("an isolated node was promoted")
	}
	p.Node(sim.B).Gateway(true)
	p.holds(sim.B, db, 30*time.Second)
}

func TestSwitchoverHasNoShotAndAShortGap(t *testing.T) {
	p := up(t, stonith(18))
	p.Witness().Order(arbiter.Order{Cluster: "pair", Group: db, To: "node-b", By: "operator"})
	took := p.holds(sim.B, db, 2*time.Second)
	t.Logf("switchover: %v", took)
	p.nobodyShot()
	p.stays(sim.B, db, 30*time.Second)
}

func TestOrderlyShutdownOfTheHolderShootsNobody(t *testing.T) {
	p := up(t, stonith(41))
	p.Node(sim.A).ShutDown()
	took := p.holds(sim.B, db, 5*time.Second)
	t.Logf("told to shut down to running on the other: %v", took)
	p.quiet(3 * time.Second) // DRBD notices that the other machine is gone
	p.stays(sim.B, db, 10*time.Second)
	p.nobodyShot()
	p.Node(sim.A).Plug()
	p.readmitted(25 * time.Second)
}

func TestColdStartOfBothStartsOnOne(t *testing.T) {
	p := up(t, stonith(19))
	p.Node(sim.A).Unplug()
	p.Node(sim.B).Unplug()
	p.quiet(5 * time.Second)
	p.Node(sim.A).Plug()
	p.Node(sim.B).Plug()
	took := p.holds(sim.A, db, 12*time.Second)
	t.Logf("cold start of both: %v", took)
	p.nobodyShot()
}

func TestColdStartOfTheLastHolderAloneThenTheOther(t *testing.T) {
	p := up(t, stonith(20))
	p.Node(sim.A).Unplug()
	p.Node(sim.B).Unplug()
	p.quiet(5 * time.Second)
	p.Node(sim.A).Plug()
	took := p.holds(sim.A, db, 15*time.Second)
	t.Logf("cold start of the last holder alone: %v", took)
	p.quiet(10 * time.Second)
	p.Node(sim.B).Plug()
	p.readmitted(20 * time.Second)
	p.stays(sim.A, db, 5*time.Second)
}

func TestColdStartOfTheStandbyAloneThenTheOther(t *testing.T) {
	p := up(t, stonith(21))
	p.Node(sim.B).Unplug()
	p.Node(sim.A).Unplug()
	p.quiet(time.Second)
	p.Node(sim.B).Plug()
	took := p.holds(sim.B, db, 45*time.Second)
	t.Logf("cold start of the standby alone: %v", took)
	p.Node(sim.A).Plug()
	p.readmitted(20 * time.Second)
	p.stays(sim.B, db, 5*time.Second)
}

func TestRefusedShotWaitsForTheOperatorWhereNoWatchdogIsTrusted(t *testing.T) {
	o := stonith(22)
	o.Definition.Watchdog = false
	p := up(t, o)
	p.Node(sim.A).Refuse(true)
	p.Node(sim.A).Crash()
	p.quiet(40 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("promoted without a proof")
	}
	if !strings.Contains(p.Timeline(), "sbctl fence confirm node-a") {
		t.Fatal("nobody was told what to do")
	}
	e := p.Witness().State().Groups[db].Lease.Epoch
	p.Witness().Order(arbiter.Confirm{Cluster: "pair", Node: "node-a", Epochs: []arbiter.Epoch{e}, By: "operator", Reason: "seen off"})
	took := p.holds(sim.B, db, 5*time.Second)
	t.Logf("confirmed to running: %v", took)
}

func TestStaleNodeIsNotPromoted(t *testing.T) {
	p := up(t, stonith(23))
	p.CutReplication(true)
	p.quiet(5 * time.Second)
	p.Witness().Order(arbiter.Order{Cluster: "pair", Group: db, To: "node-b", By: "operator"})
	p.stays(sim.A, db, 3*time.Second)
	p.Node(sim.A).Crash()
	p.quiet(40 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("a stale copy runs")
	}
	if !strings.Contains(p.Timeline(), "must resynchronise first") {
		t.Fatal("the reason was not told")
	}
}

func TestGroupWithoutDRBDRestsOnTheLeaseAlone(t *testing.T) {
	o := stonith(24)
	o.Definition.Groups = map[arbiter.GroupID]arbiter.GroupDefinition{web: {Preferred: "node-a"}}
	p := up(t, o)
	p.Node(sim.A).Crash()
	took := p.holds(sim.B, web, 5*time.Second)
	t.Logf("power cut to running: %v", took)
	p.quiet(40 * time.Second) // node-a is back, and promises
	p.Witness().Crash()
	p.stays(sim.B, web, 40*time.Second)
	p.Witness().Restart()
	p.stays(sim.B, web, 20*time.Second)
}

func TestGroupThatDoesNotStartIsGivenBackAndStartedByTheOther(t *testing.T) {
	p := up(t, stonith(25))
	p.Node(sim.B).FailStarts(true)
	p.Witness().Order(arbiter.Order{Cluster: "pair", Group: db, To: "node-b", By: "operator"})
	p.quiet(2 * time.Second)
	took := p.holds(sim.A, db, 6*time.Second)
	t.Logf("failed start to running on the other: %v", took)
	p.stays(sim.A, db, 60*time.Second)
	p.nobodyShot()
}

func TestStopThatHangsEndsInAReset(t *testing.T) {
	p := up(t, stonith(26))
	p.Node(sim.A).FailStops(true)
	p.Witness().Order(arbiter.Order{Cluster: "pair", Group: db, To: "node-b", By: "operator"})
	took := p.holds(sim.B, db, 30*time.Second)
	t.Logf("stop that hangs to running on the other: %v", took)
}

func TestPeerDiskFailingWhileConnectedExcludesIt(t *testing.T) {
	p := up(t, stonith(27))
	p.Node(sim.B).FailDisk(db)
	p.quiet(2 * time.Second)
	if e := p.Witness().State().Groups[db].Excluded["node-b"]; e.Number == 0 || e.OwnWord == 0 {
		t.Fatalf("node-b's copy is not excluded by both: %+v", e)
	}
	p.stays(sim.A, db, 5*time.Second)
	p.Node(sim.A).Crash()
	p.quiet(30 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("a failed disk runs")
	}
	p.Node(sim.A).Plug()
	p.holds(sim.A, db, 30*time.Second)
}

func TestStandbyMovesTheGroupAndUnstandbyNothing(t *testing.T) {
	p := up(t, stonith(28))
	p.Witness().Order(arbiter.Standby{Cluster: "pair", Node: "node-a", On: true, By: "operator"})
	p.holds(sim.B, db, 3*time.Second)
	p.Node(sim.B).FailStarts(true)
	p.Witness().Order(arbiter.Standby{Cluster: "pair", Node: "node-a", By: "operator"})
	p.stays(sim.B, db, 20*time.Second)
	p.nobodyShot()
}

func TestPeersWordLetsTheHolderGoOnWithoutAWitness(t *testing.T) {
	p := up(t, stonith(29))
	p.Witness().Crash()
	p.quiet(30 * time.Second)
	cut := p.Now()
	p.CutReplication(true)
	at, ok := p.RunUntil(cut+5*time.Second, func() bool { return p.Said(sim.A, "handler exits 4", cut) > 0 })
	if !ok {
		t.Fatal("the peer's word did not let the holder go on")
	}
	t.Logf("link cut to writing by the peer's word: %v", at-cut)
	p.stays(sim.A, db, 10*time.Second)
	p.Witness().Restart()
	p.quiet(5 * time.Second)
	if e := p.Witness().State().Groups[db].Excluded["node-b"]; e.Number == 0 || e.OwnWord == 0 {
		t.Fatalf("the witness was not told of the exclusion: %+v", e)
	}
	p.CutReplication(false)
	p.readmitted(10 * time.Second)
	p.Node(sim.A).Crash()
	p.holds(sim.B, db, 5*time.Second)
}

func TestHolderBootedWithoutAWitnessIsReinstatedByItsPeer(t *testing.T) {
	p := up(t, stonith(31))
	p.Witness().Crash()
	p.quiet(30 * time.Second)
	p.Node(sim.A).Reset("somebody pressed the button")
	took := p.holds(sim.A, db, 20*time.Second)
	t.Logf("reset to reinstated: %v", took)
	p.stays(sim.A, db, time.Minute)
	p.Witness().Restart()
	p.stays(sim.A, db, time.Minute)
	p.nobodyShot()
}

func TestWitnessThatLostItsDiskLearnsAndMovesNothing(t *testing.T) {
	p := up(t, stonith(31))
	p.Witness().Forget()
	p.stays(sim.A, db, time.Minute)
	p.Node(sim.A).Crash()
	p.holds(sim.B, db, 5*time.Second)
}

func TestStaleNodeStaysStaleForAWitnessThatLostItsDisk(t *testing.T) {
	p := up(t, stonith(33))
	p.Witness().Crash()
	p.quiet(5 * time.Second)
	p.CutReplication(true)
	p.quiet(5 * time.Second) // node-b has given its copy up by its own word
	p.Witness().Restart()
	p.quiet(5 * time.Second)
	p.Cut(sim.A, sim.W, true)
	p.Witness().Forget()
	p.quiet(5 * time.Second)
	if p.Said(sim.B, "readmitted", 0) > 0 {
		t.Fatal("a witness that knows nothing was taken for one that has cleared the exclusion")
	}
	p.Cut(sim.A, sim.W, false)
	p.stays(sim.A, db, 10*time.Second)
	p.CutReplication(false)
	p.readmitted(10 * time.Second)
}

func TestIdleCostsNothing(t *testing.T) {
	p := up(t, stonith(32))
	p.quiet(30 * time.Second)
	for _, h := range []sim.Host{sim.A, sim.B} {
		was := map[string]int{}
		for k, v := range p.Node(h).Actions() {
			was[k] = v
		}
		p.quiet(time.Minute)
		for k, v := range p.Node(h).Actions() {
			if n := v - was[k]; n > 0 {
				t.Logf("%v: %s %.2f/s", h, k, float64(n)/60)
			}
			switch n := v - was[k]; {
			case n == 0:
			case k == "agent.Beat" || k == "agent.Tell" || k == "agent.Feed":
				if n < 239 || n > 241 {
					t.Errorf("%v: %d of %s in a minute, want 240", h, n, k)
				}
			case k != "agent.SaveBoot":
				t.Errorf("%v: %d of %s in an idle minute", h, n, k)
			}
		}
	}
}
