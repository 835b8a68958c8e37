package sim_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

// What random schedules have found in the cores stays here, as the shortest story
// that shows it.

// A primary that nobody has allowed to go on alone met its peer's machine just
// started: DRBD began a generation of its own, and the two copies looked split.
func TestMachineJustStartedDoesNotMeetAFrozenPrimary(t *testing.T) {
	for seed := uint64(70); seed < 80; seed++ {
		p := up(t, stonith(seed))
		p.Node(sim.B).Crash()
		p.CutWitness(sim.A, true)
		p.Witness().Forget() // so that it learns, and excludes nobody
		p.Cut(sim.A, sim.B, true)
		at := p.Now()
		p.Node(sim.B).Plug()
		if _, ok := p.RunUntil(at+40*time.Second, func() bool { return p.Said(sim.A, "RESET", at) > 0 }); !ok {
			t.Fatal("the frozen primary is not reset")
		}
		if p.Said(sim.B, "looking for the peer", at) > 0 {
			t.Fatal("DRBD looks for a peer whose writes are frozen")
		}
		p.CutWitness(sim.A, false)
		p.Cut(sim.A, sim.B, false)
		p.readmitted(60 * time.Second)
	}
}

// The two machines started at once, without a witness, meet all the same: nothing
// waits on either.
func TestMachinesStartedTogetherMeetWithoutAWitness(t *testing.T) {
	p := up(t, stonith(80))
	p.Witness().Crash()
	p.Node(sim.A).Crash()
	p.Node(sim.B).Crash()
	p.quiet(2 * time.Second)
	p.Node(sim.A).Plug()
	p.Node(sim.B).Plug()
	if _, ok := p.RunUntil(p.Now()+15*time.Second, func() bool { return p.InStep(db) }); !ok {
		t.Fatal("the two copies do not find each other")
	}
}

// A node's own record was readmitted before any beat had shown it to the node:
// it kept it for good, and nobody could be readmitted any more.
func TestOwnRecordThatIsReadmittedAtOnceIsForgotten(t *testing.T) {
	for seed := uint64(81); seed < 91; seed++ {
		p := up(t, stonith(seed))
		p.Witness().Crash()
		p.CutReplication(true)
		if _, ok := p.RunUntil(p.Now()+10*time.Second, func() bool { return p.Said(sim.B, "copy given up", 0) > 0 }); !ok {
			t.Fatal("the peer does not give its copy up")
		}
		p.CutReplication(false)
		p.quiet(4 * time.Second)
		p.Witness().Forget()
		p.readmitted(20 * time.Second)
		p.CutReplication(true)
		p.quiet(4 * time.Second)
		p.CutReplication(false)
		p.readmitted(20 * time.Second)
	}
}

// A disk that fails under the holder: its peer has all the writes, and takes over
// when the holder dies.
func TestHolderWhoseDiskFailedLosesNothingWhenItDies(t *testing.T) {
	for seed := uint64(91); seed < 99; seed++ {
		p := up(t, stonith(seed))
		p.Node(sim.A).FailDisk(db)
		p.stays(sim.A, db, 5*time.Second)
		p.Node(sim.A).Crash()
		p.holds(sim.B, db, 8*time.Second)
		p.Node(sim.A).Plug()
		p.readmitted(40 * time.Second)
	}
}

// The standby's disk fails, the holder goes on alone, and the metadata that lie
// afterwards promote nobody.
func TestStandbyWhoseDiskFailedIsNotPromotedByItsOldMetadata(t *testing.T) {
	for seed := uint64(99); seed < 107; seed++ {
		p := up(t, stonith(seed))
		p.Node(sim.B).FailDisk(db)
		p.stays(sim.A, db, 10*time.Second)
		p.CutReplication(true)
		p.Node(sim.B).Reset("its disk was seen to")
		p.quiet(10 * time.Second)
		p.Node(sim.A).Crash()
		p.quiet(30 * time.Second)
		if _, runs := p.Holder(db); runs {
			t.Fatal("a copy that lacks writes is promoted")
		}
		p.CutReplication(false)
		p.Node(sim.A).Plug()
		p.readmitted(60 * time.Second)
	}
}

// An operator who says falsely that a node is off is the exception that S1 names.
// Where the node is heard, the word is refused.
func TestFalseWordOfAnOperatorIsRefusedWhileTheNodeIsHeard(t *testing.T) {
	p := up(t, watchdog(107))
	e := p.Witness().State().Groups[db].Lease.Epoch
	word := arbiter.Confirm{Cluster: "pair", Node: "node-a", Epochs: []arbiter.Epoch{e}, By: "operator", Reason: "I think so"}
	p.Witness().Order(word)
	p.stays(sim.A, db, 10*time.Second)
	p.CutWitness(sim.A, true) // its peer still hears it
	p.quiet(5 * time.Second)
	p.Witness().Order(word)
	p.stays(sim.A, db, 30*time.Second)
}

// A shot failed, but its command may still hit: until its deadline the executor
// gives its target no word, or it would shoot a node that lives by that.
func TestShotThatMayStillLandSilencesItsExecutor(t *testing.T) {
	span := func(seconds float64) sim.Span { return sim.Span(seconds * float64(time.Second)) }
	shots := 0
	for seed := uint64(108); seed < 128; seed++ {
		w := sim.Play(&sim.Schedule{Format: 1, Seed: seed, Pair: "stonith", Groups: []arbiter.GroupID{db}, Episodes: []sim.Episode{{
			After: span(10), Mended: span(30), Faults: []sim.Fault{
				{At: span(0.1), What: "power switch has always said off", Host: "node-a", For: span(25)},
				{At: span(0.1), What: "power switch obeys late", Host: "node-a", For: span(25)},
				{At: span(1), What: "is cut off from the witness", Host: "node-a", For: span(20)},
				{At: span(1), What: "all links between the nodes cut", Host: "node-a", For: span(1.85)},
			},
		}}})
		shots += w.Said(sim.A, "POWER OFF", 0)
		for _, b := range w.Broken() {
			t.Fatalf("seed %d: %s\n%s", seed, b, w.Timeline())
		}
	}
	if shots == 0 {
		t.Fatal("nobody was shot")
	}
}

// Agents hear of DRBD late, so both still took the copies for in step when the
// holder's disk had failed and its record of that was known: it was readmitted at
// once, and later promoted over what its peer alone had.
func TestCopyIsNotReadmittedByNewsOfTheTimeBefore(t *testing.T) {
	span := func(seconds float64) sim.Span { return sim.Span(seconds * float64(time.Second)) }
	for seed := uint64(130); seed < 140; seed++ {
		s := &sim.Schedule{Format: 1, Seed: seed, Pair: "stonith", Groups: []arbiter.GroupID{db}, Episodes: []sim.Episode{{
			After: span(10), Mended: span(15), Faults: []sim.Fault{
				{At: span(0.1), What: "hears of DRBD late", Host: "node-a", For: span(14)},
				{At: span(0.1), What: "hears of DRBD late", Host: "node-b", For: span(14)},
				{At: span(3), What: "disk fails", Host: "node-a", For: span(14)},
			},
		}}}
		w := sim.Play(s)
		for _, b := range w.Broken() {
			t.Fatalf("seed %d: %s\n%s", seed, b, w.Timeline())
		}
		failed := false
		for _, l := range w.Lines() {
			failed = failed || l.What == "! disk failed"
			if l.What == "up" && l.At > 10*time.Second {
				break // with a disk again
			}
			if failed && l.What == "readmit" && l.Why != "" {
				t.Fatalf("seed %d: a node without a disk is readmitted\n%s", seed, w.Timeline())
			}
		}
		if !failed {
			t.Fatalf("seed %d: no disk failed\n%s", seed, w.Timeline())
		}
	}
}
