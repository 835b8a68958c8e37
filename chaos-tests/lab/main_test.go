package lab

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The tests share one lab: starting it is the expensive part. Each leaves it
// healed, with both nodes up and DRBD UpToDate.
var shared struct {
	lab *Lab
	err error
}

func TestMain(m *testing.M) {
	if socket := os.Getenv(bridgeVariable); socket != "" {
		os.Exit(crossBridge(socket, os.Args[1:]))
	}
	flag.Parse()
	if dir := os.Getenv("LAB_CHILD_DIR"); dir != "" {
		fmt.Fprintln(os.Stderr, holdLab(dir))
		os.Exit(1)
	}
	os.Exit(runWithLab(m))
}

func runWithLab(m *testing.M) int {
	if err := Ready(); err != nil || testing.Short() {
		shared.err = err
		return m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var log io.Writer
	if testing.Verbose() {
		log = os.Stdout
	}
	began := time.Now()
	shared.lab, shared.err = Start(ctx, Config{Log: log, LogDir: os.Getenv("LAB_LOGS")})
	if shared.err == nil {
		fmt.Printf("lab started in %.1f s\n", time.Since(began).Seconds())
		defer shared.lab.Close()
	}
	return m.Run()
}

// theLab returns the shared lab, or skips; in CI the lack of it is a failure.
func theLab(t *testing.T) (*Lab, context.Context) {
	t.Helper()
	if shared.lab == nil {
		if (os.Getenv("CI") == "true" && !testing.Short()) || (shared.err != nil && Ready() == nil) {
			t.Fatalf("no lab: %v", shared.err)
		}
		t.Skipf("no lab: %v (-short: %v)", shared.err, testing.Short())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(func() { restore(t, shared.lab) })
	return shared.lab, ctx
}

// of84 skips what speaks to the driver 8.4 itself where the nodes have another.
func of84(t *testing.T) {
	t.Helper()
	if HasDRBD9() {
		t.Skipf("it holds DRBD 8.4 to its model, and %s is of DRBD 9", os.Getenv(KernelVariable))
	}
}

// restore brings the lab back to where each test begins.
func restore(t *testing.T, l *Lab) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.HealAll(ctx); err != nil {
		t.Errorf("heal: %v", err)
	}
	for _, n := range l.Nodes() {
		must(t, n.PowerOn(ctx))
		must(t, n.WaitUp(ctx))
	}
	must(t, l.WaitDRBD(ctx, "cs:Connected", "ds:UpToDate/UpToDate"))
	l.Truth.Reset()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until f is true; it fails the test after a limit and
// returns how long it took.
func eventually(t *testing.T, limit time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%s: %.2f s", what, time.Since(began).Seconds())
	return time.Since(began)
}

func (n *Node) says(ctx context.Context, script string) bool {
	_, code, err := n.Run(ctx, script)
	return err == nil && code == 0
}

// reach lists which of these addresses answer the node's pings.
func (n *Node) reach(ctx context.Context, addrs ...string) []string {
	var script strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&script, "{ busybox ping -c1 -W1 %s >/dev/null 2>&1 && echo %s; } & ", a, a)
	}
	out, _, err := n.Run(ctx, script.String()+"wait")
	if err != nil {
		return nil
	}
	return strings.Fields(out)
}

func (n *Node) pings(ctx context.Context, addr string) bool {
	return len(n.reach(ctx, addr)) == 1
}

// holdLab is the other process of the test above: half a lab, for ever.
func holdLab(dir string) error {
	sc, err := newScope(dir)
	if err != nil {
		return err
	}
	top := newTopology(sc.prefix)
	if err := top.build(context.Background()); err != nil {
		return err
	}
	if _, err := startGroup(top.gw.command(context.Background(), "sleep", "1000")); err != nil {
		return err
	}
	fmt.Println(sc.prefix)
	select {}
}
