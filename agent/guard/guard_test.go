package guard_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sbarbiter/agent/guard"
	"sbarbiter/internal/boottime"
)

var update = flag.Bool("update", false, "write the transcripts anew")

const second = time.Second

// rig is a guard whose time is counted in milliseconds from an hour after boot.
// What it orders is kept as text.
type rig struct {
	t     *testing.T
	guard *guard.Guard
	at    time.Duration // since the story began
	slept time.Duration // of it, suspended
	out   strings.Builder
	did   []guard.Action
}

const start = boottime.Instant(time.Hour)

var terms = guard.Terms{
	Renew: 250 * time.Millisecond, Silence: second, Gap: second,
	Watchdog: 5 * second, CutOff: true,
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	r.guard = guard.New(r.clock())
	return r
}

func (r *rig) clock() guard.Clock {
	return guard.Clock{Boot: start.Add(r.at), Mono: r.at - r.slept}
}

func (r *rig) step(ev guard.Event) []guard.Action {
	acts := r.guard.Step(r.clock(), ev)
	for _, a := range acts {
		r.did = append(r.did, a)
		if _, feed := a.(guard.Feed); !feed {
			fmt.Fprintf(&r.out, "%8.3f  %s\n", r.at.Seconds(), say(a))
		}
	}
	return acts
}

// say prints an action with its times counted from the story's beginning.
func say(a guard.Action) string {
	since := func(i boottime.Instant) float64 { return i.Sub(start).Seconds() }
	switch a := a.(type) {
	case guard.Feed:
		return fmt.Sprintf("feed before %.3f", since(a.Before))
	case guard.Run:
		return fmt.Sprintf("run %s %s, order %d, before %.3f", a.Group, a.Step, a.Order, since(a.Before))
	case guard.Note:
		return strings.TrimSpace(fmt.Sprintf("note %s %s: %s", a.Group, a.What, a.Why))
	case guard.Alarm:
		return strings.TrimSpace(fmt.Sprintf("ALARM %s %s: %s", a.Group, a.What, a.Why))
	}
	return fmt.Sprintf("%T %+v", a, a)
}

// pass lets time pass, the guard being stepped as it must be.
func (r *rig) pass(d time.Duration) {
	for end := r.at + d; r.at < end; {
		r.at += 50 * time.Millisecond
		r.step(guard.Tick{})
	}
}

// right is one whose request left now and that lasts for ttl: 20 s with 5 s of
// watchdog, and 10 s to stop.
func (r *rig) right(group guard.GroupID, epoch uint64) guard.Right {
	sent := start.Add(r.at)
	dead := sent.Add(20 * second)
	hard := dead.Add(-5050*time.Millisecond - 2500*time.Millisecond)
	return guard.Right{Group: group, Epoch: epoch, Sent: sent, Soft: hard.Add(-10 * second), Hard: hard, Dead: dead}
}

func (r *rig) join(conn guard.ConnID, incarnation uint64) {
	r.step(guard.Joined{Conn: conn, Incarnation: incarnation, Terms: terms})
}

var words uint64

func (r *rig) tell(conn guard.ConnID, rights ...guard.Right) {
	words++
	r.step(guard.Told{Conn: conn, Number: words, At: start.Add(r.at), Rights: rights})
}

// live has the agent renew and speak for a while.
func (r *rig) live(conn guard.ConnID, d time.Duration, epoch uint64) {
	for end := r.at + d; r.at < end; {
		r.pass(250 * time.Millisecond)
		r.tell(conn, r.right("nfs", epoch))
	}
}

func count[A guard.Action](r *rig) (n int) {
	for _, a := range r.did {
		if _, ok := a.(A); ok {
			n++
		}
	}
	return n
}

// ran returns the orders of a step that was begun.
func (r *rig) ran(step guard.Step) (orders []guard.Run) {
	for _, a := range r.did {
		if run, ok := a.(guard.Run); ok && run.Step == step {
			orders = append(orders, run)
		}
	}
	return orders
}

// clear forgets what was done so far.
func (r *rig) clear() { r.did = nil }

// done ends the last step of a kind.
func (r *rig) done(step guard.Step, err error) {
	r.t.Helper()
	runs := r.ran(step)
	if len(runs) == 0 {
		r.t.Fatalf("no %s was begun:\n%s", step, r.out.String())
	}
	last := runs[len(runs)-1]
	r.step(guard.Ended{Group: last.Group, Order: last.Order, Err: err})
}

func (r *rig) golden(name string) {
	r.t.Helper()
	path := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(path, []byte(r.out.String()), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if got := r.out.String(); got != string(want) {
		r.t.Errorf("%s differs (go test -update writes it anew):\n%s", path, got)
	}
}

// stopped is an agent that holds a group and falls silent at 0.
func stopped(t *testing.T) *rig {
	r := newRig(t)
	r.join(1, 1)
	r.live(1, 2*second, 4)
	r.clear()
	r.out.Reset()
	return r
}

func TestStoppedAgentIsSecludedAndItsGroupStopped(t *testing.T) {
	r := stopped(t)
	r.pass(3 * second)
	r.done(guard.Cut, nil)
	r.done(guard.Services, nil)
	r.pass(second)
	r.done(guard.Unmount, nil)
	r.done(guard.Demote, nil)
	r.pass(30 * second)
	r.golden("stopped")
	if count[guard.Reset](r) != 0 {
		t.Error("a group that is confirmed down is no reason for a reset")
	}
}

func TestLadderGoesByDeadlineWhateverHangs(t *testing.T) {
	r := stopped(t)
	r.pass(20 * second)
	r.golden("hangs")
	if count[guard.Reset](r) != 1 {
		t.Fatal("nothing has ended, and the machine was not reset once")
	}
	if at := r.ran(guard.Demote)[0].Before; at != start.Add(14450*time.Millisecond) {
		t.Errorf("the last step ends at %v, want the hard stop", at)
	}
}

func TestNothingIsFedAfterTheHardStop(t *testing.T) {
	r := stopped(t)
	hard := start.Add(14450 * time.Millisecond)
	r.pass(30 * second)
	if count[guard.Feed](r) < 40 {
		t.Errorf("fed %d times; the right was good for 12 s", count[guard.Feed](r))
	}
	for _, a := range r.did {
		if f, ok := a.(guard.Feed); ok && f.Before > hard {
			t.Fatalf("fed with a deadline of %v, beyond the hard stop", f.Before)
		}
	}
}

func TestStepThatFailsIsTriedAgainUntilTheHardStop(t *testing.T) {
	r := stopped(t)
	r.pass(3 * second)
	for range 3 {
		r.done(guard.Services, errors.New("exit status 1"))
		r.done(guard.Unmount, nil)
		r.done(guard.Demote, nil)
		r.pass(second)
	}
	if n := len(r.ran(guard.Services)); n != 4 {
		t.Errorf("services were stopped %d times, want 4", n)
	}
	r.done(guard.Services, nil)
	r.done(guard.Unmount, nil)
	r.done(guard.Demote, nil)
	r.pass(20 * second)
	if count[guard.Reset](r) != 0 {
		t.Error("reset, though a whole round has succeeded")
	}
}

func TestEndOfAStepThatWasGivenUpCountsForNothing(t *testing.T) {
	r := stopped(t)
	r.pass(12 * second) // services have given way to unmount
	r.done(guard.Services, nil)
	r.done(guard.Unmount, nil)
	r.done(guard.Demote, nil)
	r.pass(10 * second)
	if count[guard.Reset](r) != 1 {
		t.Error("a group whose services were not seen stopped in time counts as down")
	}
}

func TestAgentThatLivesIsLeftAlone(t *testing.T) {
	r := newRig(t)
	r.join(1, 1)
	r.tell(1)
	r.live(1, 60*second, 4)
	for _, a := range r.did {
		switch a.(type) {
		case guard.Feed, guard.Welcome, guard.Note, guard.Lift:
		default:
			t.Errorf("%s", say(a))
		}
	}
	if n := count[guard.Feed](r); n < 200 {
		t.Errorf("fed %d times in a minute", n)
	}
}

// The agent speaks, but its renewals are not answered: it stops by itself.
func TestAgentThatSpeaksStopsByItself(t *testing.T) {
	r := newRig(t)
	r.join(1, 1)
	right := r.right("nfs", 4)
	for range 4 * 12 {
		r.pass(250 * time.Millisecond)
		r.tell(1, right)
	}
	if n := count[guard.Run](r); n != 0 {
		t.Errorf("%d steps were begun beside an agent that does them itself", n)
	}
	r.pass(second)
	if count[guard.Reset](r) != 1 {
		t.Error("no reset at the hard stop")
	}
}

func TestKilledAgentHasTimeToBeStartedAgain(t *testing.T) {
	r := stopped(t)
	r.step(guard.Lost{Conn: 1})
	r.pass(1900 * time.Millisecond)
	r.join(2, 2)
	r.pass(500 * time.Millisecond)
	r.tell(2, r.right("nfs", 4))
	r.live(2, 5*second, 4)
	if n := count[guard.Run](r) + count[guard.Bar](r); n != 0 {
		t.Errorf("a restart led to:\n%s", r.out.String())
	}
}

func TestKilledAgentThatStaysDeadIsSecluded(t *testing.T) {
	r := stopped(t)
	r.step(guard.Lost{Conn: 1})
	r.pass(300 * time.Millisecond)
	r.step(guard.Buried{})
	if count[guard.Bar](r) != 0 {
		t.Error("secluded before its peer suspects it")
	}
	r.pass(800 * time.Millisecond)
	if count[guard.Bar](r) != 1 || len(r.ran(guard.Cut)) != 1 {
		t.Errorf("want the barrier and the cut, got:\n%s", r.out.String())
	}
}

func TestAgentThatLeavesItsGroupsIsNotSecluded(t *testing.T) {
	r := stopped(t)
	r.step(guard.Left{Conn: 1})
	r.step(guard.Lost{Conn: 1})
	r.step(guard.Buried{})
	r.pass(2 * second)
	if n := count[guard.Run](r) + count[guard.Bar](r); n != 0 {
		t.Errorf("a planned restart led to:\n%s", r.out.String())
	}
	r.pass(2 * second)
	if len(r.ran(guard.Services)) != 1 {
		t.Error("nobody came, and nothing was stopped at the soft stop")
	}
}

func TestCutIsMendedOnlyOnceTheRightIsConfirmed(t *testing.T) {
	r := stopped(t)
	old := r.right("nfs", 4)
	r.pass(1500 * time.Millisecond)
	r.done(guard.Cut, nil)
	r.tell(1, old)
	r.pass(100 * time.Millisecond)
	if len(r.ran(guard.Join)) != 0 || count[guard.Lift](r) != 0 {
		t.Fatal("a right that was asked for before the silence has opened the barrier or the connection")
	}
	r.tell(1, r.right("nfs", 4))
	r.pass(50 * time.Millisecond)
	if len(r.ran(guard.Join)) != 1 || count[guard.Lift](r) != 1 {
		t.Fatalf("want the barrier lifted and the connection looked for:\n%s", r.out.String())
	}
	if strings.Count(r.out.String(), "note nfs clients let in") != 1 {
		t.Errorf("it does not say that clients are let in again:\n%s", r.out.String())
	}
	r.done(guard.Join, errors.New("no such resource"))
	r.live(1, 11*second, 4)
	if n := len(r.ran(guard.Join)); n != 2 {
		t.Fatalf("tried %d times to connect, want twice", n)
	}
	r.done(guard.Join, nil)
	r.live(1, 22*second, 4)
	if n := len(r.ran(guard.Join)); n != 2 {
		t.Errorf("connected %d times", n)
	}
}

// On a busy machine the one may take seconds. A cut that lands after the connection was
// looked for again leaves it cut, and nobody knows of it any more.
func TestConnectionIsNotLookedForWhileItIsStillBeingCut(t *testing.T) {
	for _, outcome := range []error{nil, errors.New("it was killed")} {
		r := stopped(t)
		r.pass(1500 * time.Millisecond)
		r.tell(1, r.right("nfs", 4))
		r.live(1, second, 4)
		if len(r.ran(guard.Join)) != 0 {
			t.Fatal("the connection is looked for beside the cut")
		}
		r.done(guard.Cut, outcome)
		r.live(1, second, 4)
		if len(r.ran(guard.Join)) != 1 {
			t.Errorf("cut ended with %v: the connection is not looked for", outcome)
		}
	}
}

func TestCutThatFailsIsTriedAgainAndOneThatWorkedIsNot(t *testing.T) {
	r := stopped(t)
	r.pass(1100 * time.Millisecond)
	r.done(guard.Cut, errors.New("exit status 20"))
	r.pass(500 * time.Millisecond)
	if n := len(r.ran(guard.Cut)); n != 2 {
		t.Fatalf("cut %d times, want twice", n)
	}
	r.pass(5 * second)
	r.done(guard.Cut, nil)
	r.pass(5 * second)
	if n := len(r.ran(guard.Cut)); n != 2 {
		t.Errorf("cut %d times, want twice", n)
	}
}

// The one that cut is gone, and its successor knows of nothing else.
func TestNextGuardMendsWhatTheOneBeforeHasCut(t *testing.T) {
	for _, holds := range []int{0, 1} {
		r := &rig{t: t}
		old := r.right("nfs", 4)
		r.at += second
		r.guard = guard.New(r.clock(), "nfs")
		r.pass(second)
		r.join(1, 1)
		if n := len(r.ran(guard.Join)); n != 0 {
			t.Fatal("connected before anybody has said what runs here")
		}
		if holds == 1 {
			r.tell(1, old)
			r.pass(50 * time.Millisecond)
			if len(r.ran(guard.Join)) != 0 {
				t.Error("connected under a right from before this guard")
			}
			r.tell(1, r.right("nfs", 4))
		} else {
			r.tell(1)
		}
		r.pass(50 * time.Millisecond)
		if len(r.ran(guard.Join)) != 1 {
			t.Errorf("group held %d: DRBD does not look for its peer", holds)
		}
	}
}

// What the guard has stopped half is stopped whole, by the agent that knows
// nothing of it, and may be started again after that.
func TestAgentThatComesBackIsToldThatItsGroupIsBeingStopped(t *testing.T) {
	r := stopped(t)
	r.pass(3 * second)
	r.tell(1, r.right("nfs", 4))
	if count[guard.Took](r) != 1 {
		t.Fatal("the agent was not told")
	}
	r.tell(1)
	if count[guard.Halt](r) != 1 {
		t.Error("the guard's own steps go on beside the agent's next start")
	}
	r.clear()
	r.live(1, 30*second, 8)
	if n := count[guard.Reset](r) + count[guard.Took](r) + count[guard.Bar](r); n != 0 {
		t.Errorf("the group that was started again is disturbed:\n%s", r.out.String())
	}
}

// The word by which the agent gave the group back was lost on the way, and the next
// one is of another epoch: what was stopped before says nothing of what runs now.
func TestAGroupStoppedUnderAnEarlierEpochIsNotDownUnderTheNext(t *testing.T) {
	r := stopped(t)
	r.pass(3 * second)
	r.done(guard.Services, nil)
	r.done(guard.Unmount, nil)
	r.done(guard.Demote, nil)
	r.tell(1, r.right("nfs", 8))
	hard := start.Add(r.at).Add(12450 * time.Millisecond)
	r.clear()
	r.pass(60 * second)
	for _, a := range r.did {
		if f, ok := a.(guard.Feed); ok && f.Before > hard {
			t.Fatalf("fed with a deadline of %v, beyond the hard stop %v", f.Before, hard)
		}
	}
	if len(r.ran(guard.Services)) == 0 || count[guard.Reset](r) != 1 {
		t.Errorf("the agent is silent and nothing stops its group:\n%s", r.out.String())
	}
}

func TestNewAgentHearsWhatWasStopped(t *testing.T) {
	r := stopped(t)
	r.pass(3 * second)
	r.done(guard.Services, nil)
	r.done(guard.Unmount, nil)
	r.done(guard.Demote, nil)
	r.step(guard.Lost{Conn: 1})
	r.join(2, 2)
	for _, a := range r.did {
		if w, ok := a.(guard.Welcome); ok && len(w.Down) == 1 && w.Down[0] == "nfs" {
			return
		}
	}
	t.Errorf("the new agent was not told:\n%s", r.out.String())
}

func TestSleepRaisesTheBarrierFirst(t *testing.T) {
	for name, sleep := range map[string]func(*rig){
		"suspended": func(r *rig) { r.at, r.slept = r.at+400*time.Millisecond, r.slept+400*time.Millisecond },
		"held up":   func(r *rig) { r.at += 1100 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			r := stopped(t)
			old := r.right("nfs", 4)
			sleep(r)
			acts := r.step(guard.Tick{})
			if _, ok := acts[0].(guard.Bar); !ok {
				t.Fatalf("first came %s", say(acts[0]))
			}
			r.tell(1, old)
			if count[guard.Lift](r) != 0 {
				t.Error("a right from before the pause has lifted the barrier")
			}
			r.pass(100 * time.Millisecond)
			r.tell(1, r.right("nfs", 4))
			if count[guard.Lift](r) != 1 {
				t.Error("a right from after the pause has not lifted the barrier")
			}
		})
	}
}

func TestGuardThatWasFrozenPastTheHardStopResetsAtOnce(t *testing.T) {
	r := stopped(t)
	r.at += 15 * second
	acts := r.step(guard.Tick{})
	if _, ok := acts[len(acts)-1].(guard.Reset); !ok || count[guard.Feed](r) != 0 {
		t.Errorf("got %v", acts)
	}
}

func TestNewGuardFeedsNothingBeforeItKnows(t *testing.T) {
	r := newRig(t)
	r.pass(2 * second)
	r.join(1, 7)
	r.pass(2 * second)
	if count[guard.Feed](r) != 0 {
		t.Fatal("fed, and nobody has said what runs here")
	}
	r.tell(1)
	r.pass(second)
	if count[guard.Feed](r) == 0 {
		t.Error("nothing runs here, and nothing was fed")
	}
}

// Nothing of a word that is wrong in any part is taken, and nothing makes a
// right longer but a later request.
func TestWordsThatProveNothingExtendNothing(t *testing.T) {
	longer := func(r *rig, by, sent time.Duration) guard.Right {
		x := r.right("nfs", 4)
		x.Sent, x.Soft, x.Hard, x.Dead = x.Sent.Add(sent), x.Soft.Add(by), x.Hard.Add(by), x.Dead.Add(by)
		return x
	}
	for name, word := range map[string]func(*rig) guard.Told{
		"same send time":       func(r *rig) guard.Told { return guard.Told{Rights: []guard.Right{longer(r, 9*second, 0)}} },
		"older send time":      func(r *rig) guard.Told { return guard.Told{Rights: []guard.Right{longer(r, 9*second, -second)}} },
		"send time to come":    func(r *rig) guard.Told { return guard.Told{Rights: []guard.Right{longer(r, 9*second, second)}} },
		"said in the future":   func(r *rig) guard.Told { return guard.Told{At: start.Add(r.at + second)} },
		"said before the last": func(r *rig) guard.Told { return guard.Told{At: start.Add(r.at - second)} },
		"number of the last":   func(r *rig) guard.Told { return guard.Told{Number: words} },
		"another connection":   func(r *rig) guard.Told { return guard.Told{Conn: 9} },
		"hard stop after dead": func(r *rig) guard.Told {
			x := r.right("nfs", 4)
			x.Hard = x.Dead
			return guard.Told{Rights: []guard.Right{x}}
		},
		"soft after hard": func(r *rig) guard.Told {
			x := r.right("nfs", 4)
			x.Soft = x.Hard + 1
			return guard.Told{Rights: []guard.Right{x}}
		},
		"twice":                 func(r *rig) guard.Told { x := longer(r, 0, 0); return guard.Told{Rights: []guard.Right{x, x}} },
		"a group without names": func(r *rig) guard.Told { x := r.right("", 4); return guard.Told{Rights: []guard.Right{x}} },
	} {
		t.Run(name, func(t *testing.T) {
			r := stopped(t)
			ev := word(r)
			if ev.Conn == 0 {
				ev.Conn = 1
			}
			if ev.Number == 0 {
				words++
				ev.Number = words
			}
			if ev.At == 0 {
				ev.At = start.Add(r.at)
			}
			r.step(ev)
			r.pass(12400 * time.Millisecond)
			if count[guard.Reset](r) != 0 {
				t.Fatal("reset too early")
			}
			r.pass(200 * time.Millisecond)
			if count[guard.Reset](r) != 1 {
				t.Error("the hard stop has moved")
			}
		})
	}
}

func TestShorterRightCountsWhateverItsSendTime(t *testing.T) {
	r := stopped(t)
	x := r.right("nfs", 4)
	x.Sent -= boottime.Instant(5 * second)
	x.Soft, x.Hard = x.Soft.Add(-8*second), x.Hard.Add(-8*second)
	r.tell(1, x)
	r.pass(5 * second)
	if count[guard.Reset](r) != 1 {
		t.Error("the agent has shortened its right, and the guard goes by the longer one")
	}
}

func TestOvertakenAgentIsDropped(t *testing.T) {
	r := stopped(t)
	r.join(2, 3)
	r.clear()
	r.join(3, 2)
	if count[guard.Drop](r) != 1 || count[guard.Welcome](r) != 0 {
		t.Errorf("an older incarnation was let in:\n%s", r.out.String())
	}
	words++
	r.step(guard.Told{Conn: 1, Number: words, At: start.Add(r.at)})
	r.pass(20 * second)
	if count[guard.Reset](r) != 1 {
		t.Error("an agent that was replaced could say that nothing runs")
	}
}

func TestWithoutFencingTheConnectionIsLeftAlone(t *testing.T) {
	r := newRig(t)
	own := terms
	own.CutOff = false
	r.step(guard.Joined{Conn: 1, Incarnation: 1, Terms: own})
	r.live(1, second, 4)
	r.pass(5 * second)
	if len(r.ran(guard.Cut)) != 0 || len(r.ran(guard.Services)) != 1 {
		t.Errorf("got:\n%s", r.out.String())
	}
}

func TestTwoGroupsGoDownEachByItsOwnRight(t *testing.T) {
	r := newRig(t)
	r.join(1, 1)
	a := r.right("a", 4)
	r.pass(second)
	r.tell(1, a, r.right("b", 8))
	r.pass(12*second + 500*time.Millisecond)
	if count[guard.Reset](r) != 1 || !strings.Contains(r.out.String(), "group a is not confirmed down") {
		t.Errorf("want the reset by the shorter right:\n%s", r.out.String())
	}
}

// A cut that hangs may be carried out after its group was stopped and has come again:
// DRBD looks for its peer only once it has ended, or it would be cut for good.
func TestCutUnderWayIsRememberedWhenItsGroupComesAgain(t *testing.T) {
	r := newRig(t)
	r.join(1, 1)
	r.live(1, second, 4)
	r.pass(1500 * time.Millisecond) // the agent is silent
	r.tell(1)                       // is back, and has stopped the group
	r.pass(100 * time.Millisecond)
	r.tell(1, r.right("nfs", 8))
	r.pass(100 * time.Millisecond)
	if len(r.ran(guard.Join)) > 0 {
		t.Fatalf("joined while the cut is under way:\n%s", r.out.String())
	}
	r.done(guard.Cut, nil)
	r.tell(1, r.right("nfs", 8))
	if len(r.ran(guard.Join)) != 1 {
		t.Errorf("not joined after the cut has ended:\n%s", r.out.String())
	}
}
