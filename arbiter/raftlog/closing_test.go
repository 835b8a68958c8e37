package raftlog

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/enginetest"
	"sbarbiter/internal/faketime"
)

// witnessed notes the order in which things close.
type witnessed struct {
	mu    sync.Mutex
	steps []string
}

func (w *witnessed) note(step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, step)
}

type closingTransport struct {
	*raft.InmemTransport
	closed func()
}

func (c closingTransport) Close() error {
	c.closed()
	return c.InmemTransport.Close()
}

type closingBolt struct {
	Store
	closed func()
}

func (c closingBolt) Close() error {
	c.closed()
	return c.Store.Close()
}

func TestClosingGoesFromTheCallersDownToTheFile(t *testing.T) {
	var seen witnessed
	journal := &enginetest.Journal{Gate: make(chan struct{})}
	_, wire := raft.NewInmemTransport("w1")
	var e *Engine
	transport := closingTransport{wire, func() {
		if e.raft.Load().State() != raft.Shutdown {
			t.Error("the transport was closed under a running raft")
		}
		seen.note("transport")
	}}
	e = mustOpen(t, Config{Dir: mustInit(t, "w1"), Name: "w1", Transport: transport, Election: leastElection}, journal)
	e.disk.Store = closingBolt{e.disk.Store, func() { seen.note("bolt") }}

	r := enginetest.Lead(t, e)
	answered := make(chan error)
	go func() {
		_, _, err := e.Apply(context.Background(), []byte("under way"))
		seen.note("call")
		answered <- err
	}()
	journal.Gate <- struct{}{}
	close(journal.Gate)
	if err := errors.Join(r.Stop(), <-answered); err != nil {
		t.Fatal(err)
	}
	if want := []string{"call", "transport", "bolt"}; !slices.Equal(seen.steps, want) {
		t.Fatalf("closed in the order %v, want %v", seen.steps, want)
	}
}

// handing notes that a leader told another voter to stand at once.
type handing struct {
	*raft.InmemTransport
	told func()
}

func (h handing) TimeoutNow(id raft.ServerID, to raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	h.told()
	return h.InmemTransport.TimeoutNow(id, to, args, resp)
}

func TestALeaderHandsOverBeforeItStops(t *testing.T) {
	var seen witnessed
	g := newGroupOn(t, func(wire *raft.InmemTransport) raft.Transport {
		return handing{wire, func() { seen.note("told") }}
	})
	var all [3]*enginetest.Running
	for i, open := range g.Open {
		all[i] = enginetest.Start(t, open(t, &enginetest.Journal{}))
	}
	first := -1
	enginetest.Eventually(t, "a member leads", func() bool {
		first = slices.IndexFunc(all[:], func(r *enginetest.Running) bool { return r.Barrier(context.Background()) == nil })
		return first >= 0
	})
	must(t, all[first].Stop())
	if !slices.Equal(seen.steps, []string{"told"}) {
		t.Fatalf("the stopping leader handed over %d times, want once", len(seen.steps))
	}
}

// A bubble does not end before every goroutine in it has.
func TestNothingRunsOnAfterRun(t *testing.T) {
	dir := mustInit(t, "w1")
	faketime.Test(t, func(t *testing.T) {
		e, err := Open(Config{Dir: dir, Name: "w1"}, &enginetest.Journal{})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()

		began := time.Now()
		if l := <-e.Leadership(); !l.Leads {
			t.Errorf("the first edge is %+v", l)
		}
		if took := time.Since(began); took > 2*aloneElection {
			t.Errorf("a single voter took %v to lead", took)
		}
		_, _, err = e.Apply(ctx, []byte("cmd"))
		must(t, err)
		if name, addr := e.Leader(); name != "w1" || addr != "w1" {
			t.Errorf("the leader is %q at %q", name, addr)
		}
		cancel()
		must(t, <-done)
		if l, ok := <-e.Leadership(); !ok || l.Leads {
			t.Errorf("the last edge is %+v", l)
		}
	})
}

func TestAFailedStartGivesTheDirectoryBack(t *testing.T) {
	dir := used(t)
	conf := Config{Dir: dir, Name: "w1", Election: leastElection}
	for range 2 { // the second would hang on the lock of the first
		err := mustOpen(t, conf, amnesiac{}).Run(context.Background())
		if !errors.Is(err, errAmnesia) {
			t.Fatalf("Run returned %v", err)
		}
	}
}

var errAmnesia = errors.New("snapshot of a later release")

// amnesiac is a machine that cannot read its snapshot.
type amnesiac struct{ engine.Machine }

func (amnesiac) Restore([]byte) error { return errAmnesia }

func TestRaftIsQuietWhileAllIsWell(t *testing.T) {
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := enginetest.Lead(t, mustOpen(t, Config{Dir: mustInit(t, "w1"), Name: "w1", Log: log}, &enginetest.Journal{}))
	e.MustApply("cmd")
	must(t, e.Stop())
	if said.Len() > 0 {
		t.Fatalf("an uneventful run said:\n%s", said.String())
	}
}
