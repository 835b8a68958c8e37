package witness_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/wire"
	"sbarbiter/arbiter/witness"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

const (
	cluster arbiter.ClusterID = "nfs1"
	data    arbiter.GroupID   = "data"
	nodeA   arbiter.NodeID    = "node-a"
	nodeB   arbiter.NodeID    = "node-b"

	patience = 20 * time.Second
)

// quick is timing for tests: a machine that is busy with other tests has to keep
// to it as well.
var quick = arbiter.Timing{
	TTL: 4 * time.Second, Promise: 4 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
	SuspectAfter: time.Second, FenceTimeout: 2 * time.Second,
}

func definition(id arbiter.ClusterID) arbiter.Definition {
	return arbiter.Definition{
		Cluster: id, Nodes: [2]arbiter.NodeID{nodeA, nodeB}, Timing: quick, Stonith: true,
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{data: {DRBD: true, MinimumGrade: arbiter.E2}},
	}
}

// keys issues certificates, once for all tests of a process.
var keys = sync.OnceValues(func() (*issuer, error) {
	return &issuer{made: map[pki.Identity]*pki.Source{}}, nil
})

type issuer struct {
	mu   sync.Mutex
	ca   *pki.CA
	made map[pki.Identity]*pki.Source
}

func creds(t testing.TB, id pki.Identity) *pki.Source {
	t.Helper()
	k, _ := keys()
	k.mu.Lock()
	defer k.mu.Unlock()
	if src := k.made[id]; src != nil {
		return src
	}
	dir := t.TempDir()
	if k.ca == nil {
		ca, err := pki.Init(filepath.Join(dir, "ca"))
		if err != nil {
			t.Fatal(err)
		}
		k.ca = ca
	}
	if _, err := k.ca.Issue(filepath.Join(dir, "own"), pki.Request{Identity: id}); err != nil {
		t.Fatal(err)
	}
	c, err := pki.Load(filepath.Join(dir, "own"))
	if err != nil {
		t.Fatal(err)
	}
	k.made[id] = pki.Static(c)
	return k.made[id]
}

func nodeCreds(t testing.TB, id arbiter.ClusterID, node arbiter.NodeID) *pki.Source {
	return creds(t, pki.Identity{Role: pki.RoleNode, Cluster: string(id), Name: string(node)})
}

// host is a running witness.
type host struct {
	t    testing.TB
	dir  string
	addr string
	stop func() error

	opened sbv1.OperatorClient
}

func newDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := raftlog.Init(dir, "w1"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs a witness on dir until the test ends, if it is not stopped before.
func start(t testing.TB, dir string) *host {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	machine := witness.NewMachine()
	engine, err := raftlog.Open(raftlog.Config{Dir: dir, Name: "w1"}, machine)
	if err != nil {
		t.Fatal(err)
	}
	audit, err := witness.OpenAudit(filepath.Join(dir, "audit.log"), log)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := witness.New(witness.Config{
		Name: "w1", Engine: engine, Machine: machine, Audit: audit, Listener: listener,
		Creds: creds(t, pki.Identity{Role: pki.RoleWitness, Name: "w1"}), Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	h := &host{t: t, dir: dir, addr: listener.Addr().String()}
	h.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return fmt.Errorf("Run does not end within %v", patience)
		}
	})
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testLog shows what a witness has to complain about, while the test runs.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		fmt.Print("    ", string(b))
	}
	return len(b), nil
}

func (h *host) dial(src *pki.Source) *grpc.ClientConn {
	h.t.Helper()
	conn, err := rpc.Dial(h.addr, src, pki.RoleWitness, slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

// operator is alice's way to the witness, once it leads.
func (h *host) operator() sbv1.OperatorClient {
	h.t.Helper()
	op := sbv1.NewOperatorClient(h.dial(creds(h.t, pki.Identity{Role: pki.RoleOperator, Name: "alice"})))
	h.opened = op
	eventually(h.t, "the witness leads", func() bool {
		_, err := op.Status(short(h.t), &sbv1.StatusRequest{})
		return err == nil
	})
	return op
}

func (h *host) declare(id arbiter.ClusterID) sbv1.OperatorClient {
	h.t.Helper()
	op := h.operator()
	v, err := op.AddCluster(short(h.t), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(definition(id))})
	if err != nil || v.GetKind() != "done" {
		h.t.Fatalf("declare %s: %v %v", id, v, err)
	}
	return op
}

func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// node is an agent that says what a test tells it to.
type node struct {
	t      testing.TB
	caller arbiter.Caller
	seen   arbiter.Version
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[sbv1.FromAgent, sbv1.FromWitness]
	beats  uint64
	report arbiter.Report
	holds  arbiter.Epoch
	runs   bool
}

func (h *host) node(id arbiter.ClusterID, name arbiter.NodeID) *node {
	h.t.Helper()
	return &node{
		t: h.t, conn: h.dial(nodeCreds(h.t, id, name)),
		caller: arbiter.Caller{Cluster: id, Node: name, Boot: arbiter.BootID("boot-1-" + name), Incarnation: 1},
	}
}

// moved is the same agent, talking to a witness that was started anew.
func (n *node) moved(h *host) *node {
	next := *n
	next.conn, next.stream = h.dial(nodeCreds(h.t, n.caller.Cluster, n.caller.Node)), nil
	return &next
}

// open begins a session.
func (n *node) open() *node {
	n.t.Helper()
	eventually(n.t, "a session is accepted", func() bool {
		stream, err := sbv1.NewArbiterClient(n.conn).Session(n.t.Context())
		if err != nil {
			return false
		}
		header, err := stream.Header()
		n.stream = stream
		return err == nil && header != nil
	})
	return n
}

func (n *node) say(m *sbv1.FromAgent) {
	n.t.Helper()
	if err := n.stream.Send(m); err != nil {
		n.t.Fatalf("%s: send: %v", n.caller.Node, err)
	}
}

// hear returns the next message that is not a notice.
func (n *node) hear() *sbv1.FromWitness {
	n.t.Helper()
	for {
		m, err := n.stream.Recv()
		if err != nil {
			n.t.Fatalf("%s: receive: %v", n.caller.Node, err)
		}
		if m.GetNotice() == nil {
			return m
		}
	}
}

func (n *node) hello() *sbv1.Verdict {
	n.t.Helper()
	h := leader.Hello{Sender: leader.Sender{Caller: n.caller, Seen: n.seen}, Report: n.report}
	n.say(&sbv1.FromAgent{Message: &sbv1.FromAgent_Hello{Hello: wire.ToHello(h)}})
	m := n.hear().GetWelcome()
	if m == nil {
		n.t.Fatalf("%s: a hello is answered by something else", n.caller.Node)
	}
	n.note(m.GetVersion())
	return m
}

func (n *node) note(p *sbv1.Version) {
	if v := wire.FromVersion(p); n.seen.Newer(v) {
		n.seen = v
	}
}

// fit is what a node knows whose copy and network are good.
func fit() arbiter.Evidence {
	return arbiter.Evidence{
		Disks:      []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}},
		References: 1, Needed: 1,
	}
}

func (n *node) nextBeat() leader.Beat {
	n.beats++
	phase := "stopped"
	if n.runs {
		phase = "running"
	}
	return leader.Beat{
		Sender: leader.Sender{Caller: n.caller, Seen: n.seen}, Number: n.beats, References: 1, Needed: 1,
		Groups: []leader.GroupBeat{{Group: data, Epoch: n.holds, Phase: phase, Running: n.runs, Evidence: fit()}},
		Links:  []leader.Link{{Name: "eth1", HearsPeer: true}},
	}
}

// beat sends one and returns its answer, or the verdict that came instead.
func (n *node) beat() (*sbv1.BeatAnswer, *sbv1.Verdict) {
	n.t.Helper()
	b := n.nextBeat()
	n.say(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(b, boottime.Now())}})
	m := n.hear()
	n.note(m.GetAnswer().GetVersion())
	return m.GetAnswer(), m.GetWelcome()
}

// renewed reports whether a beat renews what the node holds.
func (n *node) renewed() bool {
	n.t.Helper()
	a, v := n.beat()
	if a == nil {
		n.t.Fatalf("%s: beat refused: %s", n.caller.Node, v.GetSentence())
	}
	return n.holds != 0 && a.GetGroups()[0].GetRenewed() == uint64(n.holds)
}

// alive keeps beats coming until the function returned is called.
func (n *node) alive() (enough func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(quick.Renew / 2):
			}
			b := n.nextBeat()
			if n.stream.Send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(b, boottime.Now())}}) != nil {
				return
			}
			for {
				m, err := n.stream.Recv()
				if err != nil || m.GetNotice() == nil {
					break
				}
			}
		}
	}()
	return func() { close(stop); <-done }
}

func (n *node) next() arbiter.Caller {
	n.caller.Request++
	return n.caller
}

func (n *node) verdict(v *sbv1.Verdict, err error) arbiter.Verdict {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%s: %v", n.caller.Node, err)
	}
	out, version, err := wire.FromVerdict(v)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.seen.Newer(version) {
		n.seen = version
	}
	return out
}

func (n *node) acquire() arbiter.Verdict {
	n.t.Helper()
	m := leader.Acquire{Seen: n.seen, Acquire: arbiter.Acquire{Caller: n.next(), Group: data, Evidence: fit()}}
	return n.verdict(sbv1.NewArbiterClient(n.conn).Acquire(short(n.t), wire.ToAcquire(m)))
}

func (n *node) mustHold() {
	n.t.Helper()
	v := n.acquire()
	if v.Kind != arbiter.Granted {
		n.t.Fatalf("%s is not granted the group: %s", n.caller.Node, v.Sentence)
	}
	n.holds = v.Epoch
}

// pair declares the cluster and introduces both nodes.
func (h *host) pair() (op sbv1.OperatorClient, a, b *node) {
	h.t.Helper()
	op = h.declare(cluster)
	a, b = h.node(cluster, nodeA).open(), h.node(cluster, nodeB).open()
	for _, n := range []*node{a, b} {
		if v := n.hello(); v.GetKind() != "done" {
			h.t.Fatalf("hello of %s: %s", n.caller.Node, v.GetSentence())
		}
	}
	return op, a, b
}
