package model

// Strategy is how two copies of the data are brought together, seen from one
// side.
type Strategy string

// Strategies, in DRBD 9's words; those of 8.4 map onto them one to one (its
// numbers are 0, 1 or -1 with the bitmap, 2 or -2 in full, 100, -100, -1000).
const (
	NoSync       Strategy = "no-sync"
	SourceBitmap Strategy = "source-use-bitmap"
	TargetBitmap Strategy = "target-use-bitmap"
	SourceFull   Strategy = "source-set-bitmap"
	TargetFull   Strategy = "target-set-bitmap"
	// The next two are for a common ancestor that another node's slot knows.
	SourceCopy  Strategy = "source-copy-other-bitmap"
	TargetClear Strategy = "target-clear-bitmap"
	// The next two hold only if nobody is Primary at the handshake. Else the
	// Primary is the source.
	SourceIfBothFailed Strategy = "source-if-both-failed"
	TargetIfBothFailed Strategy = "target-if-both-failed"
	// SplitBrainKnown is a split brain whose common ancestor both bitmaps
	// count from.
	SplitBrainKnown Strategy = "split-brain-auto-recover"
	// SplitBrainOld is one whose common ancestor is history: the bitmaps count
	// from elsewhere. It is also the word for a split brain left unresolved.
	SplitBrainOld Strategy = "split-brain-disconnect"
	Unrelated     Strategy = "unrelated-data"
	// The last two are a Primary's refusal to become the target.
	PrimaryDisconnects Strategy = "sync-target-primary-disconnect"
	PrimaryRetries     Strategy = "sync-target-primary-reconnect"
)

var mirrors = map[Strategy]Strategy{
	SourceBitmap: TargetBitmap, SourceFull: TargetFull, SourceCopy: TargetClear, SourceIfBothFailed: TargetIfBothFailed,
	TargetBitmap: SourceBitmap, TargetFull: SourceFull, TargetClear: SourceCopy, TargetIfBothFailed: SourceIfBothFailed,
}

// Mirror returns the same strategy seen from the other side.
func (s Strategy) Mirror() Strategy {
	if m, ok := mirrors[s]; ok {
		return m
	}
	return s
}

// IsSource reports whether this side's data is to be copied to the peer.
func (s Strategy) IsSource() bool {
	switch s {
	case SourceBitmap, SourceFull, SourceCopy, SourceIfBothFailed:
		return true
	}
	return false
}

// IsTarget reports whether this side's data is to be overwritten.
func (s Strategy) IsTarget() bool { return !s.IsSource() && s.Mirror().IsSource() }

// IsSplitBrain reports whether both sides went their own way from a common
// ancestor.
func (s Strategy) IsSplitBrain() bool { return s == SplitBrainKnown || s == SplitBrainOld }

// IsFull reports whether every block is copied.
func (s Strategy) IsFull() bool { return s == SourceFull || s == TargetFull }

// full returns the strategy of the same direction that copies every block.
func (s Strategy) full() Strategy {
	switch {
	case s.IsSource():
		return SourceFull
	case s.IsTarget():
		return TargetFull
	}
	return s
}
