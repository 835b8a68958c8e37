package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

// A life is two nodes, something that answers their fence-peer handlers as an
// arbiter does, and anything that may happen to them.
type life struct {
	*rig
	holder int // who may go on alone; -1 for nobody
	out    [2]bool
	issued []Write
	// marked: a frozen Primary met its peer restarted, and has started a new
	// generation without having excluded it. What may come of that is told in
	// stories of their own.
	marked bool
}

const nobody = -1

func newLife(t *rapid.T, s Settings) *life {
	l := &life{rig: startedRig(t, s), holder: nobody}
	l.after = func() {
		for i, n := range l.nodes {
			unknown := l.state(i).PeerDisk == drbd.DiskUnknown
			l.marked = l.marked || n.Frozen() && unknown && n.Generation(0).Bitmap != 0
		}
	}
	return l
}

// verdict is the arbiter's: who asks first goes on alone, the other one is out
// until both are in sync again.
func (l *life) verdict(i int) int {
	if l.out[i] || l.holder == 1-i {
		return int(drbd.FencePeerActive)
	}
	l.holder = i
	l.out[1-i] = true
	return int(drbd.FencePeerOutdated)
}

// release forgets who is out when both nodes say that they are in sync.
func (l *life) release() {
	if l.nodes[a].inSync() && l.nodes[b].inSync() && l.nodes[a].Session() == l.nodes[b].Session() {
		l.holder, l.out = nobody, [2]bool{}
	}
}

func (l *life) actions(t *rapid.T, cacheSurvives bool) map[string]func(*rapid.T) {
	node := func(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "node") }
	return map[string]func(*rapid.T){
		"write": func(t *rapid.T) {
			blocks := rapid.SliceOfN(rapid.IntRange(0, 63), 1, 5).Draw(t, "blocks")
			for i, n := range l.nodes {
				for _, block := range blocks {
					if n.primary() {
						id := l.write(i, Block(block))
						l.issued = append(l.issued, Write{ID: id, At: Place{0, Block(block)}, Stamp: Stamp(id)})
					}
				}
			}
		},
		"flush": func(t *rapid.T) {
			l.next++
			l.step(node(t), Flush{ID: RequestID(l.next)})
		},
		"write and settle": func(*rapid.T) {
			for i, n := range l.nodes {
				for block := Block(0); n.primary() && block < 64; block += 9 {
					id := l.write(i, block)
					l.issued = append(l.issued, Write{ID: id, At: Place{0, block}, Stamp: Stamp(id)})
				}
			}
			l.settle()
		},
		"deliver": func(t *rapid.T) { l.deliver(node(t)) },
		"settle":  func(*rapid.T) { l.settle() },
		"cut": func(t *rapid.T) {
			if rarely(t) {
				l.link, l.wires = false, [2][]Message{}
			}
		},
		"notice loss": func(t *rapid.T) {
			if !l.link {
				l.step(node(t), LinkDown{l.session})
			}
		},
		"heal": func(*rapid.T) {
			// A link that is back carries no old session.
			if !l.link {
				l.cut()
				l.link = true
			}
		},
		"connect": func(*rapid.T) { l.connect() },
		"sync":    func(t *rapid.T) { l.step(node(t), Sync{0, 3}) },
		"promote": func(t *rapid.T) { l.do(node(t), Promote) },
		"demote": func(t *rapid.T) {
			if rarely(t) {
				l.do(node(t), Demote)
			}
		},
		"crash": func(t *rapid.T) {
			i := node(t)
			var lost []Place
			if cached := l.nodes[i].Cached(); !cacheSurvives && len(cached) > 0 {
				lost = cached[rapid.IntRange(0, len(cached)).Draw(t, "survive"):]
			}
			if l.nodes[i].On() && rarely(t) {
				l.crash(i, lost)
			}
		},
		"start": func(t *rapid.T) {
			for i, n := range l.nodes {
				if !n.On() {
					l.start(i)
				}
			}
		},
		"handler answers": func(t *rapid.T) {
			if i := node(t); len(l.asked[i]) > 0 {
				l.exit(i, l.verdict(i))
			}
		},
		"handler fails": func(t *rapid.T) {
			if i := node(t); len(l.asked[i]) > 0 && rarely(t) {
				l.exit(i, int(drbd.FenceNoAnswer))
			}
		},
		"": func(t *rapid.T) { l.release(); l.check(t) },
	}
}

func rarely(t *rapid.T) bool { return rapid.IntRange(0, 3).Draw(t, "rarely") == 3 }

// check is what holds at every moment.
func (l *life) check(t *rapid.T) {
	alone := 0
	for i, n := range l.nodes {
		s := l.state(i)
		if n.primary() && !n.Suspended() && s.Conn != drbd.ConnConnected && s.Disk == drbd.DiskUpToDate {
			alone++
		}
		if s.Repl.IsTarget() && s.Disk == drbd.DiskUpToDate {
			t.Fatalf("%s is being overwritten and says UpToDate", names[i])
		}
		if n.inSync() && l.nodes[1-i].inSync() && n.Generation(0).Bitmap != 0 {
			t.Fatalf("%s is in sync and records a peer left behind: %s", names[i], gi(n.Generation(0)))
		}
	}
	if alone > 1 {
		t.Fatal("two Primaries go on without each other")
	}
	if !l.marked && l.called("a:initial-split-brain")+l.called("b:initial-split-brain") > 0 {
		t.Fatalf("a split brain; calls %v", l.log)
	}
	l.checkCovered(t)
}

// checkCovered: where two good copies differ, somebody knows: a bitmap, the
// activity log, or a Primary that waits for its peer.
func (l *life) checkCovered(t *rapid.T) {
	for _, n := range l.nodes {
		if f := n.volumes[0].disk.flags; !f.Consistent || !f.WasUpToDate {
			return
		}
	}
	for block := range Block(64) {
		at := Place{0, block}
		if l.nodes[a].Content(at) == l.nodes[b].Content(at) || l.known(block) {
			continue
		}
		t.Fatalf("block %d differs (%d, %d), and nobody knows", block, l.nodes[a].Content(at), l.nodes[b].Content(at))
	}
}

func (l *life) known(block Block) bool {
	for _, n := range l.nodes {
		d := &n.volumes[0].disk
		waits := slices.ContainsFunc(n.io.flight, func(f flight) bool { return f.write.At.Block == block })
		if d.differs.has(block) || slices.Contains(d.hot, int(block)/extentBlocks) || waits {
			return true
		}
	}
	return false
}

// finish does what an operator would: everything on, losers reset, both
// connected. It must come to rest without a split brain.
func (l *life) finish(t *rapid.T) {
	l.cut()
	l.link = true
	for range 10 {
		for i, n := range l.nodes {
			switch {
			case !n.On():
				l.start(i)
			case len(l.asked[i]) > 0:
				l.exit(i, l.verdict(i))
			case n.Frozen() && (l.out[i] || l.called(names[i]+":fence-peer") > 0 && !n.allConnected()):
				l.crash(i, nil)
			case n.Conn() == drbd.ConnStandAlone:
				l.do(i, Connect)
			}
		}
		l.settle()
		l.release()
	}
	l.check(t)
	if l.marked {
		t.Skip("a recovery may be needed")
	}
	if !l.nodes[a].inSync() || !l.nodes[b].inSync() {
		t.Fatalf("the two do not come together again: a %+v, b %+v", l.state(a), l.state(b))
	}
}

func (l *life) wantNothingLost(t *rapid.T) {
	last := map[Block]Write{}
	for _, w := range l.issued {
		if l.acked(w.ID) {
			last[w.At.Block] = w
		}
	}
	for block, w := range last {
		for i, n := range l.nodes {
			if got := n.Content(w.At); got < w.Stamp {
				t.Fatalf("%s: block %d holds %d, acknowledged was %d", names[i], block, got, w.Stamp)
			}
		}
	}
}

func fencedLives(t *testing.T, f drbd.Family, cacheSurvives bool) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t, fenced(f))
		t.Repeat(l.actions(t, cacheSurvives))
		l.finish(t)
		if cacheSurvives {
			l.wantNothingLost(t)
		}
	})
}

func TestArbitratedPairsOf84NeverSplitNorLoseAWrite(t *testing.T) {
	fencedLives(t, drbd.Family84, true)
}

func TestArbitratedPairsOf9NeverSplitNorLoseAWrite(t *testing.T) { fencedLives(t, drbd.Family9, true) }

func TestPowerCutsOf84LeaveNoDifferenceUnknown(t *testing.T) { fencedLives(t, drbd.Family84, false) }

func TestPowerCutsOf9LeaveNoDifferenceUnknown(t *testing.T) { fencedLives(t, drbd.Family9, false) }
