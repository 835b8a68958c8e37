package model

import (
	"testing"

	"sbarbiter/drbd"
)

var plain84 = Settings{Config: Config{Family: drbd.Family84}, Seed: 1}

var allHandlers = []drbd.Handler{
	drbd.HandlerFencePeer, drbd.HandlerUnfencePeer, drbd.HandlerInitialSplitBrain, drbd.HandlerSplitBrain,
	drbd.HandlerPriLost, drbd.HandlerPriLostAfterSB, drbd.HandlerLocalIOError,
}

func fenced(f drbd.Family) Settings {
	return Settings{Config: Config{Family: f, Fencing: FencingAndStonith}, Handlers: allHandlers, Seed: 1}
}

func TestGenerationsThroughALifeOn84(t *testing.T) {
	// A0, B0 and F0 stand for what was drawn.
	g := Generation{Current: 0xA0, History: []drbd.UUID{0x90, 4}}
	source, target := g.withRole(drbd.RolePrimary), g
	want := func(what string, g Generation, text string) {
		t.Helper()
		if gi(g) != text {
			t.Fatalf("%s: %s, the kernel has %s", what, gi(g), text)
		}
	}
	want("promoted", source, "A1:0:90:4")
	source = source.begin(drbd.Family84, 0xB0, drbd.RolePrimary)
	want("peer lost", source, "B1:A1:90:4")
	announced := source
	source = source.sourceBegins(0xF0)
	target = target.targetBegins(source.Bitmap, drbd.RoleSecondary)
	want("source begins", source, "B1:10000000000A1:A1:90")
	want("target begins", target, "10000000000A0:0:90:4")
	want("source done", source.sourceEnds(drbd.Family84), "B1:0:10000000000A1:A1")
	want("target done", target.targetEnds(drbd.Family84, announced, drbd.RoleSecondary), "B0:0:10000000000A0:A1")

	fresh := Generation{Current: justCreated}.begin(drbd.Family84, 0xE0, drbd.RolePrimary)
	want("forced", fresh, "E1:4:0:0")
	fresh = fresh.sourceBegins(0xF0)
	want("first full sync begins", fresh, "E1:F0:4:0")
	want("first full sync done", fresh.sourceEnds(drbd.Family84), "E1:0:F0:4")
}

func TestAPrimaryThatLosesItsPeerForAWhileUpdatesIt(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: 1})
		r.must(a, Promote)
		r.write(a, 1)
		r.settle()
		r.cut()
		id := r.write(a, 2)
		if !r.acked(id) {
			t.Fatalf("%s: without fencing a lone Primary goes on", f)
		}
		r.heal()
		r.wantInSync()
		if r.called("a:initial-split-brain") > 0 {
			t.Fatalf("%s: that was no split brain", f)
		}
		ga, gb := r.nodes[a].Generation(0), r.nodes[b].Generation(0)
		if ga.Bitmap != 0 || gb.Bitmap != 0 || !ga.Current.Same(gb.Current) {
			t.Fatalf("%s: generations %s and %s", f, gi(ga), gi(gb))
		}
	}
}

// split lets both be Primary apart from each other, and demotes them again.
// Only those write that are named.
func split(r *rig, writers ...int) {
	r.must(a, Promote)
	r.cut()
	r.must(b, Promote)
	for _, i := range writers {
		r.write(i, Block(i))
	}
	r.must(a, Demote)
	r.must(b, Demote)
}

func TestOn84APromotionAloneIsEnoughForASplitBrain(t *testing.T) {
	s := plain84
	s.Handlers = allHandlers
	r := startedRig(t, s)
	split(r, a)
	r.heal()
	r.wantConn(a, drbd.ConnStandAlone)
	r.wantConn(b, drbd.ConnStandAlone)
	for _, call := range []string{"a:initial-split-brain", "a:split-brain", "b:initial-split-brain", "b:split-brain"} {
		if r.called(call) != 1 {
			t.Errorf("%s was called %d times; calls: %v", call, r.called(call), r.log)
		}
	}
}

func TestOn9NobodySplitsWithoutIO(t *testing.T) {
	r := startedRig(t, Settings{Config: Config{Family: drbd.Family9}, Seed: 1})
	split(r, a)
	r.heal()
	r.wantInSync()
	if got := r.nodes[b].Content(Place{0, a}); got == 0 {
		t.Fatal("b did not get what a wrote")
	}
}

func TestTheVictimNamedByHandIsOverwritten(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: 1})
		split(r, a, b)
		kept := r.nodes[a].Content(Place{0, a})
		r.heal()
		r.must(b, ConnectDiscard)
		r.must(a, Connect)
		r.wantInSync()
		if got := r.nodes[b].Content(Place{0, a}); got != kept {
			t.Fatalf("%s: block %d is %d, want the survivor's %d", f, a, got, kept)
		}
		if got := r.nodes[a].Content(Place{0, b}); got != 0 {
			t.Fatalf("%s: the victim's write reached the survivor", f)
		}
	}
}

func TestTheFlagIsGoneAfterOneAttempt(t *testing.T) {
	r := startedRig(t, plain84)
	split(r, a, b)
	r.heal()
	r.must(b, ConnectDiscard)
	r.do(a, Connect)
	// The attempt is cut when the victim has read the peer's announcement.
	r.connect()
	r.deliver(a)
	r.cut()
	r.heal()
	r.wantConn(a, drbd.ConnStandAlone)
	if r.nodes[b].Side(0).Discard {
		t.Fatal("the flag is still there")
	}
}

func TestAFrozenPrimaryGoesOnWhenItsPeerIsExcluded(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, fenced(f))
		r.must(a, Promote)
		before := r.nodes[a].Generation(0).Current
		r.cut()
		id := r.write(a, 3)
		if !r.nodes[a].Frozen() || r.acked(id) {
			t.Fatalf("%s: frozen %t, acknowledged %t", f, r.nodes[a].Frozen(), r.acked(id))
		}
		r.exit(a, int(drbd.FencePeerOutdated))
		if r.nodes[a].Frozen() || !r.acked(id) {
			t.Fatalf("%s: frozen %t, acknowledged %t after the exclusion", f, r.nodes[a].Frozen(), r.acked(id))
		}
		if r.nodes[a].Generation(0).Current.Same(before) {
			t.Fatalf("%s: no new generation", f)
		}
		// The peer restarts, is refused, and is updated when it is back.
		r.crash(b, nil)
		r.start(b)
		if d := r.state(b).Disk; d != drbd.DiskConsistent {
			t.Fatalf("%s: a restarted node with fencing is %s", f, d)
		}
		id2 := r.do(b, Promote)
		r.exit(b, int(drbd.FencePeerActive))
		if r.answers[id2] != NeedUpToDate || r.state(b).Disk != drbd.DiskOutdated {
			t.Fatalf("%s: promotion answered %d, disk %s", f, r.answers[id2], r.state(b).Disk)
		}
		r.heal()
		r.wantInSync()
		if r.called("a:unfence-peer") != 1 {
			t.Fatalf("%s: calls %v", f, r.log)
		}
	}
}

func TestAFreezeThatEndsWithTheLinkLeavesNoTrace(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, fenced(f))
		r.must(a, Promote)
		before := r.nodes[a].Generation(0)
		under := r.write(a, 1) // on its way when the link breaks
		r.cut()
		id := r.write(a, 3)
		r.heal()
		if !r.acked(under) || !r.acked(id) {
			t.Fatalf("%s: the writes were not completed", f)
		}
		if !r.nodes[a].Generation(0).Equal(before) {
			t.Fatalf("%s: the generation changed", f)
		}
		r.wantInSync()
		r.exit(a, int(drbd.FencePeerOutdated)) // too late: nobody looks at it
		r.wantInSync()
	}
}

func TestALosersHandlerKeepsItFrozen(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.must(a, Promote)
	r.cut()
	id := r.write(a, 3)
	promoted := r.do(b, Promote)
	r.exit(b, int(drbd.FencePeerOutdated))
	r.exit(a, int(drbd.FencePeerActive))
	if r.answers[promoted] != Done || !r.nodes[a].Frozen() || r.acked(id) {
		t.Fatalf("b's promotion: %d; a frozen: %t, acknowledged: %t", r.answers[promoted], r.nodes[a].Frozen(), r.acked(id))
	}
	// When they meet, both drop: the winner is Primary as well.
	r.heal()
	if r.nodes[a].Conn() != drbd.ConnStandAlone || r.nodes[b].Conn() != drbd.ConnStandAlone || !r.nodes[a].Frozen() {
		t.Fatalf("a %s frozen %t, b %s", r.nodes[a].Conn(), r.nodes[a].Frozen(), r.nodes[b].Conn())
	}
	// A reset discards what was never acknowledged.
	r.crash(a, nil)
	r.start(a)
	r.must(b, Connect)
	r.wantInSync()
}

func TestResumeByHandAcknowledgesWhatTheWinnerNeverGot(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.must(a, Promote)
	under := r.write(a, 1)
	r.cut()
	r.do(b, Promote)
	r.exit(b, int(drbd.FencePeerOutdated))
	r.must(a, ResumeIO)
	if !r.acked(under) {
		t.Fatal("resume-io is expected to complete the write")
	}
	o := Judge(r.nodes[a].config(), r.nodes[a].Side(0), r.nodes[b].Side(0), Attempt{})
	if !o.Compared.Strategy.IsSplitBrain() {
		t.Fatalf("the comparison says %s", o.Compared.Strategy)
	}
}

func TestAHandlerThatCannotSayIsAskedFourTimesForAPromotion(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.cut()
	id := r.do(b, Promote)
	for range 4 {
		r.exit(b, int(drbd.FenceNoAnswer))
	}
	if r.answers[id] != PeerNotOutdated {
		t.Fatalf("answer %d", r.answers[id])
	}
}

func TestACrashedPrimaryIsTheSourceOn84AndTheTargetOn9(t *testing.T) {
	for f, source := range map[drbd.Family]int{drbd.Family84: a, drbd.Family9: b} {
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: 1})
		r.must(a, Promote)
		r.write(a, 3)
		r.settle()
		r.crash(a, nil)
		r.start(a)
		r.connect()
		r.deliver(a)
		r.deliver(b)
		if got := r.state(source).Repl; got != drbd.ReplWFBitMapS {
			t.Errorf("%s: %s is %s", f, names[source], got)
		}
		r.settle()
		r.wantInSync()
	}
}

func TestAfterAPowerCutOfBothTheActivityLogHealsTheCopies(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: 1})
		r.must(a, Promote)
		for block := range Block(6) {
			r.write(a, block*7)
		}
		r.settle()
		la, lb := r.nodes[a].Cached(), r.nodes[b].Cached()
		r.crash(b, lb[:len(lb)/2])
		r.crash(a, la[len(la)/2:])
		r.start(a)
		r.start(b)
		r.settle()
		r.wantInSync()
	}
}

func TestBeforeResyncComesTooLateToChangeTheVerdict(t *testing.T) {
	s := plain84
	s.Handlers = []drbd.Handler{drbd.HandlerBeforeResyncTgt}
	s.Config.After0 = DiscardLeastChanges
	r := startedRig(t, s)
	split(r, a, b)
	r.write(a, 9)
	r.heal()
	victim := 0
	for i := range r.nodes {
		if len(r.asked[i]) > 0 {
			victim = i
		}
	}
	r.exit(victim, 1)
	r.settle()
	r.wantConn(victim, drbd.ConnStandAlone)
	r.must(victim, Connect)
	r.exit(victim, 0)
	r.settle()
	r.wantInSync()
}

func TestAnInterruptedTargetCannotBePromotedWithoutForce(t *testing.T) {
	r := startedRig(t, plain84)
	r.must(a, Promote)
	r.cut()
	for block := range Block(20) {
		r.write(a, block)
	}
	r.link = true
	r.connect()
	for range 3 {
		r.deliver(a)
		r.deliver(b)
	}
	r.step(a, Sync{0, 5})
	r.deliver(a)
	r.crash(a, nil)
	if r.state(b).Disk != drbd.DiskInconsistent {
		t.Fatalf("the target is %s", r.state(b).Disk)
	}
	r.wants(b, Promote, NeedUpToDate)
	r.must(b, PromoteForced)
	if g := r.nodes[b].Generation(0); g.Bitmap == 0 {
		t.Fatalf("a forced promotion starts a generation, it is %s", gi(g))
	}
}

func TestPromotingTwiceAloneStartsOneGeneration(t *testing.T) {
	r := startedRig(t, plain84)
	r.cut()
	r.must(a, Promote)
	first := r.nodes[a].Generation(0)
	r.must(a, Demote)
	r.must(a, Promote)
	if again := r.nodes[a].Generation(0); !again.Equal(first) {
		t.Fatalf("%s became %s", gi(first), gi(again))
	}
}
