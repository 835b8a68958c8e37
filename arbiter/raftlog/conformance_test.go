package raftlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Examine(t, enginetest.Kind{NewStore: newStore, NewGroup: newGroup})
}

// mustInit makes a state directory.
func mustInit(t testing.TB, name string, voters ...Voter) string {
	t.Helper()
	dir := t.TempDir()
	if err := Init(dir, name, voters...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mustOpen opens an engine and gives its lock back at the latest when the test
// ends.
func mustOpen(t testing.TB, conf Config, machine engine.Machine) *Engine {
	t.Helper()
	e, err := Open(conf, machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newStore(t testing.TB) enginetest.Store {
	dir := mustInit(t, "w1")
	return enginetest.Store{
		Open: func(t testing.TB, machine engine.Machine) enginetest.Engine {
			return mustOpen(t, Config{Dir: dir, Name: "w1", Election: leastElection}, machine)
		},
		Compact: func(t testing.TB, e enginetest.Engine) { compact(t, e.(*Engine)) },
	}
}

// compact does what raft does by itself after some thousand entries.
func compact(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.raft.Load().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
}

// newGroup makes three voters whose wires are channels.
func newGroup(t testing.TB) enginetest.Group {
	return newGroupOn(t, func(wire *raft.InmemTransport) raft.Transport { return wire })
}

func newGroupOn(t testing.TB, wrap func(*raft.InmemTransport) raft.Transport) enginetest.Group {
	var g enginetest.Group
	var voters []Voter
	for i := range g.Open {
		name := fmt.Sprint("w", i+1)
		voters = append(voters, Voter{Name: name, Addr: name})
	}
	wires := make([]*raft.InmemTransport, len(voters))
	join := func(i int, connect bool) {
		for j := range wires {
			if i == j {
				continue
			}
			if connect {
				wires[i].Connect(wires[j].LocalAddr(), wires[j])
				wires[j].Connect(wires[i].LocalAddr(), wires[i])
			} else {
				wires[i].Disconnect(wires[j].LocalAddr())
				wires[j].Disconnect(wires[i].LocalAddr())
			}
		}
	}
	for i, v := range voters {
		_, wires[i] = raft.NewInmemTransportWithTimeout(raft.ServerAddress(v.Addr), 200*time.Millisecond)
		dir := mustInit(t, v.Name, voters...)
		g.Open[i] = func(t testing.TB, machine engine.Machine) enginetest.Engine {
			return mustOpen(t, Config{Dir: dir, Name: v.Name, Transport: wrap(wires[i]), Election: 200 * time.Millisecond}, machine)
		}
	}
	for i := range wires {
		join(i, true)
	}
	g.Cut = func(_ testing.TB, i int) { join(i, false) }
	g.Heal = func(_ testing.TB, i int) { join(i, true) }
	return g
}
