package service

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sbarbiter/internal/faketime"
)

// part is a unit whose behaviour a test sets.
type part struct {
	name    string
	state   State
	start   func(context.Context) error
	stop    func(context.Context) error
	look    func(context.Context) (State, error)
	blocked int
}

func (p *part) Name() string { return p.name }

func (p *part) Start(ctx context.Context) error {
	if p.start != nil {
		return p.start(ctx)
	}
	p.state = Running
	return nil
}

func (p *part) Stop(ctx context.Context) error {
	if p.stop != nil {
		return p.stop(ctx)
	}
	p.state = Stopped
	return nil
}

func (p *part) State(ctx context.Context) (State, error) {
	if p.look != nil {
		return p.look(ctx)
	}
	return p.state, nil
}

// door is a part that can be blocked.
type door struct {
	part
	blockErr error
}

func (d *door) Block(context.Context) error { d.blocked++; return d.blockErr }

func stackOf(t *testing.T, units ...Unit) *Stack {
	t.Helper()
	var entries []Entry
	for _, u := range units {
		entries = append(entries, Entry{Unit: u, StartTimeout: 10 * time.Second, StopTimeout: 4 * time.Second})
	}
	s, err := NewStack(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// timeline collects "action unit", with a mark for failures.
type timeline []string

func (l *timeline) add(s Step) {
	line := string(s.Action) + " " + s.Unit
	if s.Err != nil {
		line += " failed"
	}
	*l = append(*l, line)
}

func (l timeline) want(t *testing.T, lines ...string) {
	t.Helper()
	if !slices.Equal(l, lines) {
		t.Errorf("timeline %q, want %q", l, lines)
	}
}

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestUnitsStartInOrderAndStopInReverse(t *testing.T) {
	s := stackOf(t, &part{name: "fs"}, &part{name: "ip"})
	var log timeline
	if err := s.Start(t.Context(), nil, log.add); err != nil {
		t.Fatal(err)
	}
	if !s.State(t.Context()).AllRunning() {
		t.Error("started and not running")
	}
	if r := s.Stop(t.Context(), log.add); !r.Down || r.Err != nil {
		t.Errorf("stop gave %+v", r)
	}
	log.want(t, "start fs", "start ip", "stop ip", "stop fs")
}

// untimely is a context whose owner looks at the clock itself.
type untimely struct {
	context.Context
	over *bool
}

func (c untimely) Err() error {
	if *c.over {
		return errors.New("there is no right any more")
	}
	return c.Context.Err()
}

func TestAStartThatStoodStillGoesNoFurther(t *testing.T) {
	over := false
	ip := &part{name: "ip"}
	s := stackOf(t, &part{name: "fs", start: func(context.Context) error { over = true; return nil }}, ip)
	err := s.Start(untimely{t.Context(), &over}, nil, nil)
	if err == nil || ip.state == Running {
		t.Errorf("%v, and ip is %v", err, ip.state)
	}
}

func TestFailedStartNamesItsUnitAndTouchesNothingAbove(t *testing.T) {
	broken := errors.New("broken")
	s := stackOf(t, &part{name: "fs"}, &part{name: "db", start: func(context.Context) error { return broken }}, &part{name: "ip"})
	var log timeline
	err := s.Start(t.Context(), nil, log.add)
	var start *StartError
	if !errors.As(err, &start) || start.Index != 1 || start.Unit != "db" || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	log.want(t, "start fs", "start db failed")
	if v := s.State(t.Context()); v.AllRunning() || v.AllStopped() {
		t.Errorf("half started counts as %+v", v)
	}
}

func TestHangingStopLeavesItsShareToThoseBelow(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		fs := &part{name: "fs", state: Running}
		s := stackOf(t, fs, &part{name: "db", state: Running, stop: hang}, &part{name: "ip", state: Running})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var log timeline
		r := s.Stop(ctx, log.add)
		log.want(t, "stop ip", "stop db failed", "stop fs")
		if fs.state != Stopped {
			t.Error("the file system was not stopped because the database hung")
		}
		if r.Down || !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Errorf("a hanging database and the result is %+v", r)
		}
		if ctx.Err() != nil {
			t.Error("no time was left to look at the outcome")
		}
	})
}

func TestStopTimeoutEndsAHangingUnitWithoutDeadlineFromAbove(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := stackOf(t, &part{name: "db", state: Running, stop: hang})
		began := time.Now()
		s.Stop(t.Context(), nil)
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("took %v, want its own 4s", d)
		}
	})
}

func TestDownNeedsEveryUnitSeenStopped(t *testing.T) {
	lies := &part{name: "liar", state: Running, stop: func(context.Context) error { return nil }}
	if r := stackOf(t, lies).Stop(t.Context(), nil); r.Down {
		t.Error("down by a unit's word alone")
	}
	blind := &part{name: "blind", look: func(context.Context) (State, error) { return Stopped, errors.New("cannot see") }}
	if r := stackOf(t, blind).Stop(t.Context(), nil); r.Down {
		t.Error("down though nobody could look")
	}
	late := &part{name: "late", state: Stopped, stop: func(context.Context) error { return errors.New("late") }}
	if r := stackOf(t, late).Stop(t.Context(), nil); !r.Down || r.Err == nil {
		t.Error("a unit that is stopped after all counts as down, with the error on record")
	}
}

func TestBarrierBlocksEveryAddressThoughOneFails(t *testing.T) {
	a, b := &door{part: part{name: "a"}}, &door{part: part{name: "b"}, blockErr: errors.New("stuck")}
	s := stackOf(t, &part{name: "fs"}, a, b)
	var log timeline
	if err := s.Barrier(t.Context(), log.add); !errors.Is(err, b.blockErr) {
		t.Errorf("got %v", err)
	}
	if a.blocked != 1 || b.blocked != 1 {
		t.Errorf("blocked %d and %d times", a.blocked, b.blocked)
	}
	log.want(t, "block b failed", "block a")
}

func TestOneBlindUnitDoesNotHideTheOthers(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		blind := &part{name: "blind", look: func(ctx context.Context) (State, error) { <-ctx.Done(); return Unknown, ctx.Err() }}
		v := stackOf(t, blind, &part{name: "ip", state: Running}).State(t.Context())
		if v[0].Err == nil || v[1].State != Running {
			t.Errorf("got %+v", v)
		}
	})
}

func TestGroupWithoutUnitsIsRunningAndStopped(t *testing.T) {
	s := stackOf(t)
	v := s.State(t.Context())
	if !v.AllRunning() || !v.AllStopped() || !s.Stop(t.Context(), nil).Down {
		t.Error("nothing to run, and yet not done")
	}
}

func TestEntryWithoutTimeIsRefused(t *testing.T) {
	if _, err := NewStack(Entry{Unit: &part{name: "fs"}, StartTimeout: time.Second}); err == nil {
		t.Error("no stop timeout was accepted")
	}
}

// scouting is a part with a long look ahead.
type scouting struct {
	part
	looks time.Duration
	saw   bool
}

func (s *scouting) Scout(ctx context.Context) func(context.Context) error {
	saw := sleep(ctx, s.looks) == nil
	return func(ctx context.Context) error {
		s.saw = saw
		return s.part.Start(ctx)
	}
}

func TestScoutLooksWhileTheUnitsBelowAreStarted(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		ip := &scouting{part: part{name: "ip"}, looks: 300 * time.Millisecond}
		fs := &part{name: "fs"}
		fs.start = func(ctx context.Context) error { fs.state = Running; return sleep(ctx, 250*time.Millisecond) }
		s := stackOf(t, fs, ip)
		began := time.Now()
		var log timeline
		if err := s.Start(t.Context(), nil, log.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("took %v: the look did not run beside the mount", took)
		}
		if !ip.saw || !s.State(t.Context()).AllRunning() {
			t.Errorf("saw %v, %+v", ip.saw, s.State(t.Context()))
		}
		log.want(t, "start fs", "start ip")
	})
}

func TestScoutLooksBesideThePromotion(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		ip := &scouting{part: part{name: "ip"}, looks: 300 * time.Millisecond}
		promotion := func(ctx context.Context) error { return sleep(ctx, 700*time.Millisecond) }
		began := time.Now()
		if err := stackOf(t, ip).Start(t.Context(), promotion, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 700*time.Millisecond || !ip.saw {
			t.Errorf("took %v, saw %v: the look did not run beside the promotion", took, ip.saw)
		}
	})
}

func TestNothingIsStartedOnAPromotionThatFailed(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		ip := &scouting{part: part{name: "ip"}, looks: time.Hour}
		fs := &part{name: "fs"}
		err := stackOf(t, fs, ip).Start(t.Context(), func(context.Context) error { return refused }, nil)
		if !errors.Is(err, refused) || fs.state == Running || ip.state == Running {
			t.Errorf("got %v; fs %v, ip %v", err, fs.state, ip.state)
		}
	})
}

func TestScoutOfAUnitWhoseTurnNeverComesEnds(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		ip := &scouting{part: part{name: "ip"}, looks: time.Hour}
		s := stackOf(t, &part{name: "fs", start: func(context.Context) error { return broken }}, ip)
		if err := s.Start(t.Context(), nil, nil); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if ip.state == Running {
			t.Error("started above a unit that had failed")
		}
	})
}

func TestHangingScoutEndsWithItsUnitsTime(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := stackOf(t, &scouting{part: part{name: "ip"}, looks: time.Hour})
		began := time.Now()
		if err := s.Start(t.Context(), nil, nil); !errors.Is(err, context.DeadlineExceeded) && err != nil {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestUnitThatComesBackWhileThoseBelowStopIsNotDown(t *testing.T) {
	db := &part{name: "db", state: Running}
	fs := &part{name: "fs", state: Running}
	fs.stop = func(context.Context) error { fs.state, db.state = Stopped, Running; return nil }
	if r := stackOf(t, fs, db).Stop(t.Context(), nil); r.Down {
		t.Errorf("the database is back and the result is %+v", r)
	}
}
