package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
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

// Unit returns the unit that speaks to systemd: on its own socket, and by
// systemctl where that cannot be reached.
func (c Systemd) Unit(env Env) Unit {
	u := &systemdUnit{name: c.UnitName, socket: env.SystemdSocket, systemctl: systemctl{program: env.Systemctl}}
	if u.socket == "" {
		u.socket = systemdSocket
	}
	if u.systemctl.program == "" {
		u.systemctl.program = "systemctl"
	}
	return u
}

// manager is a way to systemd.
type manager interface {
	// look reads the state of a unit.
	look(ctx context.Context, unit string) (status, error)
	// change starts or stops a unit and returns nil once systemd says that it is
	// done.
	change(ctx context.Context, v verb, unit string) error
	// kill sends SIGKILL to all of a unit's processes.
	kill(ctx context.Context, unit string) error
}

// verb is what is asked of systemd, as systemctl has it.
type verb string

const (
	verbStart verb = "start"
	verbStop  verb = "stop"
)

// status is what systemd knows of a unit.
type status struct {
	active string // ActiveState
	sub    string // SubState, for people
	tasks  uint64 // what runs in it; read where it is not active
}

type systemdUnit struct {
	name      string
	socket    string
	systemctl systemctl
}

// Name is "systemd NAME".
func (u *systemdUnit) Name() string { return "systemd " + u.name }

// open returns the shortest way to systemd. To start systemctl may take longer
// than all that it then does.
func (u *systemdUnit) open(ctx context.Context) (m manager, done func()) {
	b, err := openBus(ctx, u.socket)
	if err != nil {
		return u.systemctl, func() {}
	}
	return b, b.close
}

// State says Stopped only when nothing of the unit is left. A unit on its way
// up or down is neither running nor stopped.
func (u *systemdUnit) State(ctx context.Context) (State, error) {
	m, done := u.open(ctx)
	defer done()
	return u.look(ctx, m)
}

func (u *systemdUnit) look(ctx context.Context, m manager) (State, error) {
	s, err := m.look(ctx, u.name)
	if err != nil {
		return Unknown, fmt.Errorf("look at %s: %w", u.Name(), err)
	}
	switch s.active {
	case "active", "reloading", "refreshing":
		return Running, nil
	case "inactive", "failed":
		if s.tasks > 0 {
			return Unknown, fmt.Errorf("%s is %s and %d tasks of it still run: see `systemctl status %s`", u.Name(), s.active, s.tasks, u.name)
		}
		return Stopped, nil
	}
	return Unknown, fmt.Errorf("%s is %s (%s)", u.Name(), s.active, s.sub)
}

// Start starts the unit and waits for it. It does not look first: systemd
// starts nothing twice, and a takeover waits for every question.
func (u *systemdUnit) Start(ctx context.Context) error {
	m, done := u.open(ctx)
	defer done()
	return u.order(ctx, m, Running, verbStart)
}

// Stop stops the unit and waits for it. When two thirds of the time are gone,
// what is left of it is killed.
func (u *systemdUnit) Stop(ctx context.Context) error {
	end, ok := ctx.Deadline()
	if !ok {
		return u.reachStopped(ctx)
	}
	patient, cancel := context.WithTimeout(ctx, time.Until(end)*2/3)
	defer cancel()
	err := u.reachStopped(patient)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if killErr := u.kill(ctx); killErr != nil {
		return errors.Join(err, fmt.Errorf("kill %s: %w", u.Name(), killErr))
	}
	return u.reachStopped(ctx)
}

func (u *systemdUnit) kill(ctx context.Context) error {
	m, done := u.open(ctx)
	defer done()
	return m.kill(ctx, u.name)
}

func (u *systemdUnit) reachStopped(ctx context.Context) error {
	m, done := u.open(ctx)
	defer done()
	if state, err := u.look(ctx, m); err == nil && state == Stopped {
		return nil
	}
	return u.order(ctx, m, Stopped, verbStop)
}

// order has systemd do something and sees that it is done.
func (u *systemdUnit) order(ctx context.Context, m manager, want State, v verb) error {
	err := m.change(ctx, v, u.name)
	if errors.Is(err, errBusLost) {
		m = u.systemctl
		err = m.change(ctx, v, u.name)
	}
	if err != nil {
		return withOutput(err, u.systemctl.describe(ctx, u.name))
	}
	for {
		state, err := u.look(ctx, m)
		if err == nil && state == want {
			return nil
		}
		// A unit may be "deactivating" a moment longer than its job.
		if sleep(ctx, 50*time.Millisecond) != nil || err == nil {
			return withOutput(errors.Join(fmt.Errorf("%s succeeded and the unit is %v", v, state), err), u.systemctl.describe(ctx, u.name))
		}
	}
}
