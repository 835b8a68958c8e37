package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is a started program with everything that it started: one process
// group, led by the program.
type group struct {
	id   int
	gone chan struct{} // closed once no process of the group is alive
}

// startGroup starts cmd as the leader of a new session and process group.
func startGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	g := &group{id: cmd.Process.Pid, gone: make(chan struct{})}
	go g.reap(cmd)
	return g, nil
}

// reap waits for the leader, ends what it left behind and waits for that too.
// A guest's processes outlive the death of UML's first process otherwise.
func (g *group) reap(cmd *exec.Cmd) {
	defer close(g.gone)
	// How it ended is told by what it printed; here only that it ended counts.
	_ = cmd.Wait()
	for len(g.members()) > 0 {
		g.kill()
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends every process of the group at once; gone says when they are dead.
func (g *group) kill() {
	select {
	case <-g.gone:
		// The number may be somebody else's by now.
	default:
		// The only error that can occur is that nobody is left.
		_ = syscall.Kill(-g.id, syscall.SIGKILL)
	}
}

// process is a line of /proc/PID/stat (proc_pid_stat(5)).
type process struct {
	pid   int
	state byte
}

// members lists the group's live processes. Zombies hold nothing any more and
// do not count; in a container nobody may ever reap them.
func (g *group) members() []process {
	var alive []process
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		p, pgrp, err := parseStat(raw)
		if err == nil && pgrp == g.id && p.state != 'Z' && p.state != 'X' {
			alive = append(alive, p)
		}
	}
	return alive
}

var errStat = errors.New("not a line of /proc/PID/stat")

func parseStat(raw []byte) (p process, pgrp int, err error) {
	end := bytes.LastIndexByte(raw, ')')
	head, _, ok := bytes.Cut(raw, []byte(" "))
	if end < 0 || !ok {
		return process{}, 0, errStat
	}
	f := strings.Fields(string(raw[end+1:]))
	if len(f) < 18 {
		return process{}, 0, errStat
	}
	if p.pid, err = strconv.Atoi(string(head)); err != nil {
		return process{}, 0, errStat
	}
	p.state = f[0][0]
	// A leader that is done while other threads of it run looks like a zombie.
	if threads, err := strconv.Atoi(f[17]); err == nil && threads > 1 && p.state == 'Z' {
		p.state = 'R'
	}
	pgrp, err = strconv.Atoi(f[2])
	return p, pgrp, err
}

// traced reports whether another process traces this one: UML's guest
// processes, which must get no stop signal of ours, for their tracer would
// take it for the guest's.
func (p process) traced() bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "TracerPid:"); ok {
			return strings.TrimSpace(rest) != "0"
		}
	}
	return false
}

// freeze stops the group. Guest processes stop by themselves at their next
// system call, which nobody answers.
func (g *group) freeze() error { return g.each(syscall.SIGSTOP) }

func (g *group) thaw() error { return g.each(syscall.SIGCONT) }

func (g *group) each(s syscall.Signal) error {
	for _, p := range g.members() {
		if p.traced() {
			continue
		}
		if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %v to process %d: %w", s, p.pid, err)
		}
	}
	return nil
}
