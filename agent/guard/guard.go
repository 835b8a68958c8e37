// Package guard decides what becomes of a node's groups when its agent does not
// speak any more: when their addresses are blocked, when DRBD's connection is
// cut, when services are stopped, when the machine is reset, and until then
// whether the watchdog is fed. It trusts the agent with the numbers of a right
// and with nothing else: everything goes by those deadlines, and no step waits
// for the success of the one before.
//
// It decides only. [Guard.Step] is told the time and what happened and returns
// what has to be done, in order; the caller steps it at least every 50 ms, never
// waits for what it carries out, and feeds nothing that it was not told to feed.
package guard

import (
	"fmt"
	"time"

	"sbarbiter/internal/boottime"
)

// Clock is one look at two clocks. Boot counts on while the machine is
// suspended, Mono stands still: what lies between them is lost time.
type Clock struct {
	Boot boottime.Instant
	Mono time.Duration
}

// GroupID names a group.
type GroupID string

// ConnID names one connection of an agent.
type ConnID uint64

// Terms are what an agent and its guard agree on.
type Terms struct {
	Renew    time.Duration // between two words of the agent, and between two feeds
	Silence  time.Duration // after so long without a word clients are turned away
	Gap      time.Duration // a pause of the guard's own from which on it distrusts what it knows
	Watchdog time.Duration // from a feed to the reset; 0: nothing is armed
	// CutOff: after that silence DRBD's connection is cut too, because the peer
	// has a way to prove this machine off.
	CutOff bool
}

// Right is the permission to run a group, as numbers of this machine's clock.
// They were counted from Sent, before the request left that was answered with
// it.
type Right struct {
	Group GroupID
	Epoch uint64
	Sent  boottime.Instant
	Soft  boottime.Instant // services are stopped from here on
	Hard  boottime.Instant // not down by then: reset
	Dead  boottime.Instant // somebody else may run it
}

// settleWithin is how soon after a failed round the steps are tried again.
const settleWithin = 200 * time.Millisecond

// stride is the most that one step adds to a silence: who was held up longer was
// so together with the agent, which could not speak either.
const stride = 100 * time.Millisecond

// drift is by how much the two clocks may disagree between two steps before the
// machine counts as suspended.
const drift = 100 * time.Millisecond

// Guard is the state of one guard. It belongs to one goroutine.
type Guard struct {
	terms   Terms
	groups  []*group // in the order in which they were handed over
	agent   agent
	last    Clock
	fedAt   boottime.Instant
	orders  uint64
	dead    bool // a reset was ordered
	actions []Action
}

// agent is what is known of the one agent that counts.
type agent struct {
	conn        ConnID // 0: none
	incarnation uint64
	number      uint64           // of its latest word
	told        bool             // what runs here is known, by this one's word or an earlier one's
	spoke       boottime.Instant // when its latest word was said
	quiet       time.Duration    // since a word was heard, as the guard has lived it
	away        time.Duration    // the same since a word or the coming of an agent
	left        bool             // it ended on purpose, its groups go on
	dead        bool             // it ended, and nobody starts it again
}

// group is one that may be running here.
type group struct {
	Right
	barredAt boottime.Instant // 0: open
	swept    bool             // what an earlier guard may have left blocked is open again
	cutAt    boottime.Instant // DRBD's connection was cut; 0: not
	cutting  uint64           // the order by which it is being cut; 0: none
	againAt  boottime.Instant // the cut is repeated from here on
	joinAt   boottime.Instant // it is looked for again from here on
	joining  uint64           // the order by which it is
	gone     bool             // the agent says that it runs here no more
	stop     stop
}

// New returns a guard that knows of no agent and feeds nothing. cut are the groups
// whose DRBD connection an earlier guard has cut and not mended.
func New(now Clock, cut ...GroupID) *Guard {
	g := &Guard{last: now}
	for _, id := range cut {
		g.groups = append(g.groups, &group{Right: Right{Group: id}, cutAt: now.Boot, gone: true})
	}
	return g
}

// Step takes an event and returns what has to be done, in order.
func (g *Guard) Step(now Clock, ev Event) []Action {
	if g.dead {
		return nil
	}
	g.wake(now)
	g.handle(now.Boot, ev)
	for _, gr := range g.groups {
		g.watch(now.Boot, gr)
	}
	g.feed(now.Boot)
	out := g.actions
	g.actions = nil
	return out
}

// Running reports whether a group may be running here.
func (g *Guard) Running() bool {
	for _, gr := range g.groups {
		if gr.hot() {
			return true
		}
	}
	return false
}

// wake notices that the guard itself was held up, or that the machine slept:
// before anything else clients are turned away.
func (g *Guard) wake(now Clock) {
	gap := now.Boot.Sub(g.last.Boot)
	slept := gap - (now.Mono - g.last.Mono)
	g.last = now
	g.agent.quiet += min(gap, stride)
	g.agent.away += min(gap, stride)
	var why string
	switch {
	case slept > drift:
		why = fmt.Sprintf("this machine slept for %v", slept.Round(time.Millisecond))
	case g.terms.Gap > 0 && gap > g.terms.Gap:
		why = fmt.Sprintf("the guard was held up for %v", gap.Round(time.Millisecond))
	default:
		return
	}
	for _, gr := range g.groups {
		if gr.hot() {
			g.bar(now.Boot, gr)
		}
	}
	g.note("", "was stopped", why+"; groups are blocked until their right is confirmed")
}

func (g *Guard) do(a Action) { g.actions = append(g.actions, a) }

func (g *Guard) note(id GroupID, what, why string) { g.do(Note{id, what, why}) }

func (g *Guard) alarm(id GroupID, what, why string) { g.do(Alarm{id, what, why}) }

func (gr *group) hot() bool { return !gr.gone && !gr.stop.down }

// reset ends everything.
func (g *Guard) reset(why string) {
	g.dead = true
	g.do(Reset{why})
}

// silent reports whether no agent has said anything for longer than it may take.
func (g *Guard) silent() bool { return g.agent.quiet > g.terms.Silence }

// absent reports whether the agent is taken to be lost: from then on the peer
// must not hear this machine either. One that ended and may be started again is
// waited for, until the soft stop.
func (g *Guard) absent() bool {
	return (g.agent.conn != 0 || g.agent.dead) && g.agent.away > g.terms.Silence
}

// watch does what time makes due for one group.
func (g *Guard) watch(now boottime.Instant, gr *group) {
	switch {
	case g.dead:
		return
	case gr.hot() && now >= gr.Hard:
		g.reset(fmt.Sprintf("group %s is not confirmed down and its right under epoch %d ends in %v", gr.Group, gr.Epoch, gr.Dead.Sub(now)))
		return
	case gr.hot() && g.absent():
		g.seclude(now, gr)
	}
	if gr.hot() && now >= gr.Soft && g.silent() {
		g.begin(now, gr)
	}
	g.climb(now, gr)
	g.join(now, gr)
}

// seclude turns clients away and makes the peer hear nothing of a machine whose
// agent says nothing. DRBD freezes the writes in the step in which it loses the
// peer, so that nothing is acknowledged here that a new holder would not have.
func (g *Guard) seclude(now boottime.Instant, gr *group) {
	if gr.barredAt.IsZero() {
		g.alarm(gr.Group, "agent silent", fmt.Sprintf("nothing was heard of it for %v; clients are turned away", g.agent.away.Round(time.Millisecond)))
		g.bar(now, gr)
	}
	if g.terms.CutOff && (gr.cutAt.IsZero() || gr.cutting == 0 && now >= gr.againAt) {
		gr.cutAt, gr.againAt = now, gr.Hard
		gr.cutting = g.run(gr, Cut, gr.Hard)
	}
}

func (g *Guard) bar(now boottime.Instant, gr *group) {
	gr.barredAt = now
	g.do(Bar{gr.Group})
}

// join lets DRBD look for the peer again, once the cut has ended and the agent has
// confirmed its right after it or has stopped the group.
func (g *Guard) join(now boottime.Instant, gr *group) {
	if gr.cutAt.IsZero() || gr.cutting != 0 || g.silent() || g.agent.conn == 0 || !g.agent.told || now < gr.joinAt || !gr.gone && gr.Sent < gr.cutAt {
		return
	}
	gr.joinAt = now.Add(joinWithin)
	gr.joining = g.run(gr, Join, gr.joinAt)
}

// joinWithin bounds one attempt to look for the peer again.
const joinWithin = 10 * time.Second

// feed has the watchdog fed while it is known what runs here and all of it has a
// right.
func (g *Guard) feed(now boottime.Instant) {
	if g.dead || g.terms.Watchdog == 0 || !g.agent.told || now.Sub(g.fedAt) < g.terms.Renew {
		return
	}
	before := now.Add(g.terms.Watchdog)
	for _, gr := range g.groups {
		if gr.hot() {
			before = min(before, gr.Hard)
		}
	}
	g.fedAt = now
	g.do(Feed{before})
}
