package shooter

import (
	"strings"
	"testing"

	"sbarbiter/fencing"
	"sbarbiter/fencing/fencetest"
	"sbarbiter/internal/faketime"
)

// A reboot is off for all, and only then on for all.
func TestBothSuppliesComeBackAfterBothWereOff(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Late, fencetest.Honest)
		spec := b.spec(level{"ipmi", "pdu"})
		spec.Topology.Partial = level{"ipmi", "pdu"}
		spec.Before = Readings(b.Read(t.Context()))
		res := b.shoot(t, spec, nil)
		if !res.Proven || b.ipmi.Power() != fencing.PowerOff || b.pdu.Power() != fencing.PowerOff {
			t.Fatalf("%s", res)
		}
		if err := b.Revive(t.Context(), spec, res); err != nil {
			t.Error(err)
		}
		if b.ipmi.Power() != fencing.PowerOn || b.pdu.Power() != fencing.PowerOn {
			t.Errorf("after the reboot: %s and %s", b.ipmi.Power(), b.pdu.Power())
		}
	})
}

func TestNothingComesBackBeforeTheProof(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Lying)
		spec := b.spec(level{"ipmi", "pdu"})
		spec.Topology.Partial = level{"ipmi", "pdu"}
		spec.Before = Readings(b.Read(t.Context()))
		res := b.shoot(t, spec, nil)
		if res.Proven {
			t.Fatal("one supply of two is taken for both")
		}
		if err := b.Revive(t.Context(), spec, res); err == nil || b.ipmi.Power() != fencing.PowerOff {
			t.Errorf("%v; ipmi is %s", err, b.ipmi.Power())
		}
	})
}

func TestADeviceThatDoesNotComeBackIsNamed(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		b := newBench(fencetest.Honest, fencetest.Honest)
		spec := b.spec(level{"ipmi", "pdu"})
		spec.Topology.Partial = level{"ipmi", "pdu"}
		spec.Before = Readings(b.Read(t.Context()))
		res := b.shoot(t, spec, nil)
		b.pdu.SetFault(fencetest.Lying)
		err := b.Revive(t.Context(), spec, res)
		if err == nil || !strings.Contains(err.Error(), "pdu: it reads off") || strings.Contains(err.Error(), "ipmi") {
			t.Errorf("got %v", err)
		}
		if b.ipmi.Power() != fencing.PowerOn {
			t.Error("the other supply was left off")
		}
	})
}
