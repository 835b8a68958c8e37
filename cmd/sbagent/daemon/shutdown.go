package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/runner"
	"sbarbiter/internal/sdnotify"
)

// askTimeout bounds each question to systemd, which may have much to do just then.
// Two of them and a stop fit into the unit's TimeoutStopSec.
const askTimeout = 5 * time.Second

// untilTold runs r until ctx ends. If that is for good (the machine is being shut
// down, or systemctl stops the agent), its groups are stopped and given back first:
// else the peer would find a holder that does not renew, and shoot it.
func (d *Daemon) untilTold(ctx context.Context, r *runner.Runner) error {
	inner, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		defer end()
		leave := d.Closing()
		if leave.Why == "" {
			return
		}
		within := d.Node.Timing.Stop + d.Node.Timing.SuspectAfter
		d.extend(within)
		wait, cancel := context.WithTimeout(inner, within)
		defer cancel()
		if err := r.Leave(wait, leave); err != nil {
			d.Log.Error("the agent ends without a stop receipt", "error", err)
		}
	})
	defer stop()
	return r.Run(inner)
}

// extend tells systemd how long this end may take: one that kills the agent after the
// unit's own TimeoutStopSec, in the middle of a stop, has the peer shoot this machine.
func (d *Daemon) extend(within time.Duration) {
	err := d.Notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (within + askTimeout).Microseconds()))
	if err != nil && !errors.Is(err, sdnotify.ErrNoManager) {
		d.Log.Warn("service manager not told how long the stop may take", "error", err)
	}
}

// closing says why groups have to be left when this agent is told to end, or nothing
// where the next agent takes them over: it is being restarted, or somebody has sent
// it a signal and systemd starts it again.
func closing() agent.Leave {
	ask := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		out, _ := exec.CommandContext(ctx, "systemctl", args...).Output()
		return string(out)
	}
	if strings.TrimSpace(ask("is-system-running")) == "stopping" { // systemctl(1)
		return agent.Leave{Why: "this machine is being shut down", Down: true}
	}
	group, _ := os.ReadFile("/proc/self/cgroup")
	if stopped(ask("list-jobs", "--no-legend", "--plain"), unitOf(string(group))) {
		return agent.Leave{Why: "sbagent is being stopped"}
	}
	return agent.Leave{}
}

// unitOf returns the unit that a process belongs to by its /proc/PID/cgroup, or "".
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		if unit := path.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}

// stopped reports whether systemd's list of jobs has one that stops the unit. One
// that restarts it is of another kind.
func stopped(jobs, unit string) bool {
	for line := range strings.Lines(jobs) {
		if f := strings.Fields(line); len(f) >= 3 && f[1] == unit && f[2] == "stop" {
			return true
		}
	}
	return false
}
