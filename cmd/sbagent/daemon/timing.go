package daemon

import (
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
	"sbarbiter/timing"
)

// durations says the node file's timings in the machine's terms.
func durations(n config.Node) agent.Timing {
	t := n.Timing
	return agent.Timing{
		Timing: arbiter.Timing{
			TTL: t.TTL, Promise: t.Promise, Renew: t.Renew, RPCTimeout: t.RPCTimeout, SuspectAfter: t.SuspectAfter,
			FenceTimeout: fenceTimeout(n.Fencing),
		},
		Stop: t.Stop, Reset: t.Reset, Late: t.Late,
	}
}

// fenceTimeout is the longest that a shot may take: each level in turn, for as
// long as the slowest of its devices.
func fenceTimeout(levels config.Fencing) time.Duration {
	total := timing.ReadingTime
	for _, level := range levels {
		var slowest time.Duration
		for _, device := range level {
			slowest = max(slowest, deviceTimeout(device))
		}
		total += slowest
	}
	return total
}

func deviceTimeout(device config.FenceDevice) time.Duration {
	switch device := device.(type) {
	case config.IPMI:
		return device.Timeout
	case config.FenceCommand:
		return device.Timeout
	}
	panic(fmt.Sprintf("daemon: unknown fence device %T", device))
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
