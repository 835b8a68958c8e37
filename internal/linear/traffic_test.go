package linear

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/remote"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/bubble"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

const cluster arbiter.ClusterID = "nfs1"

var (
	groups = []arbiter.GroupID{"db", "web"}
	names  = map[Party]arbiter.NodeID{NodeA: "node-a", NodeB: "node-b"}
	quiet  = slog.New(slog.DiscardHandler)

	timing = arbiter.Timing{
		TTL: 4 * time.Second, Promise: 4 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
		SuspectAfter: time.Second, FenceTimeout: 2 * time.Second,
	}
)

func party(n string) Party {
	for p, name := range names {
		if string(name) == n {
			return p
		}
	}
	return Nobody
}

// definition has neither power switches nor watchdogs: no lease ends by itself.
func definition() arbiter.Definition {
	d := arbiter.Definition{Cluster: cluster, Nodes: [2]arbiter.NodeID{names[NodeA], names[NodeB]}, Timing: timing, Groups: map[arbiter.GroupID]arbiter.GroupDefinition{}}
	for _, g := range groups {
		d.Groups[g] = arbiter.GroupDefinition{DRBD: true}
	}
	return d
}

// traffic is everybody who asks.
type traffic struct {
	t       *testing.T
	ws      *bubble.Witnesses
	h       *History
	nodes   map[Party]*node
	forgets bool          // nobody shows the witness what it has said before
	silence time.Duration // how long nodes wait for an answer before they look for another witness
	askers  sync.WaitGroup

	mu      sync.Mutex
	highest arbiter.Version
}

// node is a data node that several programs ask for at once.
type node struct {
	*remote.Client
	tr   *traffic
	who  Party
	caps arbiter.Caller
	now  func() boottime.Instant
	say  chan agent.Event

	mu      sync.Mutex
	request arbiter.RequestID
	seen    arbiter.Version
	epochs  map[arbiter.GroupID]uint64 // last known of a lease
	numbers map[arbiter.GroupID][2]uint64
}

// begin introduces two nodes to the witnesses; both beat until ctx ends.
func (tr *traffic) begin(ctx context.Context) {
	tr.h, tr.nodes = &History{}, map[Party]*node{}
	ops := tr.operators("root")
	tr.soon("the cluster is declared", func() bool {
		for _, op := range ops {
			short, cancel := context.WithTimeout(ctx, time.Second)
			v, err := op.AddCluster(short, &sbv1.AddClusterRequest{Definition: wire.ToDefinition(definition())})
			cancel()
			if err == nil && v.GetKind() == "done" {
				return true
			}
		}
		return false
	})
	for p := NodeA; p <= NodeB; p++ {
		tr.nodes[p] = tr.node(ctx, p)
	}
	for _, n := range tr.nodes {
		tr.soon("a node is welcome", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.seen.Index > 0 })
	}
	time.Sleep(2 * time.Second)
}

func (tr *traffic) soon(what string, holds func() bool) {
	tr.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			tr.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// operators is how one operator reaches each witness.
func (tr *traffic) operators(name string) (out []sbv1.OperatorClient) {
	creds := tr.ws.Creds(pki.Identity{Role: pki.RoleOperator, Name: name})
	for _, addr := range tr.ws.Addresses() {
		conn, err := rpc.Dial(addr, creds, pki.RoleWitness, quiet, grpc.WithContextDialer(tr.ws.Net.Dial(name)))
		if err != nil {
			tr.t.Fatal(err)
		}
		tr.t.Cleanup(func() { conn.Close() })
		out = append(out, sbv1.NewOperatorClient(conn))
	}
	return out
}

func (tr *traffic) node(ctx context.Context, p Party) *node {
	n := &node{
		tr: tr, who: p, now: bubble.Clock(time.Duration(p)*9*time.Hour, 0), say: make(chan agent.Event, 64),
		caps:   arbiter.Caller{Cluster: cluster, Node: names[p], Boot: "boot-of-" + arbiter.BootID(names[p]), Incarnation: 1},
		epochs: map[arbiter.GroupID]uint64{}, numbers: map[arbiter.GroupID][2]uint64{},
	}
	dial := tr.ws.Net.Dial(string(names[p]))
	var err error
	n.Client, err = remote.New(remote.Config{
		Addresses: tr.ws.Addresses(), Creds: tr.ws.Creds(pki.Identity{Role: pki.RoleNode, Cluster: string(cluster), Name: string(names[p])}),
		Log: quiet, Now: n.now, Silence: tr.silence, Dial: func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, addr) },
		Emit: func(ev agent.Event) {
			select {
			case n.say <- ev:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.askers.Go(func() { _ = n.Run(ctx) }) // ends with ctx, without error
	tr.askers.Go(func() { n.live(ctx) })
	return n
}

// live greets on every session and beats.
func (n *node) live(ctx context.Context) {
	beat := time.NewTicker(timing.Renew)
	defer beat.Stop()
	welcome, number := false, uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-n.say:
			switch ev := ev.(type) {
			case agent.SessionUp:
				welcome = false
				n.SendHello(leader.Hello{Sender: n.sender()})
			case agent.Welcomed:
				welcome = ev.Verdict.OK()
				n.note(ev.Version)
			case agent.Answered:
				n.note(ev.Version)
				n.told(ev.Answer)
			}
		case <-beat.C:
			if !welcome {
				n.SendHello(leader.Hello{Sender: n.sender()})
				continue
			}
			number++
			n.SendBeat(n.beat(number), n.now())
		}
	}
}

func (n *node) sender() leader.Sender {
	n.mu.Lock()
	defer n.mu.Unlock()
	return leader.Sender{Caller: n.caps, Seen: n.shown()}
}

// shown is what it tells a witness of the witness's own past.
func (n *node) shown() arbiter.Version {
	if n.tr.forgets {
		return arbiter.Version{}
	}
	return n.seen
}

func (n *node) note(v arbiter.Version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen.Newer(v) {
		n.seen = v
	}
}

// told learns which epoch it holds, for whoever did not hear the grant.
func (n *node) told(a leader.BeatAnswer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range a.Groups {
		if g.Holder == names[n.who] {
			n.epochs[g.Group] = uint64(g.Epoch)
		}
		n.stale(g.Group, n.who, uint64(g.Own.Number))
		n.stale(g.Group, n.who.Peer(), uint64(g.Peer.Number))
	}
}

func (n *node) epoch(g arbiter.GroupID) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.epochs[g]
}

// stale remembers the number of an exclusion, also after it was cleared.
func (n *node) stale(g arbiter.GroupID, of Party, number uint64) {
	if number == 0 {
		return
	}
	numbers := n.numbers[g]
	numbers[of-NodeA] = number
	n.numbers[g] = numbers
}

func fit() arbiter.Evidence {
	return arbiter.Evidence{Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}}
}

func (n *node) beat(number uint64) leader.Beat {
	b := leader.Beat{Sender: n.sender(), Number: number}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range groups {
		b.Groups = append(b.Groups, leader.GroupBeat{Group: g, Epoch: arbiter.Epoch(n.epochs[g]), Phase: "running", Evidence: fit()})
	}
	return b
}

// run asks one thing after the other until ctx ends.
func (n *node) run(ctx context.Context) {
	c := n.tr.h.Client()
	for ctx.Err() == nil {
		ask := n.choose()
		request, m := n.message(ask)
		end := c.Begin(ask)
		end(n.ask(ctx, ask, request, m)...)
		rest(ctx, rand.N(200*time.Millisecond))
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// choose is one more request, mostly a sensible one.
func (n *node) choose() Ask {
	n.mu.Lock()
	defer n.mu.Unlock()
	ask := Ask{Group: groups[rand.N(len(groups))], By: n.who}
	ask.Epoch = n.epochs[ask.Group]
	if ask.Epoch >= 8 && rand.N(10) == 0 {
		ask.Epoch -= 4
	}
	ask.Verb = []Verb{Acquire, Acquire, Acquire, Release, Release, Exclude, Exclude, Readmit, Readmit, Readmit}[rand.N(10)]
	switch {
	case ask.Verb == Readmit:
		ask.Epoch, ask.Of = 0, NodeA+Party(rand.N(2))
		if ask.Number = n.numbers[ask.Group][ask.Of-NodeA]; ask.Number == 0 {
			ask = Ask{Verb: Acquire, Group: ask.Group, By: n.who} // nobody has been stale yet
		}
	case ask.Verb == Acquire || ask.Epoch == 0:
		ask.Verb, ask.Epoch = Acquire, 0
	}
	return ask
}

// message gives a request its number.
func (n *node) message(ask Ask) (arbiter.RequestID, leader.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.request++
	caller := n.caps
	caller.Request = n.request
	epoch, seen := arbiter.Epoch(ask.Epoch), n.shown()
	switch ask.Verb {
	case Acquire:
		return n.request, leader.Acquire{Seen: seen, Acquire: arbiter.Acquire{Caller: caller, Group: ask.Group, Evidence: fit()}}
	case Release:
		return n.request, leader.Release{Seen: seen, Release: arbiter.Release{Caller: caller, Group: ask.Group, Epoch: epoch, Started: true, Reason: "test"}}
	case Exclude:
		return n.request, leader.Exclude{Seen: seen, Exclude: arbiter.Exclude{Caller: caller, Group: ask.Group, Epoch: epoch, Evidence: fit()}}
	case Readmit:
		return n.request, leader.Readmit{Seen: seen, Readmit: arbiter.Readmit{
			Caller: caller, Group: ask.Group, Node: names[ask.Of], Number: arbiter.ExclusionNumber(ask.Number), Evidence: fit(),
		}}
	case Order, Look:
	}
	panic("no request of a node")
}

// ask asks until there is an answer, or patience is over: the same number means
// the same request. It returns nothing for what certainly never left.
func (n *node) ask(ctx context.Context, ask Ask, request arbiter.RequestID, m leader.Message) []Told {
	left := 0
	for range []int{1, 4, 12}[rand.N(3)] {
		done := n.Call(ctx, request, m, 500*time.Millisecond)
		switch {
		case errors.Is(done.Err, remote.ErrNoSession):
			continue
		case done.Err != nil:
			left++
			rest(ctx, rand.N(100*time.Millisecond))
			continue
		}
		left++
		n.note(done.Version)
		n.tr.answered(done.Version)
		return []Told{n.answer(ask, done.Verdict, left > 1)}
	}
	if left == 0 {
		return nil
	}
	return []Told{{}}
}

// answer writes a verdict down. A repeated one may speak of now and not of then:
// then it says nothing.
func (n *node) answer(ask Ask, v arbiter.Verdict, again bool) Told {
	moved := v.Repeated && ask.Verb == Acquire && v.Reason == arbiter.NotHolder
	if again && v.Reason == arbiter.Overtaken || moved {
		return Told{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v.Kind == arbiter.Granted {
		n.epochs[ask.Group] = uint64(v.Epoch)
	}
	if ask.Verb == Exclude && v.OK() {
		n.stale(ask.Group, n.who.Peer(), uint64(v.Number))
	}
	return toTold(v)
}

func toTold(v arbiter.Verdict) Told {
	return Told{Known: true, Verdict: v.Kind, Reason: v.Reason, Holder: party(string(v.Holder)), Epoch: uint64(v.Epoch), Number: uint64(v.Number)}
}

func (tr *traffic) answered(v arbiter.Version) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.highest.Newer(v) {
		tr.highest = v
	}
}

// operate looks and orders until ctx ends.
func (tr *traffic) operate(ctx context.Context, name string) {
	ops, c := tr.operators(name), tr.h.Client()
	for at := 0; ctx.Err() == nil; rest(ctx, rand.N(200*time.Millisecond)) {
		op := ops[at%len(ops)]
		if !tr.look(ctx, c, op) {
			at++
			continue
		}
		if rand.N(3) > 0 {
			continue
		}
		ask := Ask{Verb: Order, Group: groups[rand.N(len(groups))], Of: Party(rand.N(3))}
		end := c.Begin(ask)
		short, cancel := context.WithTimeout(ctx, time.Second)
		p, err := op.Switchover(short, wire.ToOrder(arbiter.Order{Cluster: cluster, Group: ask.Group, To: names[ask.Of], Reason: "test"}))
		cancel()
		if err != nil {
			end(Told{}) // an order has no number: it is not asked again
			continue
		}
		v, _, err := wire.FromVerdict(p)
		if err != nil {
			tr.t.Error(err)
		}
		end(toTold(v))
	}
}

// look asks one witness what is so, of all groups at once.
func (tr *traffic) look(ctx context.Context, c *Client, op sbv1.OperatorClient) bool {
	var asks []Ask
	for _, g := range groups {
		asks = append(asks, Ask{Verb: Look, Group: g})
	}
	end := c.Begin(asks...)
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := op.Status(short, &sbv1.StatusRequest{Cluster: string(cluster)})
	if err != nil {
		return false
	}
	tr.answered(wire.FromVersion(s.GetWitness().GetVersion()))
	var told []Told
	for _, id := range groups {
		for _, g := range s.GetClusters()[0].GetGroups() {
			if g.GetName() == string(id) {
				told = append(told, Told{Known: true, Seen: seenIn(g)})
			}
		}
	}
	end(told...)
	return true
}

func seenIn(g *sbv1.GroupStatus) State {
	s := State{Holder: party(g.GetHolder()), Epoch: g.GetEpoch(), Order: party(g.GetOrderTo())}
	for _, e := range g.GetExclusions() {
		s = s.exclude(party(e.GetNode()), e.GetNumber())
	}
	return s
}
