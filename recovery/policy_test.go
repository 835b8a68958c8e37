package recovery

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

func TestPoliciesDecideBothWays(t *testing.T) {
	tenures := func(a, b []Tenure) func(*Evidence) {
		return func(e *Evidence) { e.Sides[0].Tenures, e.Sides[1].Tenures = a, b }
	}
	changed := func(a, b uint64) func(*Evidence) {
		return func(e *Evidence) {
			e.Sides[0].Volumes[0].OutOfSync, e.Sides[1].Volumes[0].OutOfSync = counted(a), counted(b)
		}
	}
	for name, c := range map[string]struct {
		policy Policy
		change func(*Evidence)
		victim Node
		says   string
	}{
		"nothing changed on b":           {Policy{Name: DiscardZeroChanges}, changed(4096, 0), "node-b", "node-b changed nothing on r0/0, node-a 4.0 KiB"},
		"nothing changed on a":           {Policy{Name: DiscardZeroChanges}, changed(0, 4096), "node-a", "node-a changed nothing"},
		"nobody changed anything":        {Policy{Name: DiscardZeroChanges}, changed(0, 0), "", "neither side"},
		"both changed":                   {Policy{Name: DiscardZeroChanges}, nil, "", "both sides changed r0/0"},
		"not counted":                    {Policy{Name: DiscardZeroChanges}, func(e *Evidence) { e.Sides[1].Volumes[0].OutOfSync = nil }, "", "since they parted could not be counted"},
		"b never held the epoch":         {Policy{Name: DiscardUnleased}, nil, "node-b", "node-a held the group under epoch 8, node-b only up to 4"},
		"b held none":                    {Policy{Name: DiscardUnleased}, tenures([]Tenure{{Epoch: 8, Leased: true}}, []Tenure{{Epoch: 12}}), "node-b", "node-b under none"},
		"a held the lower":               {Policy{Name: DiscardUnleased}, tenures([]Tenure{{Epoch: 8, Leased: true}}, []Tenure{{Epoch: 12, Leased: true}}), "node-a", "only up to 8"},
		"both claim one epoch":           {Policy{Name: DiscardUnleased}, tenures([]Tenure{{Epoch: 8, Leased: true}}, []Tenure{{Epoch: 8, Leased: true}}), "", "only one can have held"},
		"no lease at all":                {Policy{Name: DiscardUnleased}, tenures([]Tenure{{Epoch: 8}}, nil), "", "no lease of either side"},
		"b was promoted later":           {Policy{Name: DiscardYoungerPrimary}, nil, "node-b", "without a lease"},
		"a was promoted first":           {Policy{Name: DiscardOlderPrimary}, nil, "node-a", "under epoch 8"},
		"by epochs":                      {Policy{Name: DiscardYoungerPrimary}, tenures([]Tenure{{Epoch: 12, Leased: true}}, []Tenure{{Epoch: 8, Leased: true}}), "node-a", "under epoch 12"},
		"b had not heard of a's grant":   {Policy{Name: DiscardYoungerPrimary}, tenures([]Tenure{{Epoch: 12, Leased: true}}, []Tenure{{Epoch: 8}}), "", "order is not recorded"},
		"both by hand":                   {Policy{Name: DiscardOlderPrimary}, tenures([]Tenure{{Epoch: 12}}, []Tenure{{Epoch: 8}}), "", "order is not recorded"},
		"no history":                     {Policy{Name: DiscardOlderPrimary}, tenures(nil, []Tenure{{Epoch: 8}}), "", "not recorded when node-a"},
		"b changed less":                 {Policy{Name: DiscardLeastChanges}, nil, "node-b", "node-b changed 2.0 MiB of r0/0, node-a 10.0 MiB"},
		"a changed less":                 {Policy{Name: DiscardLeastChanges}, changed(1, 2), "node-a", "node-a changed 1 B"},
		"a tie":                          {Policy{Name: DiscardLeastChanges}, changed(7, 7), "", "a tie"},
		"not enough of a difference":     {Policy{Name: DiscardLeastChanges, MinRatio: 10}, nil, "", "less than 10 times"},
		"enough of a difference":         {Policy{Name: DiscardLeastChanges, MinRatio: 5}, nil, "node-b", "node-a 10.0 MiB"},
		"by name":                        {Policy{Name: DiscardNode, Node: "node-a"}, nil, "node-a", "names node-a"},
		"a stranger's name":              {Policy{Name: DiscardNode, Node: "node-c"}, nil, "", "not a node of this pair"},
		"the Secondary":                  {Policy{Name: DiscardSecondary}, nil, "node-b", "node-b is Secondary"},
		"both Primary":                   {Policy{Name: DiscardSecondary}, func(e *Evidence) { e.Sides[1].Role = drbd.RolePrimary }, "", "both sides are Primary"},
		"all agree":                      {Policy{Name: Consensus, Of: []PolicyName{DiscardUnleased, DiscardLeastChanges}}, nil, "node-b", "; "},
		"they do not agree":              {Policy{Name: Consensus, Of: []PolicyName{DiscardUnleased, DiscardOlderPrimary}}, nil, "", "would discard node-a, not node-b"},
		"one does not know":              {Policy{Name: Consensus, Of: []PolicyName{DiscardUnleased, DiscardZeroChanges}}, nil, "", "discard-zero-changes does not decide"},
		"ask a person":                   {Policy{Name: Manual}, nil, "", "ask a person"},
		"volumes of one mind":            {Policy{Name: DiscardLeastChanges}, second(9, 3), "node-b", "r1/0"},
		"volumes in opposite directions": {Policy{Name: DiscardLeastChanges}, second(3, 9), "", "different ways"},
		"a volume that nobody changed":   {Policy{Name: DiscardLeastChanges}, second(0, 0), "node-b", "r0/0"},
		"less than the guard allows":     {Policy{Name: DiscardLeastChanges, Guards: Guards{MaxDiscard: counted(2 * mib)}}, nil, "node-b", ""},
		"more than the guard allows":     {Policy{Name: DiscardLeastChanges, Guards: Guards{MaxDiscard: counted(mib)}}, nil, "", "max_discard is 1.0 MiB"},
		"an old fork is all of it":       {Policy{Name: DiscardUnleased, Guards: Guards{MaxDiscard: counted(200 * mib)}}, gis(giOldFork1, giOldFork2), "", "256.0 MiB would be discarded"},
		"no room for a snapshot":         {Policy{Name: DiscardUnleased, Guards: Guards{RequireSnapshot: true}}, func(e *Evidence) { e.Sides[1].Volumes[0].SnapshotRoom = 11 * mib }, "", "room for 11.0 MiB of the 12.0 MiB"},
		"room for a snapshot":            {Policy{Name: DiscardUnleased, Guards: Guards{RequireSnapshot: true}}, nil, "node-b", ""},
		"mounted":                        {Policy{Name: DiscardUnleased, Guards: Guards{RequireUnmounted: true}}, func(e *Evidence) { e.Sides[1].Role, e.Sides[1].Mounted = drbd.RolePrimary, []string{"/srv/nfs"} }, "", "mounted at /srv/nfs"},
		"open":                           {Policy{Name: DiscardUnleased, Guards: Guards{NotIfOpen: true}}, func(e *Evidence) { e.Sides[1].Open = true }, "", "is using it"},
	} {
		t.Run(name, func(t *testing.T) {
			e := split()
			if c.change != nil {
				e = e.with(c.change)
			}
			for _, e := range []Evidence{e, e.turned()} {
				d := Decide(e, []Policy{c.policy})
				if d.Victim != c.victim {
					t.Fatalf("victim %q, want %q: %+v", d.Victim, c.victim, d.Opinions)
				}
				if !strings.Contains(d.Opinions[0].Why, c.says) {
					t.Errorf("it says %q, want %q in it", d.Opinions[0].Why, c.says)
				}
			}
		})
	}
}

func TestPoliciesSpeakInTheirOrder(t *testing.T) {
	list := []Policy{
		{Name: DiscardZeroChanges},
		{Name: DiscardLeastChanges, MinRatio: 10},
		{Name: DiscardUnleased},
		{Name: DiscardNode, Node: "node-a"},
	}
	d := Decide(split(), list)
	if d.Victim != "node-b" || d.By != DiscardUnleased || len(d.Opinions) != 3 || d.Discard != 2*mib {
		t.Errorf("%+v", d)
	}
	d = Decide(split(), append([]Policy{{Name: Manual}}, list...))
	if d.Victim != "" || len(d.Opinions) != 1 {
		t.Errorf("went on after manual: %+v", d)
	}
}

func TestVolumeThatMerelyLagsBindsTheDirection(t *testing.T) {
	// r0 split; r1 of node-a is behind node-b. Discarding node-b would put the
	// group together from two sides.
	e := split().with(func(e *Evidence) {
		second(0, mib)(e)
		e.Sides[0].Volumes[1].Generations, e.Sides[1].Volumes[1].Generations = giBoth, giYounger
	})
	d := Decide(e, []Policy{{Name: DiscardUnleased}, {Name: DiscardNode, Node: "node-a"}})
	if d.Victim != "node-a" || !strings.Contains(d.Opinions[0].Why, "r1/0 did not split and is copied from node-b") {
		t.Errorf("%+v", d)
	}
	if _, err := Choose(e, "node-b"); err == nil || !strings.Contains(err.Error(), "two sides") {
		t.Errorf("an operator may: %v", err)
	}
}

func TestOperatorsChoiceIsBoundByWhatIsPossible(t *testing.T) {
	d, err := Choose(split(), "node-a")
	if err != nil || d.Victim != "node-a" || d.Discard != 10*mib {
		t.Errorf("%+v, %v", d, err)
	}
	for victim, e := range map[Node]Evidence{
		"node-c": split(),
		"node-b": split().with(gis(giOlder, giBoth)),
	} {
		if _, err := Choose(e, victim); err == nil {
			t.Errorf("%s was accepted", victim)
		}
	}
}

func TestPolicyThatCannotBeMeantIsRefused(t *testing.T) {
	for _, p := range []Policy{
		{Name: "discard-everything"},
		{Name: DiscardNode},
		{Name: DiscardSecondary, Node: "node-a"},
		{Name: Consensus},
		{Name: Consensus, Of: []PolicyName{DiscardSecondary}},
		{Name: Consensus, Of: []PolicyName{DiscardSecondary, Manual}},
		{Name: Manual, Of: []PolicyName{DiscardSecondary, DiscardUnleased}},
		{Name: DiscardLeastChanges, MinRatio: 0.5},
		{Name: DiscardUnleased, MinRatio: 2},
	} {
		if p.Validate() == nil {
			t.Errorf("%+v was accepted", p)
		}
		if d := Decide(split(), []Policy{p}); d.Victim != "" {
			t.Errorf("%+v decided", p)
		}
	}
}

// Whatever is shown, and in whichever order the sides stand, a decision is the
// same, names one of the two, and keeps within its guards.
func TestDecisionsAreSoberWhateverIsShown(t *testing.T) {
	gi := rapid.SampledFrom([]string{giOlder, giYounger, giBoth, giNew, giStranger, giOldFork1, giOldFork2, "", "x"})
	disk := rapid.SampledFrom([]drbd.DiskState{drbd.DiskUpToDate, drbd.DiskConsistent, drbd.DiskOutdated, drbd.DiskInconsistent, drbd.DiskDiskless, "x"})
	amount := rapid.SampledFrom([]*uint64{nil, counted(0), counted(1), counted(mib), counted(256 * mib)})
	tenure := rapid.Custom(func(t *rapid.T) Tenure {
		return Tenure{Epoch: rapid.Uint64Range(0, 3).Draw(t, "epoch"), Leased: rapid.Bool().Draw(t, "leased")}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := split().with(func(e *Evidence) { second(0, 0)(e) })
		for i := range e.Sides {
			s := &e.Sides[i]
			s.Tenures = rapid.SliceOfN(tenure, 0, 3).Draw(t, "tenures")
			s.Role = rapid.SampledFrom([]drbd.Role{drbd.RolePrimary, drbd.RoleSecondary}).Draw(t, "role")
			for v := range s.Volumes {
				s.Volumes[v].Generations, s.Volumes[v].Disk, s.Volumes[v].OutOfSync = gi.Draw(t, "gi"), disk.Draw(t, "disk"), amount.Draw(t, "changed")
			}
		}
		var list []Policy
		for _, n := range PolicyNames {
			p := Policy{Name: n, Guards: Guards{MaxDiscard: counted(mib)}}
			switch n {
			case DiscardNode:
				p.Node = "node-b"
			case Consensus:
				p.Of = []PolicyName{DiscardUnleased, DiscardLeastChanges}
			}
			list = append(list, p)
		}
		d, turned := Decide(e, list), Decide(e.turned(), list)
		if d.Victim != turned.Victim || d.By != turned.By || d.Diagnosis.Kind != turned.Diagnosis.Kind {
			t.Fatalf("the order of the sides decides: %+v, %+v", d, turned)
		}
		if d.Victim == "" {
			return
		}
		if !e.Has(d.Victim) || !d.Diagnosis.Kind.Split() || d.Discard > mib || d.Diagnosis.Source == d.Victim {
			t.Fatalf("%+v", d)
		}
		if p, err := MakePlan(e, d); err != nil || p.Holds(e) != nil {
			t.Fatalf("no plan: %v, %v", err, p.Holds(e))
		}
	})
}

func TestBytesAreReadable(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 4096: "4.0 KiB", 3 * mib / 2: "1.5 MiB", 1 << 40: "1.0 TiB", 1<<64 - 1: "16.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestAmountsThatDifferReadDifferently(t *testing.T) {
	for _, c := range []struct {
		m, n uint64
		want string
	}{
		{2142208, 2129920, "2.04 MiB 2.03 MiB"},
		{2 * mib, 3 * mib, "2.0 MiB 3.0 MiB"},
		{2 * mib, 2 * mib, "2.0 MiB 2.0 MiB"},
		{1 << 40, 1<<40 + 4096, "1.000000000 TiB 1.000000004 TiB"},
	} {
		if m, n := Apart(c.m, c.n); m+" "+n != c.want {
			t.Errorf("%d and %d: %s %s, want %s", c.m, c.n, m, n, c.want)
		}
	}
}

func TestNobodyIsDiscardedForACopyThatIsNotWhole(t *testing.T) {
	for _, family := range []drbd.Family{drbd.Family84, drbd.Family9} {
		e := split().with(func(e *Evidence) {
			for i := range e.Sides {
				e.Sides[i].Family = family
				e.Sides[i].Volumes[0].Disk = drbd.DiskInconsistent
			}
		})
		if d := Decide(e, []Policy{{Name: DiscardLeastChanges}}); d.Victim != "" {
			t.Errorf("%s: a policy keeps an Inconsistent copy: %+v", family, d)
		}
		if d, err := Choose(e, "node-b"); err == nil {
			t.Errorf("%s: an operator keeps one: %+v", family, d)
		}
	}
}

// Where the bitmaps count from some later moment than the fork, a side that has changed
// nothing since may have changed everything before.
func TestChangesThatWereNotCountedFromTheForkDecideNothing(t *testing.T) {
	e := split().with(func(e *Evidence) {
		e.Sides[0].Volumes[0].Generations, e.Sides[1].Volumes[0].Generations = giOldFork1, giOldFork2
		e.Sides[1].Volumes[0].OutOfSync = counted(0)
	})
	for _, p := range []Policy{{Name: DiscardZeroChanges}, {Name: DiscardLeastChanges}, {Name: Consensus, Of: []PolicyName{DiscardZeroChanges, DiscardLeastChanges}}} {
		d := Decide(e, []Policy{p})
		if d.Diagnosis.Kind != MissingAncestor || d.Victim != "" || !strings.Contains(d.Opinions[0].Why, "since they parted could not be counted") {
			t.Errorf("%s: %s: discards %q: %s", p, d.Diagnosis.Kind, d.Victim, d.Opinions[0].Why)
		}
	}
	if d := Decide(e, []Policy{{Name: DiscardUnleased}}); d.Victim != "node-b" || d.Discard != 256*mib {
		t.Errorf("%+v", d)
	}
}

// A side that held the group long ago was promoted by hand while its agent did not run:
// what is recorded of it is of before the copies were one, and says nothing of the fork.
func TestPromotionThatNobodySawLeavesTheYoungerOneOpen(t *testing.T) {
	long := Tenure{Epoch: 4, Leased: true, Until: time.Unix(1, 0), Joined: true}
	e := split().with(func(e *Evidence) {
		e.Sides[0].Tenures, e.Sides[1].Tenures = []Tenure{{Epoch: 8, Leased: true}}, []Tenure{long}
	})
	for _, p := range []PolicyName{DiscardYoungerPrimary, DiscardOlderPrimary} {
		if d := Decide(e, []Policy{{Name: p}}); d.Victim != "" || !strings.Contains(d.Opinions[0].Why, "no agent looking") {
			t.Errorf("%s: discards %q: %s", p, d.Victim, d.Opinions[0].Why)
		}
	}
	e.Sides[1].Tenures = append(e.Sides[1].Tenures, Tenure{Epoch: 8})
	if d := Decide(e, []Policy{{Name: DiscardYoungerPrimary}}); d.Victim != "node-b" {
		t.Errorf("seen by its agent: discards %q: %s", d.Victim, d.Opinions[0].Why)
	}
}

// Both sides held the group once, and were in step after that. Then both were promoted by
// hand: who held which epoch says nothing of what either has written since, and neither does
// the order of what was before.
func TestLeasesOfBeforeTheForkDecideNothing(t *testing.T) {
	first, last := Tenure{Epoch: 8, Leased: true, Until: time.Unix(1, 0), Joined: true}, Tenure{Epoch: 12, Leased: true, Until: time.Unix(2, 0), Joined: true}
	for name, c := range map[string]struct {
		a, b   []Tenure
		policy PolicyName
		victim Node
		says   string
	}{
		"both by hand":                      {[]Tenure{first, {Epoch: 12}}, []Tenure{last, {Epoch: 12}}, DiscardUnleased, "", "no lease of either side is recorded from after both copies were one"},
		"both by hand, and who came first":  {[]Tenure{first, {Epoch: 12}}, []Tenure{last, {Epoch: 12}}, DiscardYoungerPrimary, "", "their order is not recorded"},
		"b's began while they were one":     {[]Tenure{first, {Epoch: 12}}, []Tenure{{Epoch: 12, Leased: true}}, DiscardUnleased, "node-a", "node-b held the group under epoch 12, node-a under none since"},
		"a's is of before, and b's is lost": {[]Tenure{last}, nil, DiscardUnleased, "", "no lease of either side"},
		"a holds the later one":             {[]Tenure{first, {Epoch: 16, Leased: true}}, []Tenure{last, {Epoch: 12}}, DiscardUnleased, "node-b", "node-a held the group under epoch 16, node-b under none since"},
	} {
		e := split().with(func(e *Evidence) { e.Sides[0].Tenures, e.Sides[1].Tenures = c.a, c.b })
		for _, e := range []Evidence{e, e.turned()} {
			if d := Decide(e, []Policy{{Name: c.policy}}); d.Victim != c.victim || !strings.Contains(d.Opinions[0].Why, c.says) {
				t.Errorf("%s: discards %q: %s", name, d.Victim, d.Opinions[0].Why)
			}
		}
	}
}

// A copy that neither was promoted since both were one, as far as is recorded, nor has
// begun a generation: when it parted is not known.
func TestTimesOfBeforeTheForkAreNoOrder(t *testing.T) {
	e := split().with(func(e *Evidence) {
		e.Sides[0].Tenures = []Tenure{{Epoch: 8, Leased: true, Until: time.Unix(1, 0), Joined: true}}
		e.Sides[0].Role, e.Sides[0].Volumes[0].Generations = drbd.RoleSecondary, giBoth
		e.Sides[1].Tenures = []Tenure{{Epoch: 12, Leased: true}}
	})
	if n, why := e.younger(); n != "" || !strings.Contains(why, "not recorded when node-a was Primary") {
		t.Errorf("%q: %s", n, why)
	}
}

// When the two had lost each other is sought after both were one, not before.
func TestForkIsNotBeforeBothWereOne(t *testing.T) {
	own := time.Unix(500, 0)
	e := split().with(func(e *Evidence) {
		e.Sides[0].Tenures = []Tenure{{Epoch: 4, Leased: true, Until: time.Unix(1, 0), Joined: true}, {Epoch: 8, Leased: true}}
		e.Sides[1].Tenures = []Tenure{{Epoch: 12, Leased: true, From: time.Unix(100, 0), Until: time.Unix(200, 0), Joined: true}, {Epoch: 12, From: own}}
	})
	if f := e.Forks("node-b"); !f.Victim.Equal(own.Add(-forkMargin)) {
		t.Errorf("%+v", f)
	}
}

// What is not recorded is said, and what DRBD knows of it.
func TestWhoWasPrimaryWithNoAgentLookingIsNotPassedOver(t *testing.T) {
	ended := Tenure{Epoch: 4, Leased: true, Until: time.Unix(1, 0)}
	for name, c := range map[string]struct {
		change func(*Side)
		want   string
	}{
		"under a lease":              {func(s *Side) { s.Tenures = []Tenure{{Epoch: 8, Leased: true}} }, "under epoch 8"},
		"by hand, and seen":          {func(s *Side) { s.Tenures = []Tenure{ended, {Epoch: 4}} }, "without a lease, after epoch 4"},
		"by hand, no agent":          {func(*Side) {}, "promoted with no agent looking (its UUIDs tell), not seen when"},
		"by hand, and still":         {func(s *Side) { s.Role = drbd.RolePrimary }, "now; promoted with no agent looking, not seen when"},
		"by hand, after its lease":   {func(s *Side) { s.Role, s.Tenures = drbd.RolePrimary, []Tenure{ended} }, "now; promoted with no agent looking, not seen when"},
		"by hand, long after":        {func(s *Side) { s.Tenures = []Tenure{{Epoch: 4, Leased: true, Until: time.Unix(1, 0), Joined: true}} }, "promoted with no agent looking (its UUIDs tell), not seen when"},
		"in step":                    {func(s *Side) { s.Volumes[0].Generations = giBoth }, "not that its agent remembers"},
		"not there":                  {func(s *Side) { *s = Side{Node: "node-b", Missing: "it is off"} }, ""},
		"the source of a resync now": {func(s *Side) { s.Volumes[0].Generations = strings.TrimSuffix(giYounger, ":0:0:0:0") + ":1:0:0:0" }, "not that its agent remembers"},
	} {
		s := split().with(func(*Evidence) {}).Sides[1]
		s.Tenures = nil
		if c.change(&s); s.LastPrimary() != c.want {
			t.Errorf("%s: %q", name, s.LastPrimary())
		}
	}
}
