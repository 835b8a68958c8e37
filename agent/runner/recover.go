package runner

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

const (
	measureWithin = 20 * time.Second
	// carryWithin bounds one step; copying a volume away may take its time.
	carryWithin, keepWithin = 2 * time.Minute, 12 * time.Hour
	// errandsAhead is more than a recovery asks for at a time.
	errandsAhead = 8
)

// Hands are what this node can do in a recovery; see carry.Node.
type Hands interface {
	// Prepare learns beforehand what a recovery wants to know and does not change.
	Prepare(ctx context.Context)
	// Measure may be called beside everything else.
	Measure(ctx context.Context, g carry.Group) (recovery.Side, error)
	// Do does one thing at a time, but that it may copy one volume away (recovery.Snapshot)
	// beside that.
	Do(ctx context.Context, p recovery.Plan, s recovery.Step, id string) (carry.Progress, error)
}

var errNoHands = errors.New("this agent cannot take part in a recovery: the group has no DRBD resource here")

// recoverer lets a node's hands work beside the loop. What one group's recovery takes long
// for must not keep another one's from being measured: that would be judged without this
// side.
type recoverer struct {
	hands   Hands
	copies  map[arbiter.GroupID]carry.Group
	errands map[arbiter.GroupID]chan func()
	ends    map[arbiter.GroupID]context.CancelFunc // of what is carried out; the loop's
	turn    chan struct{}                          // whose step is done has put one in
	keeps   atomic.Pointer[arbiter.GroupID]        // whose volume is copied away
}

// provide is what a node has to do its part of recoveries with. It is called before Run.
func (r *recoverer) provide(hands Hands, groups []Group, copies map[arbiter.GroupID]carry.Group) {
	r.hands, r.copies = hands, copies
	r.errands, r.ends, r.turn = map[arbiter.GroupID]chan func(){}, map[arbiter.GroupID]context.CancelFunc{}, make(chan struct{}, 1)
	for _, g := range groups {
		r.errands[g.ID] = make(chan func(), errandsAhead)
	}
}

// workOff does one errand of each group after the other.
func (r *Runner) workOff() error {
	if r.recoverer.hands != nil {
		r.recoverer.hands.Prepare(r.ctx)
	}
	for _, errands := range r.recoverer.errands {
		r.tasks.Go(func() error {
			for {
				select {
				case <-r.ctx.Done():
					return nil
				case do := <-errands:
					do()
				}
			}
		})
	}
	return nil
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
	r.errand(a.Group, missing(errBusy), func() {
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
	r.errand(a.Group, agent.Carried{Group: a.Group, Task: a.Task, Err: errBusy}, func() {
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
	limit, wait := carryWithin, r.recoverer.await
	if s.Kind == recovery.Snapshot && !mutant.On(mutant.HandsFull) {
		limit, wait = keepWithin, r.recoverer.mayKeep
	}
	over, why := wait(ctx, a.Group)
	if over == nil {
		return carry.Progress{Note: why}, ctx.Err()
	}
	defer over()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := r.now()
	p, err := r.recoverer.hands.Do(ctx, *a.Task.Plan, s, a.Task.Name)
	if err != nil || p.Done {
		r.logStep(r.groups[a.Group].group, "recovery: "+s.String(), r.now().Sub(began), err)
	}
	return p, err //nolint:wrapcheck // Do wraps
}

// await waits until no other group's step is done; over ends the group's own.
func (r *recoverer) await(ctx context.Context, _ arbiter.GroupID) (over func(), why string) {
	select {
	case r.turn <- struct{}{}:
		return func() { <-r.turn }, ""
	case <-ctx.Done():
		return nil, ""
	}
}

// mayKeep reports whether a volume of the group may be copied away. What is free in the
// store is counted before, so one copy comes after the other; that may take hours, so
// nobody waits here: it is asked for again, and meanwhile said.
func (r *recoverer) mayKeep(_ context.Context, id arbiter.GroupID) (over func(), why string) {
	if r.keeps.CompareAndSwap(nil, &id) {
		return func() { r.keeps.Store(nil) }, ""
	}
	if other := r.keeps.Load(); other != nil {
		return nil, fmt.Sprintf("this node copies a volume of %s away first", *other)
	}
	return nil, "" // that has just ended
}

var errBusy = errors.New("too much is waiting for this node's hands")

// errand puts something behind what is under way for a group; instead is posted where that
// is too much.
func (r *Runner) errand(id arbiter.GroupID, instead agent.Event, do func()) {
	select {
	case r.recoverer.errands[id] <- do:
	default:
		r.answer(instead)
	}
}
