package agent

import (
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/mutant"
)

// obey carries out an operator's word that one of the two copies is given up,
// whichever DRBD would take for the newer one. The node whose copy that is parts
// from its peer, has the copy declared bad as a whole, and says that it knows the
// order only after that; until then the other one does not connect.
func (m *Machine) obey(g *group, a leader.GroupAnswer) {
	if m.awaitsPeer(g) && !g.hot() {
		g.joined = false
	}
	if a.Own.Discard <= m.mem.Groups[g.id].Obeyed || g.hot() {
		return
	}
	m.remember(g, func(gm *GroupMemory) {
		gm.Obeyed, gm.Spoilt = a.Own.Discard, true
		gm.Obtained, gm.PeerWord, gm.Pending = 0, 0, false // the copy that is kept counts as good
	})
	g.joined = false
	m.saveBoot()
	m.note(g, "copy given up", "an operator has decided that "+string(m.cfg.Peer)+"'s is kept ("+a.Own.Discard.String()+")").Alarm = true
}

// awaitsPeer reports whether the peer's copy is given up, and the peer has not said
// yet that it knows: met before, it might be this copy that is overwritten.
func (m *Machine) awaitsPeer(g *group) bool {
	order := g.answer.Peer.Discard
	if order == 0 || mutant.On(mutant.GivenUpUnseen) {
		return false
	}
	p := m.peer.group(g.id)
	return p == nil || p.Excluded < order
}

// partsFirst reports whether DRBD has to be disconnected before anything else.
func (m *Machine) partsFirst(g *group) bool {
	ordered := m.mem.Groups[g.id].Spoilt && g.answer.Own.Discard != 0
	return !g.hot() && !g.answer.Apart && (ordered || m.awaitsPeer(g))
}
