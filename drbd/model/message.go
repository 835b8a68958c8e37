package model

import "sbarbiter/drbd"

// Message is one packet from an end of a connection to the other.
type Message struct {
	Session Session
	// Number counts the messages of one end in one session from 1.
	Number uint64
	Body   Body
}

// Body is what a message says.
type Body interface{ body() }

type (
	// hello is all that an end announces when it connects.
	hello struct {
		config    Config
		tentative bool
		sides     []Side
	}
	// stateNews tells the peer what became of this end.
	stateNews struct {
		role  drbd.Role
		disks []drbd.DiskState
	}
	// roleAsk asks the peer's leave to become Primary.
	roleAsk   struct{}
	roleReply struct{ answer Answer }
	// leaveAsk announces a disconnect, and who is to be Outdated by it.
	leaveAsk struct {
		outdatePeer bool
		outdated    bool
	}
	leaveReply struct{ answer Answer }

	// data is a write; ack says that it is done (protocol C: on the disk or in
	// its cache).
	data struct {
		id      RequestID
		at      Place
		stamp   Stamp
		durable bool
	}
	ack struct {
		id     RequestID
		failed bool // there is no disk
	}
	// barrier ends an epoch of writes: the peer's cache is to be flushed.
	barrier    struct{ number uint64 }
	barrierAck struct{ number uint64 }
	readAsk    struct {
		id RequestID
		at Place
	}
	readReply struct {
		id     RequestID
		stamp  Stamp
		failed bool
	}

	// bitmap is the target's record of what differs.
	bitmap struct {
		volume VolumeNumber
		bits   bitset
	}
	// syncStart is the source's word that a resync begins, with what both
	// sides' records say together.
	syncStart struct {
		volume VolumeNumber
		uuid   drbd.UUID
		bits   bitset
	}
	syncData struct {
		volume VolumeNumber
		blocks []content
	}
	syncAck struct {
		volume VolumeNumber
		blocks []Block
	}
)

// content is a block and what it holds.
type content struct {
	block Block
	stamp Stamp
}

func (hello) body()      {}
func (stateNews) body()  {}
func (roleAsk) body()    {}
func (roleReply) body()  {}
func (leaveAsk) body()   {}
func (leaveReply) body() {}
func (data) body()       {}
func (ack) body()        {}
func (barrier) body()    {}
func (barrierAck) body() {}
func (readAsk) body()    {}
func (readReply) body()  {}
func (bitmap) body()     {}
func (syncStart) body()  {}
func (syncData) body()   {}
func (syncAck) body()    {}
