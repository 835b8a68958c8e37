package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/agent/store"
	"sbarbiter/recovery"
)

const lonely = `cluster: nfs1
node: node-b
peer: node-a
witnesses: [192.0.2.30]
links: [{local: 192.0.2.12, peer: 192.0.2.11}]
allow_single_link: true
references: [192.0.2.1]
watchdog: none
groups: {nfs: {drbd: [r0]}}
state_dir: `

// try runs a command of a node with nothing but its file.
func try(t *testing.T, state string, args ...string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte(lonely+state+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := command()
	c.SetArgs(append([]string{"--config", file}, args...))
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	return c.ExecuteContext(t.Context())
}

func TestNothingIsWrittenByHandBesideAnAgent(t *testing.T) {
	state := t.TempDir()
	st, err := store.Open(state, store.Identity{Cluster: "nfs1", Node: "node-b"})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e := recovery.Evidence{Group: "nfs", Sides: [2]recovery.Side{sideOf("node-a", giA).Side, sideOf("node-b", giB).Side}}
	d, err := recovery.Choose(e, "node-b")
	if err != nil {
		t.Fatal(err)
	}
	p, err := recovery.MakePlan(e, d)
	if err != nil {
		t.Fatal(err)
	}
	plan := written(t, p)
	p.Steps = p.Steps[1:]
	if err := try(t, state, "recovery", "run", written(t, p)); err == nil || !strings.Contains(err.Error(), "lacks the step") {
		t.Errorf("a plan that stops nothing: %v", err)
	}
	for _, args := range [][]string{{"recovery", "run", plan}, {"recovery", "undo", "nfs", "--recovery", "1", "--yes"}} {
		if err := try(t, state, args...); err == nil || !strings.Contains(err.Error(), "stop the agent first") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestWhatCannotBeTakenBackWantsTheRecoverysNameAndAYes(t *testing.T) {
	if err := try(t, t.TempDir(), "recovery", "undo", "nfs", "--yes"); err == nil || !strings.Contains(err.Error(), "name the recovery") {
		t.Errorf("%v", err)
	}
	if err := try(t, t.TempDir(), "recovery", "release", "nfs", "--recovery", "1"); err == nil || !strings.Contains(err.Error(), "add --yes") {
		t.Errorf("%v", err)
	}
}

func TestTwoPlansOfOneDayKeepTheirCopiesApart(t *testing.T) {
	p := recovery.Plan{Version: recovery.PlanVersion, Group: "nfs", Victim: "node-b", Survivor: "node-a"}
	q := p
	q.Discard = 4096
	if idOf(p) == idOf(q) {
		t.Errorf("%s and %s", idOf(p), idOf(q))
	}
}

// What is said to a person at a terminal is not mixed with a daemon's log; who wants that
// asks for it.
func TestATalkWithAPersonHasNoLogInIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte(lonely+t.TempDir()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	logs := func(at site) bool {
		t.Helper()
		d, err := at.load()
		if err != nil {
			t.Fatal(err)
		}
		return d.Log.Enabled(t.Context(), slog.LevelWarn)
	}
	t.Setenv(logLevel, "")
	if logs(site{file: &file}) || !logs(site{file: &file, verbose: true}) {
		t.Error("it logs unasked, or does not when it is asked to")
	}
	t.Setenv(logLevel, "warn")
	if !logs(site{file: &file}) {
		t.Error("the level that was named counts for nothing")
	}
	if err := try(t, t.TempDir(), "recovery", "release", "nfs", "--recovery", "1", "-v"); err == nil || !strings.Contains(err.Error(), "add --yes") {
		t.Errorf("%v", err)
	}
}

// Two steps that wait for the other node are looked at in turns, and each tells its news.
func TestWhatIsWaitedForIsSaidOnce(t *testing.T) {
	var out bytes.Buffer
	r := byHand{out: &out}
	for _, left := range []string{"4 MiB", "4 MiB", "3 MiB"} {
		r.sayOf("connect r0", "connect: r0 looks for the peer")
		r.sayOf("follow-resync", "follow-resync: "+left+" left")
	}
	if want := "connect: r0 looks for the peer\nfollow-resync: 4 MiB left\nfollow-resync: 3 MiB left\n"; out.String() != want {
		t.Error(out.String())
	}
}
