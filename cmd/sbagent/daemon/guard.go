package daemon

import (
	"context"
	"errors"
	"time"

	"sbarbiter/agent/watchdog"
	"sbarbiter/arbiter"
	"sbarbiter/internal/sdnotify"
)

// managerWithin bounds what the service manager takes to keep or drop the
// watchdog's descriptor.
const managerWithin = 2 * time.Second

// watchdog opens the device, or takes over the descriptor that the service
// manager kept. From here on it has to be fed.
func (d *Daemon) watchdog(ctx context.Context) (watchdog.Watchdog, arbiter.Watchdog, error) {
	if d.Node.Watchdog.None() {
		d.Log.Warn("no watchdog", "why", "nothing resets this machine when its software stands still: a lost node must be proven off by its power")
		return watchdog.None{}, arbiter.Watchdog{}, nil
	}
	cfg := watchdog.Config{Path: d.Node.Watchdog.Device, Timeout: d.Node.Watchdog.Timeout, RuntimeDir: d.Node.RuntimeDir}
	fd, kept, err := watchdog.Stored()
	if err != nil {
		return nil, arbiter.Watchdog{}, err
	}
	var dog *watchdog.Kernel
	if kept {
		dog, err = watchdog.Adopt(fd, cfg)
	} else {
		dog, err = watchdog.Open(cfg)
	}
	if err != nil {
		return nil, arbiter.Watchdog{}, err
	}
	reported := arbiter.Watchdog{Armed: true, Hardware: !dog.Identity().Software, Timeout: dog.Timeout()}
	if kept {
		return dog, reported, nil
	}
	return dog, d.leave(ctx, dog, reported), nil
}

// leave puts the descriptor into the service manager's care. Without one, the
// death of this process closes and thereby feeds the device once more, so that
// its timeout counts twice.
func (d *Daemon) leave(ctx context.Context, dog watchdog.Watchdog, w arbiter.Watchdog) arbiter.Watchdog {
	ctx, cancel := context.WithTimeout(ctx, managerWithin)
	defer cancel()
	if err := dog.Store(ctx); err != nil {
		d.Log.Warn("watchdog not kept across a restart", "error", err, "why", "its timeout counts twice, and an agent that is restarted cannot go on")
		w.Timeout *= 2
	}
	return w
}

// disarm stops the watchdog's countdown where nothing runs on this node, so that
// stopping the agent does not reset the machine.
func (d *Daemon) disarm(dog watchdog.Watchdog, holds bool) error {
	if holds {
		d.Log.Warn("agent stops", "why", "groups go on running; start the agent again before the watchdog resets this machine")
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerWithin)
	defer cancel()
	if err := dog.Disarm(ctx); err != nil && !errors.Is(err, sdnotify.ErrNoManager) {
		d.Log.Error("watchdog not stopped", "error", err, "alarm", true)
		return errors.New("stop agent: the watchdog goes on counting down")
	}
	d.Log.Info("agent stops", "why", "nothing runs here, and the watchdog has stopped counting")
	return nil
}
