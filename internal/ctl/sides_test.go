package ctl

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// What was measured after the decision is not shown as what it was decided by.
func TestOpinionsStandBesideTheFiguresThatTheyWereFormedBy(t *testing.T) {
	measured := func(a uint64) *recovery.Evidence {
		side := func(n recovery.Node, bytes uint64) recovery.Side {
			return recovery.Side{Node: n, Role: "Secondary", Volumes: []recovery.Volume{{Resource: "r0", Disk: "UpToDate", OutOfSync: &bytes}}}
		}
		return &recovery.Evidence{Group: "nfs", Sides: [2]recovery.Side{side("node-a", a<<20), side("node-b", 2<<20)}}
	}
	doc := &arbiter.Recovery{
		Phase: arbiter.Over, Outcome: arbiter.Recovered, Grounds: measured(10), Evidence: measured(31),
		Decision: &recovery.Decision{Opinions: []recovery.Opinion{{Policy: recovery.Policy{Name: recovery.DiscardLeastChanges}, Victim: "node-b", Why: "node-b changed 2.0 MiB, node-a 10.0 MiB"}}},
	}
	text := describe(doc, history{}, paper{})
	first, rest, again := strings.Cut(text, "Measured again since")
	if !again || !strings.Contains(first, "up to 10.0 MiB") || strings.Contains(first, "31.0") || !strings.Contains(rest, "up to 31.0 MiB") || !strings.Contains(rest, "node-a 10.0 MiB") {
		t.Errorf("%s", text)
	}
	doc.Evidence = measured(10)
	if text = describe(doc, history{}, paper{}); strings.Contains(text, "again since") {
		t.Errorf("the same figures twice: %s", text)
	}
}

// Of several volumes of which some are mounted, it is not known which are in use.
func TestACopyInUseDoesNotLookOlderThanItIs(t *testing.T) {
	v := recovery.Volume{Written: time.Unix(1795314840, 0).UTC()}
	for want, s := range map[string]recovery.Side{
		"2026-11-22 02:34:00 UTC":               {Role: drbd.RoleSecondary, Volumes: []recovery.Volume{v}},
		"in use now, mounted at /srv":           {Role: drbd.RolePrimary, Volumes: []recovery.Volume{v}, Mounted: []string{"/srv"}},
		"2026-11-22 02:34:00 UTC, or until now": {Role: drbd.RolePrimary, Volumes: []recovery.Volume{v, v}, Mounted: []string{"/srv"}},
	} {
		if got := written(s, v); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
