package model

import "sbarbiter/drbd"

// steps9 is DRBD 9's handshake after the comparison, in its order.
var steps9 = []step{
	(*judgement).refuseUnrelated,
	(*judgement).decideByDisk9,
	(*judgement).waitForStability9,
	(*judgement).tellSplitBrain,
	(*judgement).decideByQuorum9,
	(*judgement).decideByPolicy,
	(*judgement).decideByHand9,
	(*judgement).dropUnresolved,
	(*judgement).reverseByHand9,
	(*judgement).protectPrimary9,
	(*judgement).obeyAutoDiscard9,
	(*judgement).skipMissedEnd9,
	(*judgement).dropTentative,
	(*judgement).settle9,
}

// decideByDisk9 looks at the copies only where the generations gave no
// direction, or one that was a guess. A split brain stays one.
func (j *judgement) decideByDisk9() {
	self, peer := j.self.Disk, j.peer.Disk
	guess := j.strategy == SourceIfBothFailed || j.strategy == TargetIfBothFailed
	differ := self != peer && peer != drbd.DiskUnknown &&
		self.AtLeast(drbd.DiskInconsistent) && peer.AtLeast(drbd.DiskInconsistent)
	if !differ || !guess && (j.strategy != NoSync || !j.inconsistentAlone()) {
		return
	}
	j.strategy = TargetBitmap
	if self.AtLeast(peer) {
		j.strategy = SourceBitmap
	}
}

func (j *judgement) waitForStability9() {
	if j.strategy == SplitBrainKnown && (j.self.Unstable || j.peer.Unstable) {
		j.strategy = NoSync
	}
}

// decideByQuorum9: who has quorum alone is right, before any policy is asked.
func (j *judgement) decideByQuorum9() {
	if !j.c.Quorum || j.strategy != SplitBrainKnown && (j.strategy != SplitBrainOld || !j.c.AlwaysAfterSB) {
		return
	}
	if s := oneOf(j.self.HasQuorum, j.peer.HasQuorum, SourceBitmap); s != "" {
		j.strategy = s
		if j.old {
			j.strategy = s.full()
		}
	}
}

// decideByHand9 obeys --discard-my-data where the policies did not decide.
func (j *judgement) decideByHand9() {
	w := j.wanted()
	if w == "" || j.strategy != SplitBrainOld {
		return
	}
	j.strategy = w
	if j.old {
		j.strategy = w.full()
	}
}

// reverseByHand9 turns any other direction round as well, older data over
// newer, unless the new source is not even consistent.
func (j *judgement) reverseByHand9() {
	w := j.wanted()
	if w == "" || j.strategy.IsSource() == w.IsSource() || j.strategy.Mirror() == j.strategy {
		return
	}
	source := j.self.Disk
	if w.IsTarget() {
		source = j.peer.Disk
	}
	if source.AtLeast(drbd.DiskOutdated) {
		j.strategy = j.strategy.Mirror()
	}
}

// protectPrimary9 is rr-conflict where a Primary is to become the target. It
// does not apply where nothing would be overwritten.
func (j *judgement) protectPrimary9() {
	if !j.strategy.IsTarget() || j.strategy == TargetIfBothFailed || !j.self.primary() ||
		!j.self.Disk.AtLeast(drbd.DiskConsistent) || j.self.OutOfSync == 0 && j.peer.OutOfSync == 0 {
		return
	}
	switch j.c.RRConflict {
	case PolicyViolently:
		return
	case PolicyAutoDiscard:
		if j.strategy == TargetBitmap && j.outcome.Compared.Rule == "crashed-primary" {
			j.strategy = SourceBitmap
		}
		return
	case PolicyRetryConnect:
		j.strategy, j.outcome.Ending = PrimaryRetries, EndRetry
		return
	case PolicyCallPriLost:
		j.call(drbd.HandlerPriLost)
	}
	j.strategy = PrimaryDisconnects
	j.drop()
}

// obeyAutoDiscard9 is the same from the crashed Primary's side: what it has
// more than the present Primary is discarded.
func (j *judgement) obeyAutoDiscard9() {
	if j.strategy == SourceBitmap && j.outcome.Compared.Rule == "crashed-primary" && j.peer.primary() &&
		j.peer.Disk.AtLeast(drbd.DiskConsistent) && j.c.RRConflict == PolicyAutoDiscard {
		j.strategy = TargetBitmap
	}
}

// skipMissedEnd9: a resync that one side took for finished is repeated only
// from good data.
func (j *judgement) skipMissedEnd9() {
	switch j.outcome.Compared.Rule {
	case "sync-source-missed-finish", "sync-target-peer-missed-finish":
	default:
		return
	}
	if j.strategy == SourceBitmap && j.self.Disk != drbd.DiskUpToDate ||
		j.strategy == TargetBitmap && j.peer.Disk != drbd.DiskUpToDate {
		j.strategy = NoSync
	}
}

// settle9 follows a Primary that is there now, where the direction was only
// for the case that both had failed.
func (j *judgement) settle9() {
	self, peer := j.self.primary(), j.peer.primary()
	switch {
	case j.strategy != SourceIfBothFailed && j.strategy != TargetIfBothFailed, !self && !peer:
		j.settle()
	case !peer:
		j.outcome.Ending = EndSource
	case !self:
		j.outcome.Ending = EndTarget
	default:
		j.outcome.Ending = EndConnected
	}
}
