// Package program runs other programs for a caller that must be able to end
// them: each in a process group of its own, with a bare environment and within a
// context. What an exit code means is the caller's business.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	drain    = 200 * time.Millisecond // for output that somebody holds open
	kept     = 512                    // bytes of standard error kept
	mostRead = 1 << 20                // bytes of standard output kept
)

// ErrNotTrusted says that the file is no program, or that somebody else could
// replace it.
var ErrNotTrusted = errors.New("not to be run")

// Call is one call of a program.
type Call struct {
	Path string // absolute
	Args []string
	// Env is added to PATH and LANG=C, which is all that the program is given.
	Env []string
	// Input is the program's standard input. Secrets belong here or into Pipe:
	// arguments and environment are shown to others.
	Input []byte
	// Pipe is what the program can read from /dev/fd/3, once; nil if there is
	// no such descriptor.
	Pipe []byte
}

// Outcome is how a program ended by itself.
type Outcome struct {
	Code   int
	Stdout []byte
	// Stderr is the end of what it wrote there.
	Stderr string
}

// LastLine returns the last line of standard error: what is shown to people.
func (o Outcome) LastLine() string {
	text := strings.TrimSpace(o.Stderr)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// Run calls a program and returns how it ended; an error if it did not begin,
// or did not end by itself before ctx did. Nobody of its process group survives.
// When the caller itself dies, the kernel kills the program, but not what that
// has started.
func Run(ctx context.Context, c Call) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	if err := Trusted(c.Path); err != nil {
		return Outcome{}, err
	}
	said, out := &tail{}, &head{}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}, c.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = drain
	if c.Input != nil {
		cmd.Stdin = bytes.NewReader(c.Input)
	}
	if c.Pipe != nil {
		r, err := filled(c.Pipe)
		if err != nil {
			return Outcome{}, err
		}
		defer r.Close()
		cmd.ExtraFiles = []*os.File{r}
	}
	err := runGroup(ctx, cmd)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return Outcome{}, fmt.Errorf("killed: %w", ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
	case errors.Is(err, exec.ErrWaitDelay): // ended well, and left its output open
	case err != nil:
		return Outcome{}, err
	}
	return Outcome{Code: cmd.ProcessState.ExitCode(), Stdout: out.buf, Stderr: strings.ToValidUTF8(string(said.buf), "?")}, nil
}

// filled returns the reading end of a pipe that holds text. What is kept in it
// is small: a pipe takes a page at least without a reader.
func filled(text []byte) (*os.File, error) {
	if len(text) > os.Getpagesize() {
		return nil, fmt.Errorf("pass %d bytes through a pipe: more than it holds", len(text))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// runGroup runs cmd in a process group of its own and returns when the program
// has ended or, ctx having ended, was killed.
func runGroup(ctx context.Context, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The death signal comes when the thread that forked ends, not the process
	// (prctl(2), PR_SET_PDEATHSIG): keep that thread until the child is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	group := -cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	// Look without reaping: as long as the leader is a zombie, its number cannot
	// belong to anybody else, and the group can be killed safely.
	werr := waitEnded(cmd.Process.Pid)
	stopped := stop()
	_ = syscall.Kill(group, syscall.SIGKILL)
	err := cmd.Wait()
	if !stopped && err == nil {
		return nil // it was done before the kill arrived
	}
	return errors.Join(err, werr)
}

func waitEnded(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Trusted refuses, with ErrNotTrusted, a program that somebody else could
// replace: it runs with the caller's rights.
func Trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotTrusted, err)
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular() || mode&0o111 == 0:
		return fmt.Errorf("%w: %s is no executable file; run: chmod 755 %s", ErrNotTrusted, path, path)
	case mode&0o022 != 0:
		return fmt.Errorf("%w: %s can be written by others (mode %04o); run: chmod go-w %s", ErrNotTrusted, path, mode.Perm(), path)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > kept {
		t.buf = t.buf[len(t.buf)-kept:]
	}
	return len(p), nil
}

// head keeps the beginning of what is written to it.
type head struct{ buf []byte }

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	h.buf = append(h.buf, p[:min(len(p), mostRead-len(h.buf))]...)
	return len(p), nil
}
