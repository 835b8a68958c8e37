// Package agent decides what a data node does: when it asks for a group, starts
// and stops it, shoots its peer, answers DRBD's handlers, gives its word to the
// peer and feeds the watchdog. It decides only: the runner tells it what
// happened and when, and carries out the actions that it returns, in order.
//
// [Machine.Step] is deterministic and does no I/O, so the same machine runs in
// production and in simulation.
package agent

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Config is what a machine knows from the start.
type Config struct {
	Cluster     arbiter.ClusterID
	Node, Peer  arbiter.NodeID
	Boot        arbiter.BootID
	Incarnation arbiter.Incarnation
	Groups      []GroupConfig
	Needed      int // reference addresses that must answer
	Timing      Timing
	Watchdog    arbiter.Watchdog // as opened and read back
	CanFence    bool             // fence devices for the peer are configured
}

// GroupConfig is one group as this node knows it.
type GroupConfig struct {
	ID        arbiter.GroupID
	Resources []string      // DRBD resources, possibly none
	Start     time.Duration // budget of a whole start; 0: startBudget
	// Protected: a power cut takes nothing of what this node's disks have said is
	// written.
	Protected bool
}

// startBudget is the time for a start where the operator has set none.
const startBudget = time.Minute

func (g *GroupConfig) startBudget() time.Duration {
	if g.Start == 0 {
		return startBudget
	}
	return g.Start
}

// Timing is what both ends of a lease agree on, with this node's own budgets.
type Timing struct {
	arbiter.Timing
	Stop  time.Duration // to stop services and demote
	Reset time.Duration // from a forced reset to silence
	Late  time.Duration // greatest lateness of the feeder of the watchdog
}

// back is how long before the end of a right the watchdog is fed for the last
// time.
func (c *Config) back() time.Duration {
	wd := c.Watchdog.Timeout
	if !c.Watchdog.Armed || mutant.On(mutant.WatchdogUncounted) {
		wd = 0
	}
	return wd + wd/100 + c.Timing.Reset + c.Timing.Late
}

// Deadlines are when services are stopped under a right, when the watchdog is
// fed for the last time, and when somebody else may have it.
func (c *Config) Deadlines(r HeldRight) (soft, hard, dead boottime.Instant) {
	dead = max(r.Lease, r.Promise)
	hard = dead.Add(-c.back())
	return hard.Add(-c.Timing.Stop), hard, dead
}

// gap is the pause between two steps from which on the machine takes itself to
// have been stopped.
func (c *Config) gap() time.Duration { return max(c.Timing.Late, 4*c.Timing.Renew) }
