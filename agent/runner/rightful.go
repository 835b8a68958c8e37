package runner

import (
	"context"
	"errors"
	"sync/atomic"

	"sbarbiter/agent"
	"sbarbiter/internal/boottime"
)

// errNoRight ends a start that stood still until its right was over.
var errNoRight = errors.New("the right to run it is over")

// rightful is the context of a start. Whoever asks whether it has ended looks at
// the clock: a process that has stood still goes on before its timers do, and
// somebody else may have the group by then.
type rightful struct {
	context.Context
	now  func() boottime.Instant
	hard *atomic.Int64
}

// Err is not nil once the right is over.
func (c rightful) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if c.now() >= boottime.Instant(c.hard.Load()) {
		return errNoRight
	}
	return nil
}

// rights notes until when each group may be started.
func (r *Runner) rights(memory *agent.BootMemory) {
	for id, o := range r.groups {
		var hard boottime.Instant
		if h, held := memory.Groups[id]; held {
			_, hard, _ = r.cfg.Agent.Deadlines(h)
		}
		o.hard.Store(int64(hard))
	}
}
