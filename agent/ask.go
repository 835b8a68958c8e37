package agent

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// slowAsk is the pace of asking where only an operator or a resynchronisation
// can change the answer.
const slowAsk = time.Second

// bid is an open ask for a group: stored before it is sent, and until it is
// finally answered. While it is open this node promises nothing.
type bid struct {
	call *call
	next boottime.Instant
	last arbiter.Reason
}

// wants reports whether this node would take g, whoever has it now.
func (m *Machine) wants(now boottime.Instant, g *group) bool {
	return m.leaving == "" && m.spoken && g.phase == Stopped && g.release == nil && (g.outdate == nil || g.outdate.done) &&
		!m.standby && now >= g.backoff && m.knowsDisks(g) && !m.meeting(now, g)
}

// shouldAsk reports whether there is a reason to ask now: nobody holds g, this
// node does, or its holder is silent to this node and to the witness.
func (m *Machine) shouldAsk(now boottime.Instant, g *group) bool {
	if !m.wants(now, g) || !m.witnessNear(now) || g.answerAt != m.answered || m.hearsInOffice(now, g) || g.answer.Reason == arbiter.WitnessLearning {
		return false
	}
	switch a := g.answer; a.Holder {
	case "":
		return a.MoveTo == "" || a.MoveTo == m.cfg.Node
	case m.cfg.Node:
		return true
	default:
		return !m.hearsBeats(now) && !m.witnessed.Heard
	}
}

// ask opens, repeats or closes the bid for g.
func (m *Machine) ask(now boottime.Instant, g *group) {
	if g.bid != nil && (g.bid.call != nil || m.shot != nil && m.shot.group == g && m.shot.step != reading) {
		return
	}
	switch {
	case !m.shouldAsk(now, g):
		m.closeBid(g)
	case g.bid == nil:
		g.bid = &bid{}
		m.mem.Asking[g.id], m.dirty = true, true
		m.acquire(now, g)
	case now >= g.bid.next:
		m.acquire(now, g)
	}
}

func (m *Machine) closeBid(g *group) {
	if g.bid == nil {
		return
	}
	g.bid = nil
	delete(m.mem.Asking, g.id)
	m.dirty = true
}

func (m *Machine) acquire(now boottime.Instant, g *group) {
	g.bid.call = m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.Acquire{Seen: m.mem.Seen, Acquire: arbiter.Acquire{
				Caller: m.caller(id), Group: g.id, Evidence: m.evidence(now, g),
			}}
		},
		done: func(now boottime.Instant, c *call, v arbiter.Verdict) { m.onBid(now, g, c, v) },
	})
}

func (m *Machine) onBid(now boottime.Instant, g *group, c *call, v arbiter.Verdict) {
	if g.bid == nil {
		g.bid = &bid{}
	}
	b := g.bid
	b.call, b.next = nil, now.Add(m.timing.Renew)
	switch v.Kind {
	case arbiter.Granted:
		b.last = "" // one that says nothing about now is asked again
		m.onGrant(now, g, c, v)
	case arbiter.FenceFirst:
		m.fenceFirst(g, v)
	default:
		if v.Reason != b.last {
			m.note(g, "not granted", v.Sentence)
		}
		b.last = v.Reason
		m.witnessShoots(now, v)
		if !transient(v.Reason) {
			b.next = now.Add(slowAsk)
		}
	}
}

func transient(r arbiter.Reason) bool {
	switch r {
	case arbiter.HeldByPeer, arbiter.MandateUnderWay, arbiter.GateClosed, arbiter.PeerPreferred, arbiter.SwitchUnderWay,
		arbiter.Overtaken, arbiter.NotIntroduced, arbiter.WitnessLearning, arbiter.IsIsolated, arbiter.TargetAlive:
		return true
	}
	return false
}

// onGrant takes a grant, if nothing this node has said speaks against it.
func (m *Machine) onGrant(now boottime.Instant, g *group, c *call, v arbiter.Verdict) {
	if v.Repeated && !mutant.On(mutant.VerdictFromResend) || g.phase != Stopped {
		return // it says nothing about now: the next ask does
	}
	m.remember(g, func(gm *GroupMemory) {
		if v.Epoch >= gm.Epoch {
			gm.Holder, gm.Epoch, gm.GivenBack = m.cfg.Node, v.Epoch, false
		}
	})
	g.right = right{epoch: v.Epoch, since: now, sent: c.sentAt, lease: c.sentAt.Add(m.timing.TTL)}
	g.granted = v.Basis
	m.closeBid(g)
	why := m.objection(now, g, v.Basis)
	if why == "" && now >= m.softStop(g) {
		why = "the answer came too late to be used"
	}
	if why != "" {
		m.note(g, "grant given back", why)
		m.giveBack(now, g, why)
		return
	}
	m.note(g, "granted", v.Sentence)
	m.prepare(now, g)
}

// objection says why a grant with this basis must not be accepted: a promise
// binds against everything that rests on a clock.
func (m *Machine) objection(now boottime.Instant, g *group, b arbiter.Basis) string {
	gm := m.mem.Groups[g.id]
	switch {
	case gm.OwnWord != 0 && !b.StandIn:
		return "this node has recorded that its copy is stale"
	case m.leaving != "":
		return m.leaving
	case concluded(b.Cause) && m.peerInOffice() != "" && !mutant.On(mutant.GoneThoughHeard):
		g.backoff = now.Add(m.timing.SuspectAfter)
		return fmt.Sprintf("%s counts as gone, and it is heard and says that it runs %s", m.cfg.Peer, m.peerInOffice())
	}
	if !m.bound(now, g) || b.Cause == arbiter.ByNothing {
		return ""
	}
	if m.overcomes(g, b) || mutant.On(mutant.BasisIgnored) {
		return ""
	}
	g.backoff = m.boundUntil(g)
	return fmt.Sprintf("it rests on %q, and this node's promise to %s still runs", b.Cause, m.cfg.Peer)
}

// concluded reports whether somebody else has said of a lease's holder that it is gone.
func concluded(c arbiter.Cause) bool {
	return c == arbiter.ByFence || c == arbiter.ByClock || c == arbiter.ByOperator
}

// overcomes reports whether b rests on something that came after this node's
// promise: a shot begun after it, or the promisee's later word that it runs
// nothing. What was promised before this agent's start is in its memory.
func (m *Machine) overcomes(g *group, b arbiter.Basis) bool {
	gm := m.mem.Groups[g.id]
	switch {
	case b.Holder == m.cfg.Peer && b.Epoch < g.promised.epoch:
		return false
	case b.Cause == arbiter.ByFence:
		return b.Mandate > g.promised.mandate
	case b.Cause == arbiter.ByBoot:
		return b.Holder != m.cfg.Peer || b.Epoch > gm.Reinstated || mutant.On(mutant.RebootOvercomes)
	}
	return b.Cause == arbiter.ByReceipt
}
