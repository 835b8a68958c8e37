package recovery

import (
	"slices"
	"testing"

	"sbarbiter/drbd"
)

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

// On 8.4 a copy is declared bad as a whole, whatever became of each volume: all of it is
// overwritten, and kept. On 9 each volume is copied by what DRBD finds of it.
func TestPlanOfMixedKindsKeepsAllThatIsOverwritten(t *testing.T) {
	for _, c := range []struct {
		family   drbd.Family
		resource string
		room     uint64
		discard  string
	}{
		{drbd.Family84, "r1", 256 * mib, "node-b: invalidate r1"},
		{drbd.Family9, "r1", 5 * mib, "node-b: discard r1"},
		{drbd.Family84, "r0", 256 * mib, "node-b: invalidate r0"},
		{drbd.Family9, "r0", 5 * mib, "node-b: discard r0"},
	} {
		e := split().with(second(4*mib, 1*mib)).with(func(e *Evidence) {
			gis(giOldFork1, giOldFork2)(e)
			for s := range e.Sides {
				e.Sides[s].Family = c.family
				e.Sides[s].Volumes[1].Resource, e.Sides[s].Volumes[1].Number = c.resource, 1
			}
		})
		p := planOf(t, e, "node-b")
		if r0, other := p.Room("r0", 0), p.Room(c.resource, 1); r0 != 256*mib || other != c.room || !slices.Contains(p.lines(), c.discard) {
			t.Errorf("%s, %s: %s and %s are kept: %q", c.family, c.resource, Bytes(r0), Bytes(other), p.lines())
		}
		if found := p.Overwrites(Diagnose(e).Volumes); found[0].AtMost != 256*mib || found[1].AtMost != c.room {
			t.Errorf("%s: it is shown as %+v", c.family, found)
		}
		if p.Foresee(e); p.Room(c.resource, 1) != c.room {
			t.Errorf("%s: %s are foreseen", c.family, Bytes(p.Room(c.resource, 1)))
		}
		for _, s := range e.Sides {
			if s.Role = drbd.RoleSecondary; p.HoldsSide(s) != nil {
				t.Errorf("%s: nothing has changed: %v", c.family, p.HoldsSide(s))
			}
		}
		e.Sides[1].Volumes[1].SnapshotRoom = 5 * mib
		d := Decide(e, []Policy{{Name: DiscardNode, Node: "node-b", Guards: Guards{RequireSnapshot: true}}})
		if enough := c.room == 5*mib; (d.Victim != "") != enough {
			t.Errorf("%s: room for 5 MiB of %s, and the victim is %q: %+v", c.family, Bytes(c.room), d.Victim, d.Opinions)
		}
	}
}

// A copy whose disk has failed is declared bad before it is given up, and overwritten as a
// whole.
func TestPlanKeepsAllOfACopyThatWillBeDeclaredBad(t *testing.T) {
	e := split().with(func(e *Evidence) { e.Sides[1].Distrusted = true })
	if p := planOf(t, e, "node-b"); p.Room("r0", 0) != 256*mib {
		t.Errorf("%s are kept of node-b", Bytes(p.Room("r0", 0)))
	}
	if p := planOf(t, e, "node-a"); p.Room("r0", 0) == 256*mib {
		t.Error("node-a's disk has not failed")
	}
}

// A volume that is in step is kept as well, and needs no room for all of it: "no figure"
// would stand for that.
func TestVolumeInStepNeedsNoRoomForAllOfIt(t *testing.T) {
	e := split().with(second(0, 0)).with(func(e *Evidence) {
		e.Sides[0].Volumes[1].Generations, e.Sides[1].Volumes[1].Generations = giBoth, giBoth
	})
	if p := planOf(t, e, "node-b"); p.Room("r0", 0) != 12*mib || p.Room("r1", 0) != 1 || p.Holds(e) != nil {
		t.Errorf("%d and %d: %v", p.Room("r0", 0), p.Room("r1", 0), p.Holds(e))
	}
}
