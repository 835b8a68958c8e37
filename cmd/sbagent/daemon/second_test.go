package daemon_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"sbarbiter/cmd/internal/fences"
	"sbarbiter/internal/config"
)

// outlet writes a fence program over a file. It takes the machine's services
// with its power, and notes what it was told to do.
func (r *rig) outlet(name string) config.FenceDevice {
	r.t.Helper()
	must(r.t, os.MkdirAll(r.path("outlets"), 0o755))
	must(r.t, os.WriteFile(r.path("outlets", name+".power"), []byte("on\n"), 0o600))
	script := fmt.Sprintf(`#!/bin/sh
cd %q || exit 9
case $1 in
off) echo "$1" >> %s.orders; rm -f %q; echo off > %s.power ;;
status) [ "$(cat %s.power)" = on ] || exit 2 ;;
*) exit 1 ;;
esac
`, r.path("outlets"), name, r.path(name, "up"), name, name)
	must(r.t, os.WriteFile(r.path("outlets", name), []byte(script), 0o755))
	return device(r.path("outlets", name))
}

func device(program string) config.FenceDevice {
	return config.FenceDevice{
		Spec: config.FenceCommand{Program: program}, Timeout: 2 * time.Second, CallTimeout: time.Second, Attempts: 1, Cuts: config.CutsMachine,
	}
}

// The holder falls silent and its services run on. Its peer does not reach the
// power device: the witness does, after the peer's time.
func TestTheWitnessShootsWhomThePeerCannot(t *testing.T) {
	r := newRig(t)
	hands, err := fences.NewHands(config.Witness{Name: "arb", Fencing: map[string]map[string]config.Fencing{"web1": {
		"node-a": {{r.outlet("node-a")}}, "node-b": {{r.outlet("node-b")}},
	}}}, slog.New(slog.DiscardHandler))
	must(t, err)
	r.hands = hands
	r.arbitrate()
	broken := r.path("broken")
	must(t, os.WriteFile(broken, []byte("#!/bin/sh\necho no route to host >&2\nexit 1\n"), 0o755))
	var ends [2]func()
	for i := range nodes {
		d := r.node(i)
		d.Node.Fencing = config.Fencing{{device(broken)}}
		ends[i] = r.run("agent", d.Run)
	}
	eventually(t, "the group runs", func() error { _, err := r.runner(); return err })
	on, err := r.runner()
	must(t, err)
	eventually(t, "its agent knows that", func() error { return r.runs(on) })

	ends[on]() // its agent is gone, its services are not
	silent := time.Now()
	eventually(t, "the other node runs the group", func() error {
		if now, err := r.runner(); err != nil || now == on {
			return fmt.Errorf("not yet (%w)", err)
		}
		return r.runs(1 - on)
	})
	t.Logf("taken over after %v", time.Since(silent).Round(100*time.Millisecond))
	if took := time.Since(silent); took < 4*time.Second {
		t.Errorf("taken over after %v: the first executor's time was not waited out", took)
	}
	orders, err := os.ReadFile(r.path("outlets", nodes[on]+".orders"))
	if err != nil || strings.TrimSpace(string(orders)) != "off" {
		t.Errorf("the witness ordered %q (%v), want one off", orders, err)
	}
	if _, err := os.Stat(r.path("outlets", nodes[1-on]+".orders")); err == nil {
		t.Error("both nodes were shot")
	}
}
