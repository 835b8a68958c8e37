package model

import "sbarbiter/drbd"

// steps84 is the driver 8.4's handshake after the comparison, in its order.
var steps84 = []step{
	(*judgement).refuseUnrelated,
	(*judgement).decideByDisk84,
	(*judgement).tellSplitBrain,
	(*judgement).decideByPolicy,
	(*judgement).decideByHand84,
	(*judgement).dropUnresolved,
	(*judgement).refuseBadSource84,
	(*judgement).protectPrimary84,
	(*judgement).dropTentative,
	(*judgement).settle,
}

// decideByDisk84 lets the better copy win over an Inconsistent one, also over
// a split brain, which then is not even reported.
func (j *judgement) decideByDisk84() {
	if !j.inconsistentAlone() {
		return
	}
	full := j.strategy == SplitBrainOld || j.strategy.IsFull()
	j.strategy = SourceBitmap
	if j.self.Disk == drbd.DiskInconsistent {
		j.strategy = TargetBitmap
	}
	if full {
		j.strategy = j.strategy.full()
	}
}

// decideByHand84 obeys --discard-my-data, by the bitmap even where that is of
// no use: the copies then differ and both say UpToDate.
func (j *judgement) decideByHand84() {
	if w := j.wanted(); w != "" && j.strategy == SplitBrainOld {
		j.strategy = w
	}
}

func (j *judgement) refuseBadSource84() {
	if j.strategy.IsSource() && !j.self.Disk.AtLeast(drbd.DiskOutdated) {
		j.drop()
	}
}

// protectPrimary84 is rr-conflict: a Primary does not see its data change
// beneath it.
func (j *judgement) protectPrimary84() {
	if !j.strategy.IsTarget() || !j.self.primary() || !j.self.Disk.AtLeast(drbd.DiskConsistent) {
		return
	}
	switch j.c.RRConflict {
	case PolicyViolently:
		return
	case PolicyCallPriLost:
		j.call(drbd.HandlerPriLost)
	}
	j.drop()
}
