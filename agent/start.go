package agent

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// startBackoff is how long a node that could not start a group waits at the most
// before it asks for it again, firstBackoff how long the first time. The other node
// goes before it all the while; where that one may not have it, nobody else will.
const (
	firstBackoff = time.Second
	startBackoff = 30 * time.Second
)

// firstRepeat and lastRepeat are the pauses before a promotion is tried again that
// DRBD has refused.
const (
	firstRepeat = 250 * time.Millisecond
	lastRepeat  = 4 * time.Second
)

// attempt is a start under way.
type attempt struct {
	before boottime.Instant // its budget ends
	pause  time.Duration
	next   boottime.Instant // a promotion that was refused is tried again; 0: none was
}

// prepare starts an accepted group. Where DRBD would promote without asking the
// handler, the exclusion of the peer is obtained first.
func (m *Machine) prepare(now boottime.Instant, g *group) {
	g.excl, g.attempt = exclusion{since: now}, attempt{}
	if m.excludesFirst(g) {
		g.phase, g.wasUp, g.failed = Starting, false, ""
		g.excl.starts = true
		m.saveBoot()
		m.askExclusion(now, g)
		return
	}
	m.start(now, g)
}

// start begins to run a group under a right that has been checked.
func (m *Machine) start(now boottime.Instant, g *group) {
	g.phase, g.wasUp, g.failed = Starting, false, ""
	m.saveBoot()
	if g.attempt.before.IsZero() {
		g.attempt.before = now.Add(g.cfg.startBudget())
		m.note(g, "starting", fmt.Sprintf("epoch %d; %s", g.right.epoch, g.granted))
	}
	alone := g.granted.Cause == arbiter.ByFence || g.granted.Cause == arbiter.ByClock || g.granted.Cause == arbiter.ByOperator
	m.do(Start{Group: g.id, Epoch: g.right.epoch, Alone: alone && !m.hearsBeats(now), StandIn: g.granted.StandIn, Before: g.attempt.before})
}

// excludesFirst reports whether the peer's copy has to be excluded before DRBD is told to
// promote: it would not ask, or, where this copy stands in for one that is lost, might go
// on without an answer.
func (m *Machine) excludesFirst(g *group) bool {
	return m.needsExclusion(g) || g.granted.StandIn && g.drbd() && !g.excl.held
}

func (m *Machine) onStarted(now boottime.Instant, ev StartDone) {
	g := m.by[ev.Group]
	if g == nil || g.phase != Starting || g.right.epoch != ev.Epoch {
		return
	}
	if ev.Err != nil {
		if ev.Refused && !mutant.On(mutant.RefusedForGood) && m.repeats(now, g, ev.Err.Error()) {
			return
		}
		g.attempt = attempt{}
		m.failed(now, g, ev.Err.Error())
		g.right.failed = g.failed
		m.note(g, "start failed", fmt.Sprintf("%s; this node asks for it again in %v, if nobody else runs it then", g.failed, g.backoff.Sub(now))).Alarm = true
		m.stop(now, g, "it could not be started: "+g.failed)
		return
	}
	g.phase, g.wasUp, g.failures, g.attempt = Running, true, 0, attempt{}
	m.note(g, "running", fmt.Sprintf("epoch %d", g.right.epoch))
	m.beatAt = 0
	m.saveBoot()
}

// repeats puts off a promotion that DRBD has refused: a machine under load, a peer
// that is just being lost or found, make it refuse what it allows a moment later.
func (m *Machine) repeats(now boottime.Instant, g *group, why string) bool {
	a := &g.attempt
	first := a.pause == 0
	a.pause = min(max(2*a.pause, firstRepeat), lastRepeat)
	if a.before.Sub(now) <= a.pause {
		return false
	}
	a.next = now.Add(a.pause)
	if first {
		m.note(g, "promotion refused", fmt.Sprintf("%s; it is tried again for %v", why, a.before.Sub(now)))
	}
	return true
}

// startAgain tries a refused promotion once more. What DRBD has recorded meanwhile
// may let it promote without asking the handler.
func (m *Machine) startAgain(now boottime.Instant, g *group) {
	if g.attempt.next.IsZero() || now < g.attempt.next {
		return
	}
	g.attempt.next = 0
	switch {
	case g.phase != Starting:
	case m.excludesFirst(g):
		g.excl.starts, g.excl.since = true, now
		if g.excl.call == nil {
			m.askExclusion(now, g)
		}
	default:
		m.start(now, g)
	}
}

// failed notes why g could not be started, and leaves it to the other node for a
// while, which is longer each time.
func (m *Machine) failed(now boottime.Instant, g *group, why string) {
	pause := startBackoff
	if doubled := firstBackoff << g.failures; g.failures < 5 && doubled < startBackoff {
		pause = doubled
	}
	g.failures++
	g.failed, g.backoff = why, now.Add(pause)
}
