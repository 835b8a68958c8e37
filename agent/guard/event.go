package guard

import "sbarbiter/internal/boottime"

// Event is something that happened. The set is closed.
type Event interface{ event() }

// Tick lets time pass.
type Tick struct{}

// Joined says that an agent has introduced itself, and that the watchdog, if
// there is to be one, is open.
type Joined struct {
	Conn        ConnID
	Incarnation uint64
	Terms       Terms
}

// Told is an agent's word: everything that may be running here, and by which
// right. What is not in it is confirmed down.
type Told struct {
	Conn   ConnID
	Number uint64           // grows with every word on a connection
	At     boottime.Instant // when it was said
	Rights []Right
}

// Lost says that a connection ended without a word.
type Lost struct{ Conn ConnID }

// Buried says that the agent whose connection was lost has ended and that the
// service manager does not start it again.
type Buried struct{}

// Left says that an agent ends on purpose and leaves its groups running for the
// next one.
type Left struct{ Conn ConnID }

// Ended says how a step that was ordered has ended; nil: it was seen done.
type Ended struct {
	Group GroupID
	Order uint64
	Err   error
}

func (Tick) event()   {}
func (Joined) event() {}
func (Told) event()   {}
func (Lost) event()   {}
func (Buried) event() {}
func (Left) event()   {}
func (Ended) event()  {}

// Action is something that has to be done.
type Action interface{ action() }

// Feed feeds the watchdog, if it is before Before; a feeder that finds itself
// later resets.
type Feed struct{ Before boottime.Instant }

// Bar blocks the group's addresses at once, by a packet filter.
type Bar struct{ Group GroupID }

// Lift lets clients in again, if Bar has turned them away.
type Lift struct{ Group GroupID }

// Clear leaves nothing of a Bar behind for a group that runs here no more.
type Clear struct{ Group GroupID }

// Run begins a step, in a process of its own that is killed at Before. Its
// Ended carries the same order.
type Run struct {
	Group  GroupID
	Step   Step
	Order  uint64
	Before boottime.Instant
}

// Halt kills what is still under way for a group.
type Halt struct{ Group GroupID }

// Welcome answers a Joined. Down are groups that this guard has stopped.
type Welcome struct {
	Conn ConnID
	Down []GroupID
}

// Drop hangs up on an agent that does not count.
type Drop struct {
	Conn ConnID
	Why  string
}

// Took tells the agent that the guard has begun to stop a group.
type Took struct {
	Conn  ConnID
	Group GroupID
}

// Reset resets the machine at once. Nothing comes after it.
type Reset struct{ Why string }

// Note is a line of the timeline.
type Note struct {
	Group     GroupID
	What, Why string
}

// Alarm is a line that a person should see.
type Alarm Note

func (Feed) action()    {}
func (Bar) action()     {}
func (Lift) action()    {}
func (Clear) action()   {}
func (Run) action()     {}
func (Halt) action()    {}
func (Welcome) action() {}
func (Drop) action()    {}
func (Took) action()    {}
func (Reset) action()   {}
func (Note) action()    {}
func (Alarm) action()   {}

// Step is one thing that is done to a group by a process of its own.
type Step string

// The steps. The ladder is services, unmount, demote.
const (
	Cut      Step = "cut"      // end DRBD's connection, without a word to the peer
	Services Step = "services" // stop what stands on the file systems
	Unmount  Step = "unmount"  // unmount them, and stop what lies below
	Demote   Step = "demote"   // and see that nothing of the group is left
	Join     Step = "join"     // look for the peer again
)
