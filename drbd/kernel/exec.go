package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/drbd"
)

const (
	// killGrace is how long a killed command may take to end before it counts
	// as stuck inside the kernel.
	killGrace = 500 * time.Millisecond
	// pipeGrace is how long a command's offspring may keep its output open.
	pipeGrace = time.Second
	// mostOutput is more than any answer of the tools has, but for the metadata of a
	// large volume: a bitmap of 1 TiB may take 76 MiB as text.
	mostOutput, mostMetadata = 1 << 20, 512 << 20
)

// answer is what a command printed and how it ended.
type answer struct {
	stdout, stderr string
	exit           int
}

func (a answer) result(f drbd.Family) drbd.Result {
	return drbd.ClassifyExit(f, a.exit, a.stderr)
}

// stuckError is ErrTimeout for a command that could not even be killed. Gone
// is closed when it has ended.
type stuckError struct {
	cmd  drbd.Command
	gone <-chan struct{}
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("run %q: it is stuck in the kernel: %v", e.cmd, ErrTimeout)
}

func (e *stuckError) Unwrap() error { return ErrTimeout }

// run runs a command to its end, in a process group of its own. When the time
// is up the whole group is killed, and the error is ErrTimeout.
func (d *Driver) run(ctx context.Context, f drbd.Family, cmd drbd.Command) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ExecTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("run %q: not begun: %w", cmd, context.Cause(ctx))
	}
	var stdout, stderr limitedBuffer
	if cmd.Program == drbd.Drbdmeta {
		stdout.most = mostMetadata
	}
	c := d.command(f, cmd)
	c.Stdout, c.Stderr = &stdout, &stderr
	c.WaitDelay = pipeGrace
	begin := time.Now()
	if err := c.Start(); err != nil {
		return answer{}, fmt.Errorf("run %q: %w: %w", cmd, ErrNoDriver, err)
	}
	var waitErr error
	gone := make(chan struct{})
	go func() {
		waitErr = c.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		return answer{}, d.killed(cmd, c, gone, context.Cause(ctx))
	}
	d.log.Debug("ran DRBD tool", "command", cmd.String(), "took", time.Since(begin), "state", c.ProcessState.String())
	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) && !errors.Is(waitErr, exec.ErrWaitDelay) {
		return answer{}, fmt.Errorf("run %q: %w", cmd, waitErr)
	}
	if !c.ProcessState.Exited() {
		return answer{}, fmt.Errorf("run %q: %s, the outcome is unknown", cmd, c.ProcessState)
	}
	if stdout.cut { // its end may be what counts
		return answer{}, fmt.Errorf("run %q: it has printed more than can be taken in", cmd)
	}
	return answer{stdout: stdout.String(), stderr: stderr.String(), exit: c.ProcessState.ExitCode()}, nil
}

// command prepares a command without starting it.
func (d *Driver) command(f drbd.Family, cmd drbd.Command) *exec.Cmd {
	path := d.drbdsetup(f)
	switch cmd.Program {
	case drbd.Drbdadm:
		path = d.cfg.Drbdadm
	case drbd.Drbdmeta:
		path = d.cfg.Drbdmeta
	case drbd.Drbdsetup:
	}
	c := exec.Command(path, cmd.Args...)
	c.Env = []string{"PATH=/sbin:/usr/sbin:/bin:/usr/bin", "LC_ALL=C", "HOME=/"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// drbdsetup is the tool that talks to the driver. The one of version 9 leaves an 8.4
// driver to another program: started at once, that saves half of each call.
func (d *Driver) drbdsetup(f drbd.Family) string {
	if f == drbd.Family84 && d.cfg.Drbdsetup84 != "" && unix.Access(d.cfg.Drbdsetup84, unix.X_OK) == nil {
		return d.cfg.Drbdsetup84
	}
	return d.cfg.Drbdsetup
}

// killed kills a command's group and says what is known of it.
func (d *Driver) killed(cmd drbd.Command, c *exec.Cmd, gone <-chan struct{}, cause error) error {
	killGroup(c)
	timer := time.NewTimer(killGrace)
	defer timer.Stop()
	select {
	case <-gone:
		d.log.Warn("killed DRBD tool", "command", cmd.String(), "cause", cause)
		return fmt.Errorf("run %q: %w: %w", cmd, ErrTimeout, cause)
	case <-timer.C:
		d.log.Warn("DRBD tool is stuck in the kernel", "command", cmd.String(), "cause", cause)
		return &stuckError{cmd: cmd, gone: gone}
	}
}

// killGroup kills a started command with all its offspring. The group's id is
// the pid of the command, which is not reused before it was waited for.
func killGroup(c *exec.Cmd) {
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // it may have ended just now
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	buf  bytes.Buffer
	most int  // mostOutput if 0
	cut  bool // more than that was written
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	most := b.most
	if most == 0 {
		most = mostOutput
	}
	room := most - b.buf.Len()
	b.cut = b.cut || len(p) > room
	b.buf.Write(p[:min(len(p), max(room, 0))])
	return len(p), nil
}

func (b *limitedBuffer) String() string { return b.buf.String() }
