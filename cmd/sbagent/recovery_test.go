package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// called runs sbagent's command line in this process.
func called(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(in))
	c.SetOut(&out)
	c.SetErr(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func written(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sideOf(node recovery.Node, gi string) recovery.Measured {
	n := uint64(4 << 20)
	return recovery.Measured{Group: "nfs", Side: recovery.Side{
		Node: node, Family: drbd.Family84, Role: drbd.RoleSecondary,
		Volumes: []recovery.Volume{{Resource: "r0", Size: 256 << 20, Disk: drbd.DiskUpToDate, Generations: gi, OutOfSync: &n}},
	}}
}

const (
	giA = "6BB4841B974EA3B2:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
	giB = "D6F3F795B57E18AA:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:0:0:0:0:0"
)

const nodeB = `cluster: nfs1
node: node-b
peer: node-a
witnesses: [192.0.2.30]
links: [{local: 192.0.2.12, peer: 192.0.2.11}]
allow_single_link: true
references: [192.0.2.1]
watchdog: none
groups: {nfs: {drbd: [r0]}}
`

func TestPlanIsMadeOfWhatBothNodesMeasuredAndEachTellsItsOwnSteps(t *testing.T) {
	a, b := written(t, sideOf("node-a", giA)), written(t, sideOf("node-b", giB))
	out, err := called(t, "", "recovery", "plan", a, b, "--discard", "node-b")
	if err != nil || !strings.Contains(out, "up to 4.0 MiB of node-b's changes are given up") {
		t.Fatalf("%v: %s", err, out)
	}
	var p recovery.Plan
	if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &p); err != nil || p.Victim != "node-b" {
		t.Fatalf("%v: %+v", err, p)
	}
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte(nodeB), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = called(t, "", "--config", file, "recovery", "run", written(t, p), "--dry-run")
	if err != nil {
		t.Fatal(err)
	}
	want := `node-b: stop-services
node-b: demote r0
    drbdadm secondary r0
node-b: disconnect r0
    drbdadm disconnect r0
node-b: dump-metadata r0/0
    drbdadm dump-md r0/0
node-b: snapshot r0/0
node-b: discard r0
    drbdadm connect --discard-my-data r0
node-b: follow-resync
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestPlansThatCannotBeRightAreRefused(t *testing.T) {
	a, b := written(t, sideOf("node-a", giA)), written(t, sideOf("node-b", giB))
	other := sideOf("node-b", giB)
	other.Group = "web"
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"in step":           {[]string{a, written(t, sideOf("node-b", giA)), "--discard", "node-b"}, "not in split brain"},
		"nobody named":      {[]string{a, b}, "not a node of this pair"},
		"a stranger":        {[]string{a, b, "--discard", "node-c"}, "not a node of this pair"},
		"one node twice":    {[]string{a, a, "--discard", "node-a"}, "two names"},
		"two groups":        {[]string{a, written(t, other), "--discard", "node-a"}, "of group web"},
		"no such file":      {[]string{a, "/nonexistent", "--discard", "node-a"}, "no such file"},
		"no measured thing": {[]string{a, written(t, "rubbish"), "--discard", "node-a"}, "read "},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := called(t, "", append([]string{"recovery", "plan"}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// A plan is held against this node's side before its first step; here there is none.
func TestPlanThatCannotBeHeldAgainstThisNodeIsNotBegun(t *testing.T) {
	a, b := written(t, sideOf("node-a", giA)), written(t, sideOf("node-b", giB))
	out, err := called(t, "", "recovery", "plan", a, b, "--discard", "node-b")
	if err != nil {
		t.Fatal(err)
	}
	plan, dir := filepath.Join(t.TempDir(), "plan.json"), t.TempDir()
	if err := os.WriteFile(plan, []byte(out[strings.IndexByte(out, '{'):]), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(file, []byte(nodeB+"state_dir: "+dir+"/state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--check"}, nil} {
		out, err = called(t, "", append([]string{"--config", file, "recovery", "run", plan}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "nothing was done: plan of group nfs: node-b could not be measured") || strings.Contains(out, "stop-services") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if found, _ := filepath.Glob(dir + "/state/kept/nfs/*"); len(found) != 0 {
		t.Errorf("it counts as begun: %v", found)
	}
}
