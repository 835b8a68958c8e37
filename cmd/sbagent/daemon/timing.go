package daemon

import (
	"fmt"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/internal/config"
)

// durations says the node file's timings in the machine's terms.
func durations(n config.Node) agent.Timing {
	t := n.Timing
	return agent.Timing{
		Timing: arbiter.Timing{
			TTL: t.TTL, Promise: t.Promise, Renew: t.Renew, RPCTimeout: t.RPCTimeout, SuspectAfter: t.SuspectAfter,
			FenceTimeout: fences.Timeout(n.Fencing),
		},
		Stop: t.Stop, Reset: t.Reset, Late: t.Late,
	}
}

// fits checks the timings with the watchdog's timeout as the driver reports it.
func (d *Daemon) fits(dog arbiter.Watchdog) error {
	t := d.Node.Timing
	t.Watchdog = dog.Timeout
	if err := t.Check(); err != nil {
		return fmt.Errorf("timing does not hold with the watchdog's timeout of %v, as its driver reports it: %w", dog.Timeout, err)
	}
	return nil
}
