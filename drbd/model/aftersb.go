package model

import "sbarbiter/drbd"

// victim says whose data an after-split-brain policy gives up.
type victim int

const (
	victimNone victim = iota // the policy does not decide
	victimSelf
	victimPeer
)

// afterZero decides with nobody Primary. It is also the judge whose sentence
// several policies for one or two Primaries go by.
func (j *judgement) afterZero() victim {
	switch j.c.After0 {
	case DiscardYoungerPrimary:
		return j.byAge(victimSelf)
	case DiscardOlderPrimary:
		return j.byAge(victimPeer)
	case DiscardZeroChanges:
		return j.byZeroChanges()
	case DiscardLeastChanges:
		return j.byLeastChanges()
	case DiscardLocal:
		return victimSelf
	case DiscardRemote:
		return victimPeer
	}
	return victimNone
}

// byAge goes by the mark in the bitmap UUID: set on the node that was Primary
// when the link broke, clear on one promoted since. ifYounger is the victim if
// that is this side. Where the marks are equal, the changes decide.
func (j *judgement) byAge(ifYounger victim) victim {
	self, peer := j.self.Generation.Bitmap&primaryBit, j.peer.Generation.Bitmap&primaryBit
	switch {
	case self < peer:
		return ifYounger
	case self > peer && ifYounger == victimSelf:
		return victimPeer
	case self > peer:
		return victimSelf
	}
	if v := j.byZeroChanges(); v != victimNone {
		return v
	}
	return j.byLeastChanges()
}

func (j *judgement) byZeroChanges() victim {
	self, peer := j.self.OutOfSync, j.peer.OutOfSync
	switch {
	case self == 0 && peer == 0:
		return j.byTie()
	case peer == 0:
		return victimPeer
	case self == 0:
		return victimSelf
	}
	return victimNone
}

func (j *judgement) byLeastChanges() victim {
	self, peer := j.self.OutOfSync, j.peer.OutOfSync
	switch {
	case self < peer:
		return victimSelf
	case self > peer:
		return victimPeer
	}
	return j.byTie()
}

// byTie is a coin that the making of the connection has thrown.
func (j *judgement) byTie() victim {
	j.tied = true
	if j.self.BreaksTies {
		return victimSelf
	}
	return victimPeer
}

// afterOne decides with one Primary.
func (j *judgement) afterOne() victim {
	switch j.c.After1 {
	case PolicyConsensus:
		v := j.afterZero()
		if v == victimSelf && j.self.primary() || v == victimPeer && !j.self.primary() {
			return victimNone
		}
		return v
	case PolicyViolentlyAsZero:
		return j.afterZero()
	case DiscardSecondary:
		if j.self.primary() {
			return victimPeer
		}
		return victimSelf
	case CallPriLostAfterSB:
		return j.demoteIfVictim(j.afterZero())
	}
	return victimNone
}

// afterTwo decides with two Primaries.
func (j *judgement) afterTwo() victim {
	switch j.c.After2 {
	case PolicyViolentlyAsZero:
		return j.afterZero()
	case CallPriLostAfterSB:
		return j.demoteIfVictim(j.afterZero())
	}
	return victimNone
}

// demoteIfVictim demotes a Primary that is to lose. If it is in use, a handler
// is told, and nothing is decided. 8.4 always does the latter: it asks for the
// demotion in the middle of a handshake, where it allows no change of roles
// (only if the peer hangs up in that very moment may it come through).
func (j *judgement) demoteIfVictim(v victim) victim {
	if v != victimSelf || !j.self.primary() {
		return v
	}
	if j.self.Open || j.c.Family != drbd.Family9 {
		j.call(drbd.HandlerPriLostAfterSB)
		return victimNone
	}
	j.self.Role = drbd.RoleSecondary
	j.demoted = true
	j.outcome.Calls = append(j.outcome.Calls, Call{Demoted: true})
	return v
}
