package shooter

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/faketime"
)

// bubbleClock counts a bubble's time, which CLOCK_BOOTTIME would not.
func bubbleClock() func() boottime.Instant {
	start := time.Now()
	return func() boottime.Instant { return boottime.Instant(time.Hour).Add(time.Since(start)) }
}

type bench struct {
	*Shooter
	ipmi *fencetest.Fake
	pdu  *fencetest.Fake
}

func newBench(ipmi, pdu fencetest.Fault) bench {
	now := bubbleClock()
	device := func(f fencetest.Fault) *fencetest.Fake {
		return fencetest.NewFake(fencetest.Device{Outlet: fencetest.NewOutlet(fencing.PowerOn), Fault: f, Delay: 1300 * time.Millisecond}, now)
	}
	b := bench{ipmi: device(ipmi), pdu: device(pdu)}
	b.Shooter = &Shooter{
		Fencers:  map[fencing.DeviceName]fencing.Fencer{"ipmi": b.ipmi, "pdu": b.pdu},
		Executor: "node-b", Now: now,
	}
	return b
}

func (b bench) spec(levels ...[]fencing.DeviceName) fencing.Spec {
	now := b.Now()
	return fencing.Spec{
		Target: "node-a", Topology: fencing.Topology{Levels: levels},
		Start: now, StartBy: now.Add(2 * time.Second), Deadline: now.Add(20 * time.Second), MaxGap: fencing.DefaultMaxGap,
	}
}

type level = []fencing.DeviceName

func (b bench) shoot(t *testing.T, spec fencing.Spec, heard <-chan struct{}) fencing.Result {
	t.Helper()
	res, err := b.Shoot(t.Context(), spec, heard)
	if err != nil {
		t.Fatalf("shoot: %v", err)
	}
	t.Logf("%s\n%s", res, strings.Join(res.Explain(), "\n"))
	if res.End > spec.Deadline {
		t.Errorf("ended %v after the deadline", res.End.Sub(spec.Deadline))
	}
	return res
}

func TestObedientDeviceProvesItAtOnce(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Honest)
		spec := b.spec(level{"ipmi"})
		spec.Before = Readings(b.Read(t.Context()))
		res := b.shoot(t, spec, nil)
		if !res.Proven || res.Grade != fencing.E3 || b.ipmi.Power() != fencing.PowerOff {
			t.Errorf("%s", res)
		}
		if took := res.End.Sub(res.Start); took != 0 {
			t.Errorf("took %v without any reason to wait", took)
		}
	})
}

func TestLateDeviceIsWaitedForByPolling(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Late, fencetest.Honest)
		res := b.shoot(t, b.spec(level{"ipmi"}), nil)
		if took := res.End.Sub(res.Start); !res.Proven || took != 1350*time.Millisecond || b.ipmi.Offs() != 1 {
			t.Errorf("after %v and %d offs: %s", took, b.ipmi.Offs(), res)
		}
	})
}

func TestDeadDeviceLeadsToTheNextLevel(t *testing.T) {
	for _, f := range []fencetest.Fault{fencetest.Unreachable, fencetest.WrongPassword, fencetest.Hanging, fencetest.Lying} {
		t.Run(f.String(), func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				b := newBench(f, fencetest.Honest)
				spec := b.spec(level{"ipmi"}, level{"pdu"})
				spec.Deadline = spec.Start.Add(30 * time.Second)
				res := b.shoot(t, spec, nil)
				if !res.Proven || !strings.Contains(res.Reason, "pdu") || res.Devices[0].Failure == "" {
					t.Errorf("%s", res)
				}
			})
		})
	}
}

func TestLostAnswerIsNoLostShot(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.DropsLine, fencetest.Honest)
		spec := b.spec(level{"ipmi"})
		spec.Before = Readings(b.Read(t.Context()))
		if res := b.shoot(t, spec, nil); !res.Proven || b.ipmi.Offs() != 1 {
			t.Errorf("%d offs: %s", b.ipmi.Offs(), res)
		}
	})
}

func TestHeardAfterOffVoidsTheProof(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Late)
		heard := make(chan struct{}, 1)
		time.AfterFunc(500*time.Millisecond, func() { heard <- struct{}{} })
		res := b.shoot(t, b.spec(level{"ipmi", "pdu"}), heard)
		if res.Proven || !strings.Contains(res.Reason, "was heard at +0.50s") {
			t.Errorf("%s", res)
		}
	})
}

// stubborn ignores its context until it is let go.
type stubborn struct {
	fencing.Fencer
	release chan struct{}
}

func (s stubborn) Off(context.Context) error { <-s.release; return nil }

func (s stubborn) Status(context.Context) (fencing.Power, error) {
	<-s.release
	return fencing.PowerOff, nil
}

func TestDriverThatIgnoresItsContextCannotHoldTheShot(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Honest)
		release := make(chan struct{})
		defer close(release)
		b.Fencers["ipmi"] = stubborn{release: release}
		spec := b.spec(level{"ipmi"})
		spec.Deadline = spec.Start.Add(5 * time.Second)
		res := b.shoot(t, spec, nil)
		if res.Proven || res.End != spec.Deadline {
			t.Errorf("%s, after %v", res, res.End.Sub(res.Start))
		}
		if late := b.Now().Sub(spec.Deadline); late > 2*settleTime {
			t.Errorf("returned %v after the deadline", late)
		}
	})
}

func TestCancelledShotSaysWhatWasSent(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Lying, fencetest.Honest)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		res, err := b.Shoot(ctx, b.spec(level{"ipmi"}), nil)
		if !errors.Is(err, context.Canceled) || res.Proven || !res.Sent {
			t.Errorf("%v: %s", err, res)
		}
	})
}

func TestPausedExecutorSendsNothingMore(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Lying, fencetest.Honest)
		var paused atomic.Int64 // as CLOCK_BOOTTIME sees a stop that timers do not
		real := b.Now
		b.Now = func() boottime.Instant { return real().Add(time.Duration(paused.Load())) }
		time.AfterFunc(time.Second, func() { paused.Store(int64(3 * time.Second)) })
		res := b.shoot(t, b.spec(level{"ipmi"}), nil)
		if res.Proven || b.ipmi.Offs() != 1 || !strings.Contains(res.Reason, "did not run") {
			t.Errorf("%d offs: %s", b.ipmi.Offs(), res)
		}
	})
}

func TestDeviceWithoutDriverIsRefusedBeforeAnythingIsSent(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Honest)
		res, err := b.Shoot(t.Context(), b.spec(level{"ipmi"}, level{"redfish"}), nil)
		if err == nil || res.Sent || b.ipmi.Offs() != 0 {
			t.Errorf("%v, %d offs", err, b.ipmi.Offs())
		}
	})
}

func TestReadReportsEachDeviceAndHangsForNone(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Hanging, fencetest.Honest)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		obs := b.Read(ctx)
		if len(obs) != 2 || obs[0].Err == nil || obs[0].Power != fencing.PowerUnknown || obs[1].Power != fencing.PowerOn {
			t.Errorf("%+v", obs)
		}
		if r := Readings(obs); len(r) != 1 || r[0].Executor != "node-b" || r[0].Device != "pdu" {
			t.Errorf("readings %v", r)
		}
	})
}

func TestMonitorReadsAtOnceAndAtTheInterval(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.WrongPassword)
		seen := make(chan Observation, 100)
		m := &Monitor{Shooter: b.Shooter, Observe: func(o Observation) { seen <- o }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		last := m.Last()
		if len(last) != 2 || last[0].Power != fencing.PowerOn || !errors.Is(last[1].Err, fencing.ErrAuth) {
			t.Errorf("first readings: %+v", last)
		}
		b.pdu.SetFault(fencetest.Honest)
		time.Sleep(DefaultInterval)
		synctest.Wait()
		if last := m.Last(); last[1].Power != fencing.PowerOn {
			t.Errorf("after the interval: %+v", last)
		}
		if len(seen) != 4 {
			t.Errorf("%d observations", len(seen))
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestMonitorPilesNoCallsOnADriverThatHangs(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Honest)
		release := make(chan struct{})
		b.Fencers["ipmi"] = stubborn{release: release}
		m := &Monitor{Shooter: b.Shooter, Interval: 10 * time.Second, Timeout: time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(15 * time.Second)
		if last := m.Last(); last[0].Err == nil || !strings.Contains(last[0].Err.Error(), "earlier call still hangs") {
			t.Errorf("second round: %+v", last[0])
		}
		// Once it lets go, its old answer is not taken for news.
		close(release)
		time.Sleep(10 * time.Second)
		if last := m.Last(); last[0].Power != fencing.PowerOff || b.Now().Sub(last[0].At) > 6*time.Second {
			t.Errorf("after the hang: %+v", last[0])
		}
		cancel()
		<-done
	})
}
