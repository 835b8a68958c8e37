package model

import (
	"slices"

	"sbarbiter/drbd"
)

// rules9 is DRBD 9's comparison, top to bottom (its names of rules), for two
// nodes of release 9.2 or later. Where the outcome of a rule is that nothing
// is to be done, its name is the last one tried, as in the kernel's log.
var rules9 = []rule{
	{name: "just-created-both", says: when(func(s, p Generation) bool { return isCreated(s.Current) && isCreated(p.Current) }, NoSync)},
	{name: "just-created-self", says: when(func(s, _ Generation) bool { return isCreated(s.Current) }, TargetFull)},
	{name: "just-created-peer", says: when(func(_, p Generation) bool { return isCreated(p.Current) }, SourceFull)},

	{name: "sync-source-missed-finish", says: when(missedFinish, SourceBitmap)},
	{name: "sync-target-peer-missed-finish", says: mirrored(missedFinish, TargetBitmap)},
	{name: "reconnected", says: equal9(func(p pair) Strategy { return only(p.self.Reconnect && p.peer.Reconnect, NoSync) })},
	{name: "crashed-primary", says: equal9(crashedPrimary9)},
	{name: "lost-quorum", says: equal9(lostQuorum9)},
	{name: "lost-quorum", says: equal9(survivor9)},
	{name: "both-off", says: equal9(bothOff9)},

	{name: "bitmap-peer", says: when(behind9, TargetBitmap)},
	{name: "bitmap-peer-other", says: when(behindOther9, TargetClear)},
	{name: "bitmap-self", says: mirrored(behind9, SourceBitmap)},
	{name: "bitmap-self-other", says: mirrored(behindOther9, SourceCopy)},
	{name: "history-peer", says: when(onlyInHistory9, TargetFull)},
	{name: "history-self", says: mirrored(onlyInHistory9, SourceFull)},
	{name: "bitmap-both", says: when(func(s, p Generation) bool { return same(s.Bitmap, p.Bitmap) && !same(s.Bitmap, 0) }, SplitBrainKnown)},
	{name: "history-both", says: when(shareHistory9, SplitBrainOld)},
	{name: "history-both", says: func(pair) Strategy { return Unrelated }},
}

func only(holds bool, s Strategy) Strategy {
	if holds {
		return s
	}
	return ""
}

// equal9 guards a rule that is for equal current UUIDs.
func equal9(says func(pair) Strategy) func(pair) Strategy {
	return func(p pair) Strategy {
		if !sameCurrent(p.self.Generation, p.peer.Generation) {
			return ""
		}
		return says(p)
	}
}

// crashedPrimary9: without waiting for the peer's disk, the crashed Primary
// may have completed writes that the peer never got.
func crashedPrimary9(p pair) Strategy {
	if p.protocol == ProtocolC {
		return ""
	}
	return oneOf(p.self.CrashedPrimary, p.peer.CrashedPrimary, SourceBitmap)
}

// lostQuorum9: a Primary that lost quorum has writes that it never completed.
func lostQuorum9(p pair) Strategy {
	if p.self.LostQuorum && p.peer.LostQuorum {
		if p.self.BreaksTies {
			return SourceIfBothFailed
		}
		return TargetIfBothFailed
	}
	return oneOf(p.self.LostQuorum, p.peer.LostQuorum, SourceIfBothFailed)
}

// survivor9: if one of the two stayed up all the time, it is the source.
func survivor9(p pair) Strategy {
	switch {
	case p.peer.CrashedPrimary && p.self.Reconnect:
		return SourceIfBothFailed
	case p.self.CrashedPrimary && p.peer.Reconnect:
		return TargetIfBothFailed
	case p.self.Reconnect || p.peer.Reconnect:
		return NoSync
	}
	return ""
}

// bothOff9: both went down; the crashed Primary has the latest writes.
func bothOff9(p pair) Strategy {
	if p.self.CrashedPrimary && p.peer.CrashedPrimary {
		if p.self.BreaksTies {
			return TargetIfBothFailed
		}
		return SourceIfBothFailed
	}
	if s := oneOf(p.self.CrashedPrimary, p.peer.CrashedPrimary, SourceIfBothFailed); s != "" {
		return s
	}
	return NoSync
}

// oneOf makes that side the source of which alone something is true.
func oneOf(self, peer bool, source Strategy) Strategy {
	switch {
	case self && !peer:
		return source
	case peer && !self:
		return source.Mirror()
	}
	return ""
}

// behind9: the peer left this side behind exactly here.
func behind9(s, p Generation) bool { return same(s.Current, p.Bitmap) }

// behindOther9: the peer left a third node behind here.
func behindOther9(s, p Generation) bool {
	return slices.ContainsFunc(p.Others, func(u drbd.UUID) bool { return same(u, s.Current) })
}

func onlyInHistory9(s, p Generation) bool { return p.inHistory(s.Current) && !s.inHistory(p.Current) }

func shareHistory9(s, p Generation) bool { return slices.ContainsFunc(s.History, p.inHistory) }
