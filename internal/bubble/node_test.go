package bubble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"sbarbiter/agent"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/remote"
	"sbarbiter/fencing"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	copies "sbarbiter/recovery/carry"
)

func dialer(dial func(context.Context, string) (net.Conn, error)) grpc.DialOption {
	return grpc.WithContextDialer(dial)
}

// node is one data node: a machine with its power, its disk and, while it is up,
// an agent.
type node struct {
	p     *pair
	i     int
	now   func() boottime.Instant
	creds *pki.Source
	dir   string
	run   string // dies with the boot

	store faulty // the agent's durable file fails with it

	// life holds one while nobody boots, crashes, starts or ends an agent here.
	life  chan struct{}
	agent *running
	dog   *dog // of this boot

	// The pair's mutex guards the rest.
	boots int
	up    bool // the machine has power

	starts, stops, resets, shots int
}

// running is an agent under way.
type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
	st     *store.Store
}

func newNode(p *pair, i int) *node {
	// One node's clock gains what the other's loses: 0.8 % between them.
	n := &node{p: p, i: i, dir: p.t.TempDir(), run: inMemory(p.t), life: make(chan struct{}, 1), now: Clock(time.Duration(i+7)*time.Hour, time.Duration(2*i-1)*4*time.Millisecond)}
	n.creds = p.ws.Creds(pki.Identity{Role: pki.RoleNode, Cluster: string(cluster), Name: string(nodes[i])})
	return n
}

// inMemory is a directory as /run is one: what is written there at every renewal
// costs no disk.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "sbarbiter-bubble-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// alone does something with the machine while nobody else does.
func (n *node) alone(do func()) {
	n.life <- struct{}{}
	defer func() { <-n.life }()
	do()
}

// boot gives the machine power, if it has none, and starts an agent, if there is
// none.
func (n *node) boot() {
	n.alone(func() {
		if !n.isUp() {
			n.p.mu.Lock()
			n.up = true
			n.boots++
			n.dog = &dog{n: n, boot: n.boots, timeout: 5 * time.Second}
			n.p.mu.Unlock()
		}
		if n.agent == nil {
			n.start()
		}
	})
}

func (n *node) start() {
	n.p.t.Helper()
	id := store.Identity{Cluster: string(cluster), Node: string(nodes[n.i])}
	st, err := store.Open(filepath.Join(n.dir, "state"), id)
	if err != nil {
		n.p.t.Fatal(err)
	}
	r, err := n.assemble(st)
	if err != nil {
		n.p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{cancel: cancel, ended: make(chan struct{}), st: st}
	n.agent = run
	go func() {
		defer close(run.ended)
		run.err = r.Run(ctx)
	}()
}

func (n *node) bootID() string { return fmt.Sprintf("boot-%d-of-%s", n.dog.boot, nodes[n.i]) }

// assemble does what the agent's daemon does: it reads what earlier agents have
// left and joins the parts.
func (n *node) assemble(st *store.Store) (*runner.Runner, error) {
	incarnation, err := st.NextIncarnation()
	if err != nil {
		return nil, err
	}
	var mem *agent.Memory
	raw, err := st.Durable().Load()
	if err == nil {
		mem, err = agent.DecodeMemory(raw)
	}
	if err != nil && !errors.Is(err, store.ErrMissing) {
		return nil, err
	}
	lease, err := st.Boot(n.run, n.bootID())
	if err != nil {
		return nil, err
	}
	rights, err := lease.Load()
	if err != nil && !errors.Is(err, store.ErrMissing) {
		return nil, err
	}
	cfg := agent.Config{
		Cluster: cluster, Node: nodes[n.i], Peer: nodes[1-n.i], Boot: arbiter.BootID(n.bootID()),
		Incarnation: arbiter.Incarnation(incarnation), Timing: timing, CanFence: true,
		Groups:   []agent.GroupConfig{{ID: data, Resources: []string{"r0"}}},
		Watchdog: arbiter.Watchdog{Armed: true, Hardware: true, Timeout: n.dog.timeout},
	}
	boot := agent.DecodeBootMemory(rights, cfg.Boot)
	parts, err := n.parts(st, lease)
	if err != nil {
		return nil, err
	}
	group := runner.Group{ID: data, Resources: []string{"r0"}, Services: unit{n}}
	machine := agent.New(n.now(), cfg, mem, boot)
	return runner.New(runner.Config{Agent: cfg, Groups: []runner.Group{group}, Holding: len(boot.Groups) > 0}, machine, parts), nil
}

func (n *node) parts(st *store.Store, lease *store.File) (runner.Parts, error) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(n.p.t.Output(), nil)).With("node", string(nodes[n.i]))
	}
	n.store.File = st.Durable()
	arbiters := &arbiters{}
	var err error
	arbiters.Client, err = remote.New(remote.Config{
		Addresses: n.p.ws.Addresses(), Creds: n.creds, Log: log, Silence: timing.SuspectAfter,
		Dial: n.p.ws.Net.Dial(string(nodes[n.i])), Now: n.now, Emit: func(ev agent.Event) { arbiters.emit(ev) },
	})
	return runner.Parts{
		Durable: &n.store, Boot: lease, Starts: st, Witness: arbiters, Peer: n.p.cable.end(n), References: references{},
		Hands: hands{n}, Copies: map[arbiter.GroupID]copies.Group{data: {Name: string(data), Resources: []string{"r0"}}},
		DRBD: n.p.mirror.side(n.i), Power: n.power(), Watchdog: n.dog, Resetter: resetter{n, n.dog.boot}, Log: log, Now: n.now,
	}, err
}

// arbiters is the client whose events go to whoever runs it.
type arbiters struct {
	*remote.Client
	emit func(agent.Event)
}

func (w *arbiters) Run(ctx context.Context, emit func(agent.Event)) error {
	w.emit = emit
	return w.Client.Run(ctx)
}

// power is the peer's power switch.
func (n *node) power() *runner.Power {
	const device = "bmc"
	limits := fencing.DefaultLimits()
	limits.Total = 10 * time.Second
	return &runner.Power{
		Target: fencing.Target(nodes[1-n.i]), Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{device}}},
		Limits: map[fencing.DeviceName]fencing.Limits{device: limits},
		Shooter: &shooter.Shooter{
			Fencers: map[fencing.DeviceName]fencing.Fencer{device: outlet{n.p.nodes[1-n.i]}}, Executor: string(nodes[n.i]), Now: n.now,
		},
	}
}

// end stops the agent, and leaves alone what it runs.
func (n *node) end() {
	n.p.t.Helper()
	n.alone(n.stop)
}

func (n *node) stop() {
	if n.agent == nil {
		return
	}
	n.agent.cancel()
	<-n.agent.ended
	if err := n.agent.err; err != nil {
		n.p.t.Errorf("%s: the agent ended with %v", nodes[n.i], err)
	}
	if err := n.agent.st.Close(); err != nil {
		n.p.t.Error(err)
	}
	n.agent = nil
}

// crash takes the machine's power away, from this boot if one is named.
func (n *node) crash(boot ...int) {
	n.p.mu.Lock()
	dies := n.up && (len(boot) == 0 || boot[0] == n.boots)
	n.up = n.up && !dies
	n.p.mu.Unlock()
	if !dies {
		return
	}
	// What it did is over at once; that its agent's goroutines end takes longer.
	n.p.set(n.i, false)
	n.p.mirror.lose(n.i)
	n.p.cable.cutOff(n.i)
	for _, addr := range n.p.ws.Addresses() {
		n.p.ws.Net.HangupFrom(string(nodes[n.i]), addr)
	}
	n.alone(n.stop)
}

func (n *node) isUp() bool {
	n.p.mu.Lock()
	defer n.p.mu.Unlock()
	return n.up
}

// faulty is the agent's durable file on a disk that may fail.
type faulty struct {
	*store.File
	mu    sync.Mutex
	err   error
	keeps bool // stored all the same
}

// Save stores, or fails.
func (f *faulty) Save(body []byte) error {
	f.mu.Lock()
	err, keeps := f.err, f.keeps
	f.mu.Unlock()
	if err != nil && !keeps {
		return err
	}
	return errors.Join(err, f.File.Save(body))
}

// fail makes every save fail: with keeps after it was made, as a failed fsync
// may leave it.
func (f *faulty) fail(err error, keeps bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.keeps = err, keeps
}
