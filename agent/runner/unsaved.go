package runner

import (
	"errors"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

// complainEvery is the pace at which the machine is told that its memory cannot
// be stored.
const complainEvery = time.Second

// unsaved is what could not be stored. Until it is, nothing is performed but
// what makes the node safer, in this step and in every later one.
type unsaved struct {
	err    error
	memory []byte
	raise  uint64         // incarnation to be stored
	late   []agent.Action // to be performed once all is stored
	told   boottime.Instant
}

// save stores the memory, or keeps it for the next attempt.
func (r *Runner) save(memory []byte) {
	r.unsaved.memory = memory
	r.retrySave()
}

// adopt stores a later incarnation.
func (r *Runner) adopt(a agent.Adopt) {
	r.log.Warn("going on under a later incarnation", "incarnation", uint64(a.Incarnation),
		"why", "the witness remembers later starts of this agent than its own store does")
	r.unsaved.raise = uint64(a.Incarnation)
	r.retrySave()
}

// retrySave stores what has not been stored yet.
func (r *Runner) retrySave() {
	u := &r.unsaved
	was := u.err
	u.err = r.store()
	switch {
	case u.err != nil && was == nil:
		r.log.Error("cannot store", "error", u.err, "alarm", true)
	case u.err == nil && was != nil:
		r.log.Info("stored again")
		late := u.late
		u.late = nil
		for _, a := range late {
			r.perform(a)
		}
	}
}

func (r *Runner) store() error {
	u := &r.unsaved
	if u.raise != 0 {
		if err := r.parts.Starts.RaiseIncarnation(u.raise); err != nil {
			return err
		}
		u.raise = 0
	}
	if u.memory != nil {
		if err := r.parts.Durable.Save(u.memory); err != nil {
			return err
		}
		u.memory = nil
	}
	return nil
}

// complain is due while something is unsaved.
func (r *Runner) complain(now boottime.Instant) bool {
	u := &r.unsaved
	if u.err == nil || !u.told.IsZero() && now.Sub(u.told) < complainEvery {
		return false
	}
	u.told = now
	return true
}

// withhold does not perform a. Where somebody waits for its outcome, they are
// told that there was none; an answer to the kernel and a lifted barrier are
// only put off.
func (r *Runner) withhold(a agent.Action) {
	why := "the agent's memory cannot be stored: " + r.unsaved.err.Error()
	switch a := a.(type) {
	case agent.Exit, agent.Lift:
		r.unsaved.late = append(r.unsaved.late, a)
	case agent.Start:
		r.answer(agent.StartDone{Group: a.Group, Epoch: a.Epoch, Err: r.unsaved.err})
	case agent.Outdate:
		r.answer(agent.OutdateDone{Group: a.Group, Err: r.unsaved.err})
	case agent.ReadPower:
		r.answer(agent.PowerRead{Mandate: a.Mandate})
	case agent.Shoot:
		r.answer(agent.ShotDone{Mandate: a.Mandate, Failure: why, Readings: a.Readings})
	case agent.Measure:
		r.answer(agent.SideMeasured{Group: a.Group, Task: a.Task, Side: recovery.Side{Missing: why}})
	case agent.Carry:
		r.answer(agent.Carried{Group: a.Group, Task: a.Task, Err: errors.New(why)})
	case agent.Call:
		r.answer(agent.CallDone{Request: a.Request, Err: r.unsaved.err})
	}
}

// answer posts an event from within a step.
func (r *Runner) answer(ev agent.Event) {
	r.tasks.Go(func() error { r.post(ev); return nil })
}

// forgetLift drops a lifted barrier that was put off: the group is blocked or
// stopped again.
func (r *Runner) forgetLift(group arbiter.GroupID) {
	r.unsaved.late = slices.DeleteFunc(r.unsaved.late, func(a agent.Action) bool { return a == agent.Lift{Group: group} })
}
