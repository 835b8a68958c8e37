package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

func (r *rig) contents(i int) []Stamp {
	d := &r.nodes[i].volumes[0].disk
	list := make([]Stamp, d.blocks())
	for b := range list {
		list[b] = d.read(Block(b))
	}
	return list
}

// Whatever the two wrote apart, and whoever is named the victim: a resync
// leaves its source as it was, and makes its target equal.
func TestAResyncLeavesItsSourceAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]drbd.Family{drbd.Family84, drbd.Family9}).Draw(t, "family")
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: rapid.Uint64().Draw(t, "seed")})
		blocks := rapid.SliceOfN(rapid.IntRange(0, 63), 1, 20)
		split(r, a, b)
		for i := range r.nodes {
			r.do(i, Promote)
			for _, block := range blocks.Draw(t, "blocks") {
				r.write(i, Block(block))
			}
			r.must(i, Demote)
		}
		r.heal()
		victim := rapid.IntRange(0, 1).Draw(t, "victim")
		before := r.contents(1 - victim)
		r.must(victim, ConnectDiscard)
		for range rapid.IntRange(0, 2).Draw(t, "interruptions") {
			r.do(1-victim, Connect)
			r.connect()
			for range rapid.IntRange(0, 12).Draw(t, "messages") {
				_ = r.deliver(a) || r.deliver(b) || r.push()
			}
			r.cut()
			r.link = true
		}
		r.settle()
		r.do(1-victim, Connect)
		r.settle()
		if !r.nodes[a].inSync() {
			return // the flag was used up by an attempt that got nowhere
		}
		if !slices.Equal(r.contents(1-victim), before) {
			t.Fatalf("the source changed from %v to %v", before, r.contents(1-victim))
		}
		if !slices.Equal(r.contents(victim), before) {
			t.Fatalf("the target holds %v, the source %v", r.contents(victim), before)
		}
	})
}

// The driver's own fault, kept as it is: where the common ancestor is history,
// 8.4 lets an operator's word resynchronise by a bitmap that counts from
// elsewhere. Both say UpToDate afterwards, and differ. 9 copies everything.
func TestOn84AVictimNamedByHandMayStayDifferent(t *testing.T) {
	for f, differs := range map[drbd.Family]bool{drbd.Family84: true, drbd.Family9: false} {
		r := startedRig(t, Settings{Config: Config{Family: f}, Seed: 1})
		split(r, a, b)
		// What both bitmaps were to tell is gone, as after resyncs with others.
		for i, n := range r.nodes {
			g := &n.volumes[0].disk.generation
			g.History = []drbd.UUID{0x90, 0x80}
			g.Bitmap = drbd.UUID(0x1000 * (i + 1))
		}
		r.nodes[a].volumes[0].disk.differs = newBitset(64)
		r.nodes[b].volumes[0].disk.differs = newBitset(64)
		r.heal()
		r.must(b, ConnectDiscard)
		r.must(a, Connect)
		if !r.nodes[a].inSync() || !r.nodes[b].inSync() {
			t.Fatalf("%s: a %+v", f, r.state(a))
		}
		if got := !slices.Equal(r.contents(a), r.contents(b)); got != differs {
			t.Errorf("%s: the copies differ: %t", f, got)
		}
	}
}
