// Package heartbeat answers "what does the peer tell us, and over which paths do
// we reach each other?" It carries small payloads over several UDP links at once
// and hands each on once, from the fastest link; it authenticates them, drops
// replays and what belongs to an earlier life of the peer, and counts loss per
// link and direction.
//
// What a payload means, when a silent peer is suspected and what follows from
// that is the agent's business. Nothing is sent here by itself: the pace of
// [Heartbeat.Send] is the pace on the wire.
package heartbeat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/internal/boottime"
)

// Event is a [Received] or a [Conflict].
type Event interface{ event() }

// Received is one payload of the peer. Their Seq only grows within one
// incarnation: what is overtaken by a newer one is not handed on.
type Received struct {
	Link        string           // that brought it first
	At          boottime.Instant // read right after it was received
	Boot        string           // the sender's boot id
	Incarnation uint64           // the sender's
	Seq         uint64           // the number that its Send returned
	SenderClock boottime.Instant // the peer's own clock when it left

	// Fresh means that it was made after this agent started: its sender had heard
	// this incarnation. Without that it may be a recording, or the peer does not
	// hear us.
	Fresh   bool
	Payload []byte
}

// Conflict says that two machines, or a rolled-back one, live under the peer's
// name. Other's messages are dropped.
type Conflict struct {
	Link  string
	At    boottime.Instant
	Peer  Identity // that counts
	Other Identity // that does not
}

func (Received) event() {}
func (Conflict) event() {}

// LinkStats are the figures of one link. Counters begin with the agent.
type LinkStats struct {
	Name         string
	LastReceived boottime.Instant // newest datagram of the peer
	Confirmed    boottime.Instant // when we sent the newest one that the peer says it has

	// Loss over the last 100 payloads. Received counts what came on another link
	// and not on this one; with silence everywhere it stands still. Sent is what
	// the peer said last.
	ReceivedLossPercent float64
	SentLossPercent     float64
	RTT                 time.Duration // smoothed; 0: unknown

	Sent        uint64
	SendErrors  uint64 // the kernel refused, or the link had no socket
	Received    uint64 // authentic, of the present life of the peer
	Late        uint64 // overtaken on every link, not handed on
	Replays     uint64 // came on this link before
	Outdated    uint64 // of an earlier life of the peer, or of a stranger in its name
	Misdirected uint64 // sent for a link of another name
	BadAuth     uint64 // wrong key, cluster, node, or tampered with
	Malformed   uint64 // not a heartbeat, or of another version
	Foreign     uint64 // not from the peer's address and port

	// Err says why the link cannot be used from this side; "" when it can.
	Err string
}

// Heartbeat talks to the peer. All methods may be called from any goroutine.
type Heartbeat struct {
	cfg   Config
	log   *slog.Logger
	now   func() boottime.Instant
	links []*link

	mu     sync.Mutex // guards the rest; never held while waiting
	ledger *ledger
	seq    uint64
	alarms throttle
}

// New prepares a Heartbeat; it starts nothing and opens nothing. It refuses a
// config that could never work; addresses that are missing on this host now are
// waited for by [Heartbeat.Run].
func New(cfg Config, log *slog.Logger) (*Heartbeat, error) {
	return newHeartbeat(cfg, log, listen, boottime.Now)
}

func newHeartbeat(cfg Config, log *slog.Logger, open opener, now func() boottime.Instant) (*Heartbeat, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h := &Heartbeat{cfg: cfg, log: log, now: now, ledger: newLedger(cfg.Incarnation, cfg.PeerIncarnation, cfg.Links)}
	for i, l := range cfg.Links {
		h.links = append(h.links, newLink(h, i, l, open))
	}
	return h, nil
}

// Send queues payload for all links and returns its seq. It never waits: what a
// link cannot send soon gives way to what is newer. The payload is copied.
func (h *Heartbeat) Send(payload []byte) (uint64, error) {
	if len(payload) > MaxPayload {
		return 0, fmt.Errorf("send heartbeat: payload has %d bytes, at most %d fit", len(payload), MaxPayload)
	}
	p := append([]byte(nil), payload...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	for _, l := range h.links {
		l.queue(outgoing{seq: h.seq, payload: p})
	}
	return h.seq, nil
}

// Stats returns the figures of all links, in the order of the config.
func (h *Heartbeat) Stats() []LinkStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ledger.report()
}

// Run receives and sends until ctx ends; links that cannot be used are retried,
// and end nothing. emit is called by one goroutine and must return quickly: while
// it does not, nothing is received. Run may be called once.
func (h *Heartbeat) Run(ctx context.Context, emit func(Event)) error {
	arrivals := make(chan arrival, 32)
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range h.links {
		g.Go(func() error { return l.run(ctx, arrivals) })
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case a := <-arrivals:
				if ev := h.take(a); ev != nil {
					emit(ev)
				}
			}
		}
	})
	return g.Wait()
}

// arrival is an authentic datagram with when and where it came.
type arrival struct {
	link int
	at   boottime.Instant
	datagram
}

// take enters an arrival into the books and returns what is to be told of it.
func (h *Heartbeat) take(a arrival) Event {
	name := h.cfg.Links[a.link].Name
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.ledger.observe(a.link, a.at, &a.datagram, h.seq) {
	case delivered:
		return Received{
			Link: name, At: a.at, Boot: a.boot, Incarnation: a.incarnation, Seq: a.seq,
			SenderClock: a.clock, Fresh: a.echo.incarnation == h.cfg.Incarnation, Payload: a.payload,
		}
	case conflicting:
		if _, due := h.alarms.due(a.at, "conflict "+a.boot); !due {
			return nil
		}
		return Conflict{
			Link: name, At: a.at, Peer: h.ledger.peer,
			Other: Identity{Boot: a.boot, Incarnation: a.incarnation},
		}
	case duplicate, late, replayed, outdated:
	}
	return nil
}

// throttle lets the same thing be said once a minute.
type throttle struct {
	said map[string]utterance
}

type utterance struct {
	at    boottime.Instant
	quiet uint64
}

const sayAgain = time.Minute

// due reports whether what may be said now, and how often it was not since the
// last time.
func (t *throttle) due(now boottime.Instant, what string) (quiet uint64, ok bool) {
	if t.said == nil {
		t.said = make(map[string]utterance)
	}
	u, known := t.said[what]
	if known && now.Sub(u.at) < sayAgain {
		u.quiet++
		t.said[what] = u
		return 0, false
	}
	t.said[what] = utterance{at: now}
	return u.quiet, true
}
