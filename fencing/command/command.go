// Package command lets any program switch a machine. It answers "what does the
// program say", and leaves what that proves to package fencing.
//
// The program is called as
//
//	PROGRAM [ARG...] on|off|status
//
// with FENCE_ACTION (the same word) and FENCE_TARGET (the node) in an otherwise
// bare environment (PATH, LANG=C), without input. It speaks by its exit code:
//
//	on, off   0  the command was accepted
//	status    0  the power is on
//	          2  the power is off
//
// Every other code, a signal, or no end within the time given means "unknown";
// the last line of its standard error is shown to people. The program runs in a
// process group of its own, which is killed when the call ends, whatever it left
// running there; when the executor itself dies, the kernel kills the program but
// not what it started. So it should do its work in the foreground. It must answer
// a status by asking the device, and it may be called again, or twice at once.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/fencing"
)

// DefaultTimeout stands for a Config.Timeout of 0.
const DefaultTimeout = 10 * time.Second

const (
	statusOff = 2                      // exit code of "status"
	drain     = 200 * time.Millisecond // for output that somebody holds open
	shown     = 512                    // bytes of standard error kept
)

// Config describes one program.
type Config struct {
	Program string // absolute path
	Args    []string
	Target  fencing.Target
	// Timeout bounds one call, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
// The program itself is looked at when it is called.
func (c Config) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Program) {
		errs = append(errs, fmt.Errorf("program: %q must be an absolute path", c.Program))
	}
	if c.Target == "" {
		errs = append(errs, errors.New("target: empty; name the node whose power it switches"))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Driver is the fencing.Fencer of one program.
type Driver struct{ cfg Config }

var _ fencing.Fencer = (*Driver)(nil)

// New returns the driver for c. It runs nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("fence command %s: %w", c.Program, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return &Driver{cfg: c}, nil
}

// String returns "command /usr/local/sbin/plug".
func (d *Driver) String() string { return "command " + d.cfg.Program }

// Off runs the program with "off".
func (d *Driver) Off(ctx context.Context) error { return d.order(ctx, "off") }

// On runs the program with "on".
func (d *Driver) On(ctx context.Context) error { return d.order(ctx, "on") }

// Status runs the program with "status".
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	out, err := d.run(ctx, "status")
	if err != nil {
		return fencing.PowerUnknown, err
	}
	switch out.code {
	case 0:
		return fencing.PowerOn, nil
	case statusOff:
		return fencing.PowerOff, nil
	}
	return fencing.PowerUnknown, d.refusal("status", out)
}

func (d *Driver) order(ctx context.Context, action string) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s %s: %w", d, action, err)
	}
	out, err := d.run(ctx, action)
	if err != nil {
		return err
	}
	if out.code != 0 {
		return d.refusal(action, out)
	}
	return nil
}

func (d *Driver) refusal(action string, out outcome) error {
	err := fmt.Errorf("%s %s: exit code %d", d, action, out.code)
	if out.said != "" {
		err = fmt.Errorf("%w: %s", err, out.said)
	}
	return err
}

// outcome is how a program ended by itself.
type outcome struct {
	code int
	said string // last line of standard error
}

// run calls the program and returns how it ended; an error if it did not, or
// not by itself.
func (d *Driver) run(ctx context.Context, action string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", d, action, err)
	}
	if err := trusted(d.cfg.Program); err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", d, action, err)
	}
	said := &tail{}
	cmd := exec.Command(d.cfg.Program, append(d.cfg.Args[:len(d.cfg.Args):len(d.cfg.Args)], action)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C",
		"FENCE_ACTION=" + action, "FENCE_TARGET=" + string(d.cfg.Target),
	}
	cmd.Dir = "/"
	cmd.Stderr = said
	cmd.WaitDelay = drain
	err := runGroup(ctx, cmd)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return outcome{}, fmt.Errorf("%s %s: %w: killed: %w", d, action, fencing.ErrUnreachable, ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		return outcome{code: exit.ExitCode(), said: said.lastLine()}, nil
	case errors.Is(err, exec.ErrWaitDelay): // ended well, and left its output open
		return outcome{code: cmd.ProcessState.ExitCode(), said: said.lastLine()}, nil
	case err != nil:
		return outcome{}, fmt.Errorf("%s %s: %w", d, action, err)
	}
	return outcome{said: said.lastLine()}, nil
}

// runGroup runs cmd in a process group of its own and returns when the program
// has ended or, ctx having ended, was killed. Nobody of the group survives.
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

// trusted refuses a program that somebody else could replace: it runs as root.
func trusted(program string) error {
	info, err := os.Stat(program)
	if err != nil {
		return fmt.Errorf("%w: %w", fencing.ErrConfig, err)
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular() || mode&0o111 == 0:
		return fmt.Errorf("%w: %s is no executable file; run: chmod 755 %s", fencing.ErrConfig, program, program)
	case mode&0o022 != 0:
		return fmt.Errorf("%w: %s can be written by others (mode %04o); run: chmod go-w %s", fencing.ErrConfig, program, mode.Perm(), program)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > shown {
		t.buf = t.buf[len(t.buf)-shown:]
	}
	return len(p), nil
}

func (t *tail) lastLine() string {
	text := bytes.TrimSpace(t.buf)
	return strings.ToValidUTF8(string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:])), "?")
}
