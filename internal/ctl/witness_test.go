package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter/raftlog"
	server "sbarbiter/arbiter/witness"
	"sbarbiter/internal/pki"
)

const clusterFile = `cluster: nfs1
nodes: [node-a, node-b]
fencing: stonith
start_gate: 1ms
groups:
  nfs: {drbd: true}
`

// operatorAt runs command lines against a real witness.
type operatorAt struct {
	t    *testing.T
	args []string
}

func (o operatorAt) run(want int, args ...string) (out, talk string) {
	o.t.Helper()
	code, out, talk := o.try(args...)
	if code != want {
		o.t.Fatalf("sbctl %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, talk)
	}
	return out, talk
}

func (o operatorAt) try(args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	s := Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(string) string { return "" }}
	code = Main(o.t.Context(), append(o.args, args...), s)
	return code, stdout.String(), stderr.String()
}

// eventually waits until status says what is wanted.
func (o operatorAt) eventually(what string) {
	o.t.Helper()
	var out string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); pause(o.t.Context(), 50*time.Millisecond) {
		if _, out, _ = o.try("status"); strings.Contains(out, what) {
			return
		}
	}
	o.t.Fatalf("status never says %q, but:\n%s", what, out)
}

// patiently repeats what is refused: a witness that was late itself, on a busy
// machine, listens anew before it calls anybody silent.
func (o operatorAt) patiently(args ...string) string {
	o.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); pause(o.t.Context(), 200*time.Millisecond) {
		if code, out, _ := o.try(args...); code == ExitDone {
			return out
		}
	}
	out, _ := o.run(ExitDone, args...)
	return out
}

func startWitness(t *testing.T, own *pki.Source) (addr string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := raftlog.Init(dir, "w1"); err != nil {
		t.Fatal(err)
	}
	machine := server.NewMachine()
	engine, err := raftlog.Open(raftlog.Config{Dir: dir, Name: "w1"}, machine)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	audit, err := server.OpenAudit(filepath.Join(dir, "audit.log"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w1 := server.New(server.Config{Name: "w1", Engine: engine, Machine: machine, Audit: audit, Listener: l, Creds: own, Log: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w1.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("witness: %v", err)
		}
	})
	return l.Addr().String()
}

// TestARealWitnessAndAPairThroughTheirDay declares a pair to a real witness,
// moves its group and takes leave of a node.
func TestARealWitnessAndAPairThroughTheirDay(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.Init(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(id pki.Identity) *pki.Source {
		if _, err := ca.Issue(filepath.Join(dir, id.Name), pki.Request{Identity: id}); err != nil {
			t.Fatal(err)
		}
		src, err := pki.Open(filepath.Join(dir, id.Name))
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	issue(pki.Identity{Role: pki.RoleOperator, Name: "alice"})
	addr := startWitness(t, issue(pki.Identity{Role: pki.RoleWitness, Name: "w1"}))
	o := operatorAt{t, []string{"--witness", addr, "--pki", filepath.Join(dir, "alice"), "--config", filepath.Join(dir, "none.yaml")}}
	file := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(file, []byte(clusterFile), 0o600); err != nil {
		t.Fatal(err)
	}

	o.eventually("no cluster is declared")
	o.run(ExitDone, "cluster", "add", "-f", file)
	o.eventually("DOWN  nfs1: nobody is known to run nfs; the witness is learning")
	_, talk := o.run(ExitRefused, "switchover", "nfs", "--to", "node-a", "--yes")
	if !strings.Contains(talk, "refused (witness_learning)") {
		t.Errorf("a learning witness was asked to move a group: %s", talk)
	}

	a, _ := act(t, addr, issue(pki.Identity{Role: pki.RoleNode, Cluster: "nfs1", Name: "node-a"}), "node-a", true)
	_, leave := act(t, addr, issue(pki.Identity{Role: pki.RoleNode, Cluster: "nfs1", Name: "node-b"}), "node-b", false)
	o.eventually("OK  nfs1: nfs runs on node-a, node-b is in step")

	shown, _ := o.run(ExitDone, "cluster", "show")
	if err := os.WriteFile(file, []byte(shown), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, talk := o.run(ExitDone, "cluster", "add", "-f", file); talk != "" {
		t.Errorf("what show prints is not what add takes: %s", talk)
	}

	out, _ := o.run(ExitDone, "switchover", "nfs", "--wait", "--yes")
	if !strings.Contains(out, "nfs runs on node-b\ngap ") {
		t.Errorf("switchover says: %s", out)
	}
	o.eventually("OK  nfs1: nfs runs on node-b, node-a is in step")
	if out, _ := o.run(ExitDone, "why", "nfs"); !strings.Contains(out, "planned switchover from node-a") {
		t.Errorf("why does not tell of the switchover:\n%s", out)
	}

	o.run(ExitDone, "maintenance", "on", "--for", "1h")
	o.eventually("ATTENTION  nfs1: nfs runs on node-b; maintenance until ")
	o.run(ExitDone, "maintenance", "off")
	o.run(ExitRefused, "fence", "confirm", "node-b", "--reason", "I feel like it", "--typed", "node-b", "--yes")

	leave()
	a.peer.Store(false)
	o.eventually("node-b holds it and is silent")
	if out := o.patiently("fence", "confirm", "node-b", "--reason", "cable pulled", "--typed", "node-b", "--yes"); !strings.Contains(out, "grade E1") {
		t.Errorf("fence confirm says: %s", out)
	}
	out, _ = o.run(ExitDone, "events", "-o", "json")
	checkEvents(t, out)
}

// checkEvents looks for the day's decisions in the audit log.
func checkEvents(t *testing.T, lines string) {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.Lines(lines) {
		var r recordJSON
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		if r.Index == 0 || r.Sentence == "" || r.Cluster != "nfs1" {
			t.Errorf("event without index, sentence or cluster: %s", line)
		}
		seen[r.What]++
	}
	for _, what := range []string{"define", "report", "acquire", "started", "switchover", "release", "maintenance", "fence confirm"} {
		if seen[what] == 0 {
			t.Errorf("no event tells of %q; seen: %v", what, seen)
		}
	}
}
