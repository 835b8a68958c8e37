// Package filter turns the clients of a group's addresses away, by the kernel's
// packet filter: one table for each group and address family, made and taken
// away as a whole. It needs no program and no memory of an earlier life, so it
// works while nothing else does. When to do it is the guard's business.
package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The kernel's words (linux/netfilter/nfnetlink.h, nf_tables.h) as far as they
// are needed here and package unix has them not by these names.
const (
	subsystem  = unix.NFNL_SUBSYS_NFTABLES
	batchBegin = 0x10
	batchEnd   = 0x11
	nested     = unix.NLA_F_NESTED
)

// early: before connection tracking and everything an operator may have set up.
const early = -400

// waitSeconds bounds the wait for the kernel's answer.
const waitSeconds = 2

// Filter is a way to the kernel's packet filter, opened once.
type Filter struct {
	sock     int
	sequence uint32
}

// Open opens the way and tries it, which also makes the kernel load what it
// needs.
func Open() (*Filter, error) {
	sock, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open packet filter: %w", err)
	}
	f := &Filter{sock: sock}
	wait := unix.Timeval{Sec: waitSeconds}
	err = errors.Join(
		unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
		unix.Bind(sock, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err == nil {
		probe := []netip.Addr{netip.IPv4Unspecified()}
		err = errors.Join(f.Bar("probe", probe), f.Lift("probe", probe))
	}
	if err != nil {
		unix.Close(sock)
		return nil, fmt.Errorf("open packet filter (CONFIG_NF_TABLES): %w", err)
	}
	return f, nil
}

// Close ends the use; what is barred stays so.
func (f *Filter) Close() error { return unix.Close(f.sock) }

// Bar drops every packet from and to the addresses, on this machine's inside.
// Those that are barred already stay so.
func (f *Filter) Bar(group string, addresses []netip.Addr) error {
	for _, fam := range families {
		if own := fam.of(addresses); len(own) > 0 {
			if err := f.transact(fam.bar(table(group), own)); err != nil {
				return fmt.Errorf("block the addresses of %s: %w", group, err)
			}
		}
	}
	return nil
}

// Lift undoes Bar. It is no error that there was nothing to undo.
func (f *Filter) Lift(group string, addresses []netip.Addr) error {
	for _, fam := range families {
		if own := fam.of(addresses); len(own) > 0 {
			if err := f.transact(fam.lift(table(group))); err != nil {
				return fmt.Errorf("unblock the addresses of %s: %w", group, err)
			}
		}
	}
	return nil
}

// Clear is Lift: a table is all that there is.
func (f *Filter) Clear(group string, addresses []netip.Addr) error { return f.Lift(group, addresses) }

// table is the name of a group's table, with nothing in it that nft(8) would
// not let a person type.
func table(group string) string {
	return "sbguard-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, group)
}

// family is IPv4 or IPv6, with the places of the addresses in its header.
type family struct {
	number      uint8
	source, dst uint32
	is          func(netip.Addr) bool
}

var families = []family{
	{unix.NFPROTO_IPV4, 12, 16, netip.Addr.Is4},
	{unix.NFPROTO_IPV6, 8, 24, netip.Addr.Is6},
}

func (fam family) of(addresses []netip.Addr) (own []netip.Addr) {
	for _, a := range addresses {
		if fam.is(a) {
			own = append(own, a)
		}
	}
	return own
}

// message is one part of a transaction.
type message struct {
	kind  int
	flags int
	attrs []*nl.RtAttr
}

// bar makes the table anew, so that it holds these rules once.
func (fam family) bar(name string, addresses []netip.Addr) (uint8, []message) {
	msgs := []message{
		{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, []*nl.RtAttr{text(unix.NFTA_TABLE_NAME, name)}},
		{unix.NFT_MSG_DELTABLE, 0, []*nl.RtAttr{text(unix.NFTA_TABLE_NAME, name)}},
		{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, []*nl.RtAttr{text(unix.NFTA_TABLE_NAME, name)}},
		chain(name, "in", unix.NF_INET_LOCAL_IN), chain(name, "out", unix.NF_INET_LOCAL_OUT),
	}
	for _, a := range addresses {
		msgs = append(msgs, rule(name, "in", fam.dst, a), rule(name, "out", fam.source, a))
	}
	return fam.number, msgs
}

func (fam family) lift(name string) (uint8, []message) {
	return fam.number, []message{
		{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, []*nl.RtAttr{text(unix.NFTA_TABLE_NAME, name)}},
		{unix.NFT_MSG_DELTABLE, 0, []*nl.RtAttr{text(unix.NFTA_TABLE_NAME, name)}},
	}
}

func chain(table, name string, hook uint32) message {
	priority := int32(early)
	h := nl.NewRtAttr(unix.NFTA_CHAIN_HOOK|nested, nil)
	h.AddChild(number(unix.NFTA_HOOK_HOOKNUM, hook))
	h.AddChild(number(unix.NFTA_HOOK_PRIORITY, uint32(priority)))
	return message{unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, []*nl.RtAttr{
		text(unix.NFTA_CHAIN_TABLE, table), text(unix.NFTA_CHAIN_NAME, name), h, text(unix.NFTA_CHAIN_TYPE, "filter"),
	}}
}

// rule drops what has the address at this place of its header.
func rule(table, chain string, offset uint32, a netip.Addr) message {
	list := nl.NewRtAttr(unix.NFTA_RULE_EXPRESSIONS|nested, nil)
	list.AddChild(expression("payload",
		number(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1), number(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_NETWORK_HEADER),
		number(unix.NFTA_PAYLOAD_OFFSET, offset), number(unix.NFTA_PAYLOAD_LEN, uint32(a.BitLen()/8))))
	value := nl.NewRtAttr(unix.NFTA_CMP_DATA|nested, nil)
	value.AddRtAttr(unix.NFTA_DATA_VALUE, a.AsSlice())
	list.AddChild(expression("cmp", number(unix.NFTA_CMP_SREG, unix.NFT_REG_1), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ), value))
	verdict := nl.NewRtAttr(unix.NFTA_DATA_VERDICT|nested, nil)
	verdict.AddChild(number(unix.NFTA_VERDICT_CODE, 0)) // NF_DROP
	data := nl.NewRtAttr(unix.NFTA_IMMEDIATE_DATA|nested, nil)
	data.AddChild(verdict)
	list.AddChild(expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT), data))
	return message{unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE | unix.NLM_F_APPEND, []*nl.RtAttr{
		text(unix.NFTA_RULE_TABLE, table), text(unix.NFTA_RULE_CHAIN, chain), list,
	}}
}

func expression(name string, attrs ...*nl.RtAttr) *nl.RtAttr {
	e := nl.NewRtAttr(unix.NFTA_LIST_ELEM|nested, nil)
	e.AddChild(text(unix.NFTA_EXPR_NAME, name))
	data := nl.NewRtAttr(unix.NFTA_EXPR_DATA|nested, nil)
	for _, a := range attrs {
		data.AddChild(a)
	}
	e.AddChild(data)
	return e
}

func text(kind int, s string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(s)) }

// number is in network order, as everywhere in this protocol.
func number(kind int, n uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.BigEndian.AppendUint32(nil, n))
}

// transact has the kernel do all of it or nothing.
func (f *Filter) transact(family uint8, msgs []message) error {
	f.sequence += uint32(len(msgs)) + 2
	seq := f.sequence
	batch := header(batchBegin, 0, seq, 0, subsystem, nil)
	last := seq
	for i, m := range msgs {
		last++
		flags := m.flags
		if i == len(msgs)-1 {
			flags |= unix.NLM_F_ACK
		}
		batch = append(batch, header(subsystem<<8|m.kind, flags, last, family, 0, m.attrs)...)
	}
	batch = append(batch, header(batchEnd, 0, last+1, 0, subsystem, nil)...)
	f.sequence = last + 1
	if err := unix.Sendto(f.sock, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("tell the kernel: %w", err)
	}
	return f.answer(seq, last)
}

// header is a message whole: netlink's header, nfnetlink's and the attributes.
func header(kind, flags int, seq uint32, family uint8, resource uint16, attrs []*nl.RtAttr) []byte {
	body := []byte{family, unix.NFNETLINK_V0}
	body = binary.BigEndian.AppendUint16(body, resource)
	for _, a := range attrs {
		body = append(body, a.Serialize()...)
	}
	out := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	out = binary.NativeEndian.AppendUint16(out, uint16(kind))
	out = binary.NativeEndian.AppendUint16(out, uint16(unix.NLM_F_REQUEST|flags))
	out = binary.NativeEndian.AppendUint32(out, seq)
	out = binary.NativeEndian.AppendUint32(out, 0)
	return append(out, body...)
}

// answer reads until the kernel has said yes to the last message or no to any.
func (f *Filter) answer(first, last uint32) error {
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(f.sock, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the kernel's answer: %w", err)
		}
		for msg := buf[:n]; len(msg) >= unix.SizeofNlMsghdr+4; {
			length := int(binary.NativeEndian.Uint32(msg))
			kind, seq := binary.NativeEndian.Uint16(msg[4:]), binary.NativeEndian.Uint32(msg[8:])
			if kind == unix.NLMSG_ERROR && seq >= first && seq <= last+1 {
				code := int32(binary.NativeEndian.Uint32(msg[unix.SizeofNlMsghdr:]))
				if code != 0 {
					return fmt.Errorf("the kernel refuses: %w", unix.Errno(-code))
				}
				if seq == last {
					return nil
				}
			}
			if length = (length + 3) &^ 3; length < unix.SizeofNlMsghdr || length > len(msg) {
				break
			}
			msg = msg[length:]
		}
	}
}
