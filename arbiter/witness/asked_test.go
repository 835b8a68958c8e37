package witness

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// A refusal is what is waited for while what it rests on is so. Once that is over, and
// until the node asks again, which may take it half a minute, it is the next ask.
func TestRefusalIsNotRepeatedOnceItsCauseIsOver(t *testing.T) {
	const refused = "refused for that"
	both := map[arbiter.NodeID]arbiter.Exclusion{"node-a": {Number: 3}, "node-b": {OwnWord: 2}}
	for reason, is := range map[arbiter.Reason]struct {
		stands func(*arbiter.Cluster)
		now    string
	}{
		arbiter.InMaintenance:   {func(c *arbiter.Cluster) { c.Maintenance = true }, "maintenance is over"},
		arbiter.InStandby:       {func(c *arbiter.Cluster) { c.Nodes["node-a"].Standby = true }, "node-a is not in standby any more"},
		arbiter.TwinIdentity:    {func(c *arbiter.Cluster) { c.Nodes["node-a"].Twins = true }, "only one machine has its name any more"},
		arbiter.WitnessLearning: {nil, "the witness has learnt what the nodes know"},
		arbiter.MandateUnderWay: {nil, "the shot is over"},
		arbiter.RecoveryUnderWay: {func(c *arbiter.Cluster) {
			c.Groups["nfs"].Recovery = &arbiter.Recovery{Phase: arbiter.Awaiting}
		}, "the recovery is over"},
		arbiter.NoGoodCopy: {func(c *arbiter.Cluster) { c.Groups["nfs"].Excluded = both }, "one of the copies counts as good again"},
		arbiter.IsIsolated: {func(*arbiter.Cluster) {}, ""}, // nobody knows better before the node says so
	} {
		for _, stands := range []bool{true, false} {
			if stands && is.stands == nil {
				continue // what is waited for then is said before
			}
			c := &arbiter.Cluster{
				Definition: arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{SuspectAfter: time.Second}},
				Nodes:      map[arbiter.NodeID]*arbiter.Node{"node-a": {Boot: "a"}, "node-b": {Boot: "b"}},
				Groups:     map[arbiter.GroupID]*arbiter.Group{"nfs": {Begun: true}},
				Audit:      []arbiter.Record{{Group: "nfs", Node: "node-a", What: "acquire", Reason: reason, Sentence: refused}},
			}
			want := "node-a is to ask for it again: " + is.now + ", for which it was refused"
			if stands || is.now == "" {
				is.stands(c)
				want = refused
			}
			v := leader.View{Cluster: c, Nodes: map[arbiter.NodeID]leader.NodeView{"node-a": {Heard: true}, "node-b": {Heard: true}}}
			if got := waitingFor(v, "nfs"); !strings.HasPrefix(got, want) {
				t.Errorf("%s, stands: %v: it waits for %q", reason, stands, got)
			}
		}
	}
}
