package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// link is a network interface on which ARP or neighbour discovery is spoken.
type link struct {
	ifi *net.Interface
}

// speaks says whether the link resolves addresses at all; loopback, tunnels and
// the like do not.
func (l link) speaks() bool {
	return len(l.ifi.HardwareAddr) == 6 && l.ifi.Flags&net.FlagLoopback == 0
}

// listen opens the link for the messages that concern addr. The kernel adds and
// strips the link's own header.
func (l link) listen(addr netip.Addr) (*packet.Conn, error) {
	protocol, cfg := unix.ETH_P_ARP, &packet.Config{}
	if addr.Is6() {
		filter, err := bpf.Assemble(neighbourFilter)
		if err != nil {
			return nil, fmt.Errorf("assemble packet filter: %w", err)
		}
		protocol, cfg.Filter = unix.ETH_P_IPV6, filter
	}
	conn, err := packet.Listen(l.ifi, packet.Datagram, protocol, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s for packets: %w", l.ifi.Name, err)
	}
	return conn, nil
}

// sendTime bounds how long a full queue may hold up one message.
const sendTime = 50 * time.Millisecond

func send(conn *packet.Conn, frames ...frame) error {
	if err := conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	for _, f := range frames {
		if _, err := conn.WriteTo(f.payload, &packet.Addr{HardwareAddr: f.to}); err != nil {
			return err
		}
	}
	return nil
}

// announcements say that addr is here.
func (l link) announcements(addr netip.Addr) []frame {
	if addr.Is4() {
		return arpAnnouncements(l.ifi.HardwareAddr, addr)
	}
	return []frame{neighbourAnnouncement(l.ifi.HardwareAddr, addr)}
}

// announce sends the announcements once.
func (l link) announce(addr netip.Addr) error {
	if !l.speaks() {
		return nil
	}
	conn, err := l.listen(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := send(conn, l.announcements(addr)...); err != nil {
		return fmt.Errorf("announce %s on %s: %w", addr, l.ifi.Name, err)
	}
	return nil
}

// probes is how often the question is asked within the time for it.
const probes = 3

// owner asks the link for total whether anybody has addr, and returns his link
// address; nil if nobody answered.
func (l link) owner(ctx context.Context, addr netip.Addr, total time.Duration) (net.HardwareAddr, error) {
	if !l.speaks() {
		return nil, nil
	}
	conn, err := l.listen(addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for range probes {
		mac, err := l.ask(conn, addr, total/probes)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("probe for %s on %s: %w", addr, l.ifi.Name, ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("probe for %s on %s: %w", addr, l.ifi.Name, err)
		}
		if mac != nil {
			return mac, nil
		}
	}
	return nil, nil
}

func (l link) ask(conn *packet.Conn, addr netip.Addr, wait time.Duration) (net.HardwareAddr, error) {
	question := neighbourProbe(addr)
	if addr.Is4() {
		question = arpProbe(l.ifi.HardwareAddr, addr)
	}
	if err := send(conn, question); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if mac, taken := l.claim(buf[:n], from, addr); taken {
			return mac, nil
		}
	}
}

func (l link) claim(b []byte, from net.Addr, addr netip.Addr) (net.HardwareAddr, bool) {
	if addr.Is4() {
		return arpClaim(b, l.ifi.HardwareAddr, addr)
	}
	p, ok := from.(*packet.Addr)
	if !ok {
		return nil, false
	}
	return neighbourClaim(b, p.HardwareAddr, l.ifi.HardwareAddr, addr)
}
