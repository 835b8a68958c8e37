package service

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The messages by which hosts learn who has an address: ARP (RFC 826, RFC 5227)
// for IPv4, neighbour discovery (RFC 4861, RFC 4862) for IPv6. All of them are
// built and read without the link's own header, which the kernel adds.

const (
	arpRequest = 1
	arpReply   = 2
	arpLength  = 28

	icmpSolicit   = 135
	icmpAdvertise = 136
	ipv6Header    = 40
	ndLength      = 32 // ICMPv6 header, flags, target, one link-layer option
	ndBare        = 24 // the same without the option
)

var (
	etherBroadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes       = netip.MustParseAddr("ff02::1")
)

// frame is a message with the link address that it goes to.
type frame struct {
	to      net.HardwareAddr
	payload []byte
}

// arp builds one ARP message for Ethernet and IPv4.
func arp(op uint16, mac net.HardwareAddr, sender netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) frame {
	b := make([]byte, arpLength)
	binary.BigEndian.PutUint16(b[0:], 1) // Ethernet
	binary.BigEndian.PutUint16(b[2:], unix.ETH_P_IP)
	b[4], b[5] = 6, 4
	binary.BigEndian.PutUint16(b[6:], op)
	copy(b[8:14], mac)
	copy(b[14:18], sender.AsSlice())
	copy(b[18:24], targetMAC)
	copy(b[24:28], target.AsSlice())
	return frame{to: etherBroadcast, payload: b}
}

// arpProbe asks for addr without claiming it (RFC 5227, 2.1.1).
func arpProbe(mac net.HardwareAddr, addr netip.Addr) frame {
	return arp(arpRequest, mac, netip.IPv4Unspecified(), nil, addr)
}

// arpAnnouncements say that addr is at mac. Some hosts learn from requests
// (RFC 5227, 2.3), some from replies alone.
func arpAnnouncements(mac net.HardwareAddr, addr netip.Addr) []frame {
	return []frame{
		arp(arpRequest, mac, addr, nil, addr),
		arp(arpReply, mac, addr, etherBroadcast, addr),
	}
}

// arpClaim returns who else claims addr in an ARP message: somebody who has it,
// or who is probing for it himself (RFC 5227, 2.1.1).
func arpClaim(b []byte, own net.HardwareAddr, addr netip.Addr) (net.HardwareAddr, bool) {
	if len(b) < arpLength || b[4] != 6 || b[5] != 4 {
		return nil, false
	}
	mac := net.HardwareAddr(append([]byte(nil), b[8:14]...))
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	probing := sender.IsUnspecified() && target == addr && binary.BigEndian.Uint16(b[6:]) == arpRequest
	return mac, mac.String() != own.String() && (sender == addr || probing)
}

// neighbourProbe asks whether addr is taken, as a host does before it uses it
// (RFC 4862, 5.4.2).
func neighbourProbe(addr netip.Addr) frame {
	body := make([]byte, ndBare)
	body[0] = icmpSolicit
	copy(body[8:24], addr.AsSlice())
	return icmp(netip.IPv6Unspecified(), solicitedNode(addr), body)
}

// neighbourAnnouncement says that addr is at mac, and that older knowledge is to
// be overridden (RFC 4861, 7.2.6).
func neighbourAnnouncement(mac net.HardwareAddr, addr netip.Addr) frame {
	const override = 0x20
	body := make([]byte, ndLength)
	body[0], body[4] = icmpAdvertise, override
	copy(body[8:24], addr.AsSlice())
	body[24], body[25] = 2, 1 // target link-layer address, 8 octets long
	copy(body[26:32], mac)
	return icmp(addr, allNodes, body)
}

// neighbourClaim returns who else claims addr in an IPv6 packet.
func neighbourClaim(b []byte, from, own net.HardwareAddr, addr netip.Addr) (net.HardwareAddr, bool) {
	if len(b) < ipv6Header+ndBare || b[6] != unix.IPPROTO_ICMPV6 || from.String() == own.String() {
		return nil, false
	}
	body := b[ipv6Header:]
	if netip.AddrFrom16([16]byte(body[8:24])) != addr {
		return nil, false
	}
	source := netip.AddrFrom16([16]byte(b[8:24]))
	probing := body[0] == icmpSolicit && source.IsUnspecified()
	return from, body[0] == icmpAdvertise || probing
}

// solicitedNode is the group that the owner of addr listens to (RFC 4291, 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	own := addr.As16()
	copy(group[13:], own[13:])
	return netip.AddrFrom16(group)
}

// icmp wraps an ICMPv6 body for a multicast group.
func icmp(from, group netip.Addr, body []byte) frame {
	b := make([]byte, ipv6Header+len(body))
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[6], b[7] = unix.IPPROTO_ICMPV6, 255
	copy(b[8:24], from.AsSlice())
	copy(b[24:40], group.AsSlice())
	copy(b[ipv6Header:], body)
	binary.BigEndian.PutUint16(b[ipv6Header+2:], checksum(b))
	dst := group.As16()
	return frame{to: net.HardwareAddr{0x33, 0x33, dst[12], dst[13], dst[14], dst[15]}, payload: b}
}

// checksum is that of ICMPv6 over packet b with its checksum field still zero:
// the addresses, the length, the protocol, the body (RFC 4443, 2.3).
func checksum(b []byte) uint16 {
	sum := uint32(len(b)-ipv6Header) + unix.IPPROTO_ICMPV6
	for i := 8; i+1 < len(b); i += 2 { // all bodies here are of even length
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// neighbourFilter lets only neighbour solicitations and advertisements through,
// so that a busy link does not drown the probe.
var neighbourFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 4},
	bpf.LoadAbsolute{Off: ipv6Header, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: icmpSolicit, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: icmpAdvertise, SkipTrue: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}
