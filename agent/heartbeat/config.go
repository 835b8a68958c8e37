package heartbeat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

const (
	// MaxPayload is the most bytes that one [Heartbeat.Send] carries. With our
	// header and IPv6's it stays below an Ethernet frame: a heartbeat is never
	// fragmented.
	MaxPayload = 1200
	// MinKey is the fewest bytes of a cluster's key: HMAC-SHA256 is as strong
	// as its output, 32 bytes, and a shorter key makes it weaker (RFC 2104).
	MinKey = 32

	maxName = 64
)

// Link is one path to the peer. Both nodes give the same path the same name: a
// datagram says on which link it left, and is dropped on any other.
type Link struct {
	Name  string
	Local netip.AddrPort // bound here; this is also the source the peer expects
	Peer  netip.AddrPort // where the peer is bound
}

// Config says who talks to whom, and over which links.
type Config struct {
	Cluster string
	Self    string // this node
	Peer    string // the other node

	Boot        string // this machine's boot id
	Incarnation uint64 // this agent's stored start counter, 1 or more

	// PeerIncarnation is the highest incarnation stored of the peer, 0 when none
	// is known. Older ones are dropped from the first datagram on.
	PeerIncarnation uint64

	Key   []byte // the cluster's secret, at least MinKey bytes
	Links []Link

	// AllowSingleLink accepts one link, which makes a cut cable look like a dead
	// peer. For laboratories and for pairs with nothing else.
	AllowSingleLink bool
}

// MissingAddressError says that a link's local address is on no interface of
// this host. It may come later (a link that is down while the machine boots):
// [Heartbeat.Run] waits for it.
type MissingAddressError struct {
	Link    string
	Address netip.Addr
	Present []netip.Addr // what this host has
}

// Error names the address, and what could have been meant.
func (e *MissingAddressError) Error() string {
	have := make([]string, len(e.Present))
	for i, a := range e.Present {
		have[i] = a.String()
	}
	return fmt.Sprintf("heartbeat link %s: local address %s is not on this host; it has %s",
		e.Link, e.Address, strings.Join(have, ", "))
}

// Validate reports everything that is wrong with c, local addresses included.
// An error that is a [*MissingAddressError] only may go away by itself.
func (c Config) Validate() error {
	if err := c.check(); err != nil {
		return err
	}
	present, err := hostAddresses()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range c.Links {
		if a := l.Local.Addr().Unmap().WithZone(""); !slices.Contains(present, a) && !isLoopback4(a) {
			errs = append(errs, &MissingAddressError{Link: l.Name, Address: a, Present: present})
		}
	}
	return errors.Join(errs...)
}

// isLoopback4 is true for all of 127.0.0.0/8: each of its addresses can be
// bound, although an interface lists only the first.
func isLoopback4(a netip.Addr) bool { return a.Is4() && a.IsLoopback() }

// check looks at what c says, not at the host.
func (c Config) check() error {
	errs := []error{
		checkName("cluster", c.Cluster),
		checkName("node", c.Self),
		checkName("peer", c.Peer),
		checkName("boot id", c.Boot),
	}
	if c.Self == c.Peer {
		errs = append(errs, fmt.Errorf("heartbeat: node and peer are both %q: name two nodes", c.Self))
	}
	if c.Incarnation == 0 {
		errs = append(errs, errors.New("heartbeat: incarnation is 0: it must be the stored counter of this agent's starts"))
	}
	if len(c.Key) < MinKey {
		errs = append(errs, fmt.Errorf("heartbeat: key has %d bytes: give at least %d random ones", len(c.Key), MinKey))
	}
	if len(c.Links) == 0 {
		errs = append(errs, errors.New("heartbeat: no links: give at least two"))
	}
	if len(c.Links) == 1 && !c.AllowSingleLink {
		errs = append(errs, errors.New("heartbeat: one link only: give a second over other hardware, or allow a single link explicitly"))
	}
	return errors.Join(append(errs, c.checkLinks()...)...)
}

func (c Config) checkLinks() []error {
	var errs []error
	names := make(map[string]bool)
	users := make(map[netip.AddrPort]string)
	for _, l := range c.Links {
		if err := l.check(); err != nil {
			errs = append(errs, err)
		}
		if names[l.Name] {
			errs = append(errs, fmt.Errorf("heartbeat: two links are named %q: name each path once", l.Name))
		}
		names[l.Name] = true
		if other, taken := users[l.Local]; taken {
			errs = append(errs, fmt.Errorf("heartbeat link %s: local address %s is link %s's already", l.Name, l.Local, other))
		}
		users[l.Local] = l.Name
	}
	return errs
}

func (l Link) check() error {
	if err := checkName("link", l.Name); err != nil {
		return err
	}
	for _, a := range []netip.AddrPort{l.Local, l.Peer} {
		if !a.IsValid() || a.Port() == 0 {
			return fmt.Errorf("heartbeat link %s: %v: write address:port", l.Name, a)
		}
		if ip := a.Addr(); ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("heartbeat link %s: %s: name one host's own unicast address", l.Name, ip)
		}
	}
	if l.Local == l.Peer {
		return fmt.Errorf("heartbeat link %s: local and peer are both %s", l.Name, l.Local)
	}
	if l.Local.Addr().Unmap().Is4() != l.Peer.Addr().Unmap().Is4() {
		return fmt.Errorf("heartbeat link %s: %s and %s: one is IPv4, the other IPv6", l.Name, l.Local, l.Peer)
	}
	return nil
}

func checkName(what, name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("heartbeat: %s %q: give 1 to %d bytes", what, name, maxName)
	}
	return nil
}

func hostAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this host's addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	return out, nil
}
