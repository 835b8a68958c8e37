package recovery

import "testing"

// The survivor's services write on between the decision and the resync, which copies all
// of that: the last measurement counts. It sends nobody back to the decision: that a
// service writes is no change of what is given up.
func TestPlanForeseesWhatTheSurvivorHasWrittenSince(t *testing.T) {
	p := planOf(t, split().with(second(4*mib, 1*mib)), "node-b")
	later := split().with(second(4*mib, 1*mib)).with(func(e *Evidence) { e.Sides[0].Volumes[0].OutOfSync = counted(200 * mib) })
	if err := p.Holds(later); err != nil {
		t.Fatal(err)
	}
	if p.Foresee(later); p.Room("r0", 0) != 202*mib || p.Room("r1", 0) != 5*mib {
		t.Errorf("room for %s of r0 and %s of r1", Bytes(p.Room("r0", 0)), Bytes(p.Room("r1", 0)))
	}
	if p.Foresee(split().with(second(4*mib, 1*mib))); p.Room("r0", 0) != 202*mib {
		t.Error("what was foreseen is taken back")
	}
	later.Sides[0].Volumes[0].OutOfSync = nil
	if p.Foresee(later); p.Room("r0", 0) != 256*mib || p.Check() != nil {
		t.Errorf("uncounted: %s, %v", Bytes(p.Room("r0", 0)), p.Check())
	}
}
