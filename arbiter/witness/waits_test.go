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
		beat := leader.Beat{Groups: []leader.GroupBeat{{Group: "nfs", Parted: true}}, Needed: 1}
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
		if split := groupStatus(v, "nfs").GetSplit(); (split != nil) != strings.HasPrefix(is.want, "split") || split != nil && !strings.HasPrefix(said[0], split.GetWhat()) {
			t.Errorf("%s: its status says %v", name, split)
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
		c.Groups["data"].StandIn = &arbiter.StandIn{Node: "node-b", By: "alice"}
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
