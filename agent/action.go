package agent

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

// Action is something the runner has to do. Actions are carried out in order;
// after a [Save] that failed, the runner drops what follows it in the same step,
// except the ones that make the node safer (see [Safer]).
type Action interface{ action() }

// Save stores the memory, fsynced, before the actions behind it.
type Save struct{ Memory []byte }

// SaveBoot stores what a restarted agent goes by. Nothing changes Memory any
// more.
type SaveBoot struct{ Memory *BootMemory }

// Hello introduces this agent on a new session.
type Hello struct{ Hello leader.Hello }

// Beat goes to the witness on the session.
type Beat struct {
	Beat  leader.Beat
	Clock boottime.Instant
}

// Call sends a request to the witness. The runner answers with [CallDone] once,
// within RPCTimeout.
type Call struct {
	Request arbiter.RequestID
	Message leader.Message
	Timeout time.Duration
}

// Tell sends a beat to the peer on every link.
type Tell struct{ Beat PeerBeat }

// Adopt goes on under a later agent incarnation, stored first.
type Adopt struct{ Incarnation arbiter.Incarnation }

// Start promotes the group's resources and starts its services.
type Start struct {
	Group arbiter.GroupID
	Epoch arbiter.Epoch
	// Alone: the peer is proven dead; a DRBD connection to it that still looks
	// established is cut first, instead of waiting for DRBD to notice.
	Alone bool
	// StandIn: this copy stands in for one that is lost, whatever DRBD has recorded of
	// it. It is parted from whoever may come back meanwhile, until it is Primary.
	StandIn bool
	// Before is when a start that is not through must be given up.
	Before boottime.Instant
}

// Stop stops the group's services and demotes its resources, in reverse order.
// Steps go by Before, not by the success of the step before.
type Stop struct {
	Group arbiter.GroupID
	// Order tells this stop from the ones before it; its StopDone carries the same.
	Order  uint64
	Reason string
	Before boottime.Instant
}

// Barrier blocks the group's addresses at once; Lift restores them.
type Barrier struct{ Group arbiter.GroupID }

// Lift restores what a Barrier blocked.
type Lift struct{ Group arbiter.GroupID }

// Demote makes a resource Secondary that nobody had a right to promote.
type Demote struct{ Resource string }

// Outdate makes DRBD record that this node's copy of a group is stale, and reads
// it back.
type Outdate struct{ Group arbiter.GroupID }

// Invalidate declares this node's copy of some of a group's resources bad as a
// whole, while they are not connected, and reads it back: everything is copied from
// the peer when they are.
type Invalidate struct {
	Group     arbiter.GroupID
	Resources []string
	// GivenUp: somebody has decided so, after a look at what this copy has. Else nothing is
	// done where DRBD's own data say that one of them went on alone (see InvalidateDone).
	GivenUp bool
}

// Part ends DRBD's connection to the peer, and every attempt at it.
type Part struct{ Group arbiter.GroupID }

// Join lets DRBD look for the peer. Until then a machine that has started anew
// has its disks attached and no more.
type Join struct {
	Group arbiter.GroupID
	// Discard are the resources whose copy was declared bad as a whole, and has not been
	// made anew since. DRBD 9 would call it a split brain all the same, where both copies
	// have writes of their own.
	Discard []string
}

// Measure measures this node's side of a group for a recovery.
type Measure struct {
	Group arbiter.GroupID
	Task  arbiter.Task
}

// Carry carries steps of a recovery's plan out, in order, each unless it is done
// already. The runner answers with [Carried] about the last of them, or about the
// first that has failed.
type Carry struct {
	Group arbiter.GroupID
	Task  arbiter.Task
	Steps []recovery.Step
}

// BreakOff ends what is being carried out for the group: its recovery was called off.
type BreakOff struct{ Group arbiter.GroupID }

// ReadPower reads the peer's power devices.
type ReadPower struct{ Mandate arbiter.MandateID }

// Shoot powers the peer off. The whole of it ends at Before.
type Shoot struct {
	Mandate  arbiter.MandateID
	Readings []arbiter.Reading // taken before
	Asked    boottime.Instant  // for the permission: it is soon too old
	Before   boottime.Instant
	// Rehearsal: the peer is well, and is switched on again.
	Rehearsal bool
}

// SwitchOn switches the peer on again, if a device says that it is off and a shot is
// to end in a reboot: an agent before this one may have ended between the two.
type SwitchOn struct{ Mandate arbiter.MandateID }

// Hold gives a shot up: no device is told anything more.
type Hold struct {
	Mandate arbiter.MandateID
	Why     string
}

// Left says that nothing of this node's is left to stop or to give back.
type Left struct{}

// Exit answers a fence-peer call with an exit code.
type Exit struct {
	Call CallID
	Code int
	Why  string
}

// Feed feeds the watchdog, if it is before Before; a feeder that finds itself
// later resets.
type Feed struct{ Before boottime.Instant }

// Reset resets the machine at once.
type Reset struct{ Reason string }

// Note is a line of the timeline: what this node saw or decided, and why.
type Note struct {
	Group arbiter.GroupID
	What  string
	Why   string
	Alarm bool
}

// The exit codes of a fence-peer handler that this agent uses (drbd.conf(5),
// handlers): 4 the peer was outdated, 6 the peer is active, 1 anything else.
const (
	exitExcluded = 4
	exitRefused  = 6
	exitUnknown  = 1
)

func (Save) action()       {}
func (SaveBoot) action()   {}
func (Hello) action()      {}
func (Beat) action()       {}
func (Call) action()       {}
func (Tell) action()       {}
func (Adopt) action()      {}
func (Start) action()      {}
func (Stop) action()       {}
func (Barrier) action()    {}
func (Lift) action()       {}
func (Demote) action()     {}
func (Outdate) action()    {}
func (Invalidate) action() {}
func (Part) action()       {}
func (Join) action()       {}
func (ReadPower) action()  {}
func (Shoot) action()      {}
func (Exit) action()       {}
func (SwitchOn) action()   {}
func (Hold) action()       {}
func (Left) action()       {}
func (Feed) action()       {}
func (Reset) action()      {}
func (*Note) action()      {}
func (Measure) action()    {}
func (Carry) action()      {}
func (BreakOff) action()   {}

// Safer reports whether a makes the node safer whatever could not be stored
// before it.
func Safer(a Action) bool {
	switch a := a.(type) {
	case Stop, Hold, Feed, Barrier, Demote, Reset, *Note, SaveBoot:
		return true
	case Exit:
		return a.Code != exitExcluded
	}
	return false
}
