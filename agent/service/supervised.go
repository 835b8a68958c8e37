package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/internal/boottime"
)

// defaultSettle is how long a program has to stay up to count as started.
const defaultSettle = 100 * time.Millisecond

// supervised is a program that stays in the foreground, in a session of its
// own. It is no part of the agent's life: whoever starts next finds it by its
// record, or by the mark in its environment.
type supervised struct {
	Command
	record record
	output *os.File
	mu     sync.Mutex // serialises reaping
	ended  string     // how our own child ended, for messages
}

func newSupervised(c Command, env Env) *supervised {
	if c.Settle == 0 {
		c.Settle = defaultSettle
	}
	out := env.Output
	if out == nil {
		out = os.Stderr
	}
	return &supervised{Command: c, record: newRecord(env.RuntimeDir, c.Label), output: out}
}

// Name is "command LABEL".
func (s *supervised) Name() string { return "command " + s.Label }

// State says Running while the program itself lives, and Stopped once nothing
// of its session is left. Orphans of a dead program are neither.
func (s *supervised) State(ctx context.Context) (State, error) {
	if err := ctx.Err(); err != nil {
		return Unknown, fmt.Errorf("look at %s: %w", s.Name(), err)
	}
	leader, members, err := s.find()
	switch {
	case err != nil:
		return Unknown, err
	case leader:
		return Running, nil
	case len(members) > 0:
		return Unknown, fmt.Errorf("%s has ended%s and left behind %s: stop it before it is started again", s.Name(), s.howEnded(), nameProcesses(members))
	}
	return Stopped, nil
}

// find returns what lives of the recorded session and whether its leader, the
// program itself, does.
func (s *supervised) find() (leader bool, members []process, err error) {
	all, err := allProcesses()
	if err != nil {
		return false, nil, err
	}
	id, known, err := s.record.identify(all)
	if err != nil || !known {
		return false, nil, err
	}
	// Session 0 is the kernel's and 1 is init's: to take one of them for ours
	// would end half of this machine.
	if id.PID <= 1 {
		return false, nil, fmt.Errorf("record %s names session %d: stop %s by hand and remove the file", s.record.path, id.PID, s.Name())
	}
	s.reap(all, id)
	for _, p := range all {
		if p.pid == id.PID && p.started != id.Started {
			// The number was given away: nothing can be left of the session,
			// for a session in use keeps its number.
			return false, nil, nil
		}
		if p.session == id.PID && !p.gone() {
			members = append(members, p)
			leader = leader || p.pid == id.PID
		}
	}
	return leader, members, nil
}

// reap collects our own child's end, if it is our child and has ended. After a
// restart of the agent it is init's.
func (s *supervised) reap(all []process, id identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(all, func(p process) bool { return p.pid == id.PID && p.started == id.Started })
	if i < 0 || all[i].state != 'Z' || all[i].parent != os.Getpid() {
		return
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(id.PID, &status, unix.WNOHANG, nil); err != nil || pid != id.PID {
		return
	}
	if status.Signaled() {
		s.ended = fmt.Sprintf(" (%v)", status.Signal())
	} else {
		s.ended = fmt.Sprintf(" (exit status %d)", status.ExitStatus())
	}
}

func (s *supervised) howEnded() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Start starts the program unless it runs, and returns once it has stayed up
// for the settle time.
func (s *supervised) Start(ctx context.Context) error {
	state, err := s.State(ctx)
	if err != nil {
		return err
	}
	if state == Running {
		return nil
	}
	if err := s.spawn(); err != nil {
		return err
	}
	until := boottime.Now().Add(s.Settle)
	for {
		state, err := s.State(ctx)
		if err != nil {
			return err
		}
		if state != Running {
			return fmt.Errorf("%s ended at once%s: what it printed is in the agent's log", s.Run[0], s.howEnded())
		}
		if boottime.Now() >= until {
			return nil
		}
		if err := sleep(ctx, min(s.Settle, 20*time.Millisecond)); err != nil {
			return fmt.Errorf("wait for %s to stay up: %w", s.Run[0], err)
		}
	}
}

// spawn starts the program in its own session and writes down who it is. If the
// agent dies between the two, the mark in the environment tells.
func (s *supervised) spawn() error {
	if err := s.record.prepare(); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	p, err := os.StartProcess(s.Run[0], s.Run, &os.ProcAttr{
		Dir:   workingDir(s.Dir),
		Env:   append(childEnv(s.Env), s.record.mark()),
		Files: []*os.File{null, s.output, s.output},
		Sys:   &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Run[0], err)
	}
	// Waited for in reap; os.Process would insist on doing it itself.
	pid := p.Pid
	if err := p.Release(); err != nil {
		return fmt.Errorf("release process %d: %w", pid, err)
	}
	born, err := readProcess(pid)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Run[0], err)
	}
	return s.record.write(identity{PID: pid, Started: born.started})
}

// Stop asks the whole session to end and makes it when a third of the time has
// passed, or five seconds, and returns once nothing of it is left.
func (s *supervised) Stop(ctx context.Context) error {
	killFrom := boottime.Now().Add(askTime(ctx))
	asked := map[process]bool{}
	for {
		_, members, err := s.find()
		if err != nil {
			return err
		}
		if len(members) == 0 {
			return s.record.forget()
		}
		if err := signalSession(members, asked, boottime.Now() >= killFrom); err != nil {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("stop %s: %w: still there: %s", s.Name(), err, nameProcesses(members))
		}
	}
}

// signalSession sends SIGTERM once to each member, or SIGKILL as often as it
// takes when time presses.
func signalSession(members []process, asked map[process]bool, press bool) error {
	var errs []error
	for _, p := range members {
		key := process{pid: p.pid, started: p.started}
		switch {
		case press:
			errs = append(errs, signalProcess(p, unix.SIGKILL))
		case !asked[key]:
			asked[key] = true
			errs = append(errs, signalProcess(p, unix.SIGTERM))
		}
	}
	return errors.Join(errs...)
}
