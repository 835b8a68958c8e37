package daemon_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sbarbiter/agent/guard/filter"
	"sbarbiter/agent/guard/process"
	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/witness"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/internal/config"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/timing"
)

// rig is a witness and what two agents need, all on this host's loopback.
type rig struct {
	t       *testing.T
	dir     string
	witness netip.AddrPort
	ports   [2]uint16 // of the two nodes' ends of the one link
	// hands are the witness's own fence devices; the cluster has stonith with them.
	hands *fences.Hands

	mu    sync.Mutex
	shown map[string]string // the status that each node's agent showed last
}

var nodes = [2]string{"node-a", "node-b"}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("an agent asks its reference addresses by ICMP and keeps secrets as root")
	}
	dir, err := os.MkdirTemp("", "sbagent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, shown: map[string]string{}}
	ca, err := pki.Init(r.path("ca"))
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]pki.Identity{
		"node-a": {Role: pki.RoleNode, Cluster: "web1", Name: "node-a"}, "node-b": {Role: pki.RoleNode, Cluster: "web1", Name: "node-b"},
		"arb": {Role: pki.RoleWitness, Name: "arb"}, "admin": {Role: pki.RoleOperator, Name: "admin"},
	} {
		if _, err := ca.Issue(r.path(name, "pki"), pki.Request{Identity: id, Validity: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	r.ports = [2]uint16{freeUDP(t), freeUDP(t)}
	return r
}

func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

func freeUDP(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// arbitrate runs a witness and declares the cluster.
func (r *rig) arbitrate() {
	r.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	state := r.path("arb", "state")
	must(r.t, raftlog.Init(state, "arb"))
	machine := witness.NewMachine()
	engine := need[*raftlog.Engine](r.t)(raftlog.Open(raftlog.Config{Dir: state, Name: "arb", Log: quiet}, machine))
	audit := need[*witness.Audit](r.t)(witness.OpenAudit(r.path("arb", "audit.log"), quiet))
	listener := need[net.Listener](r.t)(net.Listen("tcp", "127.0.0.1:0"))
	r.witness = netip.MustParseAddrPort(listener.Addr().String())
	creds := need[*pki.Source](r.t)(pki.Open(r.path("arb", "pki")))
	conf := witness.Config{
		Name: "arb", Engine: engine, Machine: machine, Audit: audit, Listener: listener, Creds: creds, Log: quiet, Ready: func() {},
	}
	if r.hands != nil {
		conf.Power = r.hands
	}
	r.run("witness", witness.New(conf).Run)

	operator := need[*pki.Source](r.t)(pki.Open(r.path("admin", "pki")))
	conn, err := rpc.Dial(r.witness.String(), operator, pki.RoleWitness, quiet)
	must(r.t, err)
	defer conn.Close()
	ns := func(d time.Duration) int64 { return d.Nanoseconds() }
	eventually(r.t, "the cluster is declared", func() error {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		v, err := sbv1.NewOperatorClient(conn).AddCluster(ctx, &sbv1.AddClusterRequest{Definition: &sbv1.Definition{
			Cluster: "web1", Nodes: nodes[:], Groups: []*sbv1.GroupDefinition{{Name: "web"}}, Stonith: r.hands != nil,
			Timing: &sbv1.Timing{
				TtlNs: ns(20 * time.Second), PromiseNs: ns(20 * time.Second), RenewNs: ns(250 * time.Millisecond), RpcTimeoutNs: ns(250 * time.Millisecond),
				SuspectAfterNs: ns(time.Second), FenceTimeoutNs: ns(4 * time.Second), StartGateNs: ns(2 * time.Second),
			},
		}})
		if err == nil && v.GetKind() == "refused" {
			err = fmt.Errorf("refused: %s", v.GetSentence())
		}
		return err
	})
}

// run runs something until the test ends, or until the function that it returns
// is called.
func (r *rig) run(what string, do func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	over := false
	end = func() {
		if over {
			return
		}
		over = true
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("%s ended with: %v", what, err)
		}
	}
	r.t.Cleanup(end)
	return end
}

// node is the daemon of one of the two nodes. Its group is a file that exists
// while it runs, and a line in another one for each start and stop.
func (r *rig) node(i int) *daemon.Daemon {
	name := nodes[i]
	up, diary := r.path(name, "up"), r.path(name, "diary")
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	plan, _ := timing.Profile(timing.ProfileSTONITH)
	plan.Watchdog = 0
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.ports[i]) }
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(r.t.Output(), nil)).With("node", name)
	}
	return &daemon.Daemon{
		Node: config.Node{
			Cluster: "web1", Name: name, Peer: nodes[1-i], Witnesses: []netip.AddrPort{r.witness},
			Links: []config.Link{{Local: at(i), Peer: at(1 - i)}}, AllowSingleLink: true,
			References: config.References{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Need: 1},
			Timing:     plan,
			StateDir:   r.path(name, "state"), RuntimeDir: r.path(name, "run"), PKIDir: r.path(name, "pki"),
			HeartbeatKey: r.path(name, "pki", pki.HeartbeatKeyFile),
			Groups: []config.Group{{Name: "web", StartTimeout: 10 * time.Second, StopTimeout: 5 * time.Second, Services: []config.Service{{
				Spec: config.Command{
					Start: sh("touch " + up + "; echo start >>" + diary), Stop: sh("rm -f " + up + "; echo stop >>" + diary),
					Status: sh("test -e " + up + " || exit 3"),
				},
				StartTimeout: 5 * time.Second, StopTimeout: 5 * time.Second,
			}}}},
		},
		Log: log, Boot: "boot-of-" + name, Resetter: noReset{r.t},
		Notify: func(states ...string) error { r.show(name, states); return nil }, Host: func(config.Node) error { return nil },
	}
}

// guard runs a guard beside an agent until the test ends.
func (r *rig) guard(dir, boot string) {
	r.t.Helper()
	p, err := process.New(process.Config{
		RuntimeDir: dir, Boot: boot, Log: slog.New(slog.DiscardHandler), Resetter: noReset{r.t}, Filter: filter.NewRemoval(),
		Notify: func(...string) error { return nil },
	})
	must(r.t, err)
	r.run("guard", p.Run)
}

func (r *rig) show(name string, states []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range states {
		if status, ok := strings.CutPrefix(s, "STATUS="); ok {
			r.shown[name] = status
		}
	}
}

// runs says that the agent of node i takes the group for running.
func (r *rig) runs(i int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shown[nodes[i]]; !strings.HasPrefix(s, "web running") {
		return fmt.Errorf("%s shows %q", nodes[i], s)
	}
	return nil
}

type noReset struct{ t *testing.T }

func (n noReset) Reset() error {
	n.t.Error("the machine was reset")
	return io.ErrUnexpectedEOF
}

func (r *rig) diary(i int) string {
	text, err := os.ReadFile(r.path(nodes[i], "diary"))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// runner is the node on which the group runs.
func (r *rig) runner() (int, error) {
	on := -1
	for i, name := range nodes {
		if _, err := os.Stat(r.path(name, "up")); err == nil {
			if on >= 0 {
				r.t.Fatal("the group runs on both nodes")
			}
			on = i
		}
	}
	if on < 0 {
		return on, fmt.Errorf("the group runs on neither node")
	}
	return on, nil
}

func TestTwoAgentsAndAWitnessRunAGroupOnce(t *testing.T) {
	r := newRig(t)
	r.arbitrate()
	for i := range nodes {
		r.guard(r.node(i).Node.RuntimeDir, r.node(i).Boot)
	}
	ends := [2]func(){r.run("agent", r.node(0).Run), r.run("agent", r.node(1).Run)}
	eventually(t, "the group runs", func() error { _, err := r.runner(); return err })
	on, err := r.runner()
	must(t, err)
	eventually(t, "its agent knows that", func() error { return r.runs(on) })

	// An agent that ends leaves the group alone, and so does the next one.
	ends[on]()
	if now, err := r.runner(); err != nil || now != on {
		t.Fatalf("the group does not run on %s any more: %v", nodes[on], err)
	}
	r.run("agent", r.node(on).Run)
	stays(t, 3*time.Second, func() error {
		if now, err := r.runner(); err != nil || now != on {
			return fmt.Errorf("the group has left %s: %w", nodes[on], err)
		}
		if d := r.diary(on); d != "start" {
			return fmt.Errorf("the services of %s were touched: %s", nodes[on], d)
		}
		return nil
	})
	if d := r.diary(1 - on); d != "" {
		t.Errorf("the other node has touched its services: %s", d)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func need[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stays fails the test as soon as ok does, within d.
func stays(t *testing.T, d time.Duration, ok func() error) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		must(t, ok())
	}
}
