package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"sbarbiter/internal/boottime"
)

// IANA protocol numbers, which icmp.ParseMessage wants.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// tokenSize is how many random bytes an echo carries: a late reply to an earlier
// one, or a forged one, is not taken for its answer.
const tokenSize = 16

// echoer sends echoes to one target and waits for their replies. It is for one
// goroutine.
type echoer struct {
	target Target
	conn   *icmp.PacketConn
	raw    bool
	seq    uint16
	buf    [256]byte
}

// ask sends one echo and returns its round-trip time. When ctx ends it returns
// at once.
func (e *echoer) ask(ctx context.Context, timeout time.Duration) (time.Duration, error) {
	if e.conn == nil {
		if err := e.open(); err != nil {
			return 0, err
		}
	}
	deadline := time.Now().Add(timeout) // for the runtime's poller; no decision rests on it
	rtt, err := e.exchange(ctx, deadline)
	if err != nil && !errors.Is(err, ErrNoReply) {
		e.close() // the next echo gets a new socket
	}
	return rtt, err
}

func (e *echoer) exchange(ctx context.Context, deadline time.Time) (time.Duration, error) {
	if err := e.conn.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("ping %s: %w", e.target, err)
	}
	// After ctx has ended the read ends too. The deadline set above is older than
	// this one, so that it cannot undo it.
	conn := e.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()

	e.seq++
	want := icmp.Echo{Seq: int(e.seq), Data: make([]byte, tokenSize)}
	_, _ = rand.Read(want.Data) // never fails (crypto/rand)
	want.ID = int(binary.NativeEndian.Uint16(want.Data))
	request, err := (&icmp.Message{Type: e.requestType(), Body: &want}).Marshal(nil)
	if err != nil {
		return 0, fmt.Errorf("ping %s: %w", e.target, err)
	}
	sent := boottime.Now()
	if _, err := conn.WriteTo(request, e.destination()); err != nil {
		return 0, fmt.Errorf("ping %s: %w", e.target, err)
	}
	for {
		n, from, err := conn.ReadFrom(e.buf[:])
		at := boottime.Now()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, fmt.Errorf("ping %s: %w", e.target, ErrNoReply)
		}
		if err != nil {
			return 0, fmt.Errorf("ping %s: %w", e.target, err)
		}
		if e.isReply(e.buf[:n], from, &want) {
			return at.Sub(sent), nil
		}
	}
}

// isReply compares token and sender. The identifier is compared on a raw socket
// only: with the other kind the kernel writes its own, and sorts by it.
func (e *echoer) isReply(b []byte, from net.Addr, want *icmp.Echo) bool {
	if addrOf(from) != e.target.Address.Unmap().WithZone("") {
		return false
	}
	protocol := protocolICMPv6
	if e.is4() {
		protocol = protocolICMP
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return false
	}
	got, ok := m.Body.(*icmp.Echo)
	return ok && (!e.raw || got.ID == want.ID) && got.Seq == want.Seq && bytes.Equal(got.Data, want.Data)
}

func (e *echoer) is4() bool { return e.target.Address.Unmap().Is4() }

func (e *echoer) requestType() icmp.Type {
	if e.is4() {
		return ipv4.ICMPTypeEcho
	}
	return ipv6.ICMPTypeEchoRequest
}

func (e *echoer) destination() net.Addr {
	a := e.target.Address.Unmap()
	if e.raw {
		return &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}
	}
	return &net.UDPAddr{IP: a.AsSlice(), Zone: a.Zone()}
}

func addrOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// open takes a raw socket, or where that is forbidden the kernel's socket for
// pings of anybody (icmp(7), ping_group_range).
func (e *echoer) open() error {
	raw, plain, source := "ip6:ipv6-icmp", "udp6", "::"
	if e.is4() {
		raw, plain, source = "ip4:icmp", "udp4", "0.0.0.0"
	}
	if e.target.Source.IsValid() {
		source = e.target.Source.Unmap().String()
	}
	conn, err := icmp.ListenPacket(raw, source)
	e.raw = err == nil
	if errors.Is(err, os.ErrPermission) {
		conn, err = icmp.ListenPacket(plain, source)
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("open socket to ping %s: %w: give the agent CAP_NET_RAW, or its group a place in net.ipv4.ping_group_range", e.target, err)
	}
	if err != nil {
		return fmt.Errorf("open socket to ping %s: %w", e.target, err)
	}
	e.conn = conn
	if e.raw {
		return e.filter()
	}
	return nil
}

// filter keeps everything but echo replies in the kernel: a raw socket gets a copy
// of all ICMP that reaches the host.
func (e *echoer) filter() error {
	var err error
	if e.is4() {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		err = e.conn.IPv4PacketConn().SetICMPFilter(&f)
	} else {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		err = e.conn.IPv6PacketConn().SetICMPFilter(&f)
	}
	if err != nil {
		e.close()
		return fmt.Errorf("filter socket to ping %s: %w", e.target, err)
	}
	return nil
}

func (e *echoer) close() {
	if e.conn != nil {
		_ = e.conn.Close() // nothing is lost with it
		e.conn = nil
	}
}
