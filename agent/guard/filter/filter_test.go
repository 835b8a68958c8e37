package filter

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside runs the test in a network of its own.
func inside(t *testing.T) *Filter {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a network name space")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network name space to be had: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open()
	if err != nil {
		t.Skipf("this kernel has no packet filter: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// passes reports whether a datagram from here reaches an address of here.
func passes(t *testing.T, address string) bool {
	t.Helper()
	there, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, err := net.Dial("udp", there.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if _, err := here.Write([]byte("x")); err != nil {
		return false // the kernel says at once that it was not sent
	}
	_ = there.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = there.Read(make([]byte, 1))
	return err == nil
}

func TestBarredAddressesAreSilentUntilTheyAreLifted(t *testing.T) {
	f := inside(t)
	barred := []netip.Addr{netip.MustParseAddr("127.0.0.7"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.8")}
	all := func(want bool) {
		t.Helper()
		for _, a := range barred {
			if passes(t, a.String()) != want {
				t.Errorf("%v passes: %v, want %v", a, !want, want)
			}
		}
		if !passes(t, "127.0.0.9") {
			t.Error("an address of nobody's group does not pass")
		}
	}
	all(true)
	for range 2 { // the second time it is barred already, or open already
		if err := f.Bar("nfs/home", barred); err != nil {
			t.Fatal(err)
		}
		all(false)
	}
	for range 2 {
		if err := f.Lift("nfs/home", barred); err != nil {
			t.Fatal(err)
		}
		all(true)
	}
}

// A guard that was started anew knows nothing of what its forerunner blocked.
func TestAnotherLifeLiftsWhatTheFirstOneHasBarred(t *testing.T) {
	f := inside(t)
	address := []netip.Addr{netip.MustParseAddr("127.0.0.7")}
	if err := f.Bar("nfs", address); err != nil {
		t.Fatal(err)
	}
	again, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Lift("nfs", address); err != nil {
		t.Fatal(err)
	}
	if !passes(t, "127.0.0.7") {
		t.Error("it is still barred")
	}
}

// Where the kernel has no filter, addresses are removed and put back where they
// were, unless the group is gone.
func TestRemovedAddressesComeBackOnlyWithTheirGroup(t *testing.T) {
	inside(t)
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "dummy0"}}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skipf("no link to be had: %v", err)
	}
	address := netip.MustParsePrefix("192.0.2.7/24")
	add := func() {
		t.Helper()
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
			t.Fatal(err)
		}
	}
	there := func() bool {
		t.Helper()
		all, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 1 && all[0].IPNet.String() == address.String()
	}
	r, own := NewRemoval(), []netip.Addr{address.Addr()}
	add()
	for _, do := range []struct {
		what string
		f    func(string, []netip.Addr) error
		want bool
	}{{"bar", r.Bar, false}, {"bar again", r.Bar, false}, {"lift", r.Lift, true}, {"bar", r.Bar, false}, {"clear", r.Clear, false}, {"lift", r.Lift, false}} {
		if err := do.f("nfs", own); err != nil {
			t.Fatalf("%s: %v", do.what, err)
		}
		if there() != do.want {
			t.Fatalf("after %s the address is there: %v", do.what, !do.want)
		}
	}
}
