package lab

import (
	_ "embed" // the janitor
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

//go:embed guest/janitor.sh
var janitorScript []byte

// scope is what bounds a lab on the host: one directory and the namespaces
// whose names begin with prefix. Its janitor is a process of its own that
// removes both when close is called or this process ends in any way.
type scope struct {
	dir, prefix string
	leash       io.Closer
	janitor     *exec.Cmd
	once        sync.Once
}

const dirPattern = "sblab-"

var labs atomic.Int64

func newScope(parent string) (*scope, error) {
	dir, err := os.MkdirTemp(parent, dirPattern+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, fmt.Errorf("make lab directory: %w", err)
	}
	s := &scope{dir: dir, prefix: fmt.Sprintf("sblab%d-%d", os.Getpid(), labs.Add(1))}
	if err := s.start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func (s *scope) start() error {
	script := filepath.Join(s.dir, "janitor.sh")
	for name, text := range map[string][]byte{
		"janitor.sh": janitorScript,
		"prefix":     []byte(s.prefix),
		"owner":      []byte(strconv.Itoa(os.Getpid())),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o644); err != nil {
			return fmt.Errorf("set up janitor: %w", err)
		}
	}
	s.janitor = janitor(script, s.dir, s.prefix, os.Getpid())
	leash, err := s.janitor.StdinPipe()
	if err != nil {
		return fmt.Errorf("set up janitor: %w", err)
	}
	s.leash = leash
	if err := s.janitor.Start(); err != nil {
		return fmt.Errorf("start janitor: %w", err)
	}
	return nil
}

func janitor(script, dir, prefix string, owner int) *exec.Cmd {
	cmd := exec.Command("/bin/sh", script, dir, prefix, strconv.Itoa(owner))
	// A session of its own: Ctrl-C must not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// close lets the janitor work and waits for it.
func (s *scope) close() {
	s.once.Do(func() {
		// Whatever these say: the janitor has ended, and did what it could.
		_ = s.leash.Close()
		_ = s.janitor.Wait()
	})
}

// sweep removes labs whose process and janitor are both dead.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		prefix, err1 := os.ReadFile(filepath.Join(dir, "prefix"))
		owner, err2 := os.ReadFile(filepath.Join(dir, "owner"))
		pid, err3 := strconv.Atoi(string(owner))
		if err1 != nil || err2 != nil || err3 != nil || syscall.Kill(pid, 0) == nil {
			continue // somebody's, or being made or removed right now
		}
		// Its janitor may be at it; what is gone already is not missed.
		_ = janitor(filepath.Join(dir, "janitor.sh"), dir, string(prefix), pid).Run()
	}
}
