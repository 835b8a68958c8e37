package model

import "sbarbiter/drbd"

// rules84 is the driver 8.4's comparison, top to bottom (its rule numbers).
// Those between 34 and 41 are for equal current UUIDs.
var rules84 = []rule{
	{name: "10", says: when(func(s, p Generation) bool { return isCreated(s.Current) && isCreated(p.Current) }, NoSync)},
	{name: "20", says: when(func(s, p Generation) bool { return isNothing(s.Current) && !isCreated(p.Current) }, TargetFull)},
	{name: "30", says: when(func(s, p Generation) bool { return !isCreated(s.Current) && isNothing(p.Current) }, SourceFull)},

	{name: "34", says: when(missedEnd84, SourceBitmap), correct: Generation.endMissed},
	{name: "36", says: when(missedFinish, SourceBitmap)},
	{name: "35", says: mirrored(missedEnd84, TargetBitmap), correctPeer: Generation.endMissed},
	{name: "37", says: mirrored(missedFinish, TargetBitmap)},
	{name: "40", says: nobodyCrashed84},
	{name: "41", says: crashedMeetsPrimary84},
	{name: "40", says: crashed84},

	{name: "50", says: when(descends84, TargetBitmap)},
	{name: "51", says: when(missedStart84, TargetBitmap), correctPeer: Generation.startMissed},
	{name: "60", says: when(ancestor84, TargetFull)},
	{name: "70", says: mirrored(descends84, SourceBitmap)},
	{name: "71", says: mirrored(missedStart84, SourceBitmap), correct: Generation.startMissed},
	{name: "80", says: mirrored(ancestor84, SourceFull)},
	{name: "90", says: when(func(s, p Generation) bool { return same(s.Bitmap, p.Bitmap) && !same(s.Bitmap, 0) }, SplitBrainKnown)},
	{name: "100", says: when(shareHistory84, SplitBrainOld)},
	{name: "100", says: func(pair) Strategy { return Unrelated }},
}

// missedEnd84: the peer has finished a resync whose end this source missed.
func missedEnd84(s, p Generation) bool {
	return missedFinish(s, p) && same(s.Bitmap, p.ancestor(0)) && same(s.ancestor(0), p.ancestor(1))
}

// missedFinish: the peer has this side's generation and takes it for in sync,
// this side has the peer still as left behind.
func missedFinish(s, p Generation) bool {
	return sameCurrent(s, p) && p.Bitmap == 0 && s.Bitmap != 0
}

func (g Generation) endMissed() Generation {
	g = g.push84(g.Bitmap)
	g.Bitmap = 0
	return g
}

// missedStart84: the peer began a resync to this side, which never heard of it.
func missedStart84(s, p Generation) bool {
	return same(s.Current, p.ancestor(0)) && (p.ancestor(0)&^primaryBit)+syncOffset == p.Bitmap&^primaryBit
}

// startMissed takes the begin of a resync back. The oldest ancestor is gone
// and stands twice from here.
func (g Generation) startMissed() Generation {
	g.Bitmap = g.ancestor(0)
	g.History = []drbd.UUID{g.ancestor(1), g.ancestor(1)}
	return g
}

func descends84(s, p Generation) bool { return same(s.Current, p.Bitmap) }

func ancestor84(s, p Generation) bool {
	return same(s.Current, p.ancestor(0)) || same(s.Current, p.ancestor(1))
}

// shareHistory84 takes two empty histories for a shared one, as the kernel does.
func shareHistory84(s, p Generation) bool {
	for i := range maxHistory84 {
		for j := range maxHistory84 {
			if same(s.ancestor(i), p.ancestor(j)) {
				return true
			}
		}
	}
	return false
}

func nobodyCrashed84(p pair) Strategy {
	if sameCurrent(p.self.Generation, p.peer.Generation) && !p.self.CrashedPrimary && !p.peer.CrashedPrimary {
		return NoSync
	}
	return ""
}

// crashedMeetsPrimary84: after a crash of a Primary, whoever is Primary now has
// the data that counts.
func crashedMeetsPrimary84(p pair) Strategy {
	switch {
	case !sameCurrent(p.self.Generation, p.peer.Generation):
		return ""
	case p.self.primary() && p.peer.primary():
		return SplitBrainOld
	case p.self.primary():
		return SourceBitmap
	case p.peer.primary():
		return TargetBitmap
	}
	return ""
}

// crashed84: with nobody Primary the crashed one is the source, since its
// activity log knows which blocks may differ.
func crashed84(p pair) Strategy {
	switch {
	case !sameCurrent(p.self.Generation, p.peer.Generation):
		return ""
	case p.self.CrashedPrimary && p.peer.CrashedPrimary:
		if p.self.BreaksTies {
			return TargetBitmap
		}
		return SourceBitmap
	case p.self.CrashedPrimary:
		return SourceBitmap
	}
	return TargetBitmap
}
