package filter

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Removal turns clients away where the kernel has no packet filter: it removes
// the addresses, and puts them back where they were.
type Removal struct {
	taken map[string][]place
}

// place is where an address was.
type place struct {
	link int
	addr netlink.Addr
}

// NewRemoval remembers nothing.
func NewRemoval() *Removal { return &Removal{taken: map[string][]place{}} }

// Bar removes the addresses from every interface but the loopback.
func (r *Removal) Bar(group string, addresses []netip.Addr) error {
	if len(addresses) == 0 {
		return nil
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	errs := []error{err}
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || !contains(addresses, ip) || loopback(a.LinkIndex) {
			continue
		}
		err := netlink.AddrDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: a.LinkIndex}}, &a)
		if err == nil {
			r.taken[group] = append(r.taken[group], place{a.LinkIndex, a})
		} else if !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("remove %s: %w", a.IPNet, err))
		}
	}
	return errors.Join(errs...)
}

// Lift puts back what Bar has removed.
func (r *Removal) Lift(group string, _ []netip.Addr) error {
	var errs []error
	for _, p := range r.taken[group] {
		addr := &netlink.Addr{IPNet: p.addr.IPNet, Flags: p.addr.Flags & unix.IFA_F_NODAD, Scope: p.addr.Scope}
		err := netlink.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: p.link}}, addr)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("put %s back: %w", p.addr.IPNet, err))
		}
	}
	delete(r.taken, group)
	return errors.Join(errs...)
}

// Clear forgets what was removed: its group runs here no more.
func (r *Removal) Clear(group string, _ []netip.Addr) error {
	delete(r.taken, group)
	return nil
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, x := range list {
		if x == a.Unmap() {
			return true
		}
	}
	return false
}

func loopback(index int) bool {
	ifi, err := net.InterfaceByIndex(index)
	return err == nil && ifi.Flags&net.FlagLoopback != 0
}
