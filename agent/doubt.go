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

// aloneAgain is the pace of looking whether a copy that is kept apart has to be still.
const aloneAgain = 10 * time.Second

// reason is why a copy is declared bad.
type reason string

const (
	distrusted reason = "it is not to be believed"
	givenUp    reason = "somebody has decided so"
)

// doubt has this node's copy declared bad as a whole before DRBD looks for its
// peer, where what its metadata say of it is not to be believed. It reports
// whether that is still to be done: until then nothing is connected.
//
// A disk that has failed keeps the metadata of the moment before. If nothing has
// begun a new generation since (a primary that was frozen, and met this node again
// without its disk, does not), it looks as good as its peer after a crash of both,
// and DRBD may copy it over the good one. And the target of a resync that lost its
// power has lost what its disk's cache had, of blocks that its peer and its own
// bitmap take for copied: DRBD flushes no disk before it clears bits.
//
// Nobody has looked at what the copy has, unless it was given up: of one that went on
// alone nothing is declared bad. DRBD knows, whoever was there to see it: it begins a
// generation before the first write that the peer does not get.
func (m *Machine) doubt(g *group, of reason) bool {
	resources, why := m.doubtful(g)
	if len(resources) == 0 {
		return false
	}
	if len(g.doubting) == 0 {
		g.doubting = resources
		if !g.sole {
			m.note(g, "not believed", why)
		}
		m.do(Invalidate{Group: g.id, Resources: resources, GivenUp: of == givenUp || mutant.On(mutant.LoneCopyMadeAnew)})
	}
	return true
}

// doubtful returns the resources of g whose copy must be made anew as a whole, and
// why. It is done once until the two are in step at the most; where the disk had failed,
// once for each failure.
func (m *Machine) doubtful(g *group) ([]string, string) {
	switch {
	case m.mem.Groups[g.id].Spoilt && !mutant.On(mutant.FailedDiskBelieved):
		return g.cfg.Resources, "the disk has failed since the copy was made, or an operator has given it up; everything is copied from the peer"
	case g.renewed || m.orderly || g.cfg.Protected || mutant.On(mutant.CacheBelieved):
		return nil, ""
	}
	return m.halfMade(g), "this machine went down in the middle of a resync, perhaps with copied blocks that were only in the disk's cache; everything is copied again"
}

// halfMade returns the resources of g whose copy is being made anew, or is to be.
func (m *Machine) halfMade(g *group) []string {
	return slices.DeleteFunc(slices.Clone(g.cfg.Resources), func(r string) bool {
		return !slices.ContainsFunc(m.disk(r).Disks, func(d arbiter.Disk) bool { return d.Own == "Inconsistent" })
	})
}

// emptied returns those whose copy was declared bad here and has not been made anew since.
// Of nothing else DRBD is told that it is given up: this may be the copy that is kept by now.
func (m *Machine) emptied(g *group) []string {
	if !g.renewed || g.hot() {
		return nil
	}
	return m.halfMade(g)
}

// empties takes what was read back of copies that were declared bad: what DRBD has said of
// them before is not so any more.
func (m *Machine) empties(resources []string) {
	for _, r := range resources {
		s := *m.disk(r)
		if !s.Known {
			continue
		}
		s.Disks = slices.Clone(s.Disks)
		for i := range s.Disks {
			s.Disks[i].Own = "Inconsistent"
		}
		m.sees(s)
	}
}

// onInvalidated: only what was read back counts. Else the peer is not looked for.
func (m *Machine) onInvalidated(now boottime.Instant, ev InvalidateDone) {
	g := m.by[ev.Group]
	if g == nil || len(g.doubting) == 0 {
		return
	}
	asked := g.doubting
	g.doubting = nil
	if ev.Alone != "" {
		m.foundAlone(now, g, ev.Alone)
		return
	}
	if ev.Err != nil {
		if why := ev.Err.Error(); g.undone != why {
			g.undone = why
			m.note(g, "not invalidated", fmt.Sprintf("%v; DRBD is not let look for %s before it is done", ev.Err, m.cfg.Peer)).Alarm = true
		}
		return
	}
	m.empties(asked)
	g.renewed, g.sole, g.undone, g.joinAt = true, false, "", now
	m.remember(g, func(gm *GroupMemory) { gm.Spoilt = false })
	m.note(g, "invalidated", "everything is copied from the peer once the two are connected")
}

// foundAlone leaves a copy as it is that is not to be believed, and may have what no other
// one has. It is looked at again and again: a person may give it a new disk.
func (m *Machine) foundAlone(now boottime.Instant, g *group, resource string) {
	g.joinAt = now.Add(aloneAgain)
	if g.sole {
		return
	}
	g.sole, m.beatAt = true, 0
	m.note(g, "copy kept apart", fmt.Sprintf("%s was written to here without %s, and its disk has failed or a resync of it was broken off: this copy may have what no other one has, so it is neither made anew nor "+
		"connected before somebody has decided which one is kept: sbctl resolve %s --dry-run", resource, m.cfg.Peer, g.id)).Alarm = true
}

// standsAgain takes this node's own word back that had been settled by a recovery which was
// to keep its copy, and was called off: what the disk has is to be believed no more than before.
func (m *Machine) standsAgain(g *group, a leader.GroupAnswer) {
	w := a.Own.OwnWord
	if w == 0 || w > a.Cleared || m.mem.Groups[g.id].OwnWord != 0 {
		return
	}
	m.remember(g, func(gm *GroupMemory) { gm.OwnWord, gm.Spoilt = w, true })
}

// keptApart reports whether this node's spoilt copy must not be overwritten by the
// peer's, which is stale as well, or stands in for it: which of the two is kept is for
// an operator.
func (m *Machine) keptApart(now boottime.Instant, g *group, told bool) bool {
	gm := m.mem.Groups[g.id]
	p := m.peer.group(g.id)
	heard := p != nil && m.hearsBeats(now)
	switch {
	case !gm.Spoilt:
		return false
	case heard && (p.OwnWord != 0 || p.Excluded != 0):
		return true
	case told && g.answer.Own.Lost && !mutant.On(mutant.LostOverwritten):
		return true // the only good one, until it was declared lost
	case told: // the peer knows of its own word, whoever else has heard of it
		return g.answer.Peer.Number != 0 || g.answer.Peer.OwnWord != 0 || gm.Pending && !heard
	}
	return gm.Obtained != 0 || gm.PeerWord != 0
}
