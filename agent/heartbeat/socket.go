package heartbeat

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// trafficClass is CS6, "network control", which is what routers' own keep-alives
	// carry (RFC 4594), so that a full link drops others first.
	trafficClass = 0xc0
	// priority 6 is the highest that needs no privilege (socket(7), SO_PRIORITY).
	priority = 6
)

// listen opens the socket of a link. SO_REUSEADDR is not set: UDP has no waiting
// state to get past, and with it a second agent could take the peer's datagrams
// away in silence.
func listen(ctx context.Context, l Link) (packetConn, error) {
	network := "udp6"
	if l.Local.Addr().Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if ctl := c.Control(func(fd uintptr) { err = prefer(int(fd), network) }); ctl != nil {
			return ctl
		}
		return err
	}}
	pc, err := lc.ListenPacket(ctx, network, l.Local.String())
	if err != nil {
		return nil, fmt.Errorf("open heartbeat link %s: %w", l.Name, err)
	}
	return pc.(*net.UDPConn), nil
}

// prefer marks what the socket sends as urgent. IP_TOS sets the priority as well,
// therefore the priority comes last.
func prefer(fd int, network string) error {
	level, option := unix.IPPROTO_IP, unix.IP_TOS
	if network == "udp6" {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(fd, level, option, trafficClass); err != nil {
		return fmt.Errorf("set traffic class: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priority); err != nil {
		return fmt.Errorf("set priority: %w", err)
	}
	return nil
}
