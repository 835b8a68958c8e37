package agent

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// reinstateAfter is how long a node that has just started waits for a witness
// before it goes by its peer's word.
const reinstateAfter = 5 * time.Second

// peer is what the machine knows of the other agent.
type peer struct {
	beat   PeerBeat
	at     boottime.Instant // heard
	number uint64           // of our own beats to it
	sent   sendTimes
	sentAt boottime.Instant
	silent bool
	known  bool
	rate   rate
}

// promise is what this node has told its peer: no grant that rests on a clock
// is accepted before it runs out.
type promise struct {
	epoch   arbiter.Epoch
	until   boottime.Instant
	mandate arbiter.MandateID // the highest begun when it was given
}

func (p *peer) group(id arbiter.GroupID) *PeerGroup {
	for i := range p.beat.Groups {
		if p.beat.Groups[i].Group == id {
			return &p.beat.Groups[i]
		}
	}
	return nil
}

// hearsBeats reports whether the peer's agent was heard a moment ago.
func (m *Machine) hearsBeats(now boottime.Instant) bool {
	return m.peer.known && now.Sub(m.peer.at) < m.timing.SuspectAfter
}

// hearsInOffice reports whether the peer says now that it runs g by right. A
// witness that has lost its memory may know of nobody.
func (m *Machine) hearsInOffice(now boottime.Instant, g *group) bool {
	p := m.peer.group(g.id)
	return p != nil && p.InOffice && m.hearsBeats(now)
}

// hearsPeer reports whether anything authentic of the peer arrives, DRBD's
// connection included.
func (m *Machine) hearsPeer(now boottime.Instant) bool {
	if m.hearsBeats(now) {
		return true
	}
	for _, s := range m.disks {
		for _, d := range s.Disks {
			if s.Known && d.Connected {
				return true
			}
		}
	}
	return false
}

// bound reports whether this node has promised something about g, or may have
// before it was started.
func (m *Machine) bound(now boottime.Instant, g *group) bool { return now < m.boundUntil(g) }

func (m *Machine) boundUntil(g *group) boottime.Instant {
	return max(g.promised.until, m.bindsTo)
}

func (m *Machine) onPeer(now boottime.Instant, ev PeerHeard) {
	if !ev.Fresh {
		return
	}
	if m.peer.silent || !m.peer.known {
		m.note(nil, "peer heard", string(m.cfg.Peer)+" on link "+ev.Link)
	}
	m.peer.beat, m.peer.at, m.peer.known, m.peer.silent = ev.Beat, now, true, false
	if asked, ok := m.peer.sent.of(ev.Beat.Echo); ok {
		m.compare(asked, now, ev.Beat.Clock, &m.peer.rate, string(m.cfg.Peer))
	}
	if ev.Beat.Floor > m.mem.Floor {
		m.mem.Floor, m.dirty = ev.Beat.Floor, true
	}
	for _, pg := range ev.Beat.Groups {
		if g := m.by[pg.Group]; g != nil {
			m.onPeerGroup(now, g, pg)
		}
	}
	for _, a := range ev.Beat.Asks {
		m.onPeerAsk(now, a)
	}
	for _, w := range ev.Beat.Words {
		m.onPeerWord(now, w)
	}
}

// onPeerGroup takes the peer's promise, counted from before the beat that it
// answers was sent.
func (m *Machine) onPeerGroup(now boottime.Instant, g *group, pg PeerGroup) {
	if pg.Holder != m.cfg.Node {
		m.learnHolder(g, pg.Holder, pg.HolderEpoch)
	}
	sent, ok := m.peer.sent.of(m.peer.beat.Echo)
	if !ok || pg.Promised == 0 {
		return
	}
	until := mutant.Weak(mutant.PromiseFromReply, sent, now).Add(min(m.timing.Promise, pg.PromisedFor))
	if g.hot() && (pg.Promised == g.right.epoch || mutant.On(mutant.PromiseOfAnyEpoch)) && until > g.right.promise {
		g.right.promise, g.right.sent = until, max(g.right.sent, sent)
		m.saveBoot()
		m.confirmed(now, g, sent)
		return
	}
	m.reinstate(now, g, pg, sent, until)
}

// reinstate lets a holder whose machine has started anew run its group by the
// peer's word, where no witness answers.
func (m *Machine) reinstate(now boottime.Instant, g *group, pg PeerGroup, sent, until boottime.Instant) {
	gm := m.mem.Groups[g.id]
	mine := gm.Holder == m.cfg.Node && !gm.GivenBack && gm.Epoch == pg.Promised && gm.OwnWord == 0 && gm.Excluded == 0
	// Its lease may have been ended by this very boot, in an answer that was lost.
	// Then nothing but the watchdog stops an agent that hangs.
	mine = mine && (m.cfg.Watchdog.Armed || mutant.On(mutant.ReinstatedUnarmed))
	if m.cleared || m.mem.Fresh || g.phase != Stopped || !mine || !m.knowsDisks(g) || now.Sub(m.started) < reinstateAfter {
		return
	}
	g.right = right{epoch: gm.Epoch, since: now, sent: sent, promise: until}
	g.granted = arbiter.Basis{}
	m.note(g, "reinstated", fmt.Sprintf("no witness answers, and %s promises epoch %d", m.cfg.Peer, gm.Epoch))
	m.prepare(now, g)
}

// tell sends the peer a beat.
func (m *Machine) tell(now boottime.Instant) {
	if m.peer.known && !m.peer.silent && !m.hearsBeats(now) {
		m.peer.silent = true
		m.note(nil, "heartbeats lost", fmt.Sprintf("%s has been silent on every link for %v", m.cfg.Peer, m.timing.SuspectAfter))
	}
	if now.Sub(m.peer.sentAt) < m.timing.Renew {
		return
	}
	m.peer.number++
	m.peer.sentAt = pace(m.peer.sentAt, now, m.timing.Renew)
	m.peer.sent.note(m.peer.number, now)
	b := PeerBeat{
		Number: m.peer.number, Clock: now, Echo: m.peer.beat.Number,
		References: m.references(), Needed: m.cfg.Needed, Floor: m.mem.Floor,
		Groups: make([]PeerGroup, 0, len(m.groups)),
	}
	for _, g := range m.groups {
		b.Groups = append(b.Groups, m.tellGroup(now, g))
		if g.excl.ask != 0 {
			ev := m.evidence(now, g)
			b.Asks = append(b.Asks, PeerAsk{Group: g.id, Epoch: g.right.epoch, Ask: g.excl.ask, UpToDate: ev.OwnUpToDate()})
		}
		if g.outdate != nil && g.outdate.done {
			b.Words = append(b.Words, g.outdate.word)
		}
	}
	m.do(Tell{b})
}

func (m *Machine) tellGroup(now boottime.Instant, g *group) PeerGroup {
	gm := m.mem.Groups[g.id]
	pg := PeerGroup{
		Group: g.id, Phase: g.phase, InOffice: m.inOffice(now, g), Holder: gm.Holder, HolderEpoch: gm.Epoch,
		GivenBack: gm.GivenBack, InStep: m.inStep(g), Ready: m.ready(g), Excluded: gm.Excluded, OwnWord: gm.OwnWord,
	}
	if g.hot() {
		pg.Epoch = g.right.epoch
	}
	if !m.cleared && g.phase == Stopped {
		pg.Phase = Quarantine
	}
	if e := m.mayPromise(now, g); e != 0 {
		g.promised = promise{epoch: e, until: now.Add(mutant.Weak(mutant.PromiseFlat, arbiter.Guard(m.timing.Promise), m.timing.Promise)), mandate: m.mem.Begun}
		pg.Promised, pg.PromisedFor = e, m.timing.Promise
	}
	return pg
}

// bids reports whether this node asks for anything, or may have a shot on its
// way. Then it gives its peer no word, about no group: a shot hits the whole
// machine, whichever group it is fired for.
func (m *Machine) bids(now boottime.Instant) bool {
	if m.shot != nil || m.drill != nil || len(m.mem.Asking) > 0 && !mutant.On(mutant.AskForgotten) {
		return true
	}
	for _, g := range m.groups {
		if g.bid != nil {
			return true
		}
	}
	// What was begun and not seen to its end may land until its deadline.
	return len(m.mem.Mandates) > 0 && now < m.landed()
}

// mayPromise returns the epoch under which the peer may go on by this node's
// word, or 0.
func (m *Machine) mayPromise(now boottime.Instant, g *group) arbiter.Epoch {
	p := m.peer.group(g.id)
	if p == nil || !m.hearsBeats(now) || g.phase != Stopped || m.bids(now) && !mutant.On(mutant.PromiseWhileAsking) || m.mem.Fresh && !mutant.On(mutant.LostStorePromises) || !m.cleared || mutant.On(mutant.NothingPromised) {
		return 0
	}
	gm := m.mem.Groups[g.id]
	switch {
	case p.InOffice && p.Epoch >= gm.Epoch:
		m.learnHolder(g, m.cfg.Peer, p.Epoch)
		return p.Epoch
	case p.Phase == Quarantine && !m.witnessNear(now) && gm.Holder == m.cfg.Peer && p.Holder == m.cfg.Peer &&
		!p.GivenBack && p.HolderEpoch == gm.Epoch && gm.Obtained == 0 && gm.PeerWord == 0:
		m.remember(g, func(gm *GroupMemory) { gm.Reinstated = gm.Epoch })
		return gm.Epoch
	}
	return 0
}

// onPeerAsk considers giving this node's copy up, on the witness's own
// conditions.
func (m *Machine) onPeerAsk(now boottime.Instant, a PeerAsk) {
	g := m.by[a.Group]
	if g == nil || !g.drbd() || g.outdate != nil && g.outdate.ask >= a.Ask {
		return
	}
	gm := m.mem.Groups[g.id]
	why := ""
	switch {
	case g.phase != Stopped || g.right.epoch != 0:
		why = "it runs the group itself"
	case m.bids(now):
		why = "it has an ask or a shot of its own under way"
	case m.mem.Fresh || !m.cleared:
		why = "no witness has spoken to it since it started"
	case a.Epoch < gm.Epoch:
		why = fmt.Sprintf("it knows of epoch %d", gm.Epoch)
	case !a.UpToDate:
		why = "the asker's own copy is not UpToDate"
	case gm.Obtained != 0 || gm.PeerWord != 0:
		why = "the asker's copy is excluded"
	}
	g.outdate = &outdating{ask: a.Ask, word: PeerWord{Group: a.Group, Ask: a.Ask, Why: why}}
	if why != "" {
		g.outdate.done = true
		return
	}
	m.learnHolder(g, m.cfg.Peer, a.Epoch)
	m.do(Outdate{g.id})
}

// onOutdated gives the word once the disk was read back as Outdated and the
// record of it is stored.
func (m *Machine) onOutdated(ev OutdateDone) {
	g := m.by[ev.Group]
	if g == nil || g.outdate == nil || g.outdate.done {
		return
	}
	o := g.outdate
	o.done = true
	if ev.Err != nil && !mutant.On(mutant.WordWithoutReading) {
		o.word.Why = ev.Err.Error()
		return
	}
	m.giveWord(g)
	o.word.Given, o.word.OwnWord = true, m.mem.Groups[g.id].OwnWord
	m.note(g, "copy given up", fmt.Sprintf("no witness answers, and %s goes on alone", m.cfg.Peer))
	m.peer.sentAt = 0
}

func (m *Machine) onPeerWord(now boottime.Instant, w PeerWord) {
	g := m.by[w.Group]
	if g == nil || g.excl.ask == 0 || g.excl.ask != w.Ask {
		return
	}
	if !w.Given {
		m.note(g, "peer keeps its copy", w.Why)
		g.excl.ask, g.excl.since = 0, now
		return
	}
	m.remember(g, func(gm *GroupMemory) { gm.PeerWord, gm.Pending = w.OwnWord, true })
	m.excluded(now, g, fmt.Sprintf("%s has recorded that its copy is stale (record %d)", m.cfg.Peer, w.OwnWord))
}

// strand says once that nobody may take a silent holder's group over, because
// no witness answers.
func (m *Machine) strand(now boottime.Instant, g *group) {
	if m.hearsBeats(now) || m.witnessNear(now) || now.Sub(max(m.started, m.gapAt)) <= reinstateAfter {
		g.stranded = false
		return
	}
	gm := m.mem.Groups[g.id]
	if g.phase != Stopped || gm.Holder == "" || gm.GivenBack {
		return
	}
	if g.stranded {
		return
	}
	g.stranded = true
	m.note(g, "nobody may take over", fmt.Sprintf("%s held it last (epoch %d), no witness answers and the other node is silent; nothing is taken over before a witness is back: start sbwitness or repair the way to it",
		gm.Holder, gm.Epoch)).Alarm = true
}

// stray demotes what is Primary here without a right.
func (m *Machine) stray(now boottime.Instant) {
	for _, g := range m.groups {
		if g.phase != Stopped {
			g.demoteAt = now
			continue
		}
		if now.Sub(g.demoteAt) < reinstateAfter {
			continue
		}
		for _, r := range g.cfg.Resources {
			if s := m.disk(r); s.Known && s.Primary {
				g.demoteAt = now
				m.note(g, "stray primary", r+" is Primary here and this node has no right to it; it is demoted").Alarm = true
				m.do(Demote{r})
			}
		}
	}
}
