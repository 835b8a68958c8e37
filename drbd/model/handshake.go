package model

import "sbarbiter/drbd"

// Ending is how a handshake ends for one side.
type Ending string

// Endings. A side that drops goes StandAlone; the other side, unless it drops
// too, ends waiting for a connection.
const (
	EndConnected Ending = "CONNECTED"
	EndSource    Ending = "SOURCE"
	EndTarget    Ending = "TARGET"
	EndDrop      Ending = "DROP"
	EndRetry     Ending = "RETRY" // 9: connects again, by itself
)

// Call is something that a handshake did besides deciding, in its order.
type Call struct {
	Handler drbd.Handler
	// Demoted says that instead of calling a handler this side became
	// Secondary.
	Demoted bool
}

// String names the handler, or "demoted".
func (c Call) String() string {
	if c.Demoted {
		return "demoted"
	}
	return string(c.Handler)
}

// Outcome is one side's result of a handshake, for one volume.
type Outcome struct {
	// Compared is what the generations said, before any policy.
	Compared Comparison
	// Strategy is what came out in the end.
	Strategy Strategy
	Ending   Ending
	// Refused is why the state that the handshake led to was not allowed; 0 if
	// the handshake itself decided.
	Refused Answer
	Calls   []Call
	// Demoted: this side gave up its role.
	Demoted bool
	// Rehearsed: it dropped only because the attempt was tentative.
	Rehearsed bool
	// Tied: a tie was broken by the accident of how the connection was made.
	// Another attempt may end the other way round.
	Tied bool
}

// judgement is a handshake in progress.
type judgement struct {
	c          Config
	self, peer Side
	tentative  bool
	strategy   Strategy
	// old: the split brain's common ancestor is history, a bitmap is no use.
	old     bool
	demoted bool
	tied    bool
	outcome Outcome
}

// step carries a judgement on. It ends it by setting the outcome's Ending.
type step func(*judgement)

func (j *judgement) call(h drbd.Handler) {
	j.outcome.Calls = append(j.outcome.Calls, Call{Handler: h})
}

func (j *judgement) drop() { j.outcome.Ending = EndDrop }

// Attempt says in which manner two sides connect.
type Attempt struct {
	// Tentative: one of them was told to connect with --tentative, to see what
	// would happen.
	Tentative bool
}

// Judge decides a handshake for one volume on this side. The peer's side is as
// it was announced; its Open is not looked at. Both sides judge independently,
// each on the other's announcement.
func Judge(c Config, self, peer Side, a Attempt) Outcome {
	j := &judgement{c: c, self: self, peer: peer, tentative: a.Tentative}
	if !self.Disk.AtLeast(drbd.DiskNegotiating) || !peer.Disk.AtLeast(drbd.DiskNegotiating) {
		j.strategy = NoSync
		j.outcome.Compared = Comparison{Rule: "diskless", Strategy: NoSync, Corrected: self.Generation}
		j.settle()
		return j.finish()
	}
	steps := steps84
	if c.Family == drbd.Family9 {
		steps = steps9
	}
	j.run(steps)
	return j.finish()
}

func (j *judgement) run(steps []step) {
	j.outcome.Ending, j.old = "", false
	j.outcome.Compared = Compare(j.c, j.self, j.peer)
	j.self.Generation = j.outcome.Compared.Corrected
	j.strategy = j.outcome.Compared.Strategy
	for _, s := range steps {
		if s(j); j.outcome.Ending != "" {
			return
		}
	}
}

// finish applies the last check: whether the two nodes may be connected in
// this state at all.
func (j *judgement) finish() Outcome {
	o := j.outcome
	o.Strategy, o.Demoted, o.Tied = j.strategy, j.demoted, j.tied
	if o.Ending == EndDrop || o.Ending == EndRetry {
		return o
	}
	before := State{Role: j.self.Role, Conn: drbd.ConnConnected, Repl: drbd.ReplOff, Disk: j.self.Disk, PeerDisk: drbd.DiskUnknown}
	after := before
	after.Peer, after.PeerDisk, after.Repl = j.peer.Role, j.peer.Disk, replAfter(o.Ending)
	after = Sanitize(before, after, j.c)
	if a := Check(after, j.c); !a.OK() {
		o.Ending, o.Refused = EndDrop, a
		if j.c.Family == drbd.Family9 && j.c.RRConflict == PolicyRetryConnect {
			o.Ending = EndRetry
		}
	}
	return o
}

func replAfter(e Ending) drbd.ReplState {
	switch e {
	case EndSource:
		return drbd.ReplWFBitMapS
	case EndTarget:
		return drbd.ReplWFBitMapT
	case EndConnected:
		return drbd.ReplEstablished
	case EndDrop, EndRetry:
	}
	return drbd.ReplOff
}

// The steps that both families share.

func (j *judgement) refuseUnrelated() {
	if j.strategy == Unrelated {
		j.drop()
	}
}

func (j *judgement) tellSplitBrain() {
	if j.strategy.IsSplitBrain() {
		j.old = j.strategy == SplitBrainOld
		j.call(drbd.HandlerInitialSplitBrain)
	}
}

// decideByPolicy lets the after-split-brain policies choose a victim.
func (j *judgement) decideByPolicy() {
	if j.strategy != SplitBrainKnown && (j.strategy != SplitBrainOld || !j.c.AlwaysAfterSB) {
		return
	}
	var v victim
	switch self, peer := j.self.primary(), j.peer.primary(); {
	case self && peer:
		v = j.afterTwo()
	case self || peer:
		v = j.afterOne()
	default:
		v = j.afterZero()
	}
	switch v {
	case victimNone:
		j.strategy = SplitBrainOld
		return
	case victimSelf:
		j.strategy = TargetBitmap
	case victimPeer:
		j.strategy = SourceBitmap
	}
	if j.old {
		j.strategy = j.strategy.full()
	}
}

func (j *judgement) dropUnresolved() {
	if j.strategy.IsSplitBrain() {
		j.strategy = SplitBrainOld
		j.call(drbd.HandlerSplitBrain)
		j.drop()
	}
}

func (j *judgement) dropTentative() {
	if j.tentative {
		j.outcome.Rehearsed = true
		j.drop()
	}
}

func (j *judgement) settle() {
	j.outcome.Ending = EndConnected
	switch {
	case j.strategy.IsSource():
		j.outcome.Ending = EndSource
	case j.strategy.IsTarget():
		j.outcome.Ending = EndTarget
	}
}

// wanted is the direction that --discard-my-data asks for, "" if neither or
// both asked.
func (j *judgement) wanted() Strategy { return oneOf(j.peer.Discard, j.self.Discard, SourceBitmap) }

// inconsistentAlone reports whether exactly one of the copies is Inconsistent
// and the other one better.
func (j *judgement) inconsistentAlone() bool {
	better := drbd.DiskOutdated
	return j.self.Disk == drbd.DiskInconsistent && j.peer.Disk.AtLeast(better) ||
		j.peer.Disk == drbd.DiskInconsistent && j.self.Disk.AtLeast(better)
}
