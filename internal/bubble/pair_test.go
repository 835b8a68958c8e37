package bubble

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/faketime"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

const (
	cluster arbiter.ClusterID = "nfs1"
	data    arbiter.GroupID   = "data"
	a, b                      = 0, 1 // the two nodes
)

var nodes = [2]arbiter.NodeID{"node-a", "node-b"}

// settled is how long a pair takes until all of it is known, the power of the
// other node with it: that is looked at every half minute.
const settled = 40 * time.Second

// timing is the default for pairs with power switches.
var timing = agent.Timing{
	Timing: arbiter.Timing{
		TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
		SuspectAfter: time.Second, FenceTimeout: 12 * time.Second, StartGate: 2 * time.Second,
	},
	Stop: 10 * time.Second, Reset: 2 * time.Second, Late: 500 * time.Millisecond,
}

func definition() arbiter.Definition {
	return arbiter.Definition{
		Cluster: cluster, Nodes: nodes, Timing: timing.Timing, Stonith: true,
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{data: {DRBD: true, Preferred: nodes[a], MinimumGrade: arbiter.E2}},
	}
}

// pair is two nodes and their witnesses in a bubble.
type pair struct {
	t      *testing.T
	ws     *Witnesses
	nodes  [2]*node
	mirror *mirror
	cable  *cable
	op     []sbv1.OperatorClient // one for each witness

	mu   sync.Mutex
	runs [2]bool
}

// story runs a test in a bubble, with n witnesses and a pair that runs its
// group on node-a.
func story(t *testing.T, n int, tell func(p *pair)) {
	t.Helper()
	faketime.Test(t, func(t *testing.T) {
		p := newPair(t, n)
		p.ws.Start()
		p.declare()
		for _, m := range p.nodes {
			m.boot()
		}
		p.soon("node-a runs the group", func() bool { return p.runsOn(a) })
		p.soon("the witness knows that", func() bool { return p.seen().GetHolder() == string(nodes[a]) })
		p.quiet(settled)
		tell(p)
	})
}

func newPair(t *testing.T, n int) *pair {
	p := &pair{t: t, ws: NewWitnesses(t, n)}
	if testing.Verbose() {
		p.ws.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	p.mirror, p.cable = newMirror(), newCable()
	for i := range p.nodes {
		p.nodes[i] = newNode(p, i)
		t.Cleanup(func() { p.nodes[i].crash() })
	}
	return p
}

// declare tells the witnesses of the cluster.
func (p *pair) declare() {
	p.t.Helper()
	creds := p.ws.Creds(pki.Identity{Role: pki.RoleOperator, Name: "alice"})
	for _, addr := range p.ws.Addresses() {
		conn, err := rpc.Dial(addr, creds, pki.RoleWitness, slog.New(slog.DiscardHandler), dialer(p.ws.Net.Dial("alice")))
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { conn.Close() })
		p.op = append(p.op, sbv1.NewOperatorClient(conn))
	}
	p.soon("the cluster is declared", func() bool {
		return p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
			v, err := op.AddCluster(ctx, &sbv1.AddClusterRequest{Definition: wire.ToDefinition(definition())})
			return err == nil && v.GetKind() == "done"
		})
	})
}

// ask puts a question to each witness until one answers.
func (p *pair) ask(question func(context.Context, sbv1.OperatorClient) bool) bool {
	for _, op := range p.op {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
		done := question(ctx, op)
		cancel()
		if done {
			return true
		}
	}
	return false
}

// seen is the group as the leader shows it, nil if nobody leads.
func (p *pair) seen() (out *sbv1.GroupStatus) {
	p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
		s, err := op.Status(ctx, &sbv1.StatusRequest{Cluster: string(cluster)})
		if err == nil {
			out = s.GetClusters()[0].GetGroups()[0]
		}
		return err == nil
	})
	return out
}

// leader is the witness that leads, -1 for none.
func (p *pair) leader() int {
	for i, op := range p.op {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
		_, err := op.Status(ctx, &sbv1.StatusRequest{})
		cancel()
		if err == nil {
			return i
		}
	}
	return -1
}

// soon waits in fake time, which costs nothing.
func (p *pair) soon(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not within two minutes", what)
		}
	}
}

// quiet lets time pass in which nothing moves.
func (p *pair) quiet(d time.Duration) {
	p.t.Helper()
	before := p.moves()
	time.Sleep(d)
	if after := p.moves(); after != before {
		p.t.Fatalf("in %v: starts, stops, resets and shots were %v and are %v", d, before, after)
	}
}

// moves counts what a quiet pair does not do: starts, stops, resets and shots of
// each node.
func (p *pair) moves() (out [2][4]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.nodes {
		out[i] = [4]int{m.starts, m.stops, m.resets, m.shots}
	}
	return out
}

// set notes whether a node runs the group's services, and that no other does.
func (p *pair) set(i int, runs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[i] = runs && p.nodes[i].up
	if p.runs[a] && p.runs[b] {
		p.t.Error("the group runs on both nodes")
	}
}

func (p *pair) count(i int, what func(m *node) *int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*what(p.nodes[i])++
}

func (p *pair) runsOn(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs[i]
}

func (p *pair) runsOnly(i int) bool { return p.runsOn(i) && !p.runsOn(1-i) }
