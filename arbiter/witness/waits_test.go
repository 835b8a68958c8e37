package witness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/doctor"
	"sbarbiter/recovery"
)

// A recovery whose machine has gone says so, and how it is let go of.
func TestRecoveryThatWaitsForAMachineSaysHowItIsEnded(t *testing.T) {
	plan := &recovery.Plan{Victim: "node-b", Survivor: "node-a", Steps: []recovery.Step{
		{Node: "node-b", Kind: recovery.Snapshot}, {Node: "node-b", Kind: recovery.Discard}, {Node: "node-a", Kind: recovery.FollowResync},
	}}
	for name, is := range map[string]struct {
		r    arbiter.Recovery
		want string
	}{
		"waits":          {arbiter.Recovery{Phase: arbiter.Awaiting, Note: "node-b is off"}, "holds nobody up: node-b is off; to let go of it: sbctl recovery cancel nfs"},
		"may be ended":   {arbiter.Recovery{Phase: arbiter.Carrying, Plan: plan, Step: 0}, "waits for node-b, which is not heard (node-b: snapshot /0); if that does not come back: sbctl recovery cancel nfs"},
		"can only go on": {arbiter.Recovery{Phase: arbiter.Carrying, Plan: plan, Step: 1}, "sbctl recovery abandon nfs"},
		"copies":         {arbiter.Recovery{Phase: arbiter.Carrying, Plan: plan, Step: 2}, "sbctl recovery abandon nfs"},
	} {
		is.r.Group = "nfs"
		v := leader.View{
			Cluster: &arbiter.Cluster{Definition: arbiter.Definition{Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}}, Groups: map[arbiter.GroupID]*arbiter.Group{"nfs": {Recovery: &is.r}}},
			Nodes:   map[arbiter.NodeID]leader.NodeView{"node-a": {Heard: true}, "node-b": {Heard: true, Silent: time.Hour}},
		}
		var said []string
		recoveryAlarm(v, "nfs", func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
		if len(said) != 1 || !strings.Contains(said[0], is.want) {
			t.Errorf("%s: %q", name, said)
		}
	}
}

// A split brain comes before all that merely follows from it, with the line to type.
func TestSplitBrainIsTheFirstAlarm(t *testing.T) {
	none := func(*arbiter.Group) {}
	under := func(r arbiter.Recovery) func(*arbiter.Group) {
		return func(g *arbiter.Group) { g.Recovery, r.ID, r.Order.By = &r, 1<<32|1, "bob" }
	}
	for name, is := range map[string]struct {
		with func(*arbiter.Group)
		want string
	}{
		"unasked":   {none, "split brain of nfs, by all that is seen: DRBD has given up connecting its two copies (StandAlone); type: sbctl resolve nfs --dry-run"},
		"undecided": {under(arbiter.Recovery{Phase: arbiter.Undecided, Note: "a tie"}), "split brain of nfs, and nobody has decided (recovery 1.1): a tie; type: sbctl resolve nfs --keep node-a (or --keep node-b)"},
		"is back":   {under(arbiter.Recovery{Phase: arbiter.Decided, Plan: &recovery.Plan{Victim: "node-b"}, Order: arbiter.RecoveryOrder{WhenBack: true}}), "split brain of nfs; recovery 1.1 of bob, which has waited, wants a word to what was measured; type: sbctl resolve nfs --discard node-b"},
		"looked at": {under(arbiter.Recovery{Phase: arbiter.Decided}), "split brain of nfs; recovery 1.1 of bob waits for the word to its decision; type: sbctl recovery show nfs"},
		"asked again": {
			under(arbiter.Recovery{Phase: arbiter.Decided, Stale: "node-b"}),
			"split brain of nfs; recovery 1.1 of bob has gone back to its decision, and nfs runs nowhere until it is decided or called off (sbctl recovery cancel nfs); type: sbctl recovery show nfs",
		},
		"asked again while it runs": {func(g *arbiter.Group) {
			under(arbiter.Recovery{Phase: arbiter.Decided, Stale: "node-b"})(g)
			g.Lease = &arbiter.Lease{Holder: "node-a", Epoch: 4}
		}, "split brain of nfs; recovery 1.1 of bob waits for the word to its decision; type: sbctl recovery show nfs"},
		"being made": {under(arbiter.Recovery{Phase: arbiter.Carrying, Plan: &recovery.Plan{Steps: make([]recovery.Step, 9)}}), ""},
	} {
		g := &arbiter.Group{Excluded: map[arbiter.NodeID]arbiter.Exclusion{"node-b": {OwnWord: 2}}}
		is.with(g)
		beat := leader.Beat{Groups: []leader.GroupBeat{{Group: "nfs", Parted: true, Split: true}}, Needed: 1}
		v := leader.View{
			Cluster: &arbiter.Cluster{
				Definition: arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}},
				Nodes:      map[arbiter.NodeID]*arbiter.Node{"node-a": {Boot: "a"}, "node-b": {Boot: "b"}},
				Groups:     map[arbiter.GroupID]*arbiter.Group{"nfs": g},
			},
			Nodes: map[arbiter.NodeID]leader.NodeView{"node-a": {Heard: true, Beat: beat}, "node-b": {Heard: true, Beat: beat}},
		}
		said := alarms(v, time.Hour)
		if is.want == "" {
			is.want = "node-a reaches 0 of the 1"
		}
		if len(said) < 2 || !strings.HasPrefix(said[0], is.want) {
			t.Errorf("%s: %q", name, said)
		}
		if fix := doctorSays(v); (fix != "") != strings.HasPrefix(is.want, "split") || !strings.HasSuffix(is.want, fix) {
			t.Errorf("%s: the doctor's fix is %q", name, fix)
		}
		if split := groupStatus(v, "nfs").GetSplit(); (split != nil) != strings.HasPrefix(is.want, "split") || split != nil && !strings.HasPrefix(said[0], split.GetWhat()) {
			t.Errorf("%s: its status says %v", name, split)
		}
		if stale := staleAlarm(said); strings.Contains(stale, "where the two have split, DRBD does not do that by itself; type: sbctl ") != strings.HasPrefix(is.want, "split") {
			t.Errorf("%s: of the stale copy it says %q", name, stale)
		}
		g.Lease = &arbiter.Lease{Holder: "node-a", Epoch: 4}
		if now := waitingFor(v, "nfs"); g.Recovery == nil && !strings.HasPrefix(now, is.want+"; meanwhile node-a holds it under epoch 4") {
			t.Errorf("%s: it waits for %q", name, now)
		}
	}
}

// What a node hears of a peer that the witness does not hear either tells nothing of a
// cable: that the peer is silent is its own alarm.
func TestLinksAreLookedAtWhereThePeerIsThereToBeHeard(t *testing.T) {
	beat, hears := leader.Beat{Links: []leader.Link{{Name: "lan"}}}, leader.Beat{Links: []leader.Link{{Name: "lan", HearsPeer: true}}}
	for _, is := range []struct {
		peer leader.NodeView
		want int
		also string
	}{
		{leader.NodeView{Heard: true, Beat: hears}, 1, ""},
		{leader.NodeView{Heard: true}, 0, ""}, // it has just started
		{leader.NodeView{Heard: true, Beat: hears, Silent: time.Hour}, 0, "node-b has not been heard for"},
	} {
		v := leader.View{
			Cluster: &arbiter.Cluster{
				Definition: arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}},
				Nodes:      map[arbiter.NodeID]*arbiter.Node{"node-a": {Boot: "a"}, "node-b": {Boot: "b"}},
			},
			Nodes: map[arbiter.NodeID]leader.NodeView{"node-a": {Heard: true, Beat: beat}, "node-b": is.peer},
		}
		said := strings.Join(alarms(v, time.Hour), "\n")
		if strings.Count(said, "on link lan") != is.want || !strings.Contains(said, is.also) {
			t.Errorf("%+v: %s", is.peer, said)
		}
	}
}

// A store of kept copies that fills up is an alarm before a recovery stops for it;
// a copy that has merely grown old is left to the doctor.
func TestStoreOfKeptCopiesThatFillsUpIsAnAlarm(t *testing.T) {
	v := leader.View{Nodes: map[arbiter.NodeID]leader.NodeView{"node-b": {Report: &leader.Report{Findings: []doctor.Finding{
		{Severity: doctor.Warning, Subject: doctor.KeptCopies, What: "they take 900 of the 1000 MiB of their quota"},
		{Severity: doctor.Note, Subject: doctor.KeptCopies, What: "it is 31 days old"},
		{Severity: doctor.Warning, Subject: "the watchdog", What: "is elsewhere"},
	}}}}}
	var said []string
	for _, n := range []arbiter.NodeID{"node-a", "node-b"} {
		keptAlarms(v, n, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "node-b: kept copies: they take 900 of the 1000 MiB") {
		t.Errorf("%q", said)
	}
}

// The machine with the only good copy is lost, which is what the group waits for: the
// status and the alarms say so, and what it costs to do without.
func TestWhatAGroupWaitsForWhoseGoodCopyIsGone(t *testing.T) {
	c := &arbiter.Cluster{
		Definition: arbiter.Definition{
			Cluster: "pair", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Groups: map[arbiter.GroupID]arbiter.GroupDefinition{"data": {DRBD: true}},
			Timing: arbiter.Timing{SuspectAfter: time.Second},
		},
		Nodes:  map[arbiter.NodeID]*arbiter.Node{"node-a": {Boot: "a"}, "node-b": {Boot: "b"}},
		Groups: map[arbiter.GroupID]*arbiter.Group{"data": {Begun: true, Excluded: map[arbiter.NodeID]arbiter.Exclusion{"node-b": {Number: 3}}}},
	}
	v := leader.View{Cluster: c, Nodes: map[arbiter.NodeID]leader.NodeView{"node-a": {}, "node-b": {Heard: true}}}
	for _, want := range []string{
		"sbctl group init data --keep node-b --lost",
		"node-b's copy is to stand in for that of node-a, which alice has declared lost",
	} {
		if got := waitingFor(v, "data"); !strings.Contains(got, want) {
			t.Errorf("it waits for %q", got)
		}
		c.Groups["data"].StandIn = &arbiter.StandIn{Node: "node-b", By: "alice", Word: 3}
	}
	said := strings.Join(alarms(v, time.Hour), "\n")
	if strings.Count(said, "to take that back: sbctl group init data --cancel --word 3") != 1 || strings.Contains(said, "not promoted before") {
		t.Errorf("of a copy that is to stand in, it says:\n%s", said)
	}
	if s := groupStatus(v, "data").GetStandIn(); s.GetNode() != "node-b" || s.GetLost() != "node-a" || s.GetBy() != "alice" || s.GetWord() != 3 {
		t.Errorf("its status has %v", s)
	}
	c.Groups["data"].StandIn = nil
	c.Groups["data"].Lease, v.Leases = &arbiter.Lease{Holder: "node-a", Epoch: 4}, map[arbiter.GroupID]time.Duration{"data": -1}
	if got := waitingFor(v, "data"); !strings.Contains(got, "type: sbctl fence confirm node-a, then sbctl group init data --keep node-b --lost") {
		t.Errorf("held by a node that is lost, it waits for %q", got)
	}
	c.Groups["data"].Lease.Holder = "node-b"
	if got := waitingFor(v, "data"); strings.Contains(got, "fence confirm node-b") {
		t.Errorf("held by the node that is heard, it waits for %q", got)
	}
	c.Groups["data"].Lease.Holder = "node-a"
	v.Nodes["node-a"] = leader.NodeView{Heard: true}
	if got := waitingFor(v, "data"); strings.Contains(got, "--lost") {
		t.Errorf("node-a is heard, and it waits for %q", got)
	}
}

// staleAlarm is the alarm about a stale copy.
func staleAlarm(said []string) string {
	for _, s := range said {
		if strings.Contains(s, "is stale") {
			return s
		}
	}
	return ""
}

// doctorSays is what mends a split brain, in the doctor's words.
func doctorSays(v leader.View) string {
	for _, f := range examined(v, time.UnixMilli(0)) {
		if f.Subject == "nfs" {
			return f.Fix
		}
	}
	return ""
}

// That one machine goes off mends no split brain that was seen before: it is remembered
// from the beats, and from a recovery that came to nothing, for as long as nothing shows
// that the two have met.
func TestSplitBrainIsNotForgottenOnceANodeIsOff(t *testing.T) {
	const seen = 1795314840000 // 2026-11-22 02:34:00 UTC
	looked := func(k recovery.Kind, o arbiter.RecoveryOutcome) arbiter.Recovery {
		return arbiter.Recovery{ID: 1<<32 | 2, Outcome: o, Ended: seen, Decision: &recovery.Decision{Diagnosis: recovery.Diagnosis{Kind: k}}}
	}
	unknown, split := looked(recovery.Unknown, arbiter.NoSplit), looked(recovery.SplitBrain, arbiter.OnlyShown)
	const known = "split brain of nfs, seen by recovery 1.2 (2026-11-22 02:34 UTC) and not known to be resolved; more can be told once node-b is back"
	for name, is := range map[string]struct {
		recovered []arbiter.Recovery
		since     int64 // node-b is stale
		beat      leader.GroupBeat
		want      string
	}{
		"never seen":              {nil, seen, leader.GroupBeat{}, ""},
		"seen in the beats":       {nil, seen, leader.GroupBeat{Parted: true, Split: true}, "split brain of nfs, by all that was seen before node-b fell silent: DRBD had given up connecting its two copies (StandAlone)"},
		"by hand, perhaps":        {nil, seen, leader.GroupBeat{Parted: true}, "perhaps a split brain of nfs: DRBD had given up connecting its two copies (StandAlone) when node-b fell silent, and nobody saw it say why; it may have been told so by hand (drbdadm disconnect)"},
		"by hand":                 {nil, seen, leader.GroupBeat{Parted: true, Idle: true}, ""},
		"looked at":               {[]arbiter.Recovery{split}, seen, leader.GroupBeat{}, known},
		"and again, with one":     {[]arbiter.Recovery{split, unknown}, 0, leader.GroupBeat{}, known},
		"resolved":                {[]arbiter.Recovery{split, looked(recovery.SplitBrain, arbiter.Recovered)}, seen, leader.GroupBeat{}, ""},
		"seen to be none":         {[]arbiter.Recovery{split, looked(recovery.Resync, arbiter.NoSplit)}, seen, leader.GroupBeat{}, ""},
		"stale only since then":   {[]arbiter.Recovery{split}, seen + 1, leader.GroupBeat{}, ""},
		"connected, all the same": {[]arbiter.Recovery{split}, seen, leader.GroupBeat{Evidence: arbiter.Evidence{Disks: []arbiter.Disk{{Connected: true}}}}, ""},
	} {
		is.beat.Group = "nfs"
		g := &arbiter.Group{Recovered: is.recovered, Excluded: map[arbiter.NodeID]arbiter.Exclusion{"node-b": {Number: 3, Since: is.since}}}
		v := leader.View{
			Cluster: &arbiter.Cluster{
				Definition: arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}},
				Groups:     map[arbiter.GroupID]*arbiter.Group{"nfs": g},
			},
			Nodes: map[arbiter.NodeID]leader.NodeView{
				"node-a": {Heard: true, Beat: leader.Beat{Groups: []leader.GroupBeat{is.beat}}},
				"node-b": {Heard: true, Silent: time.Hour, Beat: leader.Beat{Groups: []leader.GroupBeat{{Group: "nfs"}}}},
			},
		}
		if got := splitOf(v, "nfs"); got.GetWhat() != is.want || got != nil && got.GetDo() != "sbctl resolve nfs --dry-run" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// DRBD is StandAlone after drbdadm disconnect as it is after a split brain, and only of that
// its own handler speaks.
func TestADisconnectByHandIsNotSaidToBeASplitBrain(t *testing.T) {
	v := leader.View{Cluster: &arbiter.Cluster{
		Definition: arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}},
		Groups:     map[arbiter.GroupID]*arbiter.Group{"nfs": {}},
	}}
	for told, want := range map[string]string{
		"split": "split brain of nfs, by all that is seen: DRBD has given up connecting its two copies (StandAlone)",
		"":      "perhaps a split brain of nfs: DRBD has given up connecting its two copies (StandAlone), and nobody saw it say why; it may have been told so by hand (drbdadm disconnect)",
		"idle":  "",
	} {
		v.Nodes = map[arbiter.NodeID]leader.NodeView{
			"node-a": {Heard: true, Beat: leader.Beat{Groups: []leader.GroupBeat{{Group: "nfs", Split: told == "split", Idle: told == "idle"}}}}, // it looks for its peer
			"node-b": {Heard: true, Beat: leader.Beat{Groups: []leader.GroupBeat{{Group: "nfs", Parted: true}}}},
		}
		if got := splitOf(v, "nfs"); got.GetWhat() != want || got != nil && got.GetDo() != "sbctl resolve nfs --dry-run" {
			t.Errorf("%q: %v", told, got)
		}
	}
}

// A recovery under way is named while the group runs, up to its last step.
func TestRecoveryIsNamedWhileTheGroupRuns(t *testing.T) {
	r := arbiter.Recovery{ID: 1<<32 | 1, Group: "nfs", Phase: arbiter.Carrying, Plan: &recovery.Plan{
		Victim: "node-b", Survivor: "node-a", Steps: []recovery.Step{{Node: "node-a", Kind: recovery.Readmit}},
	}}
	v := leader.View{
		Cluster: &arbiter.Cluster{Groups: map[arbiter.GroupID]*arbiter.Group{"nfs": {Recovery: &r, Lease: &arbiter.Lease{Holder: "node-a", Epoch: 4}}}},
		Nodes:   map[arbiter.NodeID]leader.NodeView{},
	}
	v.Cluster.Definition.Timing.SuspectAfter = time.Second
	v.Nodes["node-a"] = leader.NodeView{Heard: true}
	const want = "recovery 1.1 keeps the copy of node-a and is at step 1 of 1: node-a: readmit"
	var said []string
	recoveryAlarm(v, "nfs", func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if len(said) != 1 || said[0] != "nfs: "+want {
		t.Errorf("%q", said)
	}
	if now := waitingFor(v, "nfs"); !strings.HasPrefix(now, want+"; meanwhile node-a holds it under epoch 4") {
		t.Errorf("it waits for %q", now)
	}
}
