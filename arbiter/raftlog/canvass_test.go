package raftlog

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/enginetest"
)

// delayed holds acknowledgements back while it is told to, as a stopped
// machine's socket does.
type delayed struct {
	*raft.InmemTransport
	hold    *atomic.Bool
	release chan struct{}
	held    chan struct{}
}

func (d delayed) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	late := d.hold.Load() // asked before the question
	err := d.InmemTransport.AppendEntries(id, to, args, resp)
	if late && err == nil {
		select {
		case d.held <- struct{}{}:
		default:
		}
		<-d.release
	}
	return err
}

// The heartbeats that go out before the question are followed and
// acknowledged, but the acknowledgements come in after it, when the
// followers can no longer be reached.
func TestAnAcknowledgementFromBeforeTheQuestionDoesNotCount(t *testing.T) {
	var hold atomic.Bool
	release, held := make(chan struct{}), make(chan struct{}, 8)
	g := newGroupOn(t, func(wire *raft.InmemTransport) raft.Transport {
		return delayed{wire, &hold, release, held}
	})
	var all [3]*enginetest.Running
	for i, open := range g.Open {
		all[i] = enginetest.Start(t, open(t, &enginetest.Journal{}))
	}
	lead := -1
	enginetest.Eventually(t, "a member leads", func() bool {
		lead = slices.IndexFunc(all[:], func(r *enginetest.Running) bool { return r.Barrier(context.Background()) == nil })
		return lead >= 0
	})
	hold.Store(true)
	<-held
	<-held // a heartbeat to each follower has been followed
	g.Cut(t, lead)
	hold.Store(false)
	answer := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		answer <- all[lead].VerifyLeader(ctx)
	}()
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if err := <-answer; err == nil {
		t.Fatal("acknowledgements of earlier heartbeats passed for an answer")
	}
}
