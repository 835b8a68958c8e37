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

// Systemd is a unit of systemd's. It must not be enabled: it is started by the
// agent alone.
type Systemd struct {
	UnitName string
}

// Validate names the first field that is wrong and how to mend it.
func (c Systemd) Validate() error {
	switch {
	case c.UnitName == "":
		return fieldError("unit", "is missing: write for example nfs-server.service")
	case strings.ContainsAny(c.UnitName, " /\t\n*?[") || strings.HasPrefix(c.UnitName, "-"):
		return fieldError("unit", "%q is no unit's name: write for example nfs-server.service", c.UnitName)
	case !strings.Contains(c.UnitName, "."):
		return fieldError("unit", "%q has no type: write %s.service", c.UnitName, c.UnitName)
	}
	return nil
}

// Unit returns the unit that goes through systemctl.
func (c Systemd) Unit(env Env) Unit {
	program := env.Systemctl
	if program == "" {
		program = "systemctl"
	}
	return &systemdUnit{name: c.UnitName, systemctl: program}
}

type systemdUnit struct {
	name      string
	systemctl string
}

// Name is "systemd NAME".
func (u *systemdUnit) Name() string { return "systemd " + u.name }

// State says Stopped only when nothing of the unit is left. A unit on its way
// up or down is neither running nor stopped.
func (u *systemdUnit) State(ctx context.Context) (State, error) {
	out, err := u.call(ctx, "show", "--property=LoadState,ActiveState,SubState,TasksCurrent", "--", u.name)
	if err != nil {
		return Unknown, fmt.Errorf("look at %s: %w", u.Name(), err)
	}
	return u.judge(out)
}

func (u *systemdUnit) judge(out string) (State, error) {
	p := map[string]string{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			p[k] = v
		}
	}
	switch active := p["ActiveState"]; active {
	case "active", "reloading", "refreshing":
		return Running, nil
	case "inactive", "failed":
		// Without a task count systemd writes "[not set]" or the largest number.
		if n, err := strconv.ParseInt(p["TasksCurrent"], 10, 64); err == nil && n > 0 {
			return Unknown, fmt.Errorf("%s is %s and %d tasks of it still run: see `systemctl status %s`", u.Name(), active, n, u.name)
		}
		return Stopped, nil
	case "":
		return Unknown, fmt.Errorf("look at %s: systemctl said nothing of its state: %q", u.Name(), out)
	default:
		return Unknown, fmt.Errorf("%s is %s (%s)", u.Name(), active, p["SubState"])
	}
}

// Start starts the unit and waits for it. It does not look first: systemd
// starts nothing twice, and a takeover waits for every systemctl.
func (u *systemdUnit) Start(ctx context.Context) error {
	return u.order(ctx, Running, "start")
}

// Stop stops the unit and waits for it. When two thirds of the time are gone,
// what is left of it is killed.
func (u *systemdUnit) Stop(ctx context.Context) error {
	end, ok := ctx.Deadline()
	if !ok {
		return u.reach(ctx, Stopped, "stop")
	}
	patient, cancel := context.WithTimeout(ctx, time.Until(end)*2/3)
	defer cancel()
	err := u.reach(patient, Stopped, "stop")
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, killErr := u.call(ctx, "kill", "--signal=SIGKILL", "--", u.name); killErr != nil {
		return errors.Join(err, fmt.Errorf("kill %s: %w", u.Name(), killErr))
	}
	return u.reach(ctx, Stopped, "stop")
}

func (u *systemdUnit) reach(ctx context.Context, want State, verb string) error {
	if state, err := u.State(ctx); err == nil && state == want {
		return nil
	}
	return u.order(ctx, want, verb)
}

// order has systemd do something and sees that it is done.
func (u *systemdUnit) order(ctx context.Context, want State, verb string) error {
	if _, err := u.call(ctx, verb, "--", u.name); err != nil {
		return withOutput(err, u.status(ctx))
	}
	for {
		state, err := u.State(ctx)
		if err == nil && state == want {
			return nil
		}
		// A unit may be "deactivating" a moment longer than its job.
		if sleep(ctx, 50*time.Millisecond) != nil || err == nil {
			return withOutput(errors.Join(fmt.Errorf("systemctl %s succeeded and the unit is %v", verb, state), err), u.status(ctx))
		}
	}
}

// status is what systemd has to say about the unit, for an error. It gets a
// second of its own, for the time of the attempt is usually used up.
func (u *systemdUnit) status(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	cmd := u.command(ctx, "status", "--lines=5", "--no-pager", "--full", "--", u.name)
	out, _ := cmd.Output() // its exit status tells the state, not success
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	const most = 8
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func (u *systemdUnit) call(ctx context.Context, args ...string) (string, error) {
	out, err := u.command(ctx, args...).Output()
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

func (u *systemdUnit) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, u.systemctl, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	return cmd
}
