package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// systemctl is the way to systemd by its program.
type systemctl struct {
	program string
}

func (s systemctl) look(ctx context.Context, unit string) (status, error) {
	out, err := s.call(ctx, "show", "--property=ActiveState,SubState,TasksCurrent", "--", unit)
	if err != nil {
		return status{}, err
	}
	p := map[string]string{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			p[k] = v
		}
	}
	if p["ActiveState"] == "" {
		return status{}, fmt.Errorf("systemctl said nothing of its state: %q", out)
	}
	// Without a task count systemd writes "[not set]" or the largest number.
	n, err := strconv.ParseUint(p["TasksCurrent"], 10, 64)
	if err != nil || n == noTaskCount {
		n = 0
	}
	return status{active: p["ActiveState"], sub: p["SubState"], tasks: n}, nil
}

func (s systemctl) change(ctx context.Context, v verb, unit string) error {
	_, err := s.call(ctx, string(v), "--", unit)
	return err
}

func (s systemctl) kill(ctx context.Context, unit string) error {
	_, err := s.call(ctx, "kill", "--signal=SIGKILL", "--", unit)
	return err
}

// describe is what systemd has to say about the unit, for an error. It gets a
// second of its own, for the time of the attempt is usually used up.
func (s systemctl) describe(ctx context.Context, unit string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	cmd := s.command(ctx, "status", "--lines=5", "--no-pager", "--full", "--", unit)
	out, _ := cmd.Output() // its exit status tells the state, not success
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	const most = 8
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func (s systemctl) call(ctx context.Context, args ...string) (string, error) {
	out, err := s.command(ctx, args...).Output()
	if err == nil {
		return string(out), nil
	}
	said := ""
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said = strings.TrimSpace(string(exit.Stderr))
	}
	return string(out), withOutput(fmt.Errorf("systemctl %s: %w", args[0], errors.Join(err, ctx.Err())), said)
}

func (s systemctl) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	return cmd
}
