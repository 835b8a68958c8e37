package agent

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// How soon an agent introduces itself again: where the answer was lost or will
// be another one in a moment, and where somebody has to do something first.
const (
	helloSoon  = 500 * time.Millisecond
	helloLater = 2 * time.Second
)

func (m *Machine) onWitness(now boottime.Instant, ev Event) {
	switch ev := ev.(type) {
	case SessionUp:
		m.session, m.spoken, m.helloAt = true, false, 0
	case SessionDown:
		if m.session {
			m.note(nil, "witness lost", ev.Why)
		}
		m.session = false
	case Welcomed:
		m.onWelcome(now, ev)
	case Answered:
		m.onAnswer(now, ev)
	case Nudged:
		m.beatAt = 0
	}
}

// hello introduces this life of the agent on a new session.
func (m *Machine) hello(now boottime.Instant) {
	if !m.session || m.spoken || now < m.helloAt || m.clearing() {
		return
	}
	m.helloAt = now.Add(helloSoon)
	report := arbiter.Report{Fresh: m.mem.Fresh, Since: m.started, Groups: map[arbiter.GroupID]arbiter.GroupReport{}, Mandates: m.mem.Mandates}
	for _, g := range m.groups {
		gm := m.mem.Groups[g.id]
		report.Groups[g.id] = arbiter.GroupReport{
			Holder: gm.Holder, Epoch: gm.Epoch, Runs: g.hot() && g.right.epoch == gm.Epoch,
			Excluded: gm.Excluded, OwnWord: gm.OwnWord, Obtained: gm.Obtained, Pending: gm.Pending,
		}
	}
	m.do(Hello{leader.Hello{Sender: leader.Sender{Caller: m.caller(0), Seen: m.mem.Seen}, Report: report}})
}

// clearing reports whether something that was found running without a right is
// not confirmed down yet: a report now would say that nothing runs here.
func (m *Machine) clearing() bool {
	return slices.ContainsFunc(m.groups, func(g *group) bool { return g.hot() && g.right.epoch == 0 })
}

func (m *Machine) onWelcome(now boottime.Instant, ev Welcomed) {
	if ev.Version.Incarnation < m.mem.Seen.Incarnation {
		return
	}
	if !ev.Verdict.OK() {
		m.spoken = false
		if r := ev.Verdict.Reason; r != arbiter.WitnessBehind && r != arbiter.NotIntroduced {
			m.helloAt = now.Add(helloLater)
		}
		if m.turnedAway != ev.Verdict.Reason {
			m.turnedAway = ev.Verdict.Reason
			m.note(nil, "witness refuses", ev.Verdict.Sentence).Alarm = ev.Verdict.Reason != arbiter.NotIntroduced
		}
		return
	}
	if i := ev.Verdict.Incarnation; i > m.cfg.Incarnation {
		m.cfg.Incarnation = i
		m.do(Adopt{i})
		m.giveWordsAnew()
	}
	if !m.spoken {
		m.note(nil, "witness found", ev.Verdict.Sentence)
	}
	m.see(ev.Version)
	m.spoken, m.beatAt, m.turnedAway, m.mem.Fresh = true, 0, "", false
	// Whatever an earlier life of this agent asked can no longer be granted.
	m.mem.Asking, m.dirty = map[arbiter.GroupID]bool{}, true
	for _, g := range m.groups {
		if g.bid != nil {
			m.mem.Asking[g.id] = true
		}
	}
	if !m.cleared {
		m.cleared = true
		m.saveBoot()
	}
}

// beat renews the leases of all groups and says what this node sees.
func (m *Machine) beat(now boottime.Instant) {
	if !m.session || !m.spoken || now.Sub(m.beatAt) < m.timing.Renew {
		return
	}
	m.beatAt = pace(m.beatAt, now, m.timing.Renew)
	m.beats++
	m.beatSent.note(m.beats, now)
	b := leader.Beat{
		Sender: leader.Sender{Caller: m.caller(0), Seen: m.mem.Seen},
		Number: m.beats, Links: m.links, References: m.references(), Needed: m.cfg.Needed,
		Groups: make([]leader.GroupBeat, 0, len(m.groups)),
	}
	for _, g := range m.groups {
		gb := leader.GroupBeat{
			Group: g.id, Phase: m.phaseFor(g), Running: g.phase == Running, Wants: m.wants(now, g),
			Evidence: m.evidence(now, g), Services: g.services, Parted: m.parted(g) || g.split != "" || g.sole, Split: g.split != "" || g.sole, Idle: g.tenured.idle, Carrying: g.carrying(),
		}
		if g.hot() {
			gb.Epoch = g.right.epoch
		}
		b.Groups = append(b.Groups, gb)
	}
	m.do(Beat{Beat: b, Clock: now})
}

func (m *Machine) phaseFor(g *group) string {
	switch {
	case m.shot != nil && m.shot.group == g:
		return "fencing"
	case g.failed != "" && g.phase == Stopped:
		return "failed"
	}
	return string(g.phase)
}

// evidence is what this node knows about a group now.
func (m *Machine) evidence(now boottime.Instant, g *group) arbiter.Evidence {
	ev := arbiter.Evidence{
		References: m.references(), Needed: m.cfg.Needed,
		HearsPeer: m.hearsPeer(now), OwnWord: m.mem.Groups[g.id].OwnWord,
		Promising: m.bound(now, g), Failed: g.failed != "", Watchdog: m.cfg.Watchdog,
	}
	if m.hearsBeats(now) {
		ev.PeerReaches = m.peer.beat.References
	}
	if m.knowsDisks(g) {
		ev.Disks = m.disksOf(g)
	}
	return ev
}

// disksOf returns what is known of all volumes of g. Nobody changes it.
func (m *Machine) disksOf(g *group) []arbiter.Disk {
	if len(g.cfg.Resources) == 1 {
		return m.disk(g.cfg.Resources[0]).Disks
	}
	var out []arbiter.Disk
	for _, r := range g.cfg.Resources {
		out = append(out, m.disk(r).Disks...)
	}
	return out
}

func (m *Machine) knowsDisks(g *group) bool {
	for _, r := range g.cfg.Resources {
		if s := m.disk(r); !s.Known || len(s.Disks) == 0 {
			return false
		}
	}
	return true
}

// onAnswer takes a witness's answer to a beat. What it renews counts from before
// the beat left.
func (m *Machine) onAnswer(now boottime.Instant, ev Answered) {
	sent, ok := m.beatSent.of(ev.Answer.Number)
	if !ok || ev.Version.Incarnation < m.mem.Seen.Incarnation && !mutant.On(mutant.OldIncarnationHeard) {
		return
	}
	m.see(ev.Version)
	if sent < m.answered {
		return
	}
	if v := ev.Version; v.Incarnation != m.rateOf.Incarnation || v.Starts != m.rateOf.Starts {
		m.witnessRate, m.rateOf = rate{}, v // another leadership, perhaps on another host
	}
	m.compare(sent, now, ev.Clock, &m.witnessRate, "the witness")
	m.answered = sent
	if d := ev.Answer.Definition; d != nil {
		m.agree(d.Timing)
	}
	m.witnessed, m.standby = ev.Answer.Peer, ev.Answer.Standby
	if ev.Answer.Rehearse != 0 {
		m.rehearse(ev.Answer.Rehearse)
	}
	for _, a := range ev.Answer.Groups {
		if g := m.by[a.Group]; g != nil {
			m.onGroupAnswer(now, g, a, sent)
		}
	}
}

func (m *Machine) onGroupAnswer(now boottime.Instant, g *group, a leader.GroupAnswer, sent boottime.Instant) {
	if was := g.answer.Peer; was.Number != a.Peer.Number || was.OwnWord != a.Peer.OwnWord {
		g.peerOutAt = now
	}
	m.dateLives(g, a)
	g.answer, g.answerAt = a, sent
	m.learnHolder(g, a.Holder, a.Epoch)
	m.learnExclusions(g, a)
	m.onTask(g, a.Task)
	if g.right.epoch == 0 || !g.hot() {
		return
	}
	switch {
	case a.Renewed == g.right.epoch:
		m.renewed(now, g, sent)
	case sent < g.right.since: // it is about an earlier right
	case a.Reason == arbiter.NotHolder || a.Reason == arbiter.GrantedToPeer || a.Reason == arbiter.MandateBegun:
		if g.right.refused == "" {
			m.note(g, "not renewed", a.Sentence)
		}
		g.right.refused = a.Sentence
	}
	if a.MoveTo == m.cfg.Peer && g.phase == Running {
		m.stop(now, g, "planned switchover to "+string(m.cfg.Peer))
	}
}

func (m *Machine) renewed(now boottime.Instant, g *group, sent boottime.Instant) {
	g.right.refused = ""
	if until := mutant.Weak(mutant.LeaseFromReply, sent, now).Add(m.timing.TTL); until > g.right.lease {
		g.right.lease, g.right.sent = until, max(g.right.sent, sent)
		m.saveBoot()
	}
	m.confirmed(now, g, sent)
	if g.excl.renewing {
		g.excl.renewing = false
		m.askExclusion(now, g)
	}
}

// confirmed lifts the barrier once a right was confirmed by something sent after
// the gap that raised it.
func (m *Machine) confirmed(now boottime.Instant, g *group, sent boottime.Instant) {
	if g.barred && g.phase == Running && sent >= m.gapAt && now < m.softStop(g) {
		g.barred = false
		m.do(Lift{g.id})
		m.note(g, "unblocked", fmt.Sprintf("the right under epoch %d is confirmed", g.right.epoch))
	}
}

// learnHolder remembers who holds a group; older news changes nothing.
func (m *Machine) learnHolder(g *group, holder arbiter.NodeID, epoch arbiter.Epoch) {
	if holder == "" || epoch <= m.mem.Groups[g.id].Epoch {
		return
	}
	m.remember(g, func(gm *GroupMemory) { gm.Holder, gm.Epoch, gm.GivenBack = holder, epoch, false })
}

// witnessNear reports whether a witness has answered a moment ago.
func (m *Machine) witnessNear(now boottime.Instant) bool {
	return m.session && m.spoken && !m.answered.IsZero() && now.Sub(m.answered) < m.timing.SuspectAfter
}

// agree takes the durations that the witness goes by: what this node counts must
// never be longer. Zero: the answer does not say.
func (m *Machine) agree(t arbiter.Timing) {
	if t.TTL == 0 {
		return
	}
	own := m.cfg.Timing
	m.timing.TTL, m.timing.FenceTimeout = min(own.TTL, t.TTL), min(own.FenceTimeout, t.FenceTimeout)
	differs := own.TTL != t.TTL || own.Promise != t.Promise
	if own.FenceTimeout > t.FenceTimeout && m.cfg.CanFence && !m.hasty {
		m.note(nil, "shots cut short", fmt.Sprintf("this node's fence devices may take %v, the cluster file gives a shot %v; raise fence_timeout there",
			own.FenceTimeout, t.FenceTimeout)).Alarm = true
	}
	m.hasty = own.FenceTimeout > t.FenceTimeout
	if differs && !m.disagrees {
		m.note(nil, "timing differs", fmt.Sprintf("the witness goes by ttl %v and promise %v, this node's file by %v and %v; "+
			"the shorter ttl counts; make cluster file and node file alike", t.TTL, t.Promise, own.TTL, own.Promise)).Alarm = true
	}
	m.disagrees = differs
}
