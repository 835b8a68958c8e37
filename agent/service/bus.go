package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// systemdSocket is where systemd itself speaks D-Bus, to root and without a bus
// daemon, as systemctl does with it (org.freedesktop.systemd1(5)).
const systemdSocket = "/run/systemd/private"

// noTaskCount stands for a unit whose tasks are not counted (TasksCurrent).
const noTaskCount = math.MaxUint64

// errBusLost says that systemd ended the connection while a job was waited for,
// as it does when it executes itself anew. What became of the job is not known.
var errBusLost = errors.New("systemd closed the connection")

// busCheck is how often a connection is looked at while a job is waited for.
const busCheck = 100 * time.Millisecond

// bus is the way to systemd by its socket. It ends with the context that it was
// opened with, whatever systemd does.
type bus struct {
	conn *systemd.Conn
}

func openBus(ctx context.Context, socket string) (bus, error) {
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		c, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		if err := c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	})
	if err != nil {
		return bus{}, fmt.Errorf("connect to systemd at %s: %w", socket, errors.Join(err, ctx.Err()))
	}
	return bus{conn}, nil
}

func (b bus) close() { b.conn.Close() }

// counted are the interfaces of the units that have processes, by their names'
// endings.
var counted = map[string]string{".service": "Service", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap", ".slice": "Slice", ".scope": "Scope"}

func (b bus) look(ctx context.Context, unit string) (status, error) {
	active, err := b.text(ctx, unit, "ActiveState")
	if err != nil {
		return status{}, err
	}
	s := status{active: active}
	kind, has := counted[filepath.Ext(unit)]
	switch {
	case active == "active":
	case (active == "inactive" || active == "failed") && has:
		s.tasks, err = b.tasks(ctx, unit, kind)
	default:
		s.sub, err = b.text(ctx, unit, "SubState")
	}
	return s, err
}

func (b bus) text(ctx context.Context, unit, property string) (string, error) {
	p, err := b.conn.GetUnitPropertyContext(ctx, unit, property)
	if err != nil {
		return "", fmt.Errorf("ask systemd for %s: %w", property, errors.Join(err, ctx.Err()))
	}
	s, ok := p.Value.Value().(string)
	if !ok || s == "" {
		return "", fmt.Errorf("ask systemd for %s: it answered %v", property, p.Value)
	}
	return s, nil
}

func (b bus) tasks(ctx context.Context, unit, kind string) (uint64, error) {
	p, err := b.conn.GetUnitTypePropertyContext(ctx, unit, kind, "TasksCurrent")
	if err != nil {
		return 0, fmt.Errorf("ask systemd for TasksCurrent: %w", errors.Join(err, ctx.Err()))
	}
	n, ok := p.Value.Value().(uint64)
	switch {
	case !ok:
		return 0, fmt.Errorf("ask systemd for TasksCurrent: it answered %v", p.Value)
	case n == noTaskCount:
		return 0, nil
	}
	return n, nil
}

// change queues a job as systemctl does and waits for its result.
func (b bus) change(ctx context.Context, v verb, unit string) error {
	queue := b.conn.StartUnitContext
	if v == verbStop {
		queue = b.conn.StopUnitContext
	}
	result := make(chan string, 1) // the connection's reader never waits for us
	if _, err := queue(ctx, unit, "replace", result); err != nil {
		if ctx.Err() == nil && !b.conn.Connected() {
			return fmt.Errorf("%s %s: %w", v, unit, errBusLost)
		}
		return fmt.Errorf("%s %s: %w", v, unit, errors.Join(err, ctx.Err()))
	}
	check := time.NewTicker(busCheck)
	defer check.Stop()
	for {
		select {
		case r := <-result:
			if r != "done" && r != "skipped" {
				return fmt.Errorf("%s %s: systemd's job ended as %q", v, unit, r)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s %s: wait for systemd's job: %w", v, unit, ctx.Err())
		case <-check.C:
			if !b.conn.Connected() && ctx.Err() == nil {
				return fmt.Errorf("%s %s: %w", v, unit, errBusLost)
			}
		}
	}
}

func (b bus) kill(ctx context.Context, unit string) error {
	if err := b.conn.KillUnitWithTarget(ctx, unit, systemd.All, int32(unix.SIGKILL)); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}
