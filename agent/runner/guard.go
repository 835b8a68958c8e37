package runner

import (
	"errors"
	"maps"
	"slices"

	"sbarbiter/agent"
	"sbarbiter/agent/guard"
	"sbarbiter/arbiter"
)

// errUnguarded keeps a group from being started that nobody would stop.
var errUnguarded = errors.New("the guard does not know of it: see systemctl status sbagent-guard")

// Rights are what a node holds, in the guard's numbers.
func Rights(cfg agent.Config, held *agent.BootMemory) []guard.Right {
	var out []guard.Right
	for _, id := range slices.Sorted(maps.Keys(held.Groups)) {
		h := held.Groups[id]
		r := guard.Right{Group: guard.GroupID(id), Epoch: uint64(h.Epoch), Sent: h.Sent}
		r.Soft, r.Hard, r.Dead = cfg.Deadlines(h)
		out = append(out, r)
	}
	return out
}

// hearGuard takes what the guard says. A group that it has begun to stop is found
// stopped: this agent stops the rest of it, gives it back and asks anew.
func (r *Runner) hearGuard() error {
	return r.parts.Guard.Run(r.ctx, func(id guard.GroupID) {
		r.post(agent.Found{Group: arbiter.GroupID(id), ByGuard: true})
	})
}
