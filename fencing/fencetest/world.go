// Package fencetest answers "is this a fence driver?": Run holds any
// [fencing.Fencer] to one suite of behaviours, faults included. It also has a
// power world of its own (Outlet, Device, Fake) that passes the same suite, for
// the tests of what stands above the drivers.
package fencetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

// Fault is a way in which a device behaves.
type Fault uint8

// The faults. Setup.Delay gives the time of Slow and Late.
const (
	Honest        Fault = iota
	Slow                // every answer takes Delay
	Hanging             // no answer, though the line is there
	Lying               // accepts commands and does nothing
	WrongPassword       // refuses the credentials
	Unreachable         // nobody is there
	DropsLine           // obeys, but the answer to the command is lost
	Late                // obeys Delay after it has accepted
)

// String returns the name for test output.
func (f Fault) String() string {
	names := [...]string{"honest", "slow", "hanging", "lying", "wrong password", "unreachable", "drops the line", "late"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// Outlet is the true power of one machine. It is a value without a clock, for
// simulations too.
type Outlet struct {
	power fencing.Power
	next  fencing.Power // takes effect at
	at    boottime.Instant
}

// NewOutlet returns an outlet that is p.
func NewOutlet(p fencing.Power) *Outlet { return &Outlet{power: p} }

// Power returns what is true at now, which never goes back.
func (o *Outlet) Power(now boottime.Instant) fencing.Power {
	if o.next != fencing.PowerUnknown && now >= o.at {
		o.power, o.next = o.next, fencing.PowerUnknown
	}
	return o.power
}

// Set makes the power p at the instant at. A change that is under way is dropped.
func (o *Outlet) Set(now, at boottime.Instant, p fencing.Power) {
	o.Power(now)
	o.next, o.at = p, at
	o.Power(now)
}

// Never is the delay of an answer that does not come.
const Never time.Duration = -1

// Device is a fence device with a fault, in front of an outlet. Like Outlet it
// is told the time.
type Device struct {
	Outlet *Outlet
	Fault  Fault
	Delay  time.Duration
}

// Command takes an order to be p and returns the answer and its delay.
func (d *Device) Command(now boottime.Instant, p fencing.Power) (time.Duration, error) {
	delay, err := d.front()
	if err != nil || delay == Never {
		return delay, err
	}
	switch d.Fault {
	case Lying:
	case Late:
		d.Outlet.Set(now, now.Add(d.Delay), p)
	case DropsLine:
		d.Outlet.Set(now, now, p)
		return Never, nil
	case Honest, Slow, Hanging, WrongPassword, Unreachable:
		d.Outlet.Set(now, now, p)
	}
	return delay, nil
}

// Status returns what the device says, and the delay of that answer.
func (d *Device) Status(now boottime.Instant) (fencing.Power, time.Duration, error) {
	delay, err := d.front()
	if err != nil || delay == Never {
		return fencing.PowerUnknown, delay, err
	}
	return d.Outlet.Power(now), delay, nil
}

func (d *Device) front() (time.Duration, error) {
	switch d.Fault {
	case Slow:
		return d.Delay, nil
	case Hanging:
		return Never, nil
	case WrongPassword:
		return 0, fmt.Errorf("%w: correct the password", fencing.ErrAuth)
	case Unreachable:
		return 0, fencing.ErrUnreachable
	case Honest, Lying, DropsLine, Late:
	}
	return 0, nil
}

// Fake is a Fencer over a Device, on the clock Now.
type Fake struct {
	Now func() boottime.Instant

	mu     sync.Mutex // guards device, never held while waiting
	device Device
	offs   int
}

// NewFake returns a Fencer that behaves like d.
func NewFake(d Device, now func() boottime.Instant) *Fake { return &Fake{Now: now, device: d} }

// Off orders off.
func (f *Fake) Off(ctx context.Context) error { return f.command(ctx, fencing.PowerOff) }

// On orders on.
func (f *Fake) On(ctx context.Context) error { return f.command(ctx, fencing.PowerOn) }

// Status asks for the power.
func (f *Fake) Status(ctx context.Context) (fencing.Power, error) {
	if err := ctx.Err(); err != nil {
		return fencing.PowerUnknown, err
	}
	f.mu.Lock()
	p, delay, err := f.device.Status(f.Now())
	f.mu.Unlock()
	if werr := wait(ctx, delay); werr != nil {
		return fencing.PowerUnknown, werr
	}
	return p, err
}

// Power returns the truth about the machine.
func (f *Fake) Power() fencing.Power {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.device.Outlet.Power(f.Now())
}

// Offs returns how many orders to switch off have arrived.
func (f *Fake) Offs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offs
}

// SetFault changes the behaviour from now on.
func (f *Fake) SetFault(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.device.Fault = fault
}

func (f *Fake) command(ctx context.Context, p fencing.Power) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	delay, err := f.device.Command(f.Now(), p)
	if p == fencing.PowerOff {
		f.offs++
	}
	f.mu.Unlock()
	if werr := wait(ctx, delay); werr != nil {
		return werr
	}
	return err
}

// wait passes the time of an answer, or returns why there is none.
func wait(ctx context.Context, delay time.Duration) error {
	if delay == 0 {
		return nil
	}
	var answer <-chan time.Time
	if delay != Never {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		answer = timer.C
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", fencing.ErrUnreachable, ctx.Err())
	}
}
