package service

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sbarbiter/internal/boottime"
)

var families = map[string]string{"IPv4": "192.0.2.10/24", "IPv6": "2001:db8::10/64"}

func (n *neighbour) address(t *testing.T, prefix string) Unit {
	t.Helper()
	c := Address{Prefix: netip.MustParsePrefix(prefix), Interface: n.near}
	must(t, c.Validate())
	return c.Unit(Env{})
}

func TestAddressIsAddedAnnouncedAndRemoved(t *testing.T) {
	for family, prefix := range families {
		t.Run(family, func(t *testing.T) {
			nb := plug(t)
			ear := nb.listen(t, netip.MustParsePrefix(prefix).Addr())
			u := nb.address(t, prefix)
			wantState(t, u, Stopped)
			mustStart(t, u)
			wantState(t, u, Running)
			if !ear.hear(t, 2*time.Second) {
				t.Error("the neighbour heard no announcement")
			}
			mustStart(t, u)
			mustStop(t, u)
			wantState(t, u, Stopped)
			mustStop(t, u)
		})
	}
}

func TestAddressOfAnotherHostIsRefusedWithItsMAC(t *testing.T) {
	for family, prefix := range families {
		t.Run(family, func(t *testing.T) {
			nb := plug(t)
			nb.has(t, prefix)
			u := nb.address(t, prefix)
			err := u.Start(within(t, 5*time.Second))
			var taken *TakenError
			if !errors.As(err, &taken) || taken.Owner.String() != nb.mac.String() || !strings.Contains(err.Error(), nb.mac.String()) {
				t.Fatalf("got %v, want a refusal that names %v", err, nb.mac)
			}
			wantState(t, u, Stopped)
		})
	}
}

func TestAnnouncementsGoOnUntilTheAddressIsBlocked(t *testing.T) {
	for family, prefix := range families {
		t.Run(family, func(t *testing.T) {
			nb := plug(t)
			ear := nb.listen(t, netip.MustParsePrefix(prefix).Addr())
			u := nb.address(t, prefix)
			background(t, u)
			mustStart(t, u)
			each := len(link{ifi: &net.Interface{HardwareAddr: ear.from}}.announcements(ear.addr))
			for i := range 3 * each { // at once, after 0.1 s, after 0.5 s
				if !ear.hear(t, 2*time.Second) {
					t.Fatalf("only %d announcements", i)
				}
			}
			must(t, u.(Blocker).Block(t.Context()))
			wantState(t, u, Stopped)
			if !ear.quiet(t, 700*time.Millisecond) { // the next was due after 1 s
				t.Error("announced an address that had been blocked")
			}
			mustStart(t, u)
			if !ear.hear(t, 2*time.Second) {
				t.Error("added again and not announced")
			}
		})
	}
}

func TestBlockUndoesAStartThatIsUnderWay(t *testing.T) {
	nb := plug(t)
	u := Address{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: nb.near, Probe: 10 * time.Second}.Unit(Env{}).(*address)
	blocks := u.blockCount() // what Start notes before it probes
	l, err := u.link()
	must(t, err)
	must(t, u.Block(t.Context()))
	if err := u.take(t.Context(), l, blocks); !errors.Is(err, ErrBlocked) {
		t.Errorf("got %v, want ErrBlocked", err)
	}
	wantState(t, u, Stopped)
}

func TestProbeEndsWithItsContext(t *testing.T) {
	nb := plug(t)
	u := Address{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: nb.near, Probe: time.Hour}.Unit(Env{})
	began := time.Now()
	if err := u.Start(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	wantState(t, u, Stopped)
}

func TestBlockWorksAfterTheDeadlineToo(t *testing.T) {
	nb := plug(t)
	u := nb.address(t, "192.0.2.10/24")
	mustStart(t, u)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, u.(Blocker).Block(ctx))
	wantState(t, u, Stopped)
}

func TestRemovalSparesOtherAddressesOfTheNetwork(t *testing.T) {
	nb := plug(t)
	first, second := nb.address(t, "192.0.2.10/24"), nb.address(t, "192.0.2.11/24")
	mustStart(t, first)
	mustStart(t, second)
	mustStop(t, first)
	wantState(t, second, Running)
}

func TestAddressOnAWrongInterfaceIsFoundAndBlocked(t *testing.T) {
	nb, other := plug(t), plug(t)
	must(t, giveAddress(other.near, "192.0.2.10/32"))
	u := nb.address(t, "192.0.2.10/24")
	if state, err := u.State(t.Context()); err == nil || !strings.Contains(err.Error(), other.near) {
		t.Errorf("got %v, %v; want an error that names %s", state, err, other.near)
	}
	must(t, u.(Blocker).Block(t.Context()))
	wantState(t, u, Stopped)
}

func TestMissingOrDownInterfaceIsExplained(t *testing.T) {
	nb := plug(t)
	c := Address{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: "none0"}
	if err := c.Unit(Env{}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "this host has lo, ") {
		t.Errorf("got %v, want the interfaces that there are", err)
	}
	l, err := netlink.LinkByName(nb.near)
	must(t, err)
	must(t, netlink.LinkSetDown(l))
	u := nb.address(t, "192.0.2.10/24")
	if err := u.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "ip link set "+nb.near+" up") {
		t.Errorf("got %v, want what to do", err)
	}
	must(t, u.(Blocker).Block(t.Context()))
}

func TestAddressErrorsNameFieldAndRemedy(t *testing.T) {
	p := netip.MustParsePrefix
	for want, c := range map[string]Address{
		"address: is missing":    {Interface: "eth0"},
		"the network itself":     {Prefix: p("192.0.2.0/24"), Interface: "eth0"},
		"cannot be a service's":  {Prefix: p("127.0.0.1/8"), Interface: "eth0"},
		"interface: is missing":  {Prefix: p("192.0.2.1/24")},
		"interface: \"a/b\"":     {Prefix: p("192.0.2.1/24"), Interface: "a/b"},
		"probe: -1s is negative": {Prefix: p("192.0.2.1/24"), Interface: "eth0", Probe: -time.Second},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestForeignMessagesAreNoClaim(t *testing.T) {
	own, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	a4, b4 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")
	a6, b6 := netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("2001:db8::11")
	for name, c := range map[string]struct {
		b    []byte
		addr netip.Addr
		want bool
	}{
		"a request for it by a neighbour": {arp(arpRequest, other, b4, nil, a4).payload, a4, false},
		"its owner's request":             {arp(arpRequest, other, a4, nil, b4).payload, a4, true},
		"another host's probe for it":     {arpProbe(other, a4).payload, a4, true},
		"our own probe":                   {arpProbe(own, a4).payload, a4, false},
		"a stub":                          {make([]byte, 20), a4, false},
		"its owner's advertisement":       {neighbourAnnouncement(other, a6).payload, a6, true},
		"another one's advertisement":     {neighbourAnnouncement(other, b6).payload, a6, false},
		"a short IPv6 packet":             {neighbourProbe(a6).payload[:50], a6, false},
	} {
		var got bool
		if c.addr.Is4() {
			_, got = arpClaim(c.b, own, c.addr)
		} else {
			_, got = neighbourClaim(c.b, other, own, c.addr)
		}
		if got != c.want {
			t.Errorf("%s: a claim is %v, want %v", name, got, c.want)
		}
	}
}

func TestVacancySeenAheadSavesTheQuestion(t *testing.T) {
	nb := plug(t)
	u := Address{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: nb.near, Probe: 200 * time.Millisecond}.Unit(Env{}).(*address)
	start := u.Scout(t.Context())
	u.Probe = time.Hour
	must(t, start(within(t, 5*time.Second)))
	wantState(t, u, Running)
}

func TestOldVacancyIsNotBelieved(t *testing.T) {
	nb := plug(t)
	u := nb.address(t, "192.0.2.10/24").(*address)
	l, err := u.link()
	must(t, err)
	nb.has(t, "192.0.2.10/24")
	old := vacancy{ifi: l.ifi.Index, seen: boottime.Now().Add(-vacantFor)}
	var taken *TakenError
	if err := u.start(within(t, 5*time.Second), u.blockCount(), old); !errors.As(err, &taken) {
		t.Errorf("got %v, want the address asked for again and found taken", err)
	}
}

func TestAddressTakenAheadIsAskedForAgainInItsTurn(t *testing.T) {
	nb := plug(t)
	nb.has(t, "192.0.2.10/24")
	u := nb.address(t, "192.0.2.10/24").(*address)
	start := u.Scout(t.Context())
	wantState(t, u, Stopped)
	var taken *TakenError
	if err := start(within(t, 5*time.Second)); !errors.As(err, &taken) {
		t.Errorf("got %v, want the refusal", err)
	}
}

func TestBlockUndoesAStartWhoseScoutIsBack(t *testing.T) {
	nb := plug(t)
	u := nb.address(t, "192.0.2.10/24").(*address)
	start := u.Scout(t.Context())
	must(t, u.Block(t.Context()))
	if err := start(t.Context()); !errors.Is(err, ErrBlocked) {
		t.Errorf("got %v, want ErrBlocked", err)
	}
	wantState(t, u, Stopped)
}
