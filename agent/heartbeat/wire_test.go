package heartbeat

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sbarbiter/internal/boottime"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

type packet struct {
	from, to netip.AddrPort
	b        []byte
}

// wire joins in-memory sockets. What a test's mangle returns is delivered in its
// place.
type wire struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*socket
	mangle  func(packet) []packet
	refuse  func(Link) error                // opening a socket
	unsent  func(from netip.AddrPort) error // sending on one
	opened  int
}

type socket struct {
	w     *wire
	at    netip.AddrPort
	in    chan packet
	gone  chan struct{}
	close sync.Once
}

func newWire() *wire { return &wire{sockets: make(map[netip.AddrPort]*socket)} }

func (w *wire) open(_ context.Context, l Link) (packetConn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	if w.refuse != nil {
		if err := w.refuse(l); err != nil {
			return nil, err
		}
	}
	s := &socket{w: w, at: l.Local, in: make(chan packet, 64), gone: make(chan struct{})}
	w.sockets[l.Local] = s
	return s, nil
}

func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *wire) deliver(ps ...packet) {
	for _, p := range ps {
		if s := w.sockets[p.to]; s != nil {
			select {
			case s.in <- p:
			default:
			}
		}
	}
}

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-s.in:
		return copy(b, p.b), p.from, nil
	case <-s.gone:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.unsent != nil {
		if err := s.w.unsent(s.at); err != nil {
			return 0, err
		}
	}
	ps := []packet{{s.at, to, bytes.Clone(b)}}
	if s.w.mangle != nil {
		ps = s.w.mangle(ps[0])
	}
	s.w.deliver(ps...)
	return len(b), nil
}

func (s *socket) Close() error {
	s.close.Do(func() { close(s.gone) })
	return nil
}

// node is a running Heartbeat and what it told.
type node struct {
	*Heartbeat
	mu     sync.Mutex
	events []Event
	stop   func()
}

func (n *node) heard() (got []Received, conflicts []Conflict) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		switch e := e.(type) {
		case Received:
			got = append(got, e)
		case Conflict:
			conflicts = append(conflicts, e)
		}
	}
	return got, conflicts
}

func configs() (a, b Config) {
	a, b = goodConfig(), goodConfig()
	b.Self, b.Peer, b.Boot = a.Peer, a.Self, "boot-b"
	b.Links = nil
	for _, l := range a.Links {
		b.Links = append(b.Links, Link{Name: l.Name, Local: l.Peer, Peer: l.Local})
	}
	return a, b
}

// start runs a Heartbeat in the bubble; its clock is the bubble's.
func start(t *testing.T, w *wire, cfg Config, log *slog.Logger) *node {
	t.Helper()
	began := time.Now().Add(-time.Hour)
	h, err := newHeartbeat(cfg, log, w.open, func() boottime.Instant { return boottime.Instant(time.Since(began)) })
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Heartbeat: h}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- h.Run(ctx, func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		})
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(n.stop)
	synctest.Wait()
	return n
}

func (n *node) beat(t *testing.T, times int) {
	t.Helper()
	for range times {
		if _, err := n.Send([]byte(n.cfg.Boot)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		time.Sleep(10 * time.Millisecond) // the bubble's time
	}
}
