package linear

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/witness"
)

// slowEdges tells late of a lead that was lost, as a busy machine may: a witness
// must not rest on being told.
type slowEdges struct {
	witness.Engine
	slow  time.Duration // the most
	edges chan engine.Leadership
}

func newSlowEdges(slow time.Duration) func(witness.Engine) witness.Engine {
	return func(e witness.Engine) witness.Engine {
		return &slowEdges{Engine: e, slow: slow, edges: make(chan engine.Leadership)}
	}
}

func (s *slowEdges) Run(ctx context.Context) error {
	var g errgroup.Group
	ended := make(chan struct{})
	g.Go(func() error { defer close(ended); return s.Engine.Run(ctx) })
	g.Go(func() error { s.pass(ended); return nil })
	return g.Wait()
}

func (s *slowEdges) pass(ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case l, ok := <-s.Engine.Leadership():
			if !ok {
				return
			}
			if !l.Leads {
				select {
				case <-ended:
				case <-time.After(rand.N(s.slow)):
				}
			}
			select {
			case s.edges <- l:
			case <-ended:
			}
		}
	}
}

func (s *slowEdges) Leadership() <-chan engine.Leadership { return s.edges }

// credulous believes that it leads, without asking anybody.
type credulous struct{ witness.Engine }

func (credulous) VerifyLeader(context.Context) error { return nil }

// forgetful says that entries are stored when they are not yet.
type forgetful struct {
	raftlog.Store
	mu   sync.Mutex
	tail []*raft.Log
}

// behind is how many entries it keeps in memory at the most.
const behind = 8

func newForgetful(s raftlog.Store) raftlog.Store { return &forgetful{Store: s} }

func (f *forgetful) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

func (f *forgetful) StoreLogs(logs []*raft.Log) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail = append(f.tail, logs...)
	if len(f.tail) < behind {
		return nil
	}
	stored := f.tail
	f.tail = nil
	return f.Store.StoreLogs(stored)
}

func (f *forgetful) GetLog(index uint64, out *raft.Log) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.tail {
		if l.Index == index {
			*out = *l
			return nil
		}
	}
	return f.Store.GetLog(index, out)
}

func (f *forgetful) LastIndex() (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.tail); n > 0 {
		return f.tail[n-1].Index, nil
	}
	return f.Store.LastIndex()
}
