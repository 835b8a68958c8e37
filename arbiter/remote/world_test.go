package remote_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/remote"
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

var quiet = slog.New(slog.DiscardHandler)

// world is a witness on one address, with the certificates of everybody.
type world struct {
	t      *testing.T
	ca     *pki.CA
	dir    string
	listen string
	stop   func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ca, err := pki.Init(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ca: ca, dir: filepath.Join(t.TempDir(), "state"), listen: "127.0.0.1:0"}
	if err := raftlog.Init(w.dir, "w1"); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.declare()
	return w
}

func (w *world) creds(id pki.Identity) *pki.Source {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "own")
	if _, err := w.ca.Issue(dir, pki.Request{Identity: id}); err != nil {
		w.t.Fatal(err)
	}
	src, err := pki.Open(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return src
}

// start runs the witness, at the address of the one before.
func (w *world) start() {
	w.t.Helper()
	machine := witness.NewMachine()
	engine, err := raftlog.Open(raftlog.Config{Dir: w.dir, Name: "w1"}, machine)
	if err != nil {
		w.t.Fatal(err)
	}
	audit, err := witness.OpenAudit(filepath.Join(w.dir, "audit.log"), quiet)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", w.listen)
	if err != nil {
		w.t.Fatal(err)
	}
	w.listen = listener.Addr().String()
	server := witness.New(witness.Config{
		Name: "w1", Engine: engine, Machine: machine, Audit: audit, Listener: listener, Log: quiet,
		Creds: w.creds(pki.Identity{Role: pki.RoleWitness, Name: "w1"}),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("witness: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
}

func (w *world) declare() {
	w.t.Helper()
	conn, err := rpc.Dial(w.listen, w.creds(pki.Identity{Role: pki.RoleOperator, Name: "alice"}), pki.RoleWitness, quiet)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	def := arbiter.Definition{
		Cluster: cluster, Nodes: [2]arbiter.NodeID{nodeA, nodeB}, Stonith: true,
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{data: {}},
		Timing: arbiter.Timing{
			TTL: 4 * time.Second, Promise: 4 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
			SuspectAfter: time.Second, FenceTimeout: 2 * time.Second,
		},
	}
	w.eventually("the cluster is declared", func() bool {
		v, err := sbv1.NewOperatorClient(conn).AddCluster(w.t.Context(), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(def)})
		return err == nil && v.GetKind() == "done"
	})
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// client is a running client and what it has emitted.
type client struct {
	*remote.Client
	t      *testing.T
	events chan agent.Event
	stop   func()
	caller arbiter.Caller
}

func (w *world) client(node arbiter.NodeID, addresses ...string) *client {
	w.t.Helper()
	c := &client{
		t: w.t, events: make(chan agent.Event, 1024),
		caller: arbiter.Caller{Cluster: cluster, Node: node, Boot: "boot-" + arbiter.BootID(node), Incarnation: 1},
	}
	var err error
	c.Client, err = remote.New(remote.Config{
		Addresses: addresses, Creds: w.creds(pki.Identity{Role: pki.RoleNode, Cluster: string(cluster), Name: string(node)}),
		Log: quiet, Emit: func(ev agent.Event) { c.events <- ev },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("client: %v", err)
		}
	})
	w.t.Cleanup(c.stop)
	return c
}

// await returns the next event of the kind E, and fails if fault comes first.
func await[E agent.Event](c *client) E {
	c.t.Helper()
	late := time.After(patience)
	for {
		select {
		case ev := <-c.events:
			if e, ok := ev.(E); ok {
				return e
			}
			if _, ok := ev.(agent.Nudged); !ok {
				c.t.Fatalf("%T %+v comes first", ev, ev)
			}
		case <-late:
			c.t.Fatalf("no %T within %v", *new(E), patience)
		}
	}
}

func (c *client) hello() agent.Welcomed {
	c.t.Helper()
	await[agent.SessionUp](c)
	c.SendHello(leader.Hello{Sender: leader.Sender{Caller: c.caller}})
	return await[agent.Welcomed](c)
}

func (c *client) beat(number uint64) {
	c.SendBeat(leader.Beat{
		Sender: leader.Sender{Caller: c.caller}, Number: number,
		Groups: []leader.GroupBeat{{Group: data, Phase: "stopped"}},
	}, boottime.Now())
}

// line is a connection between two parties that can be cut without a word.
type line struct {
	addr string
	mu   sync.Mutex
	dead chan struct{} // closed: what is sent goes nowhere
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{addr: listener.Addr().String(), dead: make(chan struct{})}
	var parts sync.WaitGroup
	t.Cleanup(func() { listener.Close(); parts.Wait() })
	parts.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			stop := context.AfterFunc(t.Context(), func() { near.Close(); far.Close() })
			dead := l.now()
			parts.Go(func() { defer stop(); carry(far, near, dead) })
			parts.Go(func() { carry(near, far, dead) })
		}
	})
	return l
}

func carry(to, from net.Conn, dead <-chan struct{}) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		select {
		case <-dead:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (l *line) now() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// cut silences the connections that stand, and mend lets new ones work.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dead)
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = make(chan struct{})
}
