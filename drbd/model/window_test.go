package model

import (
	"testing"

	"sbarbiter/drbd"
)

func TestALostDiskIsNotRememberedByItsMetadata(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.must(a, Promote)
	r.step(b, DiskFail{0})
	r.settle()
	if r.called("a:fence-peer") != 0 || r.called("b:local-io-error") != 1 {
		t.Fatalf("calls %v", r.log)
	}
	id := r.write(a, 5)
	r.crash(a, nil)
	r.crash(b, nil)
	r.start(b)
	if !r.acked(id) || r.state(b).Disk != drbd.DiskConsistent {
		t.Fatalf("acknowledged %t, b's stale copy is %s", r.acked(id), r.state(b).Disk)
	}
}

func TestADisklessPrimaryWorksOnItsPeersDisk(t *testing.T) {
	r := startedRig(t, plain84)
	r.must(a, Promote)
	r.step(a, DiskFail{0})
	id := r.write(a, 5)
	r.settle()
	r.next++
	r.step(a, Read{ID: RequestID(r.next), At: Place{0, 5}})
	r.settle()
	if got := r.results[RequestID(r.next)]; !r.acked(id) || got.Stamp != Stamp(id) {
		t.Fatalf("write acknowledged %t, read %+v", r.acked(id), got)
	}
	r.crash(a, nil)
	r.start(a)
	r.settle()
	r.wantInSync()
}

func TestAPrimaryThatLeavesOutdatesItsPeer(t *testing.T) {
	r := startedRig(t, fenced(drbd.Family84))
	r.must(a, Promote)
	r.must(a, Disconnect)
	if r.state(b).Disk != drbd.DiskOutdated || r.state(a).PeerDisk != drbd.DiskOutdated || r.nodes[a].Frozen() {
		t.Fatalf("a %+v, b %+v", r.state(a), r.state(b))
	}
	if r.called("a:fence-peer") != 0 {
		t.Fatal("no handler is called for that")
	}
	r.must(a, Connect)
	r.wantInSync()
}

func TestBothWantToBePrimaryOnlyOneIs(t *testing.T) {
	r := startedRig(t, plain84)
	ia, ib := r.do(a, Promote), r.do(b, Promote)
	r.settle()
	if r.answers[ia] == Done == (r.answers[ib] == Done) {
		t.Fatalf("answers %d and %d", r.answers[ia], r.answers[ib])
	}
	if r.nodes[a].Role() == r.nodes[b].Role() {
		t.Fatalf("both are %s", r.nodes[a].Role())
	}
}

func TestATentativeConnectionChangesNothing(t *testing.T) {
	r := startedRig(t, plain84)
	r.must(a, Promote)
	r.cut()
	r.write(a, 3)
	r.must(a, Disconnect)
	r.link = true
	r.must(a, ConnectTentative)
	r.wantConn(a, drbd.ConnStandAlone)
	r.wantConn(b, drbd.ConnConnecting)
	if r.nodes[b].Content(Place{0, 3}) != 0 {
		t.Fatal("data were copied")
	}
}

func TestUpdatingVolumesInOppositeDirectionsIsPossible(t *testing.T) {
	s := plain84
	s.Blocks = []int{16, 16}
	s.Config.After0 = DiscardLeastChanges
	r := startedRig(t, s)
	r.must(a, Promote)
	r.cut()
	r.must(b, Promote)
	write := func(i, volume, count int) {
		for block := range Block(count) {
			r.next++
			r.step(i, Write{ID: RequestID(r.next), At: Place{VolumeNumber(volume), block}, Stamp: Stamp(r.next)})
		}
	}
	write(a, 0, 5)
	write(a, 1, 1)
	write(b, 0, 1)
	write(b, 1, 5)
	r.must(a, Demote)
	r.must(b, Demote)
	r.link = true
	r.connect()
	r.deliver(a)
	r.deliver(b)
	if r.nodes[a].Volume(0).Repl != drbd.ReplWFBitMapS || r.nodes[a].Volume(1).Repl != drbd.ReplWFBitMapT {
		t.Fatalf("a's volumes are %s and %s", r.nodes[a].Volume(0).Repl, r.nodes[a].Volume(1).Repl)
	}
	r.settle()
}

func TestAFrozenPrimaryThatMeetsItsPeerRestartedMayLookSplitThoughNothingWasAcknowledged(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, fenced(f))
		r.must(a, Promote)
		r.crash(b, nil)
		id := r.write(a, 1)
		r.start(b)
		// It cannot go on with a peer that is only Consistent: it begins a new
		// generation, though still frozen, hangs up, and dies.
		r.connect()
		r.deliver(b)
		if !r.nodes[a].Frozen() || r.nodes[a].Generation(0).Bitmap == 0 || r.acked(id) {
			t.Fatalf("%s: frozen %t, %s, acknowledged %t", f, r.nodes[a].Frozen(), gi(r.nodes[a].Generation(0)), r.acked(id))
		}
		r.crash(a, nil)
		promoted := r.do(b, Promote)
		r.exit(b, int(drbd.FencePeerOutdated))
		r.write(b, 2)
		if r.answers[promoted] != Done {
			t.Fatalf("%s: answer %d", f, r.answers[promoted])
		}
		r.start(a)
		r.settle()
		if r.called("b:split-brain") != 1 {
			t.Fatalf("%s: calls %v", f, r.log)
		}
	}
}

// The same beginning, but the link comes up once more, and the Primary thaws as
// the source of a resync of which its peer has not heard yet: what it
// acknowledges then is on one disk, and no arbiter was asked.
func TestAThawByARestartedPeerAcknowledgesWhatNoArbiterKnowsOf(t *testing.T) {
	for _, f := range []drbd.Family{drbd.Family84, drbd.Family9} {
		r := startedRig(t, fenced(f))
		r.must(a, Promote)
		r.crash(b, nil)
		r.start(b)
		r.connect()
		r.deliver(b)
		r.step(b, LinkDown{r.session})
		r.connect()
		r.deliver(b) // a reads what b says; b hears nothing
		id := r.write(a, 1)
		if r.nodes[a].Frozen() || !r.acked(id) {
			t.Fatalf("%s: frozen %t, acknowledged %t", f, r.nodes[a].Frozen(), r.acked(id))
		}
		r.crash(a, nil)
		promoted := r.do(b, Promote)
		r.exit(b, int(drbd.FencePeerOutdated))
		if r.answers[promoted] != Done || r.nodes[b].Content(Place{0, 1}) == Stamp(id) {
			t.Fatalf("%s: answer %d", f, r.answers[promoted])
		}
	}
}
