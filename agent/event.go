package agent

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

// Event is something that happened. The set is closed.
type Event interface{ event() }

// Tick lets time pass. The runner sends one at least every 100 ms.
type Tick struct{}

// SessionUp says that a stream to a witness stands.
type SessionUp struct{}

// SessionDown says that it broke.
type SessionDown struct{ Why string }

// Welcomed is the witness's answer to a Hello.
type Welcomed struct {
	Verdict arbiter.Verdict
	Version arbiter.Version
}

// Answered is the witness's answer to a beat.
type Answered struct {
	Answer  leader.BeatAnswer
	Version arbiter.Version
	Clock   boottime.Instant // the witness's
}

// Nudged says that something about the cluster changed at the witness.
type Nudged struct{ Why string }

// CallDone is the answer to a request. With Err nothing is known.
type CallDone struct {
	Request arbiter.RequestID
	Verdict arbiter.Verdict
	Version arbiter.Version
	Err     error
}

// PeerHeard is a beat of the peer.
type PeerHeard struct {
	Link string
	// Fresh: the peer had heard this life of ours when it sent it. Anything else
	// may be a recording.
	Fresh bool
	Beat  PeerBeat
}

// Probed is the result of one probe of a reference address.
type Probed struct {
	Address string
	OK      bool
}

// Storage is what DRBD says of a resource. Known is false when the driver
// cannot tell.
type Storage struct {
	Resource string
	Known    bool
	Primary  bool
	Frozen   bool // writes wait, for fencing or for want of a disk; not by a person's order
	Disks    []arbiter.Disk
	// Alone: DRBD is not told to look for the peer.
	Alone bool
	// Recorded: DRBD has the peer's disk down as stale or missing, so it would
	// promote without asking the fence-peer handler, or nobody can tell.
	Recorded bool
	// Wall is the node's clock then, for people.
	Wall time.Time
}

// Found is the state of a group's services when the agent starts, or the guard's
// word, which is said again and again, that it has begun to stop them.
type Found struct {
	Group   arbiter.GroupID
	Up      bool // any of them may be running
	ByGuard bool
}

// StartDone says how a start ended.
type StartDone struct {
	Group arbiter.GroupID
	Epoch arbiter.Epoch
	Err   error
	// Refused goes with Err: DRBD has refused the promotion for what may pass, and
	// nothing was started.
	Refused bool
}

// StopDone says how a stop ended. Down: services are confirmed down and DRBD is
// Secondary.
type StopDone struct {
	Group arbiter.GroupID
	Order uint64 // of the Stop
	Down  bool
	Err   error
}

// PowerRead is the reading of the peer's power devices.
type PowerRead struct {
	Mandate  arbiter.MandateID
	Readings []arbiter.Reading
}

// ShotDone says how a shot ended.
type ShotDone struct {
	Mandate  arbiter.MandateID
	Grade    arbiter.Grade
	Readings []arbiter.Reading
	Failure  string
	InFlight bool
	Lands    boottime.Instant // of what is in flight of a shot that is proven; 0: at the deadline
	// Revives: the peer is being switched on again, and Revived follows.
	Revives bool
}

// Revived says that the peer has been switched on again after a shot, or that it cannot
// be from here.
type Revived struct{ Mandate arbiter.MandateID }

// SideMeasured is what was measured of this node's side; see Measure.
type SideMeasured struct {
	Group arbiter.GroupID
	Task  arbiter.Task
	Side  recovery.Side
}

// Carried says how far the steps of a Carry are. Ready: the next one may begin.
type Carried struct {
	Group       arbiter.GroupID
	Task        arbiter.Task
	Done, Ready bool
	Note        string
	Left, Total uint64
	// Unkept goes with Err: what was kept of the copy that is given up is not all of it.
	Unkept bool
	Err    error
}

// FencePeer is DRBD's fence-peer call for a resource.
type FencePeer struct {
	Call     CallID
	Resource string
}

// DiskFailed is DRBD's local-io-error call.
type DiskFailed struct{ Resource string }

// SplitSeen is DRBD's word that it has found a split brain and drops the connection;
// it does so once its handler has returned.
type SplitSeen struct{ Resource string }

// OutdateDone says whether an Outdate was read back.
type OutdateDone struct {
	Group arbiter.GroupID
	Err   error
}

// InvalidateDone says whether an Invalidate was read back.
type InvalidateDone struct {
	Group arbiter.GroupID
	Err   error
	// Alone is a resource that went on without its peer, so that this copy of it may have
	// what no other has. Nothing was done.
	Alone string
}

// SaveFailed says that memory could not be stored: what depended on it was not
// done.
type SaveFailed struct{ Err error }

// Leave says that this agent ends for good: its groups are stopped and given back,
// and none is taken any more.
type Leave struct {
	Why  string
	Down bool // the machine is being shut down
}

// CallID names one handler call waiting for its exit code.
type CallID uint64

func (Tick) event()           {}
func (SessionUp) event()      {}
func (SessionDown) event()    {}
func (Welcomed) event()       {}
func (Answered) event()       {}
func (Nudged) event()         {}
func (CallDone) event()       {}
func (PeerHeard) event()      {}
func (Probed) event()         {}
func (Storage) event()        {}
func (Found) event()          {}
func (StartDone) event()      {}
func (StopDone) event()       {}
func (PowerRead) event()      {}
func (ShotDone) event()       {}
func (FencePeer) event()      {}
func (DiskFailed) event()     {}
func (SplitSeen) event()      {}
func (OutdateDone) event()    {}
func (InvalidateDone) event() {}
func (SaveFailed) event()     {}
func (Leave) event()          {}
func (Revived) event()        {}

func (SideMeasured) event() {}
func (Carried) event()      {}

// PeerBeat is what the two agents tell each other.
type PeerBeat struct {
	Number     uint64
	Clock      boottime.Instant
	Echo       uint64 // number of the latest beat heard from the receiver
	References int
	Needed     int
	Floor      arbiter.Epoch
	Groups     []PeerGroup
	Asks       []PeerAsk
	Words      []PeerWord
}

// PeerGroup is the part of a PeerBeat about one group.
type PeerGroup struct {
	Group       arbiter.GroupID
	Phase       Phase
	InOffice    bool          // the sender runs it by right
	Epoch       arbiter.Epoch // that it runs it under
	Holder      arbiter.NodeID
	HolderEpoch arbiter.Epoch // the last it knows
	GivenBack   bool
	Promised    arbiter.Epoch // the sender accepts no grant on the clock's word beside this epoch; 0: no promise
	PromisedFor time.Duration // from before the beat was sent that this one echoes
	InStep      bool
	// Ready: no write of the sender's waits for the receiver, nor can come to.
	Ready    bool
	Excluded arbiter.ExclusionNumber
	OwnWord  uint64
}

// PeerAsk asks the receiver to outdate itself and to record that its copy is
// stale.
type PeerAsk struct {
	Group    arbiter.GroupID
	Epoch    arbiter.Epoch
	Ask      uint64
	UpToDate bool // every volume of the asker
}

// PeerWord answers a PeerAsk.
type PeerWord struct {
	Group   arbiter.GroupID
	Ask     uint64
	Given   bool
	OwnWord uint64
	Why     string
}

// Links is what the heartbeat links look like, for the witness and for people.
type Links struct{ Links []leader.Link }

func (Links) event() {}

// Services is the state of a group's services, for the witness and for people.
type Services struct {
	Group    arbiter.GroupID
	Services []leader.Service
}

func (Services) event() {}
