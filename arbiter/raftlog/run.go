package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"sbarbiter/arbiter/engine"
)

// Sizes that keep a witness small: its whole state is some tens of kilobytes,
// so snapshots are cheap and a long log buys nothing but memory.
const (
	snapshotAfter  = 512 // entries
	keepTrailing   = 128 // entries kept behind a snapshot for a slow voter
	lookToSnapshot = 20 * time.Second
	sendAtOnce     = 32 // entries in one message or one fsync
)

// drainLimit bounds the wait for calls under way when the engine stops. They
// end by themselves, unless the disk hangs.
const drainLimit = 2 * time.Second

// Run takes part until ctx ends (then it returns nil) or until the log cannot
// go on; everything it started has ended when it returns. It can be called
// once.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.begin(); err != nil {
		return err
	}
	edges := make(chan bool)
	r, err := raft.NewRaft(e.raftConfig(edges), e.fsm, e.disk, e.disk, e.snaps, e.conf.Transport)
	if err != nil {
		return errors.Join(e.explainStart(err), e.finish())
	}
	voters := newCanvass(r, e.conf)
	voters.start()
	e.canvass.Store(voters)
	e.raft.Store(r)

	quiet := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		e.tell(r, edges, quiet)
	}()
	select {
	case <-ctx.Done():
	case <-e.broken.tripped:
	}
	e.stop(r)
	voters.wait.Wait() // its last requests end with the transport
	close(quiet)
	<-told
	return errors.Join(e.broken.cause(), e.finish())
}

func (e *Engine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != opened {
		return errors.New("run witness log: it has been run or closed before; open it again")
	}
	e.state = running
	return nil
}

// explainStart prefers the machine's own reason to raft's "could not load any
// snapshot".
func (e *Engine) explainStart(err error) error {
	if cause := e.broken.cause(); cause != nil {
		return cause
	}
	return fmt.Errorf("start raft in %s: %w", e.conf.Dir, err)
}

func (e *Engine) raftConfig(edges chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(e.conf.Name)
	c.HeartbeatTimeout = e.conf.Election
	c.ElectionTimeout = e.conf.Election
	// A leader must be in doubt before anybody else can be elected.
	c.LeaderLeaseTimeout = e.conf.Election / 2
	c.CommitTimeout = min(c.CommitTimeout, e.conf.Election/4)
	c.MaxAppendEntries = sendAtOnce
	// An unbuffered queue: raft has either taken a command or will never see
	// it, so that a stop leaves nobody waiting for an answer.
	c.BatchApplyCh = false
	c.SnapshotThreshold = snapshotAfter
	c.TrailingLogs = keepTrailing
	c.SnapshotInterval = lookToSnapshot
	c.NotifyCh = edges
	c.Logger = newRaftLogger(e.conf.Log)
	return c
}

// tell passes raft's edges on. Raft waits for each to be taken, so none is
// lost between it and here.
func (e *Engine) tell(r *raft.Raft, edges <-chan bool, quiet <-chan struct{}) {
	for {
		select {
		case leads := <-edges:
			if !leads {
				e.canvass.Load().lost()
			}
			// Raft may be a term further by now, never back: later leaderships
			// still have higher terms.
			e.publish(engine.Leadership{Leads: leads, Term: r.CurrentTerm()})
		case <-quiet:
			return
		}
	}
}

// publish replaces an edge that nobody has read yet. Only one goroutine at a
// time publishes, so the slot is free after it was emptied.
func (e *Engine) publish(l engine.Leadership) {
	select {
	case <-e.leadership:
	default:
	}
	e.leadership <- l
}

// stop ends raft and then its transport, in the order that the package comment
// promises.
func (e *Engine) stop(r *raft.Raft) {
	e.mu.Lock()
	e.state = stopping
	if e.calls == 0 {
		close(e.drained)
	}
	e.mu.Unlock()

	select {
	case <-e.drained:
	case <-time.After(drainLimit):
		e.conf.Log.Warn("stop witness log: calls still under way")
	}
	if e.broken.cause() == nil {
		e.handOver(r)
	}
	e.canvass.Load().end()
	e.disk.letGo()
	// Waits for raft's goroutines, then closes the transport. It has no error.
	_ = r.Shutdown().Error()
}

// handOver gives the lead to another voter, so that nobody has to wait for an
// election timeout. Where that fails, an election finds the next leader.
func (e *Engine) handOver(r *raft.Raft) {
	if r.State() != raft.Leader || len(r.GetConfiguration().Configuration().Servers) < 2 {
		return
	}
	done := make(chan error, 1)
	go func() { done <- r.LeadershipTransfer().Error() }()
	select {
	case err := <-done:
		if err != nil {
			e.conf.Log.Info("hand over the lead", "err", err)
		}
	case <-time.After(2 * e.conf.Election):
	}
}

// finish says for the last time that nobody leads here, and closes the file.
func (e *Engine) finish() error {
	e.mu.Lock()
	e.state = ended
	e.mu.Unlock()
	var term uint64
	if r := e.raft.Load(); r != nil {
		term = r.CurrentTerm()
	}
	e.publish(engine.Leadership{Term: term})
	close(e.leadership)
	if err := e.disk.Close(); err != nil {
		return fmt.Errorf("close witness log in %s: %w", e.conf.Dir, err)
	}
	return nil
}
