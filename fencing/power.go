package fencing

import (
	"context"
	"errors"
	"fmt"

	"sbarbiter/internal/boottime"
)

// DeviceName names one fence device, as the operator wrote it.
type DeviceName string

// Target names the node whose power a device switches.
type Target string

// Power is what a device says about the supply of its target.
type Power uint8

// The zero Power is ignorance, so that a forgotten reading proves nothing.
const (
	PowerUnknown Power = iota
	PowerOn
	PowerOff
)

// String returns "unknown", "on" or "off".
func (p Power) String() string {
	switch p {
	case PowerUnknown:
		return "unknown"
	case PowerOn:
		return "on"
	case PowerOff:
		return "off"
	}
	return fmt.Sprintf("Power(%d)", uint8(p))
}

// Reading is one answer of a device to "is it on?".
type Reading struct {
	Device DeviceName
	Power  Power
	// At is when the answer arrived, on the clock of Executor's machine. It
	// cannot be compared with the At of another executor.
	At       boottime.Instant
	Executor string
}

// String returns "ipmi-a reads off (by node-b)".
func (r Reading) String() string {
	if r.Executor == "" {
		return fmt.Sprintf("%s reads %s", r.Device, r.Power)
	}
	return fmt.Sprintf("%s reads %s (by %s)", r.Device, r.Power, r.Executor)
}

// Fencer is one device that switches one target's power.
//
// Every method may be called again at any time, also by two executors at once:
// switching off what is off does nothing and is no error. A nil error of Off or
// On says that the device accepted the command, never that the power changed:
// only a later Status can say that. An error is ignorance: the command may have
// been carried out all the same. A driver holds no policy: it neither repeats a
// command for longer than ctx nor waits for its effect, returns soon after ctx
// has ended, and asks [CheckNotAfter] right before the command leaves.
type Fencer interface {
	Off(ctx context.Context) error
	On(ctx context.Context) error
	// Status returns PowerUnknown only together with an error.
	Status(ctx context.Context) (Power, error)
}

// What drivers wrap in their errors where they know it.
var (
	// ErrAuth: the device refused the credentials or the privilege. Trying
	// again cannot help; a person must correct the configuration.
	ErrAuth = errors.New("fence device refused the credentials")
	// ErrConfig: the driver cannot ask at all (no password file, no program).
	// Trying again cannot help.
	ErrConfig = errors.New("fence device is not usable as configured")
	// ErrUnreachable: nothing answered.
	ErrUnreachable = errors.New("fence device does not answer")
	// ErrNotSent: the command certainly did not leave, as where no session came
	// about. Nothing can land later.
	ErrNotSent = errors.New("nothing was sent to the fence device")
	// ErrTooLate: the permission to switch off had run out before the command
	// left, as after a pause of this process. Nothing was sent.
	ErrTooLate = errors.New("permission to switch off has run out")
)

// Permanent reports whether err will come again however often it is tried.
func Permanent(err error) bool {
	return errors.Is(err, ErrAuth) || errors.Is(err, ErrConfig)
}

type notAfterKey struct{}

type notAfter struct {
	limit boottime.Instant
	now   func() boottime.Instant
}

// WithNotAfter returns a context that forbids a driver to send its command
// after limit on the clock now. A context's own deadline does not do: its timer
// may fire late in a process that was stopped and goes on.
func WithNotAfter(ctx context.Context, limit boottime.Instant, now func() boottime.Instant) context.Context {
	return context.WithValue(ctx, notAfterKey{}, notAfter{limit: limit, now: now})
}

// CheckNotAfter returns an error with ErrTooLate when ctx forbids a command now,
// or ctx's own error when it has ended.
func CheckNotAfter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v, ok := ctx.Value(notAfterKey{}).(notAfter)
	if !ok {
		return nil
	}
	if late := v.now().Sub(v.limit); late > 0 {
		return fmt.Errorf("%w %v ago", ErrTooLate, late)
	}
	return nil
}
