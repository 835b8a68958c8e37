package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/faketime"
)

// aimedAt is a device and the hand that holds it, in fake time.
func aimedAt(d fencetest.Device) (*Power, func() boottime.Instant) {
	epoch := time.Now()
	now := func() boottime.Instant { return boottime.Instant(time.Hour).Add(time.Since(epoch)) }
	return &Power{
		Target: "node-b", Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{"bmc"}}},
		Shooter: &shooter.Shooter{Fencers: map[fencing.DeviceName]fencing.Fencer{"bmc": fencetest.NewFake(d, now)}, Executor: "node-a", Now: now},
	}, now
}

// The first shot's command takes effect when nobody looks any more; the second one
// finds the machine off, and would prove nothing if it had forgotten that it was on.
func TestControllerSlowerThanAShotIsProvenByTheNextOne(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		p, now := aimedAt(fencetest.Device{Outlet: fencetest.NewOutlet(fencing.PowerOn), Fault: fencetest.Late, Delay: 10 * time.Second})
		shoot := func(m arbiter.MandateID) agent.ShotDone {
			readings := p.read(context.Background())
			done, _ := p.shoot(context.Background(), agent.Shoot{Mandate: m, Readings: readings, Asked: now(), Before: now().Add(12 * time.Second)})
			return done
		}
		if first := shoot(1); first.Failure == "" || !first.InFlight {
			t.Fatalf("the first proves something: %+v", first)
		}
		time.Sleep(15 * time.Second)
		if second := shoot(2); second.Failure != "" || second.Grade != arbiter.E3 {
			t.Errorf("the second: %+v", second)
		}
	})
}

// The peer was not heard when this node read its device first. It lives now, and may
// lose its power before the monitor's next turn.
func TestDeviceOfAPeerThatHasJustComeIsReadSoon(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		p, now := aimedAt(fencetest.Device{Outlet: fencetest.NewOutlet(fencing.PowerOn)})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = p.Run(ctx) }()
		time.Sleep(5 * time.Second) // the peer boots
		for range 16 {
			p.Heard(now())
			time.Sleep(250 * time.Millisecond)
		}
		if on, _ := p.known(); len(on) != 1 {
			t.Errorf("after 4 s of life no on of it is known: %v", on)
		}
	})
}

// An agent died between off and on. The next one finds the peer off.
func TestMachineThatAnUnfinishedShotHasLeftOffIsSwitchedOn(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		outlet := fencetest.NewOutlet(fencing.PowerOff)
		p, _ := aimedAt(fencetest.Device{Outlet: outlet})
		if switched, err := p.restore(t.Context()); err != nil || !switched {
			t.Errorf("switched on: %t, %v", switched, err)
		}
		if switched, err := p.restore(t.Context()); err != nil || switched {
			t.Errorf("one that is on is switched: %t, %v", switched, err)
		}
		silent, _ := aimedAt(fencetest.Device{Outlet: outlet, Fault: fencetest.Unreachable})
		if switched, err := silent.restore(t.Context()); err != nil || switched {
			t.Errorf("one that says nothing is switched: %t, %v", switched, err)
		}
	})
}

// asks is a device that can only ask the machine itself: off, it answers nothing, and it
// switches nothing on.
type asks struct{}

func (asks) Off(context.Context) error { return nil }
func (asks) On(context.Context) error  { return errors.ErrUnsupported }
func (asks) Status(context.Context) (fencing.Power, error) {
	return fencing.PowerUnknown, fencing.ErrUnreachable
}

func TestDeviceThatSwitchesNothingOnIsNotWaitedFor(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		p, now := aimedAt(fencetest.Device{Outlet: fencetest.NewOutlet(fencing.PowerOff)})
		p.Shooter.Fencers["ssh"] = asks{}
		began := now()
		if switched, err := p.restore(t.Context()); err != nil || !switched {
			t.Errorf("switched on: %t, %v", switched, err)
		}
		if took := now().Sub(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
