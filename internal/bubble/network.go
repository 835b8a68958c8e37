package bubble

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc/test/bufconn"
)

// buffer is what one direction of a connection holds before its writer waits.
const buffer = 64 << 10

// Network carries the bytes between clients and witnesses. A route that is held
// loses nothing: what is said waits, as TCP's resends would make it, and arrives
// late once the route is free again.
type Network struct {
	mu        sync.Mutex // never held while waiting
	listeners map[string]*bufconn.Listener
	held      map[route]chan struct{} // closed when the route is free again
	lines     map[*line]struct{}
}

type route struct{ from, to string }

// NewNetwork returns a network on which nobody listens yet.
func NewNetwork() *Network {
	return &Network{listeners: map[string]*bufconn.Listener{}, held: map[route]chan struct{}{}, lines: map[*line]struct{}{}}
}

// Listen takes an address over, from whoever had it before.
func (n *Network) Listen(addr string) net.Listener {
	l := bufconn.Listen(buffer)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[addr] = l
	return l
}

// Dial returns how the client of that name makes connections.
func (n *Network) Dial(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		n.mu.Lock()
		l := n.listeners[addr]
		n.mu.Unlock()
		if l == nil {
			return nil, fmt.Errorf("dial %s: nobody listens", addr)
		}
		if err := wait(ctx.Done(), n.gate(route{from, addr})); err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		conn, err := l.DialContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		s := &line{Conn: conn, net: n, route: route{from, addr}, closed: make(chan struct{})}
		n.mu.Lock()
		n.lines[s] = struct{}{}
		n.mu.Unlock()
		return s, nil
	}
}

// Hold keeps what is said between a client and an address on its way.
func (n *Network) Hold(from, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[route{from, addr}] == nil {
		n.held[route{from, addr}] = make(chan struct{})
	}
}

// Free lets it arrive.
func (n *Network) Free(from, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if gate := n.held[route{from, addr}]; gate != nil {
		close(gate)
		delete(n.held, route{from, addr})
	}
}

// Hangup ends every connection to an address at once, as a kernel does for a
// process that was killed, and takes no new ones.
func (n *Network) Hangup(addr string) {
	n.mu.Lock()
	l := n.listeners[addr]
	delete(n.listeners, addr)
	n.mu.Unlock()
	n.end(func(r route) bool { return r.to == addr })
	if l != nil {
		_ = l.Close() // it has no error
	}
}

// HangupFrom ends the connections between a client and an address.
func (n *Network) HangupFrom(from, addr string) {
	n.end(func(r route) bool { return r == route{from, addr} })
}

func (n *Network) end(which func(route) bool) {
	n.mu.Lock()
	var ended []*line
	for s := range n.lines {
		if which(s.route) {
			ended = append(ended, s)
		}
	}
	n.mu.Unlock()
	for _, s := range ended {
		_ = s.Close() // it has no error
	}
}

// gate is nil where the route is free.
func (n *Network) gate(r route) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held[r]
}

// wait returns nil once the gate opens, or was never closed.
func wait(over, gate <-chan struct{}) error {
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-over:
		return net.ErrClosed
	}
}

// line is the client's end of one connection. Like a kernel it takes what is
// written also while it cannot be sent.
type line struct {
	net.Conn
	net    *Network
	route  route
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // never held while waiting
	queue []byte     // written and not sent
	busy  bool       // somebody sends the queue
}

// Read hands on what has arrived, when the route is free.
func (s *line) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if blocked := wait(s.closed, s.net.gate(s.route)); blocked != nil {
		return 0, blocked
	}
	return n, err
}

func (s *line) Write(b []byte) (int, error) {
	gate := s.net.gate(s.route)
	s.mu.Lock()
	if gate == nil && !s.busy {
		s.mu.Unlock()
		return s.Conn.Write(b)
	}
	defer s.mu.Unlock()
	s.queue = append(s.queue, b...)
	if !s.busy {
		s.busy = true
		go s.send()
	}
	return len(b), nil
}

// send sends what was written while the route was held.
func (s *line) send() {
	for {
		blocked := wait(s.closed, s.net.gate(s.route))
		s.mu.Lock()
		b := s.queue
		s.queue = nil
		if s.busy = blocked == nil && len(b) > 0; !s.busy {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if _, err := s.Conn.Write(b); err != nil {
			_ = s.Close() // whoever reads learns of it
		}
	}
}

// Close ends the connection, whatever waits on it.
func (s *line) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.net.mu.Lock()
		delete(s.net.lines, s)
		s.net.mu.Unlock()
	})
	return s.Conn.Close()
}
