package bubble

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// wireTimeout is how long a witness waits for another one's answer.
const wireTimeout = 200 * time.Millisecond

// errCut is what a witness gets that cannot reach another one.
var errCut = errors.New("no answer")

// wires are raft's messages between witnesses: each takes a moment, those of a
// witness that is cut off are lost, those of one that is paused arrive late.
type wires struct {
	mu     sync.Mutex // never held while waiting
	ends   map[raft.ServerAddress]*port
	cut    map[raft.ServerAddress]bool
	paused map[raft.ServerAddress]chan struct{} // closed when it goes on
	slow   time.Duration                        // the most that a message takes
}

func newWires() *wires {
	return &wires{
		ends: map[raft.ServerAddress]*port{}, cut: map[raft.ServerAddress]bool{},
		paused: map[raft.ServerAddress]chan struct{}{}, slow: 3 * time.Millisecond,
	}
}

// end makes the transport of a witness that starts, in the place of its last
// one.
func (w *wires) end(name string) raft.Transport {
	addr := raft.ServerAddress(name)
	_, inmem := raft.NewInmemTransportWithTimeout(addr, wireTimeout)
	e := &port{InmemTransport: inmem, all: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	for other, far := range w.ends {
		if other != addr {
			far.Connect(addr, inmem)
			e.Connect(other, far.InmemTransport)
		}
	}
	w.ends[addr] = e
	return e
}

// Cut takes a witness's connections to the others away, and gives them back.
func (w *wires) Cut(name string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[raft.ServerAddress(name)] = cut
}

// Pause keeps everything on its way to and from a witness until the function
// that it returns is called.
func (w *wires) Pause(name string) (goOn func()) {
	gate := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused[raft.ServerAddress(name)] = gate
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		close(gate)
		delete(w.paused, raft.ServerAddress(name))
	})
}

func (w *wires) gates(a, b raft.ServerAddress) (lost bool, gates [2]<-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[a] || w.cut[b], [2]<-chan struct{}{w.paused[a], w.paused[b]}
}

// pass takes one message from a to b.
func (w *wires) pass(a, b raft.ServerAddress) error {
	if w.slow > 0 {
		time.Sleep(rand.N(w.slow))
	}
	lost, gates := w.gates(a, b)
	if lost {
		time.Sleep(wireTimeout)
		return errCut
	}
	for _, gate := range gates {
		if gate != nil {
			<-gate
		}
	}
	return nil
}

// port is one witness's end.
type port struct {
	*raft.InmemTransport
	all *wires
}

// carry takes a question there and its answer back. Whoever asks gives up after
// a while; the question arrives all the same, when it can.
func carry[T any](e *port, to raft.ServerAddress, answer *T, ask func(*T) error) error {
	type result struct {
		answer T
		err    error
	}
	back := make(chan result, 1)
	go func() {
		var r result
		if r.err = e.all.pass(e.LocalAddr(), to); r.err == nil {
			r.err = ask(&r.answer)
		}
		if r.err == nil {
			r.err = e.all.pass(to, e.LocalAddr())
		}
		back <- r
	}()
	select {
	case r := <-back:
		if r.err == nil {
			*answer = r.answer
		}
		return r.err
	case <-time.After(2 * wireTimeout):
		return errCut
	}
}

// AppendEntriesPipeline is refused: raft then sends one message at a time, and
// each can be lost.
func (e *port) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries carries entries and heartbeats.
func (e *port) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return carry(e, to, resp, func(r *raft.AppendEntriesResponse) error { return e.InmemTransport.AppendEntries(id, to, args, r) })
}

// RequestVote carries a candidacy.
func (e *port) RequestVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return carry(e, to, resp, func(r *raft.RequestVoteResponse) error { return e.InmemTransport.RequestVote(id, to, args, r) })
}

// RequestPreVote carries the question before a candidacy.
func (e *port) RequestPreVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return carry(e, to, resp, func(r *raft.RequestPreVoteResponse) error { return e.InmemTransport.RequestPreVote(id, to, args, r) })
}

// InstallSnapshot carries a whole state.
func (e *port) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return carry(e, to, resp, func(r *raft.InstallSnapshotResponse) error {
		return e.InmemTransport.InstallSnapshot(id, to, args, r, data)
	})
}

// TimeoutNow carries the lead.
func (e *port) TimeoutNow(id raft.ServerID, to raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return carry(e, to, resp, func(r *raft.TimeoutNowResponse) error { return e.InmemTransport.TimeoutNow(id, to, args, r) })
}
