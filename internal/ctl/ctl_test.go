package ctl

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"sbarbiter/internal/config"
	sbv1 "sbarbiter/proto/sb/v1"
)

// TestEveryCommandHasHelpAndAnExample, for whoever is woken at three.
func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	a := &app{as: table}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return // cobra's own
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: help %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
}

// TestWhatShowPrintsAddTakes, whatever was declared.
func TestWhatShowPrintsAddTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawDefinition(t)
		text := definitionYAML(want)
		c, err := config.ParseCluster("shown.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if got := definition(c); !proto.Equal(got, want) {
			t.Fatalf("not what was declared:\n%s%s", text, cmp.Diff(want.String(), got.String()))
		}
	})
}

// drawDefinition makes a definition as a cluster file could have declared it.
func drawDefinition(t *rapid.T) *sbv1.Definition {
	name := rapid.SampledFrom([]string{"nfs1", "1e3", "true", "0x1f", "a-b", "web_2", "12", "null", "NaN", "off"})
	span := func(label string, least, most time.Duration) int64 {
		return rapid.Int64Range(least.Milliseconds(), most.Milliseconds()).Draw(t, label) * int64(time.Millisecond)
	}
	d := &sbv1.Definition{
		Cluster: name.Draw(t, "cluster"), Nodes: []string{"node-a", "10.5"},
		Stonith: rapid.Bool().Draw(t, "stonith"), Watchdog: rapid.Bool().Draw(t, "watchdog"),
		HoldTimeNs: span("hold", 0, time.Hour), ShotsPerHour: rapid.Uint32Range(0, 9).Draw(t, "shots"),
	}
	renew, rpc := span("renew", 10*time.Millisecond, time.Second), span("rpc", 10*time.Millisecond, time.Second)
	d.Timing = &sbv1.Timing{
		RenewNs: renew, RpcTimeoutNs: rpc, SuspectAfterNs: 3*renew + rpc + span("suspect", 0, time.Minute),
		TtlNs: 2*renew + rpc + span("ttl", 1010*time.Millisecond, time.Minute), FenceTimeoutNs: span("fence", time.Second, time.Minute),
		StartGateNs: span("gate", 0, time.Minute),
	}
	d.Timing.PromiseNs = d.Timing.GetTtlNs()
	grades := []uint32{1, 3, 4, 5}
	if d.GetWatchdog() { // without it a file may not ask for E2
		grades = append(grades, 2)
	}
	for _, id := range rapid.SliceOfNDistinct(name, 1, 3, rapid.ID[string]).Draw(t, "groups") {
		d.Groups = append(d.Groups, &sbv1.GroupDefinition{
			Name: id, Drbd: rapid.Bool().Draw(t, "drbd"), Preferred: rapid.SampledFrom([]string{"", "node-a", "10.5"}).Draw(t, "preferred"),
			MinimumGrade: rapid.SampledFrom(grades).Draw(t, "grade"), Manual: rapid.Bool().Draw(t, "manual"),
			TakeoverDelayNs: span("delay", 0, time.Minute), MoveAfterNs: span("move", 0, time.Minute),
		})
		// The file refuses what rests on a watchdog that there is no room for.
		if g := d.Groups[len(d.Groups)-1]; g.GetMinimumGrade() == 2 && (!d.GetWatchdog() || d.GetTiming().GetTtlNs() < 2*renew+rpc+5*int64(time.Second)) {
			g.MinimumGrade = 3
		}
	}
	return d
}

// TestGreenOnlyWhenNothingIsMissing takes one thing away at a time.
func TestGreenOnlyWhenNothingIsMissing(t *testing.T) {
	type cluster = sbv1.ClusterStatus
	for what, spoil := range map[string]func(*cluster){
		"a silent standby":        func(c *cluster) { c.Nodes[1].SilentNs = 2e9 },
		"a standby never heard":   func(c *cluster) { c.Nodes[1].SilentNs = -1 },
		"a silent holder":         func(c *cluster) { c.Nodes[0].SilentNs = 2e9 },
		"an isolated node":        func(c *cluster) { c.Nodes[1].References = 0 },
		"a dead link":             func(c *cluster) { c.Nodes[1].Links[0].HearsPeer = false },
		"a lossy link":            func(c *cluster) { c.Nodes[1].Links[0].LostInPercent = lossy },
		"no links":                func(c *cluster) { c.Nodes[0].Links = nil },
		"standby":                 func(c *cluster) { c.Nodes[1].Standby = true },
		"twins":                   func(c *cluster) { c.Nodes[1].Twins = true },
		"an unarmed watchdog":     func(c *cluster) { c.Nodes[0].Watchdog.Armed = false },
		"an exclusion":            func(c *cluster) { c.Groups[0].Exclusions = []*sbv1.ExclusionStatus{{Node: "node-b", OwnWord: 1}} },
		"a disk out of step":      func(c *cluster) { c.Groups[0].Nodes[0].Disks[0].Peer = "Inconsistent" },
		"a disk not connected":    func(c *cluster) { c.Groups[0].Nodes[1].Disks[0].Connected = false },
		"no word about a disk":    func(c *cluster) { c.Groups[0].Nodes[1].Disks = nil },
		"a failed service":        func(c *cluster) { c.Groups[0].Nodes[0].Services[0].State = "failed" },
		"a failed start":          func(c *cluster) { c.Groups[0].Nodes[1].Failed = "no such unit" },
		"a group not started yet": func(c *cluster) { c.Groups[0].Started = false },
		"a group nobody holds":    func(c *cluster) { c.Groups[0].Holder = "" },
		"a switchover":            func(c *cluster) { c.Groups[0].OrderTo = "node-b" },
		"a mandate":               func(c *cluster) { c.Mandate = &sbv1.MandateStatus{Phase: "open", Target: "node-b"} },
		"learning":                func(c *cluster) { c.Learning = true },
		"maintenance":             func(c *cluster) { c.Maintenance = true },
		"a split brain":           func(c *cluster) { c.Groups[0].Split = &sbv1.SplitStatus{What: "split brain of nfs"} },
		"an alarm":                func(c *cluster) { c.Alarms = []string{"something"} },
		"a watchdog that pauses with its machine": func(c *cluster) {
			c.Definition.Stonith = false
			c.Nodes[0].Watchdog.Hardware = false
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := healthy()
			spoil(s.status.Clusters[0])
			p := examine(s.status.Clusters[0])
			if p.level() == levelOK || strings.HasSuffix(p.headline(), "is in step") {
				t.Errorf("%s: %s", p.level(), p.headline())
			}
		})
	}
	if p := examine(healthy().status.Clusters[0]); p.level() != levelOK {
		t.Errorf("nothing is missing, but: %s", p.headline())
	}
}

func TestAnAgentThatHasJustStartedIsNotAskedToMendItsFile(t *testing.T) {
	s := healthy()
	s.status.Clusters[0].Nodes[0].Links = nil // it looks after a second
	s.status.Clusters[0].Nodes[1].Links[0].HearsPeer = false
	p := examine(s.status.Clusters[0])
	if len(p.found) != 1 || !strings.Contains(p.found[0].What, "not said yet") || strings.Contains(p.found[0].Do, "node.yaml") {
		t.Errorf("%+v", p.found)
	}
}

// TestColumnsAlignWithoutTrailingBlanks also where cells are empty or coloured.
func TestColumnsAlignWithoutTrailingBlanks(t *testing.T) {
	g := heading("A", "BB", "C")
	g.add(c("long"), cell{}, c("x"))
	g.add(cell{}, tinted("é", red))
	var b strings.Builder
	g.draw(&b, paper{})
	if want := "A     BB  C\nlong      x\n      é\n"; b.String() != want {
		t.Errorf("drawn:\n%q\nwant:\n%q", b.String(), want)
	}
}

func TestWithdrawnOrdersAreToldFromOrders(t *testing.T) {
	for _, c := range []struct{ what, inputs, want string }{
		{"standby", `{"node":"node-a","on":true}`, "standby"},
		{"standby", `{"node":"node-a","on":false}`, "unstandby"},
		{"maintenance", `{"on":true,"until":7}`, "maintenance"},
		{"maintenance", `{"on":false}`, "maintenance off"},
		{"standby", "", "standby"},
		{"fence", `{"grade":3}`, "fence"},
	} {
		if got := whatWords(&sbv1.Record{What: c.what, Inputs: c.inputs}); got != c.want {
			t.Errorf("%s %s is called %q, want %q", c.what, c.inputs, got, c.want)
		}
	}
}
