package runner

import (
	"context"
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

func TestRehearsalSwitchesOffAndOnThoughThePeerIsHeard(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		epoch := time.Now()
		now := func() boottime.Instant { return boottime.Instant(time.Hour).Add(time.Since(epoch)) }
		seen := 0
		device := fencetest.NewFake(fencetest.Device{Outlet: fencetest.NewOutlet(fencing.PowerOn)}, now)
		p := &Power{
			Target: "node-b", Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{"bmc"}}},
			Shooter: &shooter.Shooter{Fencers: map[fencing.DeviceName]fencing.Fencer{"bmc": device}, Executor: "node-a", Now: now},
		}
		p.Heard(now())
		before := []arbiter.Reading{{Device: "bmc", Power: "on", At: now()}}
		time.Sleep(time.Millisecond)
		done := p.rehearse(context.Background(), context.Background(), agent.Shoot{Mandate: 1, Readings: before, Asked: now(), Before: now().Add(15 * time.Second), Rehearsal: true}, func() { seen++ })
		if seen != 1 || done.Failure != "" || done.Grade < arbiter.E3 {
			t.Fatalf("%+v", done)
		}
		off, last := false, ""
		for _, r := range done.Readings {
			off, last = off || r.Power == "off", r.Power
		}
		if !off || last != "on" {
			t.Errorf("read %+v", done.Readings)
		}
	})
}
