package witness

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

const (
	tick = 50 * time.Millisecond
	// proposals bounds how many commands are on their way to the log at once.
	proposals = 64
	// pause lies between two attempts to learn what became of a command.
	pause = 50 * time.Millisecond
)

// errNotLeading means that this witness cannot answer now.
var errNotLeading = errors.New("this witness does not lead")

// office drives a leadership while there is one. Its fields above the line may be
// used by any goroutine, those below by run alone.
type office struct {
	engine  Engine
	machine *Machine
	power   Power // nil: this host shoots nobody
	log     *slog.Logger
	now     func() boottime.Instant
	events  chan event
	ended   chan struct{} // run has ended; nobody takes events any more
	open    atomic.Bool   // a leadership answers
	slots   chan struct{} // proposals under way

	// ---

	ctx      context.Context //nolint:containedctx // of run, to derive each leadership's from
	term     *term
	workers  sync.WaitGroup
	sessions map[who]*session
}

// term is one leadership of this process. Its leader is nil until the log has
// been read to its end and the leadership's own first command applied.
type term struct {
	number  uint64
	ctx     context.Context //nolint:containedctx // ends with the leadership
	end     context.CancelFunc
	leader  *leader.Leader
	tickets leader.Ticket
	waiting map[leader.Ticket]func(leader.Answer)
}

// who is a node of a cluster.
type who struct {
	cluster arbiter.ClusterID
	node    arbiter.NodeID
}

// event is something that the office has to deal with; take runs in it.
type event interface{ take(o *office) }

func newOffice(conf Config) *office {
	return &office{
		engine: conf.Engine, machine: conf.Machine, power: conf.Power, log: conf.Log, now: conf.Now,
		events: make(chan event), ended: make(chan struct{}), slots: make(chan struct{}, proposals),
		sessions: map[who]*session{},
	}
}

// run deals with events, edges of leadership and time until ctx ends. It then
// answers everybody who waits that nothing is known.
func (o *office) run(ctx context.Context) {
	o.ctx = ctx
	defer o.workers.Wait()
	defer close(o.ended)
	defer o.lose("this witness is stopping")
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	edges := o.engine.Leadership()
	for {
		select {
		case <-ctx.Done():
			return
		case edge, ok := <-edges:
			if !ok {
				edges = nil
			}
			o.edge(edge)
		case e := <-o.events:
			e.take(o)
		case <-ticker.C:
			if l := o.leader(); l != nil {
				o.perform(l.Tick(o.now(), time.Now().Unix()))
			}
		}
	}
}

// post hands an event to the office; an error means that it was not taken.
func (o *office) post(ctx context.Context, e event) error {
	select {
	case o.events <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-o.ended:
		return errNotLeading
	}
}

func (o *office) leader() *leader.Leader {
	if o.term == nil {
		return nil
	}
	return o.term.leader
}

// edge begins or ends a leadership. A loss that went unseen shows in the term.
func (o *office) edge(l engine.Leadership) {
	if o.term != nil && (!l.Leads || o.term.number != l.Term) {
		o.lose("this witness has lost the lead")
	}
	if !l.Leads || o.term != nil {
		return
	}
	t := &term{number: l.Term, waiting: map[leader.Ticket]func(leader.Answer){}}
	t.ctx, t.end = context.WithCancel(o.ctx)
	o.term = t
	o.work(func() { o.begin(t) })
}

// work runs something beside the office.
func (o *office) work(do func()) { o.workers.Go(do) }

// begin reads the log to its end and stores the leadership's own first command,
// until that succeeds or the leadership is over.
func (o *office) begin(t *term) {
	for t.ctx.Err() == nil {
		err := mutant.Weak(mutant.BeforeTheBarrier, o.opening, unopened)(t.ctx)
		if err == nil {
			_ = o.post(t.ctx, opened{t}) // nobody is there any more: no leadership either
			return
		}
		o.log.Warn("leadership cannot begin yet", "term", t.number, "error", err)
		rest(t.ctx, time.Second)
	}
}

func (o *office) opening(ctx context.Context) error {
	if err := o.engine.Barrier(ctx); err != nil {
		return err
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	_, err := o.apply(ctx, leader.Opening(binary.BigEndian.Uint64(nonce[:])|1))
	return err
}

// unopened is no opening at all.
func unopened(context.Context) error { return nil }

// opened says that a leadership may begin to answer.
type opened struct{ term *term }

func (e opened) take(o *office) {
	if o.term != e.term {
		return
	}
	w := o.machine.whole()
	l := leader.New(o.now(), w.version, w.clusters)
	l.Remembers(w.leads)
	if o.power != nil {
		l.Reaches(o.power.Reaches())
	}
	o.term.leader = l
	o.open.Store(true)
	o.log.Info("leads", "term", o.term.number, "incarnation", w.version.Incarnation, "start", w.version.Starts, "clusters", len(w.clusters))
}

// lose ends the leadership: whoever waits learns that nothing is known, and the
// agents look for the next leader.
func (o *office) lose(why string) {
	t := o.term
	if t == nil {
		return
	}
	o.term = nil
	o.open.Store(false)
	t.end()
	for _, answer := range t.waiting {
		answer(leader.Answer{})
	}
	for id, s := range o.sessions {
		s.end(unavailable(why))
		delete(o.sessions, id)
	}
	o.log.Info("leads no more", "term", t.number, "reason", why)
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
