package model

import "sbarbiter/drbd"

type (
	// CommandID is the caller's number of a command, repeated in its answer.
	CommandID uint64
	// RequestID is the caller's number of a read, write or flush.
	RequestID uint64
	// Token is the model's number of a handler call that something waits for.
	Token uint64
	// Session is the caller's number of one incarnation of the connection. It
	// is never used twice and never 0.
	Session uint64
	// VolumeNumber counts volumes from 0.
	VolumeNumber int
	// Block counts a volume's blocks of 4 KiB from 0.
	Block int
	// Stamp stands for a block's contents: the caller's number of the write
	// that made them, 0 for a block never written.
	Stamp uint64
)

// Place is one block of one volume.
type Place struct {
	Volume VolumeNumber
	Block  Block
}

// Event is something that happens to a node.
type Event interface{ event() }

// Verb is what an administrator, or the agent, tells a node.
type Verb string

// Verbs. Up attaches the disks and connects, as "drbdadm up" does.
const (
	Up               Verb = "up"
	Attach           Verb = "attach" // the first half of Up: nobody is looked for
	Down             Verb = "down"
	Promote          Verb = "primary"
	PromoteForced    Verb = "primary --force"
	Demote           Verb = "secondary"
	Outdate          Verb = "outdate"
	Connect          Verb = "connect"
	ConnectDiscard   Verb = "connect --discard-my-data"
	ConnectTentative Verb = "connect --tentative"
	Disconnect       Verb = "disconnect"
	Invalidate       Verb = "invalidate"
	SuspendIO        Verb = "suspend-io"
	ResumeIO         Verb = "resume-io"
)

type (
	// Command tells the node something. Every command gets one Answered, at
	// once or later, unless the node crashes before.
	Command struct {
		ID   CommandID
		Verb Verb
	}
	// Boot starts the machine. Nothing is configured until Command Up.
	Boot struct{}
	// Crash stops the machine without warning. Lost are the blocks that were
	// only in the disk's cache and did not survive: none for a reset, any of
	// [Node.Cached] for a power cut.
	Crash struct{ Lost []Place }

	// Open says that somebody begins to use the devices.
	Open struct{}
	// Close says that somebody ends to.
	Close struct{}
	// Write is I/O from above. It gets one IODone, unless the node crashes or
	// stays frozen; so do Read and Flush.
	Write struct {
		ID    RequestID
		At    Place
		Stamp Stamp
		// Durable: like a journal's commit, it comes with a flush before and
		// behind it, on both disks.
		Durable bool
	}
	// Read asks for a block's contents.
	Read struct {
		ID RequestID
		At Place
	}
	// Flush asks for the disk's cache to be written.
	Flush struct {
		ID     RequestID
		Volume VolumeNumber
	}
	// Destage is the disk writing a block from its cache by itself.
	Destage struct{ At Place }
	// DiskFail is the loss of the disk beneath a volume, until the next Up.
	DiskFail struct{ Volume VolumeNumber }

	// LinkUp is a connection made. The caller hands it to both ends, each with
	// the same session, only while both are Connecting, and exactly one of
	// them breaks ties.
	LinkUp struct {
		Session    Session
		BreaksTies bool
	}
	// LinkDown is this end's noticing that the session is over.
	LinkDown struct{ Session Session }
	// Receive delivers a message of the peer. Messages of a session arrive in
	// the order sent, each once; the caller may lose a tail of them.
	Receive struct{ Message Message }

	// HandlerDone is the exit code of a handler that was called with a token.
	HandlerDone struct {
		Token Token
		Exit  int
	}
	// Sync lets a resync's source send up to Blocks blocks.
	Sync struct {
		Volume VolumeNumber
		Blocks int
	}
)

func (Command) event()     {}
func (Boot) event()        {}
func (Crash) event()       {}
func (Open) event()        {}
func (Close) event()       {}
func (Write) event()       {}
func (Read) event()        {}
func (Flush) event()       {}
func (Destage) event()     {}
func (DiskFail) event()    {}
func (LinkUp) event()      {}
func (LinkDown) event()    {}
func (Receive) event()     {}
func (HandlerDone) event() {}
func (Sync) event()        {}

// Effect is something that a node does to the world.
type Effect interface{ effect() }

// IOResult is how a request ended.
type IOResult string

// Results of requests.
const (
	IODoneOK  IOResult = "ok"
	IOFailed  IOResult = "error"     // no good data could be reached
	IORefused IOResult = "read-only" // the node is not Primary
)

type (
	// Answered is the kernel's answer to a command.
	Answered struct {
		ID     CommandID
		Answer Answer
	}
	// Called is the call of a handler. If Token is not 0 the node waits for its
	// HandlerDone, as long as it takes.
	Called struct {
		Handler drbd.Handler
		Token   Token
	}
	// Send is a message for the peer, to be carried in order.
	Send struct{ Message Message }
	// HangUp is this end's closing of the session. The peer gets its LinkDown when the
	// caller thinks that it notices, and perhaps without having read all.
	HangUp struct{ Session Session }
	// IODone ends a request; Stamp is what was read.
	IODone struct {
		ID     RequestID
		Result IOResult
		Stamp  Stamp
	}
)

func (Answered) effect() {}
func (Called) effect()   {}
func (Send) effect()     {}
func (HangUp) effect()   {}
func (IODone) effect()   {}
