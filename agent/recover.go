package agent

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

const (
	// carryAgain is when a step that is not through is looked at again, and when one
	// that has failed is tried again.
	carryAgain, carryLater = 250 * time.Millisecond, 2 * time.Second
	// unluckyFor is how often in a row the copying may fail before it is said: what is
	// seen of DRBD while two nodes meet is often over before it is told.
	unluckyFor = 5
	// mostSaid bounds what is told of a failure.
	mostSaid = 1000
)

// errand is what a recovery wants of this node, as far as it has come.
type errand struct {
	task     arbiter.Task
	unfit    error // why it is not done, whatever happens
	busy     bool  // the hands are at it
	over     bool  // the witness knows
	next     boottime.Instant
	report   *call
	told     string // the failure that was reported last
	unlucky  int
	progress leader.Carrying
}

// same reports whether the task is the one under way.
func (e *errand) same(t *arbiter.Task) bool {
	u := e.task
	return u.Recovery == t.Recovery && u.Round == t.Round && u.Tries == t.Tries && u.Attempt == t.Attempt && u.Step == t.Step
}

// step is the step of the plan that the errand is about.
func (e *errand) step() recovery.Step { return e.task.Plan.Steps[e.task.Step] }

// endless reports whether the hands are at what may take hours: copying a volume away.
// Nobody waits for that once the recovery is over, and the next one would.
func (e *errand) endless() bool {
	return e.busy && e.task.Round == 0 && e.step().Kind == recovery.Snapshot
}

// onTask takes what a recovery wants of this node.
func (m *Machine) onTask(g *group, t *arbiter.Task) {
	if e := g.errand; e != nil && e.endless() && (t == nil || t.Recovery != e.task.Recovery) {
		m.do(BreakOff{g.id})
	}
	switch {
	case t == nil:
		g.errand = nil
	case g.errand == nil || !g.errand.same(t):
		e := &errand{task: *t, unfit: mutant.Weak(mutant.PlanUnread, t.Check(), nil)}
		g.errand = e
		m.follows(g, mutant.Weak(mutant.LeftAlone, m.bringsTogether(e), false))
		if t.Round == 0 && e.unfit == nil {
			e.progress = leader.Carrying{Recovery: t.Recovery, Step: t.Step}
			m.note(g, "recovery", fmt.Sprintf("%s, step %d of %d: %s", t.Recovery, t.Step+1, len(t.Plan.Steps), e.step()))
		}
	}
}

// bringsTogether reports whether this node, whose copy is given up, looks after the
// resync. It may part the two a moment before it is told that the resync is over, to give
// the flag anew, and die in that moment: nothing of the recovery connects them then.
func (m *Machine) bringsTogether(e *errand) bool {
	return e.task.Round == 0 && e.unfit == nil && e.step().Kind == recovery.FollowResync && arbiter.NodeID(e.task.Plan.Victim) == m.cfg.Node
}

// follows remembers, for as long as the machine runs, whether this copy's resync was
// looked after last.
func (m *Machine) follows(g *group, follows bool) {
	if g.followed != follows {
		g.followed = follows
		m.saveBoot()
	}
}

// recover does what a recovery wants, one thing at a time, and only while the
// witness is near that says so: it may have been called off.
func (m *Machine) recover(now boottime.Instant, g *group) {
	e := g.errand
	if e == nil || e.over || e.busy || e.report != nil || now < e.next || !m.witnessNear(now) {
		return
	}
	switch {
	case e.task.Round != 0:
		e.busy = true
		m.do(Measure{Group: g.id, Task: e.task})
		return
	case e.unfit != nil:
		m.refuseErrand(now, g, e)
		return
	}
	if m.doubtsVictim(g, e) {
		e.next = now.Add(carryLater)
		return
	}
	if e.step().Kind == recovery.StopServices {
		if g.hot() {
			m.stop(now, g, fmt.Sprintf("recovery %s gives this node's copy up", e.task.Recovery))
			return
		}
		if g.release != nil {
			return // the receipt first: a step is not done under a lease
		}
	}
	e.busy = true
	g.carries++
	m.do(Carry{Group: g.id, Task: e.task, Steps: e.task.Steps(m.cfg.Node)})
}

// refuseErrand says once that a task cannot be right. Nothing of it is done.
func (m *Machine) refuseErrand(now boottime.Instant, g *group, e *errand) {
	if e.next = now.Add(carryLater); e.told != "" {
		return
	}
	e.told = cut(e.unfit.Error())
	m.note(g, "recovery refused", e.told).Alarm = true
	m.reportStep(now, g, e, e.told, false)
}

// doubtsVictim has the copy that is given up declared bad as a whole where it must
// not be believed, before DRBD is let copy over it by bitmaps. See doubt. What is not
// known yet of the disks of a machine that has just started is waited for.
func (m *Machine) doubtsVictim(g *group, e *errand) bool {
	p := e.task.Plan
	switch {
	case arbiter.NodeID(p.Victim) != m.cfg.Node || e.task.Step < p.NoReturn():
		return false
	case !g.joined && !m.disksKnown(g) && !mutant.On(mutant.VictimUnknown):
		return true
	}
	return (!g.joined || m.mem.Groups[g.id].Spoilt && m.parted(g)) && m.doubt(g, givenUp)
}

// disksKnown reports whether DRBD has told of all the group's resources.
func (m *Machine) disksKnown(g *group) bool {
	return !slices.ContainsFunc(g.cfg.Resources, func(r string) bool { return !m.disk(r).Known })
}

// onSide reports what was measured, with when this node was Primary.
func (m *Machine) onSide(now boottime.Instant, ev SideMeasured) {
	g := m.by[ev.Group]
	if g == nil || g.errand == nil || !g.errand.same(&ev.Task) {
		return
	}
	e := g.errand
	e.busy = false
	side := ev.Side
	side.Node, side.Missing = recovery.Node(m.cfg.Node), cut(side.Missing)
	side.Tenures = append([]recovery.Tenure(nil), m.mem.Tenures[g.id]...)
	side.Distrusted = m.mem.Groups[g.id].Spoilt
	m.reportErrand(now, g, e, func(c arbiter.Caller) leader.Message {
		return leader.Measured{Seen: m.mem.Seen, Measured: arbiter.Measured{
			Caller: c, Group: g.id, Recovery: e.task.Recovery, Round: e.task.Round, Side: side,
		}}
	})
}

// onCarried reports a step that is done, or that does not work.
func (m *Machine) onCarried(now boottime.Instant, ev Carried) {
	g := m.by[ev.Group]
	if g != nil {
		g.carries--
	}
	if g == nil || g.errand == nil || !g.errand.same(&ev.Task) {
		return
	}
	e := g.errand
	e.busy = false
	follows := e.step().Kind == recovery.FollowResync
	if ev.Err != nil {
		m.carryFailed(now, g, e, cut(ev.Err.Error()), ev.Unkept)
		return
	}
	e.unlucky = 0
	e.progress.Note, e.progress.Left, e.progress.Total = cut(ev.Note), ev.Left, ev.Total
	ready := ev.Ready && !follows || ev.Done
	if !ready || arbiter.NodeID(e.step().Node) != m.cfg.Node {
		e.next = now.Add(carryAgain)
		return
	}
	m.reportStep(now, g, e, "", false)
}

func (m *Machine) carryFailed(now boottime.Instant, g *group, e *errand, why string, unkept bool) {
	e.unlucky++
	e.next, e.progress.Note = now.Add(carryLater), why
	if e.step().Kind == recovery.FollowResync {
		e.next = now.Add(carryAgain)
		if e.unlucky < unluckyFor {
			return
		}
		e.unlucky, e.told = 0, ""
	}
	if why == e.told {
		return
	}
	e.told = why
	m.note(g, "recovery step failed", fmt.Sprintf("%s: %s", e.step(), why)).Alarm = true
	m.reportStep(now, g, e, why, unkept)
}

func (m *Machine) reportStep(now boottime.Instant, g *group, e *errand, failure string, unkept bool) {
	m.reportErrand(now, g, e, func(c arbiter.Caller) leader.Message {
		t := e.task
		return leader.StepDone{Seen: m.mem.Seen, StepDone: arbiter.StepDone{
			Caller: c, Group: g.id, Recovery: t.Recovery, Tries: t.Tries, Attempt: t.Attempt, Step: t.Step, Note: e.progress.Note, Failure: failure, Unkept: unkept,
		}}
	})
	if failure != "" {
		e.report.done = func(boottime.Instant, *call, arbiter.Verdict) { e.report = nil } // it is tried again
	}
}

// reportErrand tells the witness. What it does not take is done again: every step
// asks whether it is done already.
func (m *Machine) reportErrand(now boottime.Instant, g *group, e *errand, message func(arbiter.Caller) leader.Message) {
	e.report = m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message { return message(m.caller(id)) },
		done: func(now boottime.Instant, _ *call, v arbiter.Verdict) {
			e.report = nil
			if v.OK() {
				e.over, m.beatAt = true, 0
				return
			}
			e.next = now.Add(carryLater)
			if v.Reason != arbiter.RecoveryOver {
				m.note(g, "recovery waits", v.Sentence)
			}
		},
		unknown: func(now boottime.Instant) bool {
			if g.errand == e {
				return true
			}
			e.report = nil
			return false
		},
	})
}

// parted reports whether DRBD was let look for the peer and has given up, as it
// does when it finds that the two have split.
func (m *Machine) parted(g *group) bool {
	alone := false
	for _, r := range g.cfg.Resources {
		alone = alone || m.disk(r).Known && m.disk(r).Alone
	}
	return g.joined && alone
}

// onSplit passes on that DRBD has found a split brain: the recovery need not wait until
// its handlers are through and it says StandAlone.
func (m *Machine) onSplit(ev SplitSeen) {
	if g := m.groupOf(ev.Resource); g != nil && g.joined {
		g.split, m.beatAt = ev.Resource, 0
	}
}

// carrying is how far the step under way is, nil without one.
func (g *group) carrying() *leader.Carrying {
	if g.errand == nil || g.errand.task.Round != 0 {
		return nil
	}
	c := g.errand.progress
	return &c
}

// cut keeps what is told of a failure short.
func cut(s string) string {
	if len(s) <= mostSaid {
		return s
	}
	return s[:mostSaid] + "..."
}
