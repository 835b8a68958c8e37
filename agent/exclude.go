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

// askAgain is the pace of asking for an exclusion that nobody waits for.
const askAgain = time.Second

// thawWithin is how long writes may be frozen while nobody asks.
const thawWithin = 10 * time.Second

// exclusion is the state of excluding the peer's copy of a group.
type exclusion struct {
	held     bool             // obtained under this epoch, and never in step since
	at       boottime.Instant // obtained
	waiting  []CallID         // fence-peer calls
	since    boottime.Instant // the first of them
	call     *call
	next     boottime.Instant
	renewing bool   // the witness wants to hear a renewal first
	starts   bool   // the group is started once it is obtained
	ask      uint64 // number of the question to the peer's agent; 0: none
}

// outdating is the peer's question whether this node's copy may be given up.
type outdating struct {
	ask  uint64
	word PeerWord
	done bool
}

// inStep reports whether both copies of every volume are connected and UpToDate.
func (m *Machine) inStep(g *group) bool {
	if !m.knowsDisks(g) {
		return false
	}
	ev := arbiter.Evidence{Disks: m.disksOf(g)}
	return ev.InStep()
}

// needsExclusion reports whether DRBD goes on alone, or would, without asking
// the handler.
func (m *Machine) needsExclusion(g *group) bool {
	if !g.drbd() || !m.knowsDisks(g) || g.excl.held {
		return false
	}
	for _, r := range g.cfg.Resources {
		if m.disk(r).Recorded && !mutant.On(mutant.RecordTrusted) || slices.ContainsFunc(m.disk(r).Disks, peerBehind) {
			return true
		}
	}
	return false
}

// peerBehind reports whether a connected peer's disk misses what is written now.
func peerBehind(d arbiter.Disk) bool {
	switch mutant.Weak(mutant.PeerDiskIgnored, d.Peer, arbiter.UpToDate) {
	case "Diskless", "Detaching", "Failed", "Inconsistent", "Outdated":
		return d.Connected
	}
	return false
}

func (m *Machine) onStorage(_ boottime.Instant, ev Storage) {
	was := *m.disk(ev.Resource)
	m.sees(ev)
	g := m.groupOf(ev.Resource)
	if g == nil {
		return
	}
	if ev.Known && ev.Alone && !was.Alone && g.joined {
		m.beatAt = 0 // DRBD may have given up, and a recovery begins with that word
	}
	if g.split == ev.Resource && slices.ContainsFunc(ev.Disks, func(d arbiter.Disk) bool { return d.Connected }) {
		g.split = ""
	}
	if lostDisk(was, ev) {
		m.onDiskFailed(DiskFailed{ev.Resource})
	}
	if was.Frozen != ev.Frozen && ev.Known {
		what := "writes go on"
		if ev.Frozen {
			what = "writes frozen"
		}
		m.note(g, what, "resource "+ev.Resource)
		m.thawed(g, was)
	}
	if m.inStep(g) {
		g.excl.held, g.sole, g.renewed = false, false, false
	}
}

// thawed ends the handlers of a group whose connection came back while they
// asked: DRBD has resumed by itself and ignores what they answer.
func (m *Machine) thawed(g *group, was Storage) {
	if !was.Frozen || g.excl.starts {
		return
	}
	for _, r := range g.cfg.Resources {
		s := m.disk(r)
		if s.Frozen || slices.ContainsFunc(s.Disks, func(d arbiter.Disk) bool { return !d.Connected }) {
			return
		}
	}
	m.dropHandlers(g, "the connection is back")
}

// stuck resets a machine whose writes are frozen while no handler asks for them
// any more (it ended while no agent was there to answer): a frozen disk cannot
// be unmounted, and nothing thaws it but its peer.
func (m *Machine) stuck(now boottime.Instant, g *group) {
	frozen := slices.ContainsFunc(g.cfg.Resources, func(r string) bool { return m.disk(r).Known && m.disk(r).Frozen })
	if !frozen || len(g.excl.waiting) > 0 || !g.hot() {
		g.thawAt = now
		return
	}
	if now.Sub(g.thawAt) > thawWithin {
		m.do(Reset{fmt.Sprintf("the writes of group %s are frozen, and for %v nobody has asked to let them go on", g.id, thawWithin)})
	}
}

// lostDisk reports whether a disk that was attached is gone.
func lostDisk(was, is Storage) bool {
	if !was.Known || !is.Known {
		return false
	}
	for i, d := range was.Disks {
		if i >= len(is.Disks) || is.Disks[i].Volume != d.Volume {
			return false
		}
		attached := d.Own == arbiter.UpToDate || d.Own == arbiter.Consistent
		if now := is.Disks[i].Own; attached && (now == "Failed" || now == "Diskless" || now == "Detaching") {
			return true
		}
	}
	return false
}

func (m *Machine) groupOf(resource string) *group {
	for _, g := range m.groups {
		for _, r := range g.cfg.Resources {
			if r == resource {
				return g
			}
		}
	}
	return nil
}

// onDiskFailed records that this node's own copy is stale from now on.
func (m *Machine) onDiskFailed(ev DiskFailed) {
	g := m.groupOf(ev.Resource)
	if g == nil || mutant.On(mutant.OwnDiskIgnored) {
		return
	}
	m.giveWord(g) // a new one, also where one stands: a readmission by that may be on its way
	m.remember(g, func(gm *GroupMemory) { gm.Spoilt = true })
	m.note(g, "disk failed", fmt.Sprintf("%s; this node's copy counts as stale until it has resynchronised", ev.Resource)).Alarm = true
}

func (m *Machine) giveWord(g *group) {
	m.mem.Words = max(m.mem.Words, uint64(m.cfg.Incarnation)<<20) + 1 // higher than any that a lost store has given
	m.remember(g, func(gm *GroupMemory) { gm.OwnWord = mutant.Weak(mutant.WordUnstored, m.mem.Words, gm.OwnWord) })
}

// giveWordsAnew numbers the words of a store that began empty above those of the
// one that was lost.
func (m *Machine) giveWordsAnew() {
	for _, g := range m.groups {
		if m.mem.Groups[g.id].OwnWord != 0 {
			m.giveWord(g)
		}
	}
}

// onFencePeer takes DRBD's question whether to go on without the peer. The
// kernel has frozen the writes; they stay frozen until the answer is durable.
func (m *Machine) onFencePeer(now boottime.Instant, ev FencePeer) {
	g := m.groupOf(ev.Resource)
	switch {
	case g == nil:
		m.do(Exit{ev.Call, exitUnknown, fmt.Sprintf("resource %s belongs to no group of this node", ev.Resource)})
	case g.phase != Starting && g.phase != Running && g.phase != Stopping:
		m.do(Exit{ev.Call, exitUnknown, fmt.Sprintf("this node has no right to group %s", g.id)})
	case mutant.On(mutant.EarlyExit4):
		m.do(Exit{ev.Call, exitExcluded, ""})
	default:
		isFirst := len(g.excl.waiting) == 0
		if isFirst {
			g.excl.since = now
		}
		g.excl.waiting = append(g.excl.waiting, ev.Call)
		m.note(g, "peer lost by DRBD", "resource "+ev.Resource+" asks whether to go on alone")
		if isFirst && !mutant.On(mutant.AskedBefore) || g.excl.call == nil { // what was asked before DRBD asked is no answer to it
			m.askExclusion(now, g)
		}
	}
}

func (m *Machine) dropHandlers(g *group, why string) { m.exit(g, exitUnknown, why) }

func (m *Machine) exit(g *group, code int, why string) {
	for _, id := range g.excl.waiting {
		m.do(Exit{id, code, why})
	}
	g.excl.waiting, g.excl.ask = nil, 0
}

// exclusions does what is due about the copies of g.
func (m *Machine) exclusions(now boottime.Instant, g *group) {
	if !g.drbd() {
		return
	}
	m.readmission(now, g)
	m.stuck(now, g)
	if g.phase != Starting && g.phase != Running && len(g.excl.waiting) == 0 {
		return
	}
	e := &g.excl
	waits := len(e.waiting) > 0 || e.starts
	wanted := waits || m.needsExclusion(g) || m.mem.Groups[g.id].Pending && m.witnessNear(now)
	if !wanted {
		return
	}
	if e.call == nil && !e.renewing && now >= e.next {
		m.askExclusion(now, g)
	}
	if waits && e.ask == 0 && now.Sub(e.since) > 2*m.timing.RPCTimeout && m.hearsBeats(now) {
		m.asks++
		e.ask = uint64(m.cfg.Incarnation)<<32 | m.asks // an answer to an earlier life is no answer
		m.note(g, "asking the peer", "no witness answers; "+string(m.cfg.Peer)+" is asked to give its copy up")
	}
}

func (m *Machine) askExclusion(now boottime.Instant, g *group) {
	epoch, promoting := g.right.epoch, g.phase == Starting
	g.excl.next = now.Add(askAgain)
	var c *call
	over := func() {
		if g.excl.call == c {
			g.excl.call = nil
		}
	}
	c = &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.Exclude{Seen: m.mem.Seen, Exclude: arbiter.Exclude{
				Caller: m.caller(id), Group: g.id, Epoch: epoch, Promoting: promoting, Evidence: m.evidence(m.last, g),
			}}
		},
		done: func(now boottime.Instant, _ *call, v arbiter.Verdict) {
			over()
			if g.right.epoch == epoch {
				m.onExclusion(now, g, v)
			}
		},
		unknown: func(boottime.Instant) bool {
			if g.right.epoch == epoch && g.hot() {
				return true
			}
			over()
			return false
		},
	}
	m.dropCall(g.excl.call) // the witness may have answered it before the copies were last in step
	g.excl.call = c
	m.call(now, c)
}

func (m *Machine) onExclusion(now boottime.Instant, g *group, v arbiter.Verdict) {
	switch {
	case v.OK():
		m.remember(g, func(gm *GroupMemory) {
			gm.Obtained, gm.Pending = mutant.Weak(mutant.ExclusionUnstored, v.Number, gm.Obtained), false
		})
		m.excluded(now, g, v.Sentence)
	case v.Reason == arbiter.RenewFirst:
		g.excl.renewing, m.beatAt = true, 0
	case v.Reason == arbiter.GrantedToPeer || v.Reason == arbiter.MandateBegun:
		m.refusedExclusion(now, g, exitRefused, v.Sentence)
	case v.Reason == arbiter.WitnessLearning || v.Reason == arbiter.UnknownGroup || v.Reason == arbiter.UnknownCluster ||
		v.Reason == arbiter.WitnessBehind:
		g.excl.next = now.Add(m.timing.Renew)
	default:
		m.refusedExclusion(now, g, exitUnknown, v.Sentence)
	}
}

// excluded lets frozen writes go on, or the start.
func (m *Machine) excluded(now boottime.Instant, g *group, why string) {
	e := &g.excl
	e.held, e.at = true, now
	m.note(g, "peer excluded", why)
	m.exit(g, exitExcluded, why)
	if e.starts {
		e.starts = false
		if g.phase == Starting {
			m.start(now, g)
		}
	}
}

// refusedExclusion gives up a node that may not go on alone. What is frozen in
// the kernel must never be completed, so only a reset helps.
func (m *Machine) refusedExclusion(now boottime.Instant, g *group, code int, why string) {
	frozen := len(g.excl.waiting) > 0 && g.phase != Starting
	m.note(g, "exclusion refused", why).Alarm = true
	m.exit(g, code, why)
	if frozen {
		m.do(Reset{fmt.Sprintf("group %s must not go on: %s", g.id, why)})
		return
	}
	if g.excl.starts {
		g.excl.starts = false
		m.failed(now, g, why)
		m.stop(now, g, why)
	}
}

// newsWithin is how late an agent may hear of what DRBD has noticed, and more. A
// copy is not readmitted sooner than that after its exclusion was learnt, nor after
// writes were let go on by it: what either side takes for "in step" may be of the
// time before.
const newsWithin = 5 * time.Second

// newsOf returns when this node knows whether the copies of g are in step again.
func (g *group) newsOf() boottime.Instant {
	return max(g.peerOutAt, mutant.Weak(mutant.ReadmittedAtOnce, g.excl.at, 0)).Add(newsWithin)
}

// readmission asks the witness to readmit the peer by the numbers that both
// sides know while they are in step.
func (m *Machine) readmission(now boottime.Instant, g *group) {
	ex := g.answer.Peer
	if ex.Number == 0 && ex.OwnWord == 0 || g.readmit != nil || g.excl.call != nil || now < g.newsOf() {
		return
	}
	if g.answer.Own != (arbiter.Exclusion{}) || m.mem.Groups[g.id].OwnWord != 0 {
		return // then neither copy is known to be good
	}
	if !m.inStep(g) || !m.witnessNear(now) || !m.hearsBeats(now) {
		return
	}
	p := m.peer.group(g.id)
	if p == nil || !p.InStep || p.Excluded != ex.Number || p.OwnWord != ex.OwnWord && p.OwnWord != 0 {
		return // a witness restored from a backup may know of a word that was cleared since
	}
	g.excl.held = false
	g.readmit = m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.Readmit{Seen: m.mem.Seen, Readmit: arbiter.Readmit{
				Caller: m.caller(id), Group: g.id, Node: m.cfg.Peer, Number: ex.Number, OwnWord: ex.OwnWord, Evidence: m.evidence(m.last, g),
			}}
		},
		done: func(_ boottime.Instant, _ *call, v arbiter.Verdict) {
			g.readmit, g.answer.Peer = nil, arbiter.Exclusion{}
			if v.OK() {
				m.remember(g, func(gm *GroupMemory) { gm.Obtained, gm.PeerWord, gm.Pending = 0, 0, false })
				m.note(g, "peer readmitted", v.Sentence)
			}
		},
		unknown: func(boottime.Instant) bool { g.readmit = nil; return false },
	})
}

// learnExclusions takes what the witness has recorded about both copies.
func (m *Machine) learnExclusions(g *group, a leader.GroupAnswer) {
	if a.Reason == arbiter.WitnessLearning {
		return
	}
	m.follows(g, g.followed && a.Own != arbiter.Exclusion{}) // readmitted, it was not left alone
	gm := m.mem.Groups[g.id]
	readmitted := gm.OwnWord != 0 && a.Cleared >= gm.OwnWord && a.Own.OwnWord < gm.OwnWord
	m.obey(g, a)
	m.standsAgain(g, a)
	m.remember(g, func(gm *GroupMemory) {
		if a.Own.Discard == 0 || gm.Obeyed >= a.Own.Discard && !gm.Spoilt {
			gm.Excluded = a.Own.Number // the peer waits for that where the copy was given up
		}
		if readmitted {
			gm.OwnWord, gm.Spoilt = 0, false
		}
		if a.Peer.Number == 0 && m.inStep(g) && g.answerAt > g.excl.at {
			gm.Obtained = 0
		}
	})
	if readmitted {
		g.outdate = nil
		m.note(g, "readmitted", "the witness has cleared this node's own record")
	}
}
