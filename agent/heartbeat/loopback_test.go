package heartbeat

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace runs the calling test again as a process in a network namespace of
// its own, which ends with it. It returns false in the process outside.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "SBARBITER_TEST_NETNS"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace of its own")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

func freePort(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

type talker struct {
	*Heartbeat
	heard atomic.Int64
}

// talk runs a Heartbeat on real sockets that sends every 10 ms.
func talk(t *testing.T, cfg Config) *talker {
	t.Helper()
	h, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{Heartbeat: h}
	ctx, cancel := context.WithCancel(t.Context())
	done, sent := make(chan error, 1), make(chan struct{})
	go func() {
		done <- h.Run(ctx, func(e Event) {
			if _, ok := e.(Received); ok {
				k.heard.Add(1)
			}
		})
	}()
	go func() {
		defer close(sent)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := h.Send([]byte("beat")); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-sent
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestTwoAgentsTalkOverRealSocketsOfBothFamilies(t *testing.T) {
	ca, cb := configs()
	for i, pair := range [][2]string{{"127.0.0.1", "127.0.0.2"}, {"::1", "::1"}} {
		l, p := freePort(t, pair[0]), freePort(t, pair[1])
		ca.Links[i].Local, ca.Links[i].Peer = l, p
		cb.Links[i].Local, cb.Links[i].Peer = p, l
	}
	if err := ca.Validate(); err != nil {
		t.Fatal(err)
	}
	a, b := talk(t, ca), talk(t, cb)
	eventually(t, "both links carry both directions", func() bool {
		for _, k := range []*talker{a, b} {
			for _, s := range k.Stats() {
				if s.Received < 20 || s.Confirmed.IsZero() || s.RTT <= 0 || s.RTT > time.Second {
					return false
				}
			}
		}
		return a.heard.Load() >= 20 && b.heard.Load() >= 20
	})
}

func TestSocketsAskForPreference(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		c, err := listen(t.Context(), Link{Name: "l", Local: freePort(t, addr)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got [3]int
		if err := raw.Control(func(fd uintptr) {
			got[0], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS)
			got[1], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS)
			got[2], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY)
		}); err != nil {
			t.Fatal(err)
		}
		if class := max(got[0], got[1]); class != trafficClass || got[2] != priority {
			t.Errorf("%s: class %#x, priority %d", addr, class, got[2])
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The link's interface is made after the agent has started, loses its address,
// gets it back, and is made again from nothing.
func TestLinkFollowsItsInterfaceThroughLife(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link", "set", "lo", "up")
	ca, cb := configs()
	for i, pair := range [][2]string{{"10.77.0.1:7000", "127.0.0.9:7000"}, {"[fd77::1]:7000", "[::1]:7000"}} {
		l, p := netip.MustParseAddrPort(pair[0]), netip.MustParseAddrPort(pair[1])
		ca.Links[i].Local, ca.Links[i].Peer = l, p
		cb.Links[i].Local, cb.Links[i].Peer = p, l
	}
	if err := ca.Validate(); err == nil {
		t.Fatal("the addresses are not there yet")
	}
	a, b := talk(t, ca), talk(t, cb)
	bothWays := func() bool {
		before := [][]LinkStats{a.Stats(), b.Stats()}
		time.Sleep(100 * time.Millisecond)
		for k, now := range [][]LinkStats{a.Stats(), b.Stats()} {
			for i := range now {
				if now[i].Received <= before[k][i].Received || now[i].Err != "" {
					return false
				}
			}
		}
		return true
	}
	// IPv4 refuses to send from an address that went; IPv6 does not look, and the
	// silence has to tell.
	broken := func() bool {
		before := a.Stats()
		time.Sleep(100 * time.Millisecond)
		now := a.Stats()
		return now[0].Err != "" && now[0].Received == before[0].Received && now[1].Received == before[1].Received
	}
	eventually(t, "a says that it has no address", broken)
	addresses := func(verb string) {
		ip(t, "addr", verb, "10.77.0.1/32", "dev", "hb0")
		ip(t, "addr", verb, "fd77::1/128", "dev", "hb0", "nodad")
	}
	for round := range 2 {
		ip(t, "link", "add", "hb0", "type", "veth", "peer", "name", "hb1")
		ip(t, "link", "set", "hb0", "up")
		ip(t, "link", "set", "hb1", "up")
		addresses("add")
		eventually(t, fmt.Sprintf("round %d: talks on both links", round), bothWays)
		addresses("del")
		eventually(t, "says that the address went", broken)
		addresses("add")
		eventually(t, "talks again", bothWays)
		ip(t, "link", "del", "hb0")
		eventually(t, "says that the interface went", broken)
	}
}
