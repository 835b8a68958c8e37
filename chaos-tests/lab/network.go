package lab

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Addresses of the lab. All of them exist in its own namespaces only.
const (
	GatewayAddr = "10.90.0.254"
	WitnessAddr = "10.90.0.250"
	labAddr     = "10.92.0.254" // the lab itself, on a network that no fault touches
)

// space is a network namespace.
type space string

// topology is the lab's cabling: three bridges in one namespace, the gateway,
// the witness and the BMCs each in their own.
type topology struct {
	sw, gw, wit, bmc space
}

func newTopology(prefix string) topology {
	return topology{
		sw: space(prefix + "-sw"), gw: space(prefix + "-gw"),
		wit: space(prefix + "-wit"), bmc: space(prefix + "-bmc"),
	}
}

// build makes namespaces, bridges, cables and the taps of both nodes.
func (t topology) build(ctx context.Context) error {
	for _, s := range []space{t.sw, t.gw, t.wit, t.bmc} {
		if err := run(ctx, "ip", "netns", "add", string(s)); err != nil {
			return err
		}
		if err := s.ip(ctx, "link set lo up"); err != nil {
			return err
		}
	}
	lines := []string{
		"link add brm type bridge", "link add brr type bridge", "link add brl type bridge",
		"link set brm up", "link set brr up", "link set brl up",
		"addr add " + labAddr + "/24 dev brl",
	}
	for _, host := range []space{t.gw, t.wit, t.bmc} {
		port := host.port()
		lines = append(lines,
			"link add "+port+" type veth peer name eth0 netns "+string(host),
			"link set dev "+port+" master brm up")
	}
	for _, n := range []NodeName{NodeA, NodeB} {
		lines = append(lines, tapLines(n.tap(management), "brm")...)
		lines = append(lines, tapLines(n.tap(replication), "brr")...)
		lines = append(lines, tapLines(n.tap(outOfBand), "brl")...)
	}
	if err := t.sw.ip(ctx, lines...); err != nil {
		return err
	}
	return t.address(ctx)
}

func (t topology) address(ctx context.Context) error {
	hosts := map[space][]string{t.gw: {GatewayAddr}, t.wit: {WitnessAddr}, t.bmc: {NodeA.BMCAddr(), NodeB.BMCAddr()}}
	for s, addrs := range hosts {
		var lines []string
		for _, a := range addrs {
			lines = append(lines, "addr add "+a+"/24 dev eth0")
		}
		if err := s.ip(ctx, append(lines, "link set eth0 up")...); err != nil {
			return err
		}
	}
	return nil
}

func tapLines(name, bridge string) []string {
	return []string{"tuntap add " + name + " mode tap", "link set dev " + name + " master " + bridge + " up"}
}

// port is the name of the switch's end of this host's cable.
func (s space) port() string { return "p" + string(s[strings.LastIndexByte(string(s), '-'):]) }

// ip performs ip(8) commands inside the namespace, in order.
func (s space) ip(ctx context.Context, lines ...string) error {
	cmd := exec.CommandContext(ctx, "ip", "-n", string(s), "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set up network %s: %w: %s", s, err, out)
	}
	return nil
}

// command prepares a program that runs inside the namespace, under its own
// pid (ip netns exec replaces itself).
func (s space) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", string(s), name}, args...)...)
}

// within calls f on a thread inside the namespace; sockets that f makes stay there.
func (s space) within(f func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own namespace: %w", err)
	}
	defer unix.Close(home)
	there, err := unix.Open("/run/netns/"+string(s), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open namespace %s: %w", s, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", s, err)
	}
	result := f()
	if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, and dies with this goroutine.
		return fmt.Errorf("leave namespace %s: %w", s, err)
	}
	runtime.UnlockOSThread()
	return result
}

func (s space) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := s.within(func() error {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (s space) listenUDP(addr string) (*net.UDPConn, error) {
	a, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	var conn *net.UDPConn
	err = s.within(func() error {
		conn, err = net.ListenUDP("udp4", a)
		return err
	})
	return conn, err
}

// run performs one command; its output is part of the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
