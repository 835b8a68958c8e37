package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/internal/boottime"
)

const (
	outboxSize = 4 // more would only be old news
	retryFirst = 250 * time.Millisecond
	retryLast  = 5 * time.Second

	// reopenAfter is for how long every send may fail before the socket is opened
	// anew: one that is bound to an interface that was made again stays deaf.
	reopenAfter = 2 * time.Second
)

// packetConn is what a link needs of a UDP socket.
type packetConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

type opener func(context.Context, Link) (packetConn, error)

type outgoing struct {
	seq     uint64
	payload []byte
}

// link moves datagrams over one path. Its figures live in the ledger.
type link struct {
	Link
	h      *Heartbeat
	index  int
	tag    uint32
	open   opener
	outbox chan outgoing
	tx, rx *seal // each of one goroutine
}

func newLink(h *Heartbeat, index int, l Link, open opener) *link {
	c := h.cfg
	l.Local = netip.AddrPortFrom(l.Local.Addr().Unmap(), l.Local.Port())
	l.Peer = netip.AddrPortFrom(l.Peer.Addr().Unmap(), l.Peer.Port())
	return &link{
		Link: l, h: h, index: index, tag: linkTag(l.Name), open: open,
		outbox: make(chan outgoing, outboxSize),
		tx:     newSeal(c.Key, c.Cluster, c.Self, c.Peer),
		rx:     newSeal(c.Key, c.Cluster, c.Peer, c.Self),
	}
}

// queue is called under the Heartbeat's mutex, which makes it the only sender:
// once the oldest is taken out there is room.
func (l *link) queue(o outgoing) {
	for {
		select {
		case l.outbox <- o:
			return
		default:
		}
		select {
		case <-l.outbox:
			l.track().stats.SendErrors++
		default:
		}
	}
}

// track needs the Heartbeat's mutex.
func (l *link) track() *track { return &l.h.ledger.links[l.index] }

// run keeps a socket open, for as long as ctx lasts.
func (l *link) run(ctx context.Context, arrivals chan<- arrival) error {
	wait := retryFirst
	for ctx.Err() == nil {
		conn, err := l.open(ctx, l.Link)
		if err == nil {
			opened := l.h.now()
			err = l.serve(ctx, conn, arrivals)
			if l.h.now().Sub(opened) >= reopenAfter {
				// It worked for a while: open the next one at once. Without a socket the
				// peer is not heard either, and a node that hears the other shoots less.
				wait = retryFirst
				l.down(err)
				continue
			}
		}
		if ctx.Err() != nil {
			break
		}
		l.down(err)
		l.rest(ctx, wait)
		wait = min(2*wait, retryLast)
	}
	return nil
}

// rest waits without a socket. What is to be sent meanwhile is not kept: a
// heartbeat that leaves late says what is no longer so.
func (l *link) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-l.outbox:
			l.h.mu.Lock()
			l.track().stats.SendErrors++
			l.h.mu.Unlock()
		}
	}
}

// serve uses conn until it or ctx ends, and closes it.
func (l *link) serve(ctx context.Context, conn packetConn, arrivals chan<- arrival) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		_ = conn.Close() // nothing is lost with a UDP socket
		return nil
	})
	g.Go(func() error { return l.receive(ctx, conn, arrivals) })
	g.Go(func() error { return l.transmit(ctx, conn) })
	return g.Wait()
}

func (l *link) transmit(ctx context.Context, conn packetConn) error {
	buf := make([]byte, 0, maxDatagram)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case o := <-l.outbox:
			_, err := conn.WriteToUDPAddrPort(l.frame(buf, o), l.Peer)
			if err := l.sent(ctx, err); err != nil {
				return err
			}
		}
	}
}

func (l *link) frame(buf []byte, o outgoing) []byte {
	l.h.mu.Lock()
	now := l.h.now()
	e := l.h.ledger.answer(l.index, now)
	l.h.mu.Unlock()
	return l.tx.encode(buf[:0], &datagram{
		link: l.tag, boot: l.h.cfg.Boot, incarnation: l.h.cfg.Incarnation,
		seq: o.seq, clock: now, echo: e, payload: o.payload,
	})
}

// sent notes how a send went. A refusal of the kernel (no route, no carrier, a
// packet filter) is an observation; only a row of them ends the socket.
func (l *link) sent(ctx context.Context, err error) error {
	if err == nil {
		l.up()
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := l.h.now()
	l.h.mu.Lock()
	t := l.track()
	t.stats.SendErrors++
	if t.failingAt.IsZero() {
		t.failingAt = now
	}
	since := max(t.failingAt, t.stats.LastReceived)
	stuck := now.Sub(since) >= reopenAfter
	if stuck {
		t.failingAt = 0
	}
	l.h.mu.Unlock()
	l.down(err)
	if !stuck {
		return nil
	}
	return fmt.Errorf("send to %s: %w", l.Peer, err)
}

// up notes a datagram that left.
func (l *link) up() {
	l.h.mu.Lock()
	t := l.track()
	t.stats.Sent++
	tell := t.told
	t.stats.Err, t.failingAt, t.told = "", 0, false
	l.h.mu.Unlock()
	if tell {
		l.h.log.Info("heartbeat link usable again", "link", l.Name)
	}
}

// down notes why the link cannot be used. A link that flaps is not told of each
// time.
func (l *link) down(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	l.h.mu.Lock()
	t := l.track()
	changed := t.stats.Err == ""
	t.stats.Err = err.Error()
	tell := false
	if changed {
		_, tell = l.h.alarms.due(l.h.now(), l.Name+" down")
		t.told = t.told || tell
	}
	l.h.mu.Unlock()
	if tell {
		l.h.log.Warn("heartbeat link not usable", "link", l.Name, "local", l.Local, "reason", err)
	}
}

// receive authenticates what comes; the clock is read before anything else.
func (l *link) receive(ctx context.Context, conn packetConn, arrivals chan<- arrival) error {
	buf := make([]byte, maxDatagram+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		at := l.h.now()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			// An error here is about something sent before (an ICMP message), or the
			// socket is broken: then opening a new one is the way out.
			return fmt.Errorf("receive on %s: %w", l.Local, err)
		}
		a := arrival{link: l.index, at: at}
		if !l.accept(at, from, buf[:n], &a.datagram) {
			continue
		}
		a.payload = append([]byte(nil), a.payload...)
		select {
		case arrivals <- a:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// accept is true for authentic datagrams of the peer for this link; all others
// are counted.
func (l *link) accept(at boottime.Instant, from netip.AddrPort, b []byte, d *datagram) bool {
	if !sameEndpoint(from, l.Peer) {
		l.reject(at, &l.track().stats.Foreign, "not from the peer's address and port", from)
		return false
	}
	err := l.rx.decode(b, d)
	s := &l.track().stats
	switch {
	case err == nil && d.link == l.tag:
		return true
	case err == nil:
		l.reject(at, &s.Misdirected, "sent for a link of another name: both nodes must name their links alike", from)
	case errors.Is(err, errAuth):
		l.reject(at, &s.BadAuth, "authentication is wrong: compare key, cluster and node names of both nodes", from)
	default:
		l.reject(at, &s.Malformed, err.Error(), from)
	}
	return false
}

func (l *link) reject(at boottime.Instant, counter *uint64, reason string, from netip.AddrPort) {
	l.h.mu.Lock()
	*counter++
	quiet, due := l.h.alarms.due(at, l.Name+" "+reason)
	l.h.mu.Unlock()
	if due {
		l.h.log.Warn("heartbeat dropped", "link", l.Name, "from", from, "reason", reason, "more_since", quiet)
	}
}

// sameEndpoint ignores how an address is written: a zone may be a name here and
// a number there.
func sameEndpoint(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().Unmap().WithZone("") == b.Addr().Unmap().WithZone("")
}
