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
		"is back":        {arbiter.Recovery{Phase: arbiter.Decided, Plan: plan, Order: arbiter.RecoveryOrder{WhenBack: true}}, "sbctl resolve nfs --discard node-b"},
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
