package recovery

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/drbd"
)

func gis(a, b string) func(*Evidence) {
	return func(e *Evidence) { e.Sides[0].Volumes[0].Generations, e.Sides[1].Volumes[0].Generations = a, b }
}

func TestOnlyAProvenSplitBrainIsOne(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Evidence)
		kind   Kind
		source Node
		full   bool
	}{
		"both promoted":       {func(*Evidence) {}, SplitBrain, "", false},
		"in step":             {gis(giBoth, giBoth), InSync, "", false},
		"one lags behind":     {gis(giOlder, giBoth), Resync, "node-a", false},
		"the other lags":      {gis(giBoth, giYounger), Resync, "node-b", false},
		"one is new":          {gis(giOlder, giNew), Empty, "node-a", true},
		"strangers":           {gis(giOlder, giStranger), Unrelated, "", false},
		"young strangers":     {gis(giOlder, giYoungStranger), NoAncestor, "", true},
		"strangers begun new": {gis(giBegun1, giBegun2), NoAncestor, "", true},
		"forced while new":    {gis(giForced1, giForced2), NoAncestor, "", true},
		"an old fork":         {gis(giOldFork1, giOldFork2), MissingAncestor, "", true},
		"one is Inconsistent": {func(e *Evidence) { e.Sides[1].Volumes[0].Disk = drbd.DiskInconsistent }, Resync, "node-a", false},
		"both are":            {func(e *Evidence) { bothDisks(e, drbd.DiskInconsistent); gis(giOlder, giBoth)(e) }, NoGoodCopy, "", false},
		"no disk":             {func(e *Evidence) { e.Sides[1].Volumes[0].Disk = drbd.DiskDiskless }, Diskless, "", false},
		"one is not heard":    {func(e *Evidence) { e.Sides[1] = Side{Node: "node-b", Missing: "its agent is down"} }, Unknown, "", false},
		"unreadable":          {gis(giOlder, "rubbish"), Unknown, "", false},
		"other families":      {func(e *Evidence) { e.Sides[1].Family = drbd.Family9 }, Unknown, "", false},
		"other volumes":       {func(e *Evidence) { e.Sides[1].Volumes[0].Number = 1 }, Unknown, "", false},
		"one name twice":      {func(e *Evidence) { e.Sides[1].Node = "node-a" }, Unknown, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := split().with(c.change)
			for _, e := range []Evidence{e, e.turned()} {
				d := Diagnose(e)
				if d.Kind != c.kind || d.Source != c.source {
					t.Errorf("%s from %q, want %s from %q: %s", d.Kind, d.Source, c.kind, c.source, d.Why)
				}
				if d.Why == "" || d.Advice == "" && !d.Kind.Split() {
					t.Errorf("it does not explain itself: %+v", d)
				}
				if len(d.Volumes) > 0 && d.Volumes[0].Full != c.full {
					t.Errorf("full copy: %v, want %v", d.Volumes[0].Full, c.full)
				}
				if dec := Decide(e, []Policy{{Name: DiscardNode, Node: "node-b"}}); dec.Victim != "" && c.kind != SplitBrain && c.kind != MissingAncestor {
					t.Errorf("%s would be discarded without a split brain", dec.Victim)
				}
			}
		})
	}
}

// A pair that is connected is not advised to connect.
func TestConnectedPairIsToldThatNothingIsWrong(t *testing.T) {
	const (
		source = "1111000000000002:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:0:1:0:0:0"
		target = "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0"
		alone  = "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
	)
	for name, c := range map[string]struct {
		a, b, why, advice string
	}{
		"in step":                  {giBoth, giBoth, "both copies are connected and in step: nothing is wrong", "there is nothing to resolve"},
		"copying":                  {source, target, "node-b lags behind node-a: no split brain", "there is nothing to resolve: they are connected, and DRBD copies what is missing by itself"},
		"in step, one StandAlone":  {giBoth, alone, "both copies are the same generation", "connect them: drbdadm connect on whichever side is StandAlone"},
		"one lags, not connected":  {source, alone, "node-b lags behind node-a: no split brain", "connect them: DRBD copies what is missing, and nothing that both had is lost"},
		"in step, both StandAlone": {alone, alone, "both copies are the same generation", "connect them: drbdadm connect on whichever side is StandAlone"},
	} {
		if d := Diagnose(split().with(gis(c.a, c.b))); d.Why != c.why || d.Advice != c.advice {
			t.Errorf("%s: %s; %s", name, d.Why, d.Advice)
		}
	}
	spoilt := split().with(func(e *Evidence) { gis(giBoth, giBoth)(e); bothDisks(e, drbd.DiskOutdated) })
	if d := Diagnose(spoilt); strings.Contains(d.Why, "nothing is wrong") {
		t.Errorf("both are Outdated: %s", d.Why)
	}
}

func bothDisks(e *Evidence, d drbd.DiskState) {
	e.Sides[0].Volumes[0].Disk, e.Sides[1].Volumes[0].Disk = d, d
}

func TestVolumesThatLagInDifferentDirectionsHaveNoGoodCopy(t *testing.T) {
	e := split().with(func(e *Evidence) {
		second(0, 0)(e)
		e.Sides[0].Volumes[0].Generations, e.Sides[1].Volumes[0].Generations = giOlder, giBoth
		e.Sides[0].Volumes[1].Generations, e.Sides[1].Volumes[1].Generations = giBoth, giYounger
	})
	if d := Diagnose(e); d.Kind != NoGoodCopy || d.Source != "" || !strings.Contains(d.Why, "different directions") {
		t.Errorf("%+v", d)
	}
}

// What is advised is done on both sides' metadata as DRBD would do it: after that, the
// other copy is taken from the one that is kept, whichever that is.
func TestAdviceByHandLeadsOn(t *testing.T) {
	opposite := func(e *Evidence) {
		second(4*mib, mib)(e)
		gis(giOlder, giBoth)(e)
		e.Sides[0].Volumes[1].Generations, e.Sides[1].Volumes[1].Generations = giBoth, giYounger
	}
	for name, c := range map[string]struct {
		change func(*Evidence)
		kind   Kind
		says   []string
	}{
		"lag in different directions": {opposite, NoGoodCopy, []string{"drbdadm create-md r0 r1;", "sbctl group init nfs --keep node-a"}},
		"one of them has split besides": {func(e *Evidence) {
			opposite(e)
			for i := range e.Sides {
				v := e.Sides[i].Volumes[0]
				v.Number, v.Generations = 1, []string{giOlder, giYounger}[i]
				e.Sides[i].Volumes = append(e.Sides[i].Volumes, v)
			}
		}, NoGoodCopy, []string{"drbdadm create-md r0 r1;"}},
		"strangers": {func(e *Evidence) { opposite(e); gis(giOlder, giStranger)(e) }, Unrelated, []string{"the copies of r0/0 on node-a and node-b"}},
		"neither is whole": {
			func(e *Evidence) { bothDisks(e, drbd.DiskInconsistent); gis(giOlder, giBoth)(e) }, NoGoodCopy,
			[]string{"drbdadm primary --force r0 (", "copy the disks beneath them on both nodes away", "r0/0 is Inconsistent on node-a"},
		},
	} {
		for _, family := range []drbd.Family{drbd.Family84, drbd.Family9} {
			e := split().with(c.change)
			e.Sides[0].Family, e.Sides[1].Family = family, family
			d := Diagnose(e)
			if d.Kind != c.kind {
				t.Errorf("%s: %s", name, d.Kind)
			}
			for _, want := range append(c.says, "sbctl maintenance on", "sbctl maintenance off", "node-a", "node-b") {
				if !strings.Contains(d.Why+"; "+d.Advice, want) {
					t.Errorf("%s: nothing of %q in: %s; %s", name, want, d.Why, d.Advice)
				}
			}
			for kept := range e.Sides {
				after := e.with(func(e *Evidence) {
					for i := range e.Sides[kept].Volumes {
						e.Sides[kept].Volumes[i].Disk = drbd.DiskUpToDate // forced, where it was not
						e.Sides[1-kept].Volumes[i].Disk, e.Sides[1-kept].Volumes[i].Generations = drbd.DiskInconsistent, giNew
					}
				})
				if d := Diagnose(after); d.Kind != Empty || d.Source != e.Sides[kept].Node {
					t.Errorf("%s on %s: done as advised it is %s from %q, and %s was to be kept: %s", name, family, d.Kind, d.Source, e.Sides[kept].Node, d.Why)
				}
			}
		}
	}
}

func TestAdviceNamesNodeAndVolume(t *testing.T) {
	e := split().with(func(e *Evidence) { second(0, 0)(e); e.Sides[1].Volumes[1].Disk = drbd.DiskDiskless })
	if d := Diagnose(e); d.Kind != Diskless || !strings.Contains(d.Why, "r1/0 is Diskless on node-b") || !strings.Contains(d.Advice, "on node-b: drbdadm attach r1/0 (") {
		t.Errorf("%s: %s; %s", d.Kind, d.Why, d.Advice)
	}
	// A disk that is not there comes before volumes that lag in different directions.
	e = split().with(func(e *Evidence) {
		second(0, 0)(e)
		second(0, 0)(e)
		gis(giOlder, giBoth)(e)
		e.Sides[0].Volumes[1].Generations, e.Sides[1].Volumes[1].Generations = giBoth, giYounger
		for i := range e.Sides {
			e.Sides[i].Volumes[2].Resource = "r2"
		}
		e.Sides[0].Volumes[2].Disk = drbd.DiskDiskless
	})
	if d := Diagnose(e); d.Kind != Diskless || d.Source != "" || len(d.Volumes) != 3 {
		t.Errorf("%s from %q: %+v", d.Kind, d.Source, d.Volumes)
	}
}

func TestForecastBoundsWhatIsCopied(t *testing.T) {
	v := Diagnose(split()).Volumes[0]
	if v.AtLeast != 10*mib || v.AtMost != 12*mib {
		t.Errorf("between %d and %d, want between 10 and 12 MiB", v.AtLeast, v.AtMost)
	}
	if v.Soonest != 0 {
		t.Errorf("%v, and no limit is known", v.Soonest)
	}
	for _, limits := range [][2]uint64{{mib, 5 * mib}, {mib, 0}} {
		v = Diagnose(split().with(func(e *Evidence) {
			e.Sides[0].Volumes[0].ResyncLimit, e.Sides[1].Volumes[0].ResyncLimit = limits[0], limits[1]
		})).Volumes[0]
		if v.Soonest != 10*time.Second {
			t.Errorf("%v at a limit of %v, want 10 s", v.Soonest, limits)
		}
	}
	v = Diagnose(split().with(func(e *Evidence) { e.Sides[0].Volumes[0].OutOfSync = nil })).Volumes[0]
	if v.AtLeast != 0 || v.AtMost != 256*mib {
		t.Errorf("between %d and %d, want anything up to the whole", v.AtLeast, v.AtMost)
	}
}
