package daemon_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/config"
	"sbarbiter/internal/pki"
)

// refusal runs an agent that must not start.
func refusal(t *testing.T, d *daemon.Daemon) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := d.Run(ctx)
	if err == nil {
		t.Fatal("the agent has run")
	}
	return err.Error()
}

func TestAgentRefusesWhatItCouldNotKeepItsWordWith(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		spoil func(n *config.Node)
		want  string
	}{
		"another node's certificate":  {func(n *config.Node) { n.PKIDir = r.path("node-b", "pki") }, "sbctl pki issue node node-a --cluster "},
		"an operator's certificate":   {func(n *config.Node) { n.PKIDir = r.path("admin", "pki") }, "operator admin"},
		"another cluster's":           {func(n *config.Node) { n.Cluster = "web2" }, "node web2/node-a"},
		"no heartbeat key":            {func(n *config.Node) { n.HeartbeatKey = r.path("no.key") }, "no.key"},
		"a lease too short to end in": {func(n *config.Node) { n.Timing.TTL = 10 * time.Second }, "ttl 10s is too short"},
		"a watchdog that is not there": {func(n *config.Node) {
			n.Watchdog, n.Timing.Watchdog = config.Watchdog{Device: r.path("no-watchdog"), Timeout: 5 * time.Second}, 5*time.Second
		}, "no-watchdog"},
	} {
		t.Run(name, func(t *testing.T) {
			d := r.node(0)
			d.Node.StateDir, d.Node.RuntimeDir = t.TempDir(), t.TempDir()
			d.Node.Witnesses = append(d.Node.Witnesses[:0:0], d.Node.Links[0].Local)
			c.spoil(&d.Node)
			r.guard(d.Node.RuntimeDir, d.Boot)
			if said := refusal(t, d); !strings.Contains(said, c.want) {
				t.Errorf("want %q in: %s", c.want, said)
			}
		})
	}
}

func TestStateThatIsNotWholeOrNotOursIsNamed(t *testing.T) {
	r := newRig(t)
	node := func() *daemon.Daemon {
		d := r.node(0)
		d.Node.Witnesses = append(d.Node.Witnesses[:0:0], d.Node.Links[0].Local)
		return d
	}
	first := node()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	must(t, first.Run(ctx))

	other := node()
	other.Node.Name, other.Node.Peer, other.Node.PKIDir = "node-b", "node-a", r.path("node-b", "pki")
	other.Node.HeartbeatKey = r.path("node-b", "pki", pki.HeartbeatKeyFile)
	if said := refusal(t, other); !strings.Contains(said, "node-a") {
		t.Errorf("another node's state: want its owner named in: %s", said)
	}

	must(t, os.WriteFile(r.path("node-a", "state", "agent.incarnation"), []byte("garbage"), 0o600))
	if said := refusal(t, node()); !strings.Contains(said, "agent.incarnation") {
		t.Errorf("damaged state: want the file named in: %s", said)
	}
}

// leftRunning is a node on which the agent before has left a group running.
func leftRunning(t *testing.T, group arbiter.GroupID) *daemon.Daemon {
	t.Helper()
	r := newRig(t)
	d := r.node(0)
	d.Node.StateDir, d.Node.RuntimeDir = t.TempDir(), t.TempDir()
	d.Node.Witnesses = append(d.Node.Witnesses[:0:0], d.Node.Links[0].Local)
	st, err := store.Open(d.Node.StateDir, store.Identity{Cluster: d.Node.Cluster, Node: d.Node.Name})
	must(t, err)
	rights, err := st.Boot(d.Node.RuntimeDir, d.Boot)
	must(t, err)
	held := agent.BootMemory{Boot: arbiter.BootID(d.Boot), Groups: map[arbiter.GroupID]agent.HeldRight{
		group: {Epoch: 8, Lease: boottime.Now().Add(time.Minute), Started: true},
	}}
	must(t, rights.Save(held.Encode()))
	must(t, st.Close())
	return d
}

// A group that was taken out of the node file while it runs would go on without
// a right, beside a watchdog that is fed, until the other node starts it too.
func TestGroupThatRunsIsNotForgottenByTheNodeFile(t *testing.T) {
	if said := refusal(t, leftRunning(t, "renamed")); !strings.Contains(said, "group renamed may be running here") {
		t.Errorf("want the group named in: %s", said)
	}
}

// So would a service of it: this node would give the group back as stopped, and the
// address would stay.
func TestServiceThatRunsIsNotForgottenByTheNodeFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "examples", "node-a.yaml"))
	must(t, err)
	before, err := config.ParseNode("node.yaml", text, "node-a")
	must(t, err)
	g := before.Groups[0]
	for name, c := range map[string]struct {
		change func(*config.Group)
		want   string
	}{
		"a service":  {func(g *config.Group) { g.Services = g.Services[1:] }, g.Services[0].Spec.Kind() + " " + g.Services[0].Spec.Name()},
		"a resource": {func(g *config.Group) { g.DRBD = nil }, "DRBD resource " + g.DRBD[0]},
	} {
		t.Run(name, func(t *testing.T) {
			d := leftRunning(t, arbiter.GroupID(g.Name))
			must(t, os.WriteFile(filepath.Join(d.Node.RuntimeDir, "guard-node.yaml"), text, 0o600))
			is := g
			c.change(&is)
			d.Node.Groups = []config.Group{is}
			if said := refusal(t, d); !strings.Contains(said, c.want) {
				t.Errorf("want %q in: %s", c.want, said)
			}
		})
	}
}

// A stop may be allowed more time than the unit has.
func TestServiceManagerIsToldHowLongAStopMayTake(t *testing.T) {
	r := newRig(t)
	d := r.node(0)
	d.Node.StateDir, d.Node.RuntimeDir = t.TempDir(), t.TempDir()
	d.Node.Witnesses = append(d.Node.Witnesses[:0:0], d.Node.Links[0].Local)
	d.Node.Timing.TTL, d.Node.Timing.Promise, d.Node.Timing.Stop = 2*time.Minute, 2*time.Minute, time.Minute
	r.guard(d.Node.RuntimeDir, d.Boot)
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex // guards said
	var said []string
	d.Notify = func(states ...string) error {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, states...)
		stop() // READY=1 is the first
		return nil
	}
	d.Closing = func() agent.Leave { return agent.Leave{Why: "sbagent is being stopped"} }
	must(t, d.Run(ctx))
	want := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (time.Minute + d.Node.Timing.SuspectAfter + 5*time.Second).Microseconds())
	if !slices.Contains(said, want) {
		t.Errorf("want %q in %q", want, said)
	}
}
