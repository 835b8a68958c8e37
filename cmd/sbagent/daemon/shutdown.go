package daemon

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"sbarbiter/agent/runner"
)

// askTimeout bounds the question to systemd; an agent that is told to end has
// little time.
const askTimeout = 2 * time.Second

// untilTold runs r until ctx ends. If the machine is being shut down then, its
// groups are stopped and given back first: else the peer would find it silent
// and shoot it in the middle of its shutdown.
func (d *Daemon) untilTold(ctx context.Context, r *runner.Runner) error {
	inner, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		defer end()
		if !d.Closing() {
			return
		}
		wait, cancel := context.WithTimeout(inner, d.Node.Timing.Stop+d.Node.Timing.SuspectAfter)
		defer cancel()
		if err := r.Leave(wait, "this machine is being shut down"); err != nil {
			d.Log.Error("shutdown goes on without a stop receipt", "error", err)
		}
	})
	defer stop()
	return r.Run(inner)
}

// closing reports whether systemd is shutting this machine down
// (systemctl(1), is-system-running).
func closing() bool {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output()
	return strings.TrimSpace(string(out)) == "stopping"
}
