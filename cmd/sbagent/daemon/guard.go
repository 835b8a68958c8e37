package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/line"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/internal/config"
)

const (
	// guardWithin is how long a guard that is being started is waited for.
	guardWithin = 5 * time.Second
	// snapshotName is the node file as this agent has read it: what the guard's
	// steps go by, whatever an operator writes meanwhile.
	snapshotName = "guard-node.yaml"
)

// sentry is the guard as this agent knows it. Without one there is no line.
type sentry struct {
	line *line.Agent
	dog  line.Dog
}

// reported is the watchdog for the witness.
func (s *sentry) reported() arbiter.Watchdog {
	if s.dog.Timeout == 0 {
		return arbiter.Watchdog{}
	}
	return arbiter.Watchdog{Armed: true, Hardware: !s.dog.Software, Timeout: s.dog.Timeout}
}

// meet introduces this agent to its guard, which opens the watchdog. From here
// on this agent has to speak. A node without a watchdog may do without.
func (d *Daemon) meet(ctx context.Context, mem memory) (*sentry, error) {
	hello, err := d.hello(mem)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, guardWithin)
	defer cancel()
	for {
		l, w, err := line.Dial(ctx, filepath.Join(d.Node.RuntimeDir, line.SocketName), hello, d.Log)
		switch {
		case err == nil:
			return &sentry{l, w.Dog}, d.stoppedBefore(mem, w.Down)
		case !errors.Is(err, line.ErrNoGuard):
			return nil, err
		case d.Node.Watchdog.None():
			d.Log.Warn("no guard and no watchdog", "why", "nothing stops what runs here when this agent stands still: a lost node must be proven off by its power; systemctl enable --now sbagent-guard")
			return &sentry{dog: line.Dog{Driver: "none"}}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it feeds the watchdog, and this agent runs nothing without it", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stoppedBefore forgets what the guard has stopped since an agent handed it over:
// this one has no right to it any more that it would have to end.
func (d *Daemon) stoppedBefore(mem memory, down []guard.GroupID) error {
	if len(down) == 0 {
		return nil
	}
	for _, id := range down {
		d.Log.Warn("group was stopped", "group", string(id), "alarm", true, "why", "the agent before this one was silent until its right ran out; the guard has stopped it in order")
		delete(mem.boot.Groups, arbiter.GroupID(id))
	}
	return mem.lease.Save(mem.boot.Encode())
}

func (d *Daemon) hello(mem memory) (line.Hello, error) {
	t := d.Node.Timing
	h := line.Hello{
		Boot: mem.bootID, Incarnation: mem.incarnation,
		Terms: guard.Terms{
			Renew: t.Renew, Silence: t.SuspectAfter, Gap: max(t.Late, 4*t.Renew), CutOff: len(d.Node.Fencing) > 0,
		},
	}
	if !d.Node.Watchdog.None() {
		h.Device, h.Timeout = d.Node.Watchdog.Device, d.Node.Watchdog.Timeout
	}
	var err error
	h.Plans, err = d.plans()
	return h, err
}

// plans say how each group is stopped without this agent. Each step is this
// program with the node file as it is now.
func (d *Daemon) plans() ([]line.Plan, error) {
	self, snapshot, err := d.snapshot()
	if err != nil {
		return nil, err
	}
	var out []line.Plan
	for _, g := range d.Node.Groups {
		step := func(s guard.Step) []string { return []string{self, "step", "--config", snapshot, string(s), g.Name} }
		p := line.Plan{
			Group: guard.GroupID(g.Name), Addresses: addresses(g),
			Steps: map[guard.Step][]string{guard.Services: step(guard.Services), guard.Unmount: step(guard.Unmount), guard.Demote: step(guard.Demote)},
		}
		if len(g.DRBD) > 0 {
			c := drbd.For(drbd.Family84).Sever(g.DRBD)
			p.Steps[guard.Cut] = append([]string{"/usr/sbin/drbdadm"}, c.Args...) // no detour: every moment counts
			p.Steps[guard.Join] = step(guard.Join)
		}
		out = append(out, p)
	}
	return out, nil
}

// snapshot leaves the node file where the guard's steps find it.
func (d *Daemon) snapshot() (self, path string, err error) {
	path = filepath.Join(d.Node.RuntimeDir, snapshotName)
	if self, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("find this program: %w", err)
	}
	if d.File == "" {
		return self, path, nil
	}
	text, err := os.ReadFile(d.File)
	if err == nil {
		err = os.MkdirAll(d.Node.RuntimeDir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return "", "", fmt.Errorf("leave the node file for the guard: %w", err)
	}
	return self, path, nil
}

func addresses(g config.Group) (out []netip.Addr) {
	for _, s := range g.Services {
		if a, ok := s.Spec.(config.Address); ok {
			out = append(out, a.Address.Addr())
		}
	}
	return slices.Clip(out)
}

// leave takes leave of the guard. Where nothing runs, the watchdog stops
// counting, so that stopping the agent does not reset the machine.
func (d *Daemon) leave(s *sentry, holds bool) error {
	if holds {
		d.Log.Warn("agent stops", "why", "groups go on running for as long as their right lasts; start the agent again before the guard stops them")
	}
	if s == nil || s.line == nil {
		return nil
	}
	if holds {
		if err := s.line.Leave(line.Stays); err != nil {
			d.Log.Error("guard not told", "error", err)
		}
		return nil
	}
	if err := s.line.Leave(line.Disarm); err != nil {
		d.Log.Error("watchdog not stopped", "error", err, "alarm", true)
		return errors.New("stop agent: the watchdog goes on counting down")
	}
	d.Log.Info("agent stops", "why", "nothing runs here, and the watchdog has stopped counting")
	return nil
}
