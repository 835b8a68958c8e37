package fencetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

// Setup says in which world a driver is put.
type Setup struct {
	Power fencing.Power
	Fault Fault
	Delay time.Duration
}

// Rig is a driver and the truth behind it.
type Rig struct {
	Fencer fencing.Fencer
	// Power reads the machine's power past the driver.
	Power func() fencing.Power
	// Secret must not appear in any error; empty if there is none.
	Secret string
	// Shown, if set, returns what others could see of the calls so far: the
	// arguments and the environment of a program. Secret must not be in it.
	Shown func() string
	// Words says how much the driver's kind of device can tell.
	Words Words
}

// Words is how much a kind of device can tell.
type Words uint8

// The kinds.
const (
	// Plain devices tell on from off, and one failure from another.
	Plain Words = iota
	// Vague ones have one answer for every failure.
	Vague
	// OfTarget is a driver that logs into the target itself: whoever is off
	// says nothing and takes no command.
	OfTarget
)

// Factory builds the world for one case, and cleans up through t. It skips a
// fault that its kind of device cannot have, with the reason, and may let the
// cases run beside each other (t.Parallel).
type Factory func(t *testing.T, s Setup) Rig

const (
	enough = 10 * time.Second       // for one call of an honest device on a busy machine
	short  = 600 * time.Millisecond // given to a device that will not answer
	grace  = time.Second            // a driver returns this soon after its context
	delay  = 700 * time.Millisecond // of slow and late devices
)

// Run holds the driver that the factory builds to the whole suite.
func Run(t *testing.T, factory Factory) {
	for _, c := range []struct {
		name  string
		setup Setup
		check func(*testing.T, Rig)
	}{
		{"switches off", Setup{Power: fencing.PowerOn}, switchesOff},
		{"switches on", Setup{Power: fencing.PowerOff}, switchesOn},
		{"status leaves the power alone", Setup{Power: fencing.PowerOn}, statusIsHarmless},
		{"off of what is off is no error", Setup{Power: fencing.PowerOff}, alreadyOff},
		{"answers slowly", Setup{Power: fencing.PowerOn, Fault: Slow, Delay: delay}, switchesOff},
		{"hangs, and the context ends it", Setup{Power: fencing.PowerOn, Fault: Hanging}, endsWithContext},
		{"lies: accepts off and stays on", Setup{Power: fencing.PowerOn, Fault: Lying}, lies},
		{"wrong password", Setup{Power: fencing.PowerOn, Fault: WrongPassword}, refusesPassword},
		{"unreachable", Setup{Power: fencing.PowerOn, Fault: Unreachable}, unreachable},
		{"drops the line after accepting", Setup{Power: fencing.PowerOn, Fault: DropsLine}, dropsLine},
		{"flips its state late", Setup{Power: fencing.PowerOn, Fault: Late, Delay: delay}, flipsLate},
		{"sends nothing once its permission has run out", Setup{Power: fencing.PowerOn}, tooLate},
		{"sends nothing when cancelled", Setup{Power: fencing.PowerOn}, cancelled},
		{"is asked by two at once", Setup{Power: fencing.PowerOn}, concurrent},
		{"shows the password to nobody", Setup{Power: fencing.PowerOn}, keepsPassword},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, factory(t, c.setup))
		})
	}
}

func switchesOff(t *testing.T, r Rig) {
	wantStatus(t, r, fencing.PowerOn)
	mustSucceed(t, "off", r.Fencer.Off)
	wantPower(t, r, fencing.PowerOff)
	wantStatus(t, r, fencing.PowerOff)
}

func switchesOn(t *testing.T, r Rig) {
	if r.Words == OfTarget {
		if err := timed(t, "on", enough, r.Fencer.On); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("on: got %v, want ErrUnsupported", err)
		}
		return
	}
	wantStatus(t, r, fencing.PowerOff)
	mustSucceed(t, "on", r.Fencer.On)
	wantStatus(t, r, fencing.PowerOn)
	wantPower(t, r, fencing.PowerOn)
}

func statusIsHarmless(t *testing.T, r Rig) {
	for range 3 {
		wantStatus(t, r, fencing.PowerOn)
	}
	wantPower(t, r, fencing.PowerOn)
}

func alreadyOff(t *testing.T, r Rig) {
	again(t, r, "off")
	again(t, r, "off again")
	wantStatus(t, r, fencing.PowerOff)
	wantPower(t, r, fencing.PowerOff)
}

func endsWithContext(t *testing.T, r Rig) {
	for name, call := range calls(r) {
		err := timed(t, name, short, call)
		if err == nil {
			t.Errorf("%s of a hanging device returned without an error", name)
		}
		if fencing.Permanent(err) {
			t.Errorf("%s: %v: silence is taken for a refusal", name, err)
		}
		keepsSecret(t, r, err)
	}
	wantPower(t, r, fencing.PowerOn)
}

func lies(t *testing.T, r Rig) {
	// One that looks by itself whether it helped may say that it did not.
	if err := timed(t, "off", enough, r.Fencer.Off); err != nil && r.Words != Vague {
		t.Errorf("off: %v", err)
	}
	wantPower(t, r, fencing.PowerOn)
	if p, err := status(r); err != nil || p != fencing.PowerOn {
		t.Errorf("reads %s (%v): acceptance was taken for an effect", p, err)
	}
}

func refusesPassword(t *testing.T, r Rig) {
	for name, call := range calls(r) {
		err := timed(t, name, enough, call)
		if err == nil || !errors.Is(err, fencing.ErrAuth) && r.Words != Vague {
			t.Errorf("%s: got %v, want ErrAuth", name, err)
		}
		keepsSecret(t, r, err)
	}
	wantPower(t, r, fencing.PowerOn)
}

func unreachable(t *testing.T, r Rig) {
	for name, call := range calls(r) {
		err := timed(t, name, short, call)
		if err == nil || fencing.Permanent(err) || !errors.Is(err, fencing.ErrUnreachable) && r.Words != Vague {
			t.Errorf("%s: got %v, want ErrUnreachable", name, err)
		}
		keepsSecret(t, r, err)
	}
	wantPower(t, r, fencing.PowerOn)
}

func dropsLine(t *testing.T, r Rig) {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	go func() { // however long it takes until the order arrives: then there is nothing to wait for
		for r.Power() != fencing.PowerOff && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.AfterFunc(short, cancel)
	}()
	// With or without an error: the driver may have asked a second time.
	_ = r.Fencer.Off(ctx)
	wantPower(t, r, fencing.PowerOff)
	wantStatus(t, r, fencing.PowerOff)
}

func flipsLate(t *testing.T, r Rig) {
	mustSucceed(t, "off", r.Fencer.Off)
	if p, err := status(r); err != nil || p != fencing.PowerOn && r.Power() == fencing.PowerOn {
		t.Errorf("reads %s (%v) before the power has changed", p, err)
	}
	eventually(t, "the power goes off", func() bool { return r.Power() == fencing.PowerOff })
	wantStatus(t, r, fencing.PowerOff)
}

func tooLate(t *testing.T, r Rig) {
	ctx := fencing.WithNotAfter(context.Background(), boottime.Now()-1, boottime.Now)
	if err := r.Fencer.Off(ctx); !errors.Is(err, fencing.ErrTooLate) {
		t.Errorf("got %v, want ErrTooLate", err)
	}
	wantPower(t, r, fencing.PowerOn)
}

func cancelled(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Fencer.Off(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("off: got %v, want context.Canceled", err)
	}
	if p, err := r.Fencer.Status(ctx); err == nil || p != fencing.PowerUnknown {
		t.Errorf("status: got %s, %v", p, err)
	}
	wantPower(t, r, fencing.PowerOn)
}

func concurrent(t *testing.T, r Rig) {
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { again(t, r, "off") })
		wg.Go(func() {
			if _, err := status(r); err != nil && r.Words != OfTarget {
				t.Errorf("status beside others: %v", err)
			}
		})
	}
	wg.Wait()
	wantStatus(t, r, fencing.PowerOff)
}

// keepsPassword looks at everything that is said and shown while all is well.
func keepsPassword(t *testing.T, r Rig) {
	if r.Secret == "" {
		t.Skip("this kind of device has no password")
	}
	wantStatus(t, r, fencing.PowerOn)
	mustSucceed(t, "off", r.Fencer.Off)
	texts := map[string]string{"its name": fmt.Sprintf("%v %+v", r.Fencer, r.Fencer)}
	if r.Shown != nil {
		texts["arguments and environment"] = r.Shown()
		if texts["arguments and environment"] == "" {
			t.Error("nothing was shown at all: the case looks at nothing")
		}
	}
	for what, text := range texts {
		if strings.Contains(text, r.Secret) {
			t.Errorf("%s show the password", what)
		}
	}
}

func calls(r Rig) map[string]func(context.Context) error {
	m := map[string]func(context.Context) error{
		"off": r.Fencer.Off,
		"on":  r.Fencer.On,
		"status": func(ctx context.Context) error {
			_, err := r.Fencer.Status(ctx)
			return err
		},
	}
	if r.Words == OfTarget {
		delete(m, "on")
	}
	return m
}

// again switches off what may be off by now.
func again(t *testing.T, r Rig, name string) {
	t.Helper()
	err := timed(t, name, enough, r.Fencer.Off)
	if err != nil && (r.Words != OfTarget || r.Power() == fencing.PowerOn) {
		t.Errorf("%s: %v", name, err)
	}
}

func status(r Rig) (fencing.Power, error) {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	return r.Fencer.Status(ctx)
}

// wantStatus expects the reading now: a device reports the truth at once.
// Silence of the target itself is not the word that it is off.
func wantStatus(t *testing.T, r Rig, want fencing.Power) {
	t.Helper()
	if r.Words == OfTarget && want == fencing.PowerOff {
		if p, err := status(r); !errors.Is(err, fencing.ErrUnreachable) {
			t.Errorf("status of a machine that is off: %s (%v), want ErrUnreachable", p, err)
		}
		return
	}
	if p, err := status(r); err != nil || p != want {
		t.Errorf("status: %s (%v), want %s", p, err, want)
	}
}

func wantPower(t *testing.T, r Rig, want fencing.Power) {
	t.Helper()
	if p := r.Power(); p != want {
		t.Errorf("the machine is %s, want %s", p, want)
	}
}

func mustSucceed(t *testing.T, name string, call func(context.Context) error) {
	t.Helper()
	if err := timed(t, name, enough, call); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// timed gives a call d and fails when it does not come back soon after that.
func timed(t *testing.T, name string, d time.Duration, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start := time.Now()
	err := call(ctx)
	if took := time.Since(start); took > d+grace {
		t.Errorf("%s took %v, and its context ended after %v", name, took, d)
	}
	return err
}

func keepsSecret(t *testing.T, r Rig, err error) {
	t.Helper()
	if err != nil && r.Secret != "" && strings.Contains(err.Error(), r.Secret) {
		t.Errorf("the error shows the password: %v", err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(enough); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
