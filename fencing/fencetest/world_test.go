package fencetest

import (
	"testing"

	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

func TestFakePassesTheSuite(t *testing.T) {
	Run(t, func(_ *testing.T, s Setup) Rig {
		f := NewFake(Device{Outlet: NewOutlet(s.Power), Fault: s.Fault, Delay: s.Delay}, boottime.Now)
		return Rig{Fencer: f, Power: f.Power}
	})
}

func TestAChangeUnderWayIsDroppedByANewOne(t *testing.T) {
	o := NewOutlet(fencing.PowerOn)
	o.Set(10, 20, fencing.PowerOff)
	o.Set(12, 30, fencing.PowerOn)
	if p := o.Power(25); p != fencing.PowerOn {
		t.Errorf("the dropped change came true: %s", p)
	}
}
