package agent

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// joinAgain is the pace of letting DRBD look for its peer until it does.
const joinAgain = 2 * time.Second

// meetWithin is how long DRBD is given to meet a peer that is there.
const meetWithin = 5 * time.Second

// join lets DRBD look for its peer, once after each start of the machine. A
// primary that lost this node is frozen until this node's copy is excluded for
// good. Were it to meet the copy before, DRBD would let its writes go on by
// itself, or begin a generation of its own, and nobody else would know: not
// even this node, should that primary die before the two are in step.
func (m *Machine) join(now boottime.Instant, g *group) {
	m.joinAnew(g)
	if g.joined || !g.drbd() {
		return
	}
	alone := false
	for _, r := range g.cfg.Resources {
		if !m.disk(r).Known {
			return
		}
		alone = alone || m.disk(r).Alone
	}
	g.parting = g.parting && !alone
	switch {
	case !alone && m.partsFirst(g):
		if now >= g.joinAt {
			g.joinAt, g.parting = now.Add(joinAgain), true
			m.do(Part{g.id})
		}
	case g.parting: // it is on its way
	case !alone:
		g.joined = true // from here on a person or a recovery decides about it
		m.saveBoot()
	case now >= g.joinAt && (!g.answer.Apart || mutant.On(mutant.PartedIgnored)) && m.mayJoin(now, g):
		g.joinAt = now.Add(joinAgain)
		of := distrusted
		if g.answer.Own.Discard != 0 {
			of = givenUp
		}
		if m.doubt(g, of) {
			return
		}
		if g.meetBy.IsZero() { // once: where nothing helps, nobody is to wait for ever
			g.meetBy = now.Add(meetWithin)
		}
		m.note(g, "looking for the peer", "no write waits there for this node's copy to be excluded")
		m.do(Join{Group: g.id, Discard: m.emptied(g)})
	}
}

// joinAnew has DRBD look for its peer once more where a recovery has left it alone,
// behind what the hands are at still: they may part the two in that very moment.
// Once: if the two part again, it is for whoever resolves that.
func (m *Machine) joinAnew(g *group) {
	over := g.followed && g.errand == nil && g.answerAt != 0 && !g.answer.Apart
	if over && g.carries == 0 && m.parted(g) {
		g.joined, g.followed = false, false
		m.saveBoot()
	}
}

// meeting reports whether DRBD has just been told to look for a peer that is
// there: what the two find decides whose copy is the newer one. Promoted before,
// this one could turn out to be the older in the middle of its promotion.
func (m *Machine) meeting(now boottime.Instant, g *group) bool {
	return now < g.meetBy && m.hearsBeats(now) &&
		slices.ContainsFunc(m.disksOf(g), func(d arbiter.Disk) bool { return !d.Connected })
}

// mayJoin reports whether the peer surely holds back no write that waits for
// this node.
func (m *Machine) mayJoin(now boottime.Instant, g *group) bool {
	told := m.witnessNear(now) && g.answerAt == m.answered && g.answer.Reason != arbiter.WitnessLearning
	p := m.peer.group(g.id)
	switch {
	case m.keptApart(now, g, told), m.awaitsPeer(g):
		return false
	case g.hot():
		return g.phase == Running // it has the peer excluded, and is the source of whatever comes
	case told && g.answer.Own != arbiter.Exclusion{}:
		return true // whatever goes on there, this copy is promoted no more
	case m.hearsBeats(now) && p != nil:
		return p.Ready && p.Phase != Starting // a copy that is promoted is not to find itself the older one
	}
	// By this node's own word, perhaps of an earlier life, the peer may be in office
	// where the witness knows of no holder.
	return told && g.answer.Holder != m.cfg.Peer && (!m.bound(now, g) || mutant.On(mutant.MetWhileBound))
}

// ready reports whether no write waits here for the peer, nor can come to: DRBD
// is not connected, so it has no peer to lose, and nothing is frozen.
func (m *Machine) ready(g *group) bool {
	for _, r := range g.cfg.Resources {
		s := m.disk(r)
		if !s.Known || s.Frozen || slices.ContainsFunc(s.Disks, func(d arbiter.Disk) bool { return d.Connected }) {
			return false
		}
	}
	return g.drbd()
}
