package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/internal/boottime"
)

// Action is what a step did to a unit.
type Action string

// The actions that are reported.
const (
	ActionBlock Action = "block"
	ActionStart Action = "start"
	ActionStop  Action = "stop"
)

// Step is one finished step, for the timeline.
type Step struct {
	Unit   string
	Action Action
	Began  boottime.Instant
	Took   time.Duration
	Err    error // nil: done
}

// Entry is a unit with the time that it may take.
type Entry struct {
	Unit         Unit
	StartTimeout time.Duration
	StopTimeout  time.Duration
}

// Validate names the first field that is wrong.
func (e Entry) Validate() error {
	switch {
	case e.Unit == nil:
		return fieldError("unit", "is missing")
	case e.StartTimeout <= 0:
		return fieldError("start timeout", "%v is no time: write for example 10s", e.StartTimeout)
	case e.StopTimeout <= 0:
		return fieldError("stop timeout", "%v is no time: write for example 5s", e.StopTimeout)
	}
	return nil
}

// Stack is a group's units in the order of their start. Start and Stop belong
// to one goroutine; Barrier and State may be called beside them.
type Stack struct {
	entries []Entry
}

// NewStack takes the units from the ground up: what stands on another unit
// comes after it.
func NewStack(entries ...Entry) (*Stack, error) {
	for i, e := range entries {
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("service %d: %w", i+1, err)
		}
	}
	return &Stack{entries: entries}, nil
}

// StartError says which unit did not start; those before it run, those after it
// were not touched.
type StartError struct {
	Index int // counted from 0, in order of start
	Unit  string
	Err   error
}

// Error names the unit and the cause.
func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Unit, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Start starts the units in order and stops at the first that fails, with a
// [*StartError]. Nothing is rolled back: that is for the caller to order. What
// a [Scout] may do ahead of its turn begins at once, beside below: the work that
// all units stand on, such as a promotion; nil: there is none. Its error is
// returned as it is, and no unit is started then.
func (s *Stack) Start(ctx context.Context, below func(context.Context) error, report func(Step)) error {
	starts, done := s.scout(ctx)
	defer done()
	if below != nil {
		if err := below(ctx); err != nil {
			return err
		}
	}
	for i, e := range s.entries {
		// Who has stood still meanwhile may have no right to go on.
		if err := ctx.Err(); err != nil {
			return &StartError{Index: i, Unit: e.Unit.Name(), Err: err}
		}
		if err := s.step(ctx, e.StartTimeout, e.Unit, ActionStart, starts[i], report); err != nil {
			return &StartError{Index: i, Unit: e.Unit.Name(), Err: err}
		}
	}
	return nil
}

// scout sends the scouts out and returns how each unit is started. done ends
// those that are still out.
func (s *Stack) scout(ctx context.Context) (starts []func(context.Context) error, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var out sync.WaitGroup
	for _, e := range s.entries {
		scout, ok := e.Unit.(Scout)
		if !ok {
			starts = append(starts, e.Unit.Start)
			continue
		}
		back := make(chan func(context.Context) error, 1)
		out.Go(func() {
			ahead, cancel := context.WithTimeout(ctx, e.StartTimeout)
			defer cancel()
			back <- scout.Scout(ahead)
		})
		starts = append(starts, func(ctx context.Context) error {
			select {
			case start := <-back:
				return start(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	return starts, func() {
		cancel()
		out.Wait()
	}
}

// StopResult is how a stop ended.
type StopResult struct {
	// Down says that every unit was seen stopped afterwards.
	Down  bool
	Units Survey
	// Err joins what went wrong on the way; with Down it is history.
	Err error
}

// Stop stops the units in reverse order. It goes by deadline, not by the success
// of the step before: where one fails, those below are stopped all the same,
// and when the context leaves less time than the units ask for, each gets its
// share. Units below thus never wait for one that hangs.
func (s *Stack) Stop(ctx context.Context, report func(Step)) StopResult {
	var errs []error
	for i := len(s.entries) - 1; i >= 0; i-- {
		e := s.entries[i]
		if err := s.step(ctx, s.stopShare(ctx, i), e.Unit, ActionStop, e.Unit.Stop, report); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", e.Unit.Name(), err))
		}
	}
	units := s.State(ctx)
	return StopResult{Down: units.AllStopped(), Units: units, Err: errors.Join(errs...)}
}

// confirmShare is the part of the time left that is kept for the last look.
const confirmShare = 10

// stopShare is the time for entry i out of what is left for it and those below.
func (s *Stack) stopShare(ctx context.Context, i int) time.Duration {
	own := s.entries[i].StopTimeout
	end, ok := ctx.Deadline()
	if !ok {
		return own
	}
	var asked time.Duration
	for _, e := range s.entries[:i+1] {
		asked += e.StopTimeout
	}
	left := time.Until(end)
	left -= left / confirmShare
	return min(own, time.Duration(float64(left)*float64(own)/float64(asked)))
}

// Barrier turns clients away at once: every address is removed. It tries all of
// them, whatever becomes of the first. A Start that is under way does not bring
// them back; the caller cancels it first nevertheless.
func (s *Stack) Barrier(ctx context.Context, report func(Step)) error {
	var errs []error
	for i := len(s.entries) - 1; i >= 0; i-- {
		b, ok := s.entries[i].Unit.(Blocker)
		if !ok {
			continue
		}
		u := s.entries[i].Unit
		if err := s.step(ctx, s.entries[i].StopTimeout, u, ActionBlock, b.Block, report); err != nil {
			errs = append(errs, fmt.Errorf("block %s: %w", u.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (s *Stack) step(ctx context.Context, limit time.Duration, u Unit, a Action, do func(context.Context) error, report func(Step)) error {
	began := boottime.Now()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(limited)
	if report != nil {
		report(Step{Unit: u.Name(), Action: a, Began: began, Took: boottime.Now().Sub(began), Err: err})
	}
	return err
}

// UnitState is what is known about one unit.
type UnitState struct {
	Unit  string
	State State
	Err   error // why the state is Unknown
}

// Survey is what is known about all units, in order of start.
type Survey []UnitState

// AllRunning says that every unit was seen running.
func (s Survey) AllRunning() bool { return s.all(Running) }

// AllStopped says that every unit was seen stopped. A group without units is
// both running and stopped.
func (s Survey) AllStopped() bool { return s.all(Stopped) }

func (s Survey) all(want State) bool {
	for _, u := range s {
		if u.Err != nil || u.State != want {
			return false
		}
	}
	return true
}

// lookTimeout bounds one look at one unit.
const lookTimeout = 5 * time.Second

// State looks at all units at once, so that one that hangs does not hide the
// others.
func (s *Stack) State(ctx context.Context) Survey {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	survey := make(Survey, len(s.entries))
	var wg sync.WaitGroup
	for i, e := range s.entries {
		wg.Go(func() {
			state, err := e.Unit.State(ctx)
			survey[i] = UnitState{Unit: e.Unit.Name(), State: state, Err: err}
		})
	}
	wg.Wait()
	return survey
}

// Run does the units' work in the background, such as repeating announcements,
// until the context ends.
func (s *Stack) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range s.entries {
		if b, ok := e.Unit.(Background); ok {
			g.Go(func() error { return b.Run(ctx) })
		}
	}
	return g.Wait()
}
