package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

const (
	measureWithin = 20 * time.Second
	// carryWithin bounds one step; copying a volume away may take its time.
	carryWithin, keepWithin = 2 * time.Minute, 12 * time.Hour
	// errandsAhead is more than there are groups on a node.
	errandsAhead = 64
)

// Hands are what this node can do in a recovery; see carry.Node. They do one thing
// at a time.
type Hands interface {
	// Prepare learns beforehand what a recovery wants to know and does not change.
	Prepare(ctx context.Context)
	Measure(ctx context.Context, g carry.Group) (recovery.Side, error)
	Do(ctx context.Context, p recovery.Plan, s recovery.Step, id string) (carry.Progress, error)
}

var errNoHands = errors.New("this agent cannot take part in a recovery: the group has no DRBD resource here")

// recoverer lets a node's hands work beside the loop.
type recoverer struct {
	hands   Hands
	copies  map[arbiter.GroupID]carry.Group
	errands chan func()
	ends    map[arbiter.GroupID]context.CancelFunc // of what is carried out; the loop's
}

// workOff does one errand after the other.
func (r *Runner) workOff() error {
	if r.recoverer.hands != nil {
		r.recoverer.hands.Prepare(r.ctx)
	}
	for {
		select {
		case <-r.ctx.Done():
			return nil
		case do := <-r.recoverer.errands:
			do()
		}
	}
}

// measure looks at this node's side of a group.
func (r *Runner) measure(a agent.Measure) {
	missing := func(err error) agent.SideMeasured {
		return agent.SideMeasured{Group: a.Group, Task: a.Task, Side: recovery.Side{Missing: err.Error()}}
	}
	g, ok := r.recoverer.copies[a.Group]
	if !ok {
		r.answer(missing(errNoHands))
		return
	}
	r.errand(missing(errBusy), func() {
		ctx, cancel := context.WithTimeout(r.ctx, measureWithin)
		defer cancel()
		began := r.now()
		side, err := r.recoverer.hands.Measure(ctx, g)
		r.logStep(r.groups[a.Group].group, "measure", r.now().Sub(began), err)
		if err != nil {
			r.post(missing(err))
			return
		}
		r.post(agent.SideMeasured{Group: a.Group, Task: a.Task, Side: side})
	})
}

// carry carries steps out until one fails or has to wait.
func (r *Runner) carry(a agent.Carry) {
	if _, ok := r.recoverer.copies[a.Group]; !ok {
		r.answer(agent.Carried{Group: a.Group, Task: a.Task, Err: errNoHands})
		return
	}
	ctx, end := context.WithCancel(r.ctx)
	r.breakOff(a.Group) // its answer has come, or will be another errand's
	r.recoverer.ends[a.Group] = end
	r.errand(agent.Carried{Group: a.Group, Task: a.Task, Err: errBusy}, func() {
		defer end()
		done := agent.Carried{Group: a.Group, Task: a.Task}
		for _, s := range a.Steps {
			p, err := r.carryStep(ctx, a, s)
			done.Done, done.Ready, done.Note, done.Left, done.Total, done.Err = p.Done, p.Ready, p.Note, p.Left, p.Total, err
			if err != nil {
				done.Unkept = errors.Is(err, carry.ErrUnkept)
				if s != a.Task.Plan.Steps[a.Task.Step] {
					done.Err = fmt.Errorf("%s: %w", s, err) // one that is seen to once more; the witness names its own
				}
				break
			}
		}
		r.post(done)
	})
}

// breakOff ends what is carried out for a group.
func (r *Runner) breakOff(id arbiter.GroupID) {
	if end := r.recoverer.ends[id]; end != nil {
		end()
		delete(r.recoverer.ends, id)
	}
}

func (r *Runner) carryStep(ctx context.Context, a agent.Carry, s recovery.Step) (carry.Progress, error) {
	limit := carryWithin
	if s.Kind == recovery.Snapshot {
		limit = keepWithin
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := r.now()
	p, err := r.recoverer.hands.Do(ctx, *a.Task.Plan, s, a.Task.Name)
	if err != nil || p.Done {
		r.logStep(r.groups[a.Group].group, "recovery: "+s.String(), r.now().Sub(began), err)
	}
	return p, err //nolint:wrapcheck // Do wraps
}

var errBusy = errors.New("too much is waiting for this node's hands")

// errand puts something behind what the hands are at; instead is posted where that
// is too much.
func (r *Runner) errand(instead agent.Event, do func()) {
	select {
	case r.recoverer.errands <- do:
	default:
		r.answer(instead)
	}
}
