package recovery

import (
	"slices"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

func planOf(t *testing.T, e Evidence, victim Node) Plan {
	t.Helper()
	d, err := Choose(e, victim)
	if err != nil {
		t.Fatal(err)
	}
	p, err := MakePlan(e, d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p Plan) lines() []string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.String())
	}
	return out
}

func TestPlanKeepsTheVictimsDataBeforeAnythingIsGivenUp(t *testing.T) {
	want := []string{
		"node-b: stop-services", "node-b: demote r0", "node-b: disconnect r0",
		"node-b: dump-metadata r0/0", "node-b: snapshot r0/0",
		"node-a: measure", "node-b: discard r0", "node-a: connect r0",
		"node-a: follow-resync", "node-a: readmit",
	}
	if got := planOf(t, split(), "node-b").lines(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOldForkIsCopiedInFull(t *testing.T) {
	e := split().with(gis(giOldFork1, giOldFork2))
	p := planOf(t, e, "node-b")
	if got := p.lines(); !p.Full || !slices.Contains(got, "node-b: invalidate r0") || slices.Contains(got, "node-b: discard r0") {
		t.Errorf("8.4's flag would leave the copies different: %q", got)
	}
	e = e.with(func(e *Evidence) { e.Sides[0].Family, e.Sides[1].Family = drbd.Family9, drbd.Family9 })
	if got := planOf(t, e, "node-b").lines(); slices.Contains(got, "node-b: invalidate r0") {
		t.Errorf("on 9 an invalidated side splits all the same: %q", got)
	}
}

// What only DRBD calls a split brain may be the disks of two pairs.
func TestUnprovenSplitIsAPersonsToJudge(t *testing.T) {
	for _, change := range []func(*Evidence){gis(giOlder, giYoungStranger), gis(giBegun1, giBegun2), gis(giForced1, giForced2)} {
		e := split().with(change)
		for _, p := range []Policy{{Name: DiscardUnleased}, {Name: DiscardLeastChanges}, {Name: DiscardNode, Node: "node-b"}, {Name: DiscardSecondary}} {
			if d := Decide(e, []Policy{p}); d.Victim != "" || !strings.Contains(d.Why, "may be disks of two pairs") {
				t.Errorf("%s: %q: %s", p, d.Victim, d.Why)
			}
		}
		d, err := Choose(e, "node-b")
		if err != nil || d.Discard != 256*mib {
			t.Fatalf("%d would be given up, %v", d.Discard, err)
		}
		p, err := MakePlan(e, d)
		if err != nil || !p.Full || !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == Invalidate && s.Node == "node-b" }) {
			t.Errorf("%v: %+v", err, p)
		}
		if err := p.Holds(e); err != nil {
			t.Error(err)
		}
	}
}

func TestPlanEndsWhenTheWorldHasMovedOn(t *testing.T) {
	p := planOf(t, split(), "node-b")
	demoted := split().with(func(e *Evidence) {
		e.Sides[0].Role = drbd.RoleSecondary
		gis(strings.Replace(giOlder, "EA3B3:", "EA3B2:", 1), giYounger)(e)
	})
	if err := p.Holds(demoted); err != nil {
		t.Errorf("a demotion voids it: %v", err)
	}
	for name, change := range map[string]func(*Evidence){
		"another generation":     gis(giOlder, strings.Replace(giYounger, "D6F3", "D6F4", 1)),
		"resolved meanwhile":     gis(giOlder, giBoth),
		"more to discard":        func(e *Evidence) { e.Sides[1].Volumes[0].OutOfSync = counted(3 * mib) },
		"not countable any more": func(e *Evidence) { e.Sides[1].Volumes[0].OutOfSync = nil },
		"a side is gone":         func(e *Evidence) { e.Sides[1] = Side{Node: "node-b", Missing: "no answer"} },
		"other volumes":          second(0, 0),
	} {
		if p.Holds(split().with(change)) == nil {
			t.Errorf("%s: the plan holds", name)
		}
	}
	p.Version++
	if err := p.Holds(split()); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
}

func TestNoPlanWithoutAVictim(t *testing.T) {
	if _, err := MakePlan(split(), Decide(split(), []Policy{{Name: Manual}})); err == nil {
		t.Error("a plan for nobody")
	}
}

func TestCommandsAreThoseAPersonWouldType(t *testing.T) {
	p := planOf(t, split(), "node-b")
	var got []string
	for _, s := range p.Steps {
		for _, c := range p.Commands(s) {
			got = append(got, string(s.Node)+"# "+c)
		}
	}
	want := []string{
		"node-b# drbdadm secondary r0", "node-b# drbdadm disconnect r0", "node-b# drbdadm dump-md r0/0",
		"node-b# drbdadm connect --discard-my-data r0", "node-a# drbdadm connect r0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// With nobody to lead, each node can tell for itself whether a plan fits it still.
func TestPlanIsHeldAgainstOneSide(t *testing.T) {
	p := planOf(t, split(), "node-b")
	for name, c := range map[string]struct {
		side int
		says string
		do   func(*Side)
	}{
		"as it was":                {1, "", func(*Side) {}},
		"the survivor as it was":   {0, "", func(*Side) {}},
		"the survivor has more":    {0, "", func(s *Side) { s.Volumes[0].OutOfSync = counted(200 << 20) }},
		"not to be measured":       {1, "no module", func(s *Side) { s.Missing = "no module" }},
		"more would be lost":       {1, "and the plan allows", func(s *Side) { s.Volumes[0].OutOfSync = counted(200 << 20) }},
		"a little more":            {1, "2.004 MiB would be discarded now, and the plan allows 2.000 MiB", func(s *Side) { s.Volumes[0].OutOfSync = counted(p.mostLost() + 4096) }},
		"in use, more may be lost": {1, "", func(s *Side) { s.Volumes[0].OutOfSync, s.Role = counted(200<<20), drbd.RolePrimary }},
		"not counted":              {1, "and the plan allows", func(s *Side) { s.Volumes[0].OutOfSync = nil }},
		"a later generation":       {1, "moved on", func(s *Side) { s.Volumes[0].Generations = giOldFork1 }},
		"of the survivor":          {0, "moved on", func(s *Side) { s.Volumes[0].Generations = giOldFork1 }},
		"a survivor that is bad":   {0, "which is kept, is Inconsistent", func(s *Side) { s.Volumes[0].Disk = drbd.DiskInconsistent }},
		"a volume more":            {1, "there are 2", func(s *Side) { s.Volumes = append(s.Volumes, Volume{Resource: "r1"}) }},
		"a third node":             {1, "0 volumes of node-c", func(s *Side) { s.Node = "node-c" }},
	} {
		s := split().Sides[c.side]
		s.Volumes = append([]Volume(nil), s.Volumes...)
		c.do(&s)
		if err := p.HoldsSide(s); (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
