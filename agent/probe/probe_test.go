package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// inNamespace runs the calling test again as a process in a network namespace of
// its own, which ends with it. It returns false in the process outside.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "SBARBITER_TEST_NETNS"
	if os.Getenv(mark) == t.Name() {
		ip(t, "link", "set", "lo", "up")
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace of its own")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
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

// sysctl writes below /proc/sys/net, which shows the namespace of who opens it.
func sysctl(t *testing.T, key, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// watch runs a Prober and keeps the last observation of each target.
type watch struct {
	mu   sync.Mutex
	last map[string]Observation
	n    map[string]int
}

func start(t *testing.T, p Prober) *watch {
	t.Helper()
	w := &watch{last: make(map[string]Observation), n: make(map[string]int)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	before := runtime.NumGoroutine()
	go func() {
		done <- p.Run(ctx, func(o Observation) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.last[o.Target.String()] = o
			w.n[o.Target.String()]++
		})
	}()
	t.Cleanup(func() {
		asked := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if took := time.Since(asked); took > p.Interval/2+50*time.Millisecond {
			t.Errorf("took %v to end", took)
		}
		eventually(t, "its goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	})
	return w
}

func (w *watch) of(addr string) (Observation, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[addr], w.n[addr]
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func targets(addrs ...string) (ts []Target) {
	for _, a := range addrs {
		ts = append(ts, Target{Address: netip.MustParseAddr(a)})
	}
	return ts
}

func TestReferenceRepliesFallsSilentAndComesBack(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := Prober{Targets: targets("127.0.0.3", "::1"), Interval: 200 * time.Millisecond, Timeout: 100 * time.Millisecond}
	p.Targets[0].Source = netip.MustParseAddr("127.0.0.1")
	w := start(t, p)
	all := func(is func(Observation) bool) func() bool {
		_, n4 := w.of("127.0.0.3")
		_, n6 := w.of("::1")
		return func() bool { // something newer than what was there
			a, m4 := w.of("127.0.0.3")
			b, m6 := w.of("::1")
			return m4 > n4 && m6 > n6 && is(a) && is(b)
		}
	}
	up := func(o Observation) bool {
		return o.OK && o.Err == nil && o.RTT > 0 && o.RTT < p.Timeout && !o.At.IsZero()
	}
	silent := func(o Observation) bool { return !o.OK && errors.Is(o.Err, ErrNoReply) && o.RTT == 0 }
	ignore := func(value string) {
		sysctl(t, "ipv4/icmp_echo_ignore_all", value)
		sysctl(t, "ipv6/icmp/echo_ignore_all", value)
	}
	eventually(t, "both reply", all(up))
	ignore("1")
	eventually(t, "both are silent", all(silent))
	ignore("0")
	eventually(t, "both reply again", all(up))
}

func TestReplyIsToldBeforeItsTimeout(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	began := time.Now()
	w := start(t, Prober{Targets: targets("127.0.0.1"), Interval: 8 * time.Second})
	eventually(t, "replies", func() bool { o, _ := w.of("127.0.0.1"); return o.OK })
	if took := time.Since(began); took > 4*time.Second {
		t.Fatalf("told after %v", took)
	}
}

func TestRefusalOfTheKernelIsAnObservation(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	refusals := map[string]error{
		"prohibit": syscall.EACCES, "unreachable": syscall.EHOSTUNREACH, "blackhole": syscall.EINVAL,
	}
	for kind, want := range refusals {
		t.Run(kind, func(t *testing.T) {
			ip(t, "route", "add", kind, "10.9.9.9")
			w := start(t, Prober{Targets: targets("10.9.9.9", "127.0.0.1"), Interval: 50 * time.Millisecond})
			refused := func() bool { o, _ := w.of("10.9.9.9"); return !o.OK && errors.Is(o.Err, want) }
			eventually(t, "refused", refused)
			eventually(t, "the other target is asked all the same", func() bool { _, n := w.of("127.0.0.1"); return n > 2 })
			ip(t, "route", "del", kind, "10.9.9.9")
			ip(t, "addr", "add", "10.9.9.9/32", "dev", "lo")
			eventually(t, "replies once it can be reached", func() bool { o, _ := w.of("10.9.9.9"); return o.OK })
			ip(t, "addr", "del", "10.9.9.9/32", "dev", "lo")
		})
	}
}

// withoutRights calls f on a thread without capabilities, which ends with it.
func withoutRights(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, so that nobody else gets this thread
		var none [2]unix.CapUserData
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func TestWithoutTheRightToARawSocket(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	withoutRights(t, func() {
		for _, target := range targets("127.0.0.1", "::1") {
			e := &echoer{target: target}
			if _, err := e.ask(t.Context(), time.Second); err == nil || !strings.Contains(err.Error(), "CAP_NET_RAW") {
				t.Errorf("%s: nothing is allowed: %v", target, err)
			}
		}
	})
	sysctl(t, "ipv4/ping_group_range", "0 2147483647")
	withoutRights(t, func() {
		for _, target := range targets("127.0.0.1", "::1") {
			e := &echoer{target: target}
			if _, err := e.ask(t.Context(), time.Second); err != nil || e.raw {
				t.Errorf("%s: raw %v, %v", target, e.raw, err)
			}
			e.close()
		}
	})
}

func TestOnlyTheAnswerToThisEchoCounts(t *testing.T) {
	from := func(addr string) net.Addr { return &net.IPAddr{IP: net.ParseIP(addr)} }
	want := icmp.Echo{ID: 7, Seq: 3, Data: []byte("0123456789abcdef")}
	e := &echoer{target: targets("192.0.2.1")[0], raw: true}
	reply := func(kind icmp.Type, id, seq int, data string) []byte {
		b, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte(data)}}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	right := reply(ipv4.ICMPTypeEchoReply, 7, 3, string(want.Data))
	if !e.isReply(right, from("192.0.2.1"), &want) {
		t.Fatal("the answer is not taken")
	}
	wrong := map[string][]byte{
		"an earlier echo's": reply(ipv4.ICMPTypeEchoReply, 7, 2, string(want.Data)),
		"another program's": reply(ipv4.ICMPTypeEchoReply, 8, 3, string(want.Data)),
		"a guess":           reply(ipv4.ICMPTypeEchoReply, 7, 3, "0123456789abcdeX"),
		"a request":         reply(ipv4.ICMPTypeEcho, 7, 3, string(want.Data)),
		"a stump":           right[:6],
		"nothing":           nil,
	}
	for name, b := range wrong {
		if e.isReply(b, from("192.0.2.1"), &want) {
			t.Errorf("%s is taken", name)
		}
	}
	if e.isReply(right, from("192.0.2.2"), &want) {
		t.Error("another host's is taken")
	}
}

func TestProberSaysWhatIsWrong(t *testing.T) {
	cases := map[string]struct {
		p    Prober
		says string
	}{
		"nothing to ask": {Prober{}, "no reference addresses"},
		"any address":    {Prober{Targets: targets("0.0.0.0")}, "unicast"},
		"twice":          {Prober{Targets: targets("127.0.0.1", "127.0.0.1")}, "named twice"},
		"families":       {Prober{Targets: []Target{{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}}}, "one is IPv4"},
		"long timeout":   {Prober{Targets: targets("::1"), Timeout: 2 * time.Second}, "at most the interval"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.p.Run(t.Context(), func(Observation) { t.Error("asked") })
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want it to say %q", err, tc.says)
			}
		})
	}
}
