package fencing

import (
	"time"

	"sbarbiter/internal/boottime"
)

// Call numbers one Read or Off of a shot, so that its answer finds its place.
type Call int

// Event is what a Shot is told.
type Event interface{ event() }

// ReadDone answers a Read. Err is ignorance; Power counts only without it.
type ReadDone struct {
	Call  Call
	Power Power
	Err   error
}

// OffDone answers an Off. A nil Err means accepted, no more.
type OffDone struct {
	Call Call
	Err  error
}

// Heard says that an authentic sign of life of the target has just arrived.
type Heard struct{}

// Tick says only what time it is.
type Tick struct{}

func (ReadDone) event() {}
func (OffDone) event()  {}
func (Heard) event()    {}
func (Tick) event()     {}

// Action is what a Shot wants done.
type Action interface{ action() }

// Read asks a device for its power and gives up after Timeout: the call must be
// answered with a ReadDone by then.
type Read struct {
	Call    Call
	Device  DeviceName
	Timeout time.Duration
}

// Off commands a device to switch off. The command must not leave after
// NotAfter; the call must be answered with an OffDone within Timeout.
type Off struct {
	Call     Call
	Device   DeviceName
	Timeout  time.Duration
	NotAfter boottime.Instant
}

// Wait asks for a Tick at Until at the latest, if nothing comes before.
type Wait struct{ Until boottime.Instant }

// Finish ends the shot. What is still under way must be cancelled.
type Finish struct{ Result Result }

func (Read) action()   {}
func (Off) action()    {}
func (Wait) action()   {}
func (Finish) action() {}
