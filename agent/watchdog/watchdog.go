// Package watchdog answers "what resets this machine if we do not?": it holds
// the kernel's watchdog device, feeds it only before a deadline that the caller
// names, and carries out a reset at once when asked. When to feed and when to
// reset is decided by the caller; nothing here looks at leases.
//
// The caller's duties: open the watchdog before the first lease and once per
// boot; [Kernel.Store] it directly afterwards; after a restart of the process
// take it over with [Adopt]; reset the machine when [Kernel.Feed] says
// [ErrLate].
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/internal/boottime"
)

// Errors of this package.
var (
	// ErrLate says that the deadline had passed before or after the feed: the
	// machine must be reset at once.
	ErrLate = errors.New("watchdog fed late")
	// ErrLost says that the device was opened in this boot already and its
	// descriptor is gone. Opening it again would feed it in nobody's name.
	ErrLost = errors.New("watchdog was opened before in this boot and its descriptor is gone: reboot this node, and check FileDescriptorStoreMax=1 in the guard's unit")
	// ErrUnfit says that the driver cannot be relied upon.
	ErrUnfit = errors.New("watchdog driver is unfit")
)

// Watchdog is the machine's last resort against its own software.
type Watchdog interface {
	// Feed restarts the countdown if the deadline has not come yet. It returns
	// [ErrLate] if the deadline had passed when it looked before or after.
	Feed(deadline boottime.Instant) error
	// Timeout is the time from a feed to the reset, as read back from the
	// driver. Zero means that nothing ever resets this machine.
	Timeout() time.Duration
	// Identity says what counts down.
	Identity() Identity
	// Store leaves the device in the service manager's care.
	Store(ctx context.Context) error
	// Disarm stops the countdown. Only for a requested shutdown, while no
	// group runs here. A [*CountingError] says that it goes on.
	Disarm(ctx context.Context) error
}

// Identity describes a watchdog to people and to those who grade its proof.
type Identity struct {
	Path   string // device, empty for [None]
	Driver string // the driver's own name, for example "iTCO_wdt"
	// Software says that the countdown runs on the CPU that it watches
	// (softdog): it stands still when the machine is paused.
	Software bool
	// Nowayout says that once opened it can never be stopped.
	Nowayout bool
}

// LateError is the [ErrLate] with its numbers.
type LateError struct {
	Deadline boottime.Instant
	Before   boottime.Instant
	After    boottime.Instant // zero if nothing was fed
}

// Error says by how much the deadline was missed.
func (e *LateError) Error() string {
	if e.After.IsZero() {
		return fmt.Sprintf("watchdog not fed: the deadline passed %v ago; reset this machine", e.Before.Sub(e.Deadline))
	}
	return fmt.Sprintf("watchdog fed up to %v after the deadline; reset this machine", e.After.Sub(e.Deadline))
}

// Is makes a LateError an [ErrLate].
func (e *LateError) Is(target error) bool { return target == ErrLate }

// CountingError says that the countdown goes on, or may go on, although it was
// to be stopped.
type CountingError struct {
	Path    string
	Timeout time.Duration // to the reset, at most
	Err     error         // what the driver said

	closed bool // the descriptor is gone: nobody can feed it any more
}

// Error says what will happen, and how to avoid it next time.
func (e *CountingError) Error() string {
	rescue := "unless sbagent is started again before"
	if e.closed {
		rescue = "and nothing can keep it from that"
	}
	return fmt.Sprintf("watchdog %s cannot be stopped: %v: this machine is reset within %v, %s; load its driver with nowayout=0 to avoid this", e.Path, e.Err, e.Timeout, rescue)
}

// Unwrap returns what the driver said.
func (e *CountingError) Unwrap() error { return e.Err }

// None stands for a machine without a watchdog. Nothing resets it when its
// software stands still, so time alone never proves it dead (grade E2 does not
// apply to it).
type None struct{}

// Feed keeps the caller honest about its deadline, though nothing is fed.
func (None) Feed(deadline boottime.Instant) error {
	if now := boottime.Now(); now >= deadline {
		return &LateError{Deadline: deadline, Before: now}
	}
	return nil
}

// Timeout is zero: there is no countdown.
func (None) Timeout() time.Duration { return 0 }

// Identity names no device.
func (None) Identity() Identity { return Identity{Driver: "none"} }

// Store has nothing to store.
func (None) Store(context.Context) error { return nil }

// Disarm has nothing to stop.
func (None) Disarm(context.Context) error { return nil }
