package recovery

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

func TestPlanInAnOrderThatItMustNotHaveIsRefused(t *testing.T) {
	of := func(k StepKind) func(Step) bool { return func(s Step) bool { return s.Kind == k } }
	without := func(k StepKind) func(*Plan) {
		return func(p *Plan) { p.Steps = slices.DeleteFunc(p.Steps, of(k)) }
	}
	before := func(k, other StepKind) func(*Plan) {
		return func(p *Plan) {
			i, j := slices.IndexFunc(p.Steps, of(k)), slices.IndexFunc(p.Steps, of(other))
			p.Steps[i], p.Steps[j] = p.Steps[j], p.Steps[i]
		}
	}
	for name, c := range map[string]struct {
		change func(*Plan)
		says   string
	}{
		"the end before anything is given up": {before(FollowResync, Discard), "cannot follow"},
		"the survivor before the victim":      {before(Connect, Disconnect), "cannot follow"},
		"given up before it is measured":      {before(Discard, Measure), "cannot follow"},
		"kept while it is connected":          {before(Snapshot, Disconnect), "cannot follow"},
		"not measured again":                  {without(Measure), "lacks the step"},
		"not kept":                            {without(Snapshot), "lacks the step"},
		"its metadata not kept":               {without(DumpMetadata), "lacks the step"},
		"not parted":                          {without(Disconnect), "lacks the step"},
		"not stopped":                         {without(StopServices), "lacks the step"},
		"nothing given up":                    {without(Discard), "lacks the step"},
		"not followed":                        {without(FollowResync), "lacks the step"},
		"not readmitted":                      {without(Readmit), "lacks the step"},
		"no step":                             {func(p *Plan) { p.Steps = nil }, "lacks the step"},
		"a step that is none":                 {func(p *Plan) { p.Steps[3].Kind = "format" }, "is no step"},
		"a step of the other node":            {func(p *Plan) { p.Steps[6].Node = p.Survivor }, "is given up"},
		"a step of a third node":              {func(p *Plan) { p.Steps[7].Node = "node-c" }, "is kept"},
		"a step twice":                        {func(p *Plan) { p.Steps = slices.Insert(p.Steps, 7, p.Steps[6]) }, "twice"},
		"another resource": {func(p *Plan) {
			p.Steps = slices.Insert(p.Steps, 7, Step{Node: p.Victim, Kind: Discard, Resource: "r9"})
		}, "nothing to do with"},
		"declared bad without need": {func(p *Plan) { p.Steps[6].Kind = Invalidate }, "lacks the step"},
		"a resource named ..":       {func(p *Plan) { p.Steps[4].Resource = ".." }, "no name of a resource"},
		"a resource with a slash":   {func(p *Plan) { p.Steps[4].Resource = "r0/../../etc" }, "no name of a resource"},
		"an option for a resource":  {func(p *Plan) { p.Steps[1].Resource = "--force" }, "no name of a resource"},
		"a volume below zero":       {func(p *Plan) { p.Steps[4].Volume = -1 }, "no volume -1"},
		"a volume named ..":         {func(p *Plan) { p.Basis[0].Volume = "../0" }, "does not name a volume"},
		"no basis":                  {func(p *Plan) { p.Basis = nil }, "which generation"},
		"a basis of one side":       {func(p *Plan) { p.Basis = p.Basis[:1] }, "which generation"},
		"a basis of a third node":   {func(p *Plan) { p.Basis = append(p.Basis, Basis{"node-c", "r0/0", giBoth}) }, "which generation"},
		"a basis twice":             {func(p *Plan) { p.Basis = append(p.Basis, p.Basis[1]) }, "twice"},
		"no generation":             {func(p *Plan) { p.Basis[0].Generations = "rubbish" }, "rubbish"},
		"one node for both":         {func(p *Plan) { p.Survivor = p.Victim }, "two nodes"},
		"no group":                  {func(p *Plan) { p.Group = "" }, "no group"},
		"an unknown driver":         {func(p *Plan) { p.Family = "10" }, "neither"},
		"another version":           {func(p *Plan) { p.Version = 2 }, "version 2"},
		"endless":                   {func(p *Plan) { p.Steps = slices.Repeat(p.Steps, mostSteps) }, "more than"},
	} {
		p := planOf(t, split(), "node-b").Clone()
		c.change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every plan that is made passes, and of every list of steps whatever only one that
// can be gone through.
func TestPlansThatAreMadePass(t *testing.T) {
	kinds := []StepKind{StopServices, Demote, DumpMetadata, Snapshot, Disconnect, Measure, Invalidate, Discard, Connect, FollowResync, Readmit, "format"}
	steps := rapid.Custom(func(t *rapid.T) Step {
		return Step{
			Node: rapid.SampledFrom([]Node{"node-a", "node-b"}).Draw(t, "node"), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			Resource: rapid.SampledFrom([]string{"", "r0", "r1", ".."}).Draw(t, "resource"), Volume: rapid.IntRange(-1, 1).Draw(t, "volume"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := split()
		if rapid.Bool().Draw(t, "old fork") {
			e = e.with(gis(giOldFork1, giOldFork2))
		}
		if rapid.Bool().Draw(t, "second volume") {
			e = e.with(second(mib, mib))
		}
		f := rapid.SampledFrom([]drbd.Family{drbd.Family84, drbd.Family9}).Draw(t, "family")
		e.Sides[0].Family, e.Sides[1].Family = f, f
		d, err := Choose(e, rapid.SampledFrom([]Node{"node-a", "node-b"}).Draw(t, "victim"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := MakePlan(e, d)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(p.Steps)-1).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "change") {
			case 0:
				p.Steps = slices.Insert(slices.Clone(p.Steps), at, steps.Draw(t, "step"))
			case 1:
				p.Steps = slices.Delete(slices.Clone(p.Steps), at, at+1)
			default:
				to := rapid.IntRange(0, len(p.Steps)-1).Draw(t, "to")
				p.Steps[at], p.Steps[to] = p.Steps[to], p.Steps[at]
			}
		}
		if p.Check() != nil {
			return
		}
		// What still passes keeps the order that nothing is lost in.
		at := func(k StepKind) int { return slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == k }) }
		if r := p.NoReturn(); at(Measure) > r || at(Snapshot) > r || at(FollowResync) < r || at(StopServices) != 0 {
			t.Fatalf("it passes: %v", p.Steps)
		}
	})
}

func TestOnlyVolumesNamesAreRead(t *testing.T) {
	if r, n, err := ParseVolume("r0.data-1/65535"); err != nil || r != "r0.data-1" || n != 65535 {
		t.Errorf("%s, %d, %v", r, n, err)
	}
	for _, bad := range []string{"", "r0", "..", "../0", "r0/", "r0/-1", "r0/+1", "r0/01", "r0/65536", "r0/0/0", "/0", "-r/0", "r\n/0", "r0/x", strings.Repeat("r", 200) + "/0"} {
		if r, n, err := ParseVolume(bad); err == nil {
			t.Errorf("%q: %q, %d", bad, r, n)
		}
	}
}

// A survivor that may still wish to discard is parted first: that is a plan, too.
func TestPlanMayPartTheSurvivorAsWell(t *testing.T) {
	p := planOf(t, split(), "node-b")
	p.PartSurvivor()
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	at := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == Disconnect && s.Node == p.Survivor })
	if at < 0 || p.Steps[at+1].Kind != Measure {
		t.Errorf("%v", p.Steps)
	}
	p.Steps[at].Resource = "r9"
	if err := p.Check(); err == nil {
		t.Error("a resource of another group is parted")
	}
}
