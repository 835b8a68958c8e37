package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// neighbour is another host: the far end of a cable, in a name space of its own.
type neighbour struct {
	near string // our end's name
	mac  net.HardwareAddr
	ifi  *net.Interface
	do   func(func() error) error // runs in the neighbour's name space
}

var cables atomic.Int32

// plug connects us with a neighbour by a pair of virtual interfaces.
func plug(t *testing.T) *neighbour {
	t.Helper()
	needRoot(t)
	n := cables.Add(1)
	near, far := fmt.Sprintf("near%d", n), fmt.Sprintf("far%d", n)
	nb := &neighbour{near: near, do: otherHost(t)}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(pair) })
	var fd int
	must(t, nb.do(func() (err error) {
		fd, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	}))
	defer unix.Close(fd)
	l, err := netlink.LinkByName(far)
	must(t, err)
	must(t, netlink.LinkSetNsFd(l, fd))
	must(t, nb.do(func() error {
		l, err := netlink.LinkByName(far)
		if err != nil {
			return err
		}
		nb.mac = l.Attrs().HardwareAddr
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		nb.ifi, err = net.InterfaceByName(far)
		return err
	}))
	must(t, netlink.LinkSetUp(pair))
	eventually(t, "the cable has a carrier", func() bool {
		l, err := netlink.LinkByName(near)
		return err == nil && l.Attrs().OperState == netlink.OperUp
	})
	return nb
}

// otherHost makes a network name space and returns how to work in it.
func otherHost(t *testing.T) func(func() error) error {
	work, done, gone := make(chan func() error), make(chan error), make(chan struct{})
	go func() {
		defer close(gone)
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		for f := range work {
			if err == nil {
				done <- f()
			} else {
				done <- err
			}
		}
	}()
	t.Cleanup(func() { close(work); <-gone })
	return func(f func() error) error { work <- f; return <-done }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has gives the neighbour an address.
func (n *neighbour) has(t *testing.T, prefix string) {
	t.Helper()
	must(t, n.do(func() error { return giveAddress(n.ifi.Name, prefix) }))
}

func giveAddress(ifname, prefix string) error {
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	l, err := netlink.LinkByName(ifname)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(l, a)
}

// listen opens the neighbour's end for ARP or IPv6.
func (n *neighbour) listen(t *testing.T, addr netip.Addr) *ear {
	t.Helper()
	protocol := unix.ETH_P_ARP
	if addr.Is6() {
		protocol = unix.ETH_P_IPV6
	}
	var conn *packet.Conn
	must(t, n.do(func() (err error) {
		conn, err = packet.Listen(n.ifi, packet.Datagram, protocol, nil)
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	near, err := net.InterfaceByName(n.near)
	must(t, err)
	return &ear{conn: conn, addr: addr, from: near.HardwareAddr}
}

// ear hears announcements of addr.
type ear struct {
	conn *packet.Conn
	addr netip.Addr
	from net.HardwareAddr
}

// hear waits up to d for an announcement.
func (e *ear) hear(t *testing.T, d time.Duration) bool {
	t.Helper()
	must(t, e.conn.SetReadDeadline(time.Now().Add(d)))
	buf := make([]byte, 2048)
	for {
		n, _, err := e.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		must(t, err)
		if e.announces(buf[:n]) {
			return true
		}
	}
}

func (e *ear) announces(b []byte) bool {
	if e.addr.Is4() {
		return len(b) >= arpLength && net.HardwareAddr(b[8:14]).String() == e.from.String() &&
			netip.AddrFrom4([4]byte(b[14:18])) == e.addr && netip.AddrFrom4([4]byte(b[24:28])) == e.addr
	}
	if len(b) < ipv6Header+ndLength || b[6] != unix.IPPROTO_ICMPV6 || b[ipv6Header] != icmpAdvertise {
		return false
	}
	body := b[ipv6Header:]
	return netip.AddrFrom16([16]byte(body[8:24])) == e.addr && net.HardwareAddr(body[26:32]).String() == e.from.String()
}

// quiet drains what has come and says whether nothing more comes for d.
func (e *ear) quiet(t *testing.T, d time.Duration) bool {
	t.Helper()
	for e.hear(t, time.Millisecond) {
	}
	return !e.hear(t, d)
}

// background runs a unit's background work until the test ends.
func background(t *testing.T, u Unit) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.(Background).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
