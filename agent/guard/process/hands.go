package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/line"
	"sbarbiter/internal/boottime"
)

// BeforeEnv tells a step's process when its time is over, as an instant of this
// boot in nanoseconds.
const BeforeEnv = "SBARBITER_BEFORE"

// hands carry out what takes time, each thing beside the others. None of it can
// hold the guard up: a process that cannot even be killed is left behind.
type hands struct {
	log    *slog.Logger
	dir    string // for what the next guard has to know
	filter Filter
	post   func(any)
	bars   chan guard.Action // for the one that sets and takes away

	mu      sync.Mutex
	plans   map[guard.GroupID]line.Plan
	running map[guard.GroupID]map[int]bool // process groups
}

func newHands(log *slog.Logger, cfg Config, post func(any)) *hands {
	h := &hands{log: log, dir: cfg.RuntimeDir, filter: cfg.Filter, post: post, bars: make(chan guard.Action, eventBuffer), running: map[guard.GroupID]map[int]bool{}}
	go h.doors()
	return h
}

func (h *hands) learn(plans map[guard.GroupID]line.Plan) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plans = maps.Clone(plans)
}

func (h *hands) plan(id guard.GroupID) line.Plan {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plans[id]
}

func (h *hands) do(a guard.Action) {
	switch a := a.(type) {
	case guard.Bar, guard.Lift, guard.Clear:
		select {
		case h.bars <- a:
		default:
			h.log.Error("packet filter hangs", "alarm", true)
		}
	case guard.Run:
		go h.run(a)
	case guard.Halt:
		h.halt(a.Group)
	}
}

// doors sets and takes away what blocks the groups' addresses, in order.
func (h *hands) doors() {
	for a := range h.bars {
		began := boottime.Now()
		switch a := a.(type) {
		case guard.Bar:
			p := h.plan(a.Group)
			h.report("turn clients away", a.Group, began, h.filter.Bar(string(a.Group), p.Addresses))
		case guard.Lift:
			p := h.plan(a.Group)
			h.complain("let clients in", a.Group, began, h.filter.Lift(string(a.Group), p.Addresses))
		case guard.Clear:
			p := h.plan(a.Group)
			h.complain("forget clients", a.Group, began, h.filter.Clear(string(a.Group), p.Addresses))
		}
	}
}

// run performs a step and says how it ended.
func (h *hands) run(a guard.Run) {
	began := boottime.Now()
	argv := h.plan(a.Group).Steps[a.Step]
	var err error
	switch {
	case len(argv) > 0:
		h.mend(a, guard.Cut)
		err = h.command(a.Group, argv, a.Before)
	case a.Step != guard.Cut && a.Step != guard.Join: // a group may have no connection
		err = errors.New("no agent has said how that is done")
	}
	if err == nil {
		h.mend(a, guard.Join)
	}
	h.report("step "+string(a.Step), a.Group, began, err)
	if err != nil {
		err = fmt.Errorf("%s: %w", a.Step, err)
	}
	h.post(guard.Ended{Group: a.Group, Order: a.Order, Err: err})
}

// cutPrefix begins the names of the files that say whose connection is cut.
const cutPrefix = "guard-cut-"

// mend writes down that a connection is being cut, before that is done, and that
// it is looked for again, after.
func (h *hands) mend(a guard.Run, at guard.Step) {
	path := filepath.Join(h.dir, cutPrefix+string(a.Group))
	var err error
	switch {
	case a.Step != at:
	case at == guard.Cut:
		err = os.WriteFile(path, nil, 0o600)
	case at == guard.Join:
		err = os.Remove(path)
	}
	if err != nil {
		h.log.Warn("cut not remembered", "group", a.Group, "error", err)
	}
}

// cuts are the groups whose connection an earlier guard has left cut.
func cuts(dir string) (out []guard.GroupID) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there was no guard before this one
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), cutPrefix); ok {
			out = append(out, guard.GroupID(name))
		}
	}
	return out
}

// command runs a program in a process group of its own, which is killed when its
// time is over.
func (h *hands) command(id guard.GroupID, argv []string, before boottime.Instant) error {
	ctx, cancel := context.WithTimeout(context.Background(), before.Sub(boottime.Now()))
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	// Nothing of the service manager's: a child could speak in the guard's name.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", fmt.Sprintf("%s=%d", BeforeEnv, int64(before))}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	h.mark(id, cmd.Process.Pid)
	defer h.unmark(id, cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

func (h *hands) mark(id guard.GroupID, pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[id] == nil {
		h.running[id] = map[int]bool{}
	}
	h.running[id][pid] = true
}

func (h *hands) unmark(id guard.GroupID, pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running[id], pid)
}

// halt kills what is under way for a group: its agent has stopped it itself, and
// may start it again.
func (h *hands) halt(id guard.GroupID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid := range h.running[id] {
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
}

// complain reports only what has gone wrong.
func (h *hands) complain(what string, id guard.GroupID, began boottime.Instant, err error) {
	if err != nil {
		h.report(what, id, began, err)
	}
}

func (h *hands) report(what string, id guard.GroupID, began boottime.Instant, err error) {
	took := boottime.Now().Sub(began).String()
	if err != nil {
		h.log.Warn("step failed", "group", id, "what", what, "took", took, "error", err)
		return
	}
	h.log.Info("step", "group", id, "what", what, "took", took)
}
