package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sbarbiter/internal/boottime"
)

// defaultProbe is how long the link is asked whether an address is taken.
const defaultProbe = 250 * time.Millisecond

// Address is an address that moves with the group.
type Address struct {
	Prefix    netip.Prefix // 192.0.2.10/24
	Interface string
	// Probe is how long to ask before the address is taken; 250 ms if 0.
	Probe time.Duration
}

// Validate names the first field that is wrong and how to mend it.
func (c Address) Validate() error {
	a := c.Prefix.Addr()
	switch {
	case !c.Prefix.IsValid():
		return fieldError("address", "is missing or wrong: write for example 192.0.2.10/24")
	case a.Is4In6():
		return fieldError("address", "write %s instead of %s", a.Unmap(), a)
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback():
		return fieldError("address", "%s cannot be a service's address", a)
	case a.Is4() && c.Prefix.Bits() < 31 && a == c.Prefix.Masked().Addr():
		return fieldError("address", "%s is the network itself: write a host's address in it", c.Prefix)
	case c.Interface == "":
		return fieldError("interface", "is missing: write for example eth0")
	case len(c.Interface) >= unix.IFNAMSIZ || strings.ContainsAny(c.Interface, "/ \t"):
		return fieldError("interface", "%q is no interface's name: see `ip link`", c.Interface)
	case c.Probe < 0:
		return fieldError("probe", "%v is negative", c.Probe)
	}
	return nil
}

// Unit returns the unit that adds and removes the address.
func (c Address) Unit(Env) Unit {
	if c.Probe == 0 {
		c.Probe = defaultProbe
	}
	return &address{Address: c, added: make(chan struct{}, 1)}
}

// ErrBlocked says that the address was blocked while it was being added.
var ErrBlocked = errors.New("blocked meanwhile")

// TakenError says that another host answers for the address.
type TakenError struct {
	Addr      netip.Addr
	Interface string
	Owner     net.HardwareAddr
}

// Error names the address and its owner.
func (e *TakenError) Error() string {
	return fmt.Sprintf("%s is in use on %s by the host with MAC %s: find it (`ip neigh`, the switch's table) and remove the address there", e.Addr, e.Interface, e.Owner)
}

type address struct {
	Address
	added chan struct{} // tells Run that the address is here

	mu     sync.Mutex // held for short system calls only
	blocks int        // how often the address was blocked
	live   bool       // may be announced
}

// Name is "address PREFIX".
func (a *address) Name() string { return "address " + a.Prefix.String() }

// State says Stopped only when the address is on no interface: the kernel
// answers for it from any.
func (a *address) State(ctx context.Context) (State, error) {
	if err := ctx.Err(); err != nil {
		return Unknown, fmt.Errorf("look at %s: %w", a.Name(), err)
	}
	places, err := a.places()
	if err != nil {
		return Unknown, err
	}
	if len(places) == 0 {
		return Stopped, nil
	}
	for _, p := range places {
		if p.ifi.Name == a.Interface && p.addr.Flags&(unix.IFA_F_DADFAILED|unix.IFA_F_TENTATIVE) == 0 {
			return Running, nil
		}
	}
	p := places[0]
	return Unknown, fmt.Errorf("%s is at %s and not usable on %s: remove it with `ip addr del %s dev %s`", a.Prefix.Addr(), p.ifi.Name, a.Interface, p.addr.IPNet, p.ifi.Name)
}

// Start asks whether the address is taken, adds it and announces it once; Run
// goes on announcing. It refuses with a [*TakenError].
func (a *address) Start(ctx context.Context) error { return a.start(ctx, a.blockCount(), vacancy{}) }

// vacancy is the answer that nobody has the address.
type vacancy struct {
	ifi  int // where was asked
	seen boottime.Instant
}

// vacantFor is how long such an answer is good for: long enough for a promotion
// and a mount, and hardly long enough for another host to come between.
const vacantFor = 2 * time.Second

func (v vacancy) holds(l link) bool {
	return !v.seen.IsZero() && v.ifi == l.ifi.Index && boottime.Now().Sub(v.seen) < vacantFor
}

// Scout asks whether the address is taken. Only that it is not is believed
// later: all other answers are asked for again, since they may have changed.
func (a *address) Scout(ctx context.Context) func(context.Context) error {
	blocks := a.blockCount()
	v := a.vacant(ctx)
	return func(ctx context.Context) error { return a.start(ctx, blocks, v) }
}

func (a *address) vacant(ctx context.Context) vacancy {
	if state, err := a.State(ctx); err != nil || state != Stopped {
		return vacancy{}
	}
	l, err := a.link()
	if err != nil {
		return vacancy{}
	}
	if owner, err := l.owner(ctx, a.Prefix.Addr(), a.Probe); err != nil || owner != nil {
		return vacancy{}
	}
	return vacancy{ifi: l.ifi.Index, seen: boottime.Now()}
}

// start adds the address unless it is taken, or was blocked since the caller
// began.
func (a *address) start(ctx context.Context, blocks int, v vacancy) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	l, err := a.link()
	if err != nil {
		return err
	}
	if state == Stopped && !v.holds(l) {
		owner, err := l.owner(ctx, a.Prefix.Addr(), a.Probe)
		if err != nil {
			return err
		}
		if owner != nil {
			return &TakenError{Addr: a.Prefix.Addr(), Interface: a.Interface, Owner: owner}
		}
	}
	return a.take(ctx, l, blocks)
}

// take adds the address unless it was blocked since the caller began.
func (a *address) take(ctx context.Context, l link, blocks int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("add %s: %w", a.Name(), err)
	}
	if a.blocks != blocks {
		return fmt.Errorf("add %s: %w", a.Name(), ErrBlocked)
	}
	if err := a.add(l); err != nil {
		return err
	}
	a.live = true
	select {
	case a.added <- struct{}{}:
	default: // Run has not come to the last one yet
	}
	return l.announce(a.Prefix.Addr())
}

func (a *address) add(l link) error {
	addr := &netlink.Addr{IPNet: a.ipNet()}
	if a.Prefix.Addr().Is6() {
		// The question has been asked already, and the kernel's own test would
		// leave the address unusable for one to two seconds.
		addr.Flags = unix.IFA_F_NODAD
	} else {
		keepNeighbours(a.Interface)
	}
	if err := netlink.AddrAdd(device(l.ifi), addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s to %s: %w", a.Prefix, a.Interface, err)
	}
	return nil
}

// keepNeighbours makes the removal of an address spare others of its network:
// by default the kernel removes them with the first one
// (Documentation/networking/ip-sysctl.rst, promote_secondaries). Where it cannot
// be set, only such a removal differs.
func keepNeighbours(ifname string) {
	_ = os.WriteFile("/proc/sys/net/ipv4/conf/"+ifname+"/promote_secondaries", []byte("1\n"), 0)
}

// Stop removes the address and looks whether it is gone.
func (a *address) Stop(ctx context.Context) error {
	if err := a.Block(ctx); err != nil {
		return err
	}
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	if state != Stopped {
		return fmt.Errorf("removed %s and found it again: someone else adds it", a.Prefix)
	}
	return nil
}

// Block removes the address at once, wherever it is, and silences Run. It does
// not wait for a Start that is under way, which then fails with [ErrBlocked],
// and is carried out even when the context has ended: nothing is safer.
func (a *address) Block(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blocks++
	a.live = false
	// Where it belongs first: that needs no list of all addresses.
	if ifi, err := net.InterfaceByName(a.Interface); err == nil {
		_ = remove(place{ifi: ifi, addr: netlink.Addr{IPNet: a.ipNet()}})
	}
	places, err := a.places()
	errs := []error{err}
	for _, p := range places {
		errs = append(errs, remove(p))
	}
	return errors.Join(errs...)
}

func remove(p place) error {
	err := netlink.AddrDel(device(p.ifi), &p.addr)
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s from %s: %w", p.addr.IPNet, p.ifi.Name, err)
	}
	return nil
}

func device(ifi *net.Interface) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: ifi.Name, Index: ifi.Index}}
}

func (a *address) blockCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.blocks
}

// place is where the address was found.
type place struct {
	ifi  *net.Interface
	addr netlink.Addr
}

// places lists where the address is. Loopback does not count: there it is part
// of a load balancer's set-up, whose owner keeps it from being answered for.
func (a *address) places() ([]place, error) {
	addrs, err := listAddrs(a.Prefix.Addr())
	if err != nil {
		return nil, err
	}
	var found []place
	for _, addr := range addrs {
		if !addr.IP.Equal(a.Prefix.Addr().AsSlice()) {
			continue
		}
		ifi, err := net.InterfaceByIndex(addr.LinkIndex)
		if err != nil {
			return nil, fmt.Errorf("look at interface %d, which has %s: %w", addr.LinkIndex, addr.IPNet, err)
		}
		if ifi.Flags&net.FlagLoopback == 0 {
			found = append(found, place{ifi: ifi, addr: addr})
		}
	}
	return found, nil
}

// listAddrs lists all addresses of this family. The kernel breaks a list off
// when it changes meanwhile; a few changes in a row are nothing unusual.
func listAddrs(like netip.Addr) ([]netlink.Addr, error) {
	family := netlink.FAMILY_V4
	if like.Is6() {
		family = netlink.FAMILY_V6
	}
	const attempts = 5
	var addrs []netlink.Addr
	var err error
	for range attempts {
		if addrs, err = netlink.AddrList(nil, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return addrs, nil
}

// link finds the interface and wants it up.
func (a *address) link() (link, error) {
	ifi, err := net.InterfaceByName(a.Interface)
	if err != nil {
		return link{}, fmt.Errorf("find interface %s: %w: this host has %s", a.Interface, err, interfaceNames())
	}
	if ifi.Flags&net.FlagUp == 0 {
		return link{}, fmt.Errorf("interface %s is down: `ip link set %s up`", a.Interface, a.Interface)
	}
	return link{ifi: ifi}, nil
}

func interfaceNames() string {
	all, err := net.Interfaces()
	if err != nil {
		return "interfaces that cannot be listed"
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

func (a *address) ipNet() *net.IPNet {
	ip := a.Prefix.Addr().AsSlice()
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(a.Prefix.Bits(), len(ip)*8)}
}
