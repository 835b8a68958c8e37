package sim

import (
	"fmt"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
)

func (w *World) breaks(format string, a ...any) {
	what := fmt.Sprintf(format, a...)
	if w.witness.unnoticed() {
		// docs/architecture.md, "What is not closed": an old copy of a witness's
		// disk that no agent has shown to be one yet.
		w.except("an old copy of the witness's disk that nobody has noticed: " + what)
		return
	}
	if w.storeLost && (w.witness.disks > 0 || w.restored != 0) {
		w.except("an agent's store was lost together with its witness's memory: " + what)
		return
	}
	if w.falseWord {
		w.except("an operator's false word, which S1 names: " + what)
		return
	}
	if strings.HasPrefix(what, "S1") && (w.nodes[A].clockStood() || w.nodes[B].clockStood()) {
		w.except("a machine that was stopped from outside, its clock too: S1 rests on E3 then: " + what)
		return
	}
	w.broken = append(w.broken, what)
	w.line("BROKEN", "", what, "")
}

// clockStood reports whether the node's clock has stood still in this boot.
func (n *Node) clockStood() bool { return n.stood != 0 && n.stood == n.boots }

// check holds after every step: nobody runs a group beside somebody else, and
// epochs only grow.
func (w *World) check() {
	a, b := w.nodes[A], w.nodes[B]
	for i, id := range w.groups {
		if a.running && b.running && a.services[i].up && b.services[i].up {
			w.breaks("S1: both nodes run %s", id)
		}
	}
}

// grant is what an epoch stands for.
type grant struct {
	group  arbiter.GroupID
	holder arbiter.NodeID
}

// checkGrants holds whenever a command has been carried out: a new lease has an
// epoch above all before it, whatever the witness has forgotten meanwhile, and
// no epoch is given twice.
func (w *World) checkGrants(c *arbiter.Cluster) {
	if c == nil {
		return
	}
	w.watchMandate(c)
	w.agreements(c)
	for i, id := range w.groups {
		g := c.Groups[id]
		if g == nil || g.Lease == nil {
			w.leased[i] = 0
			continue
		} else if g.Lease.Epoch == w.leased[i] {
			continue
		}
		e, is := g.Lease.Epoch, grant{id, g.Lease.Holder}
		w.leased[i] = e
		w.nodeOf(g.Lease.Holder).office.counts = w.now
		was, known := w.granted[e]
		switch {
		case known && was != is:
			w.breaks("S4: epoch %d was granted to %s for %s, and now to %s for %s", e, was.holder, was.group, is.holder, is.group)
		case !known && e <= w.epoch:
			w.breaks("S4: the epoch went back from %d to %d", w.epoch, e)
		}
		if c := w.nodeOf(is.holder).replica(id); c != nil && !known {
			c.agreed = 0 // it may be written to again
			if g.Recovery.Survivor() == c.n.id {
				c.chosen = g.Recovery.ID
			}
		}
		w.granted[e] = is
		w.epoch = max(w.epoch, e)
	}
}

// checkPromotion holds whenever a copy has become Primary.
func (w *World) checkPromotion(c *replica) {
	g := c.v.group
	if p := c.other(); p.stray {
		w.except("a person has promoted the other copy")
	} else if p.drbd.Role() == drbd.RolePrimary {
		w.breaks("S1: both copies of %s are Primary", g)
	}
	data, s := c, c.state()
	if s.PeerDisk == drbd.DiskUpToDate && (s.Repl == drbd.ReplSyncTarget || s.Disk == drbd.DiskDiskless) {
		// It has met its peer while it waited for the handler, or its disk has failed
		// while its peer was asked: DRBD promotes the target of a resync, and a node
		// without a disk, which read what they lack from their peer. insist takes that
		// back (see also checkUse).
		data = c.other()
	} else if d := s.Disk; d != drbd.DiskUpToDate {
		w.breaks("S3: %s promotes its copy of %s, which is %s", c.n.id, g, d)
	}
	if known := w.witness.State(); known != nil && !known.Learning {
		if e, ok := known.Groups[g].Excluded[c.n.id]; ok && !c.stopIsOnItsWay(known.Groups[g].Recovery, e) && !c.hasTakenBack(e) {
			w.breaks("S3: %s promotes its copy of %s, which is excluded (%s, own word %d)", c.n.id, g, e.Number, e.OwnWord)
		}
	}
	standsIn := w.standsIn(c)
	if lost := c.v.app.lacks(data); lost > 0 && standsIn {
		c.other().lone = true
		c.v.app.forgive(c)
	} else if lost > 0 && w.chosen(c) {
		c.v.app.forgive(c)
	} else if lost > 0 {
		w.breaks("S2: %s promotes its copy of %s, which lacks %d acknowledged records", c.n.id, g, lost)
	}
}

// hasTakenBack reports whether an exclusion is no more than the node's own word, which
// was cleared since: a witness that was restored from an old copy says it again.
func (c *replica) hasTakenBack(e arbiter.Exclusion) bool {
	return e.Number == 0 && c.n.remembers(c.v.group).OwnWord == 0
}

// checkUse holds whenever services begin to use a copy.
func (w *World) checkUse(c *replica) {
	if d := c.state().Disk; d != drbd.DiskUpToDate {
		w.breaks("S3: %s runs %s on its copy, which is %s", c.n.id, c.v.group, d)
	}
}

// checkResync holds whenever a copy begins to be overwritten by the other one.
func (w *World) checkResync(target *replica) {
	w.checkLone(target)
	lost := target.v.app.lacks(target.other())
	alone := lost > 0 || target.byPerson // it has something that the other one has not
	target.byPerson = false
	if alone && w.deliberate(target) {
		target.v.app.forgive(target.other())
		return
	}
	if lost > 0 {
		w.breaks("S2: %s's copy of %s is overwritten by one that lacks %d acknowledged records", target.n.id, target.v.group, lost)
	}
}

// splitBrain is DRBD's finding that both copies have writes of their own.
func (w *World) splitBrain(c *replica) {
	if c.v.forced || c.v.app.unrecorded {
		return // an operator resolves it; see resolve
	}
	w.breaks("split brain: both copies of %s have writes of their own", c.v.group)
}

// begun is the mandate that was begun last.
type begun struct {
	mandate arbiter.Mandate
	disk    int // of the witness
	at      time.Duration
	over    bool
}

// watchMandate notes which mandate is under way. One that a witness has
// forgotten with its disk is under way for as long as its shot may land.
func (w *World) watchMandate(c *arbiter.Cluster) {
	m, disk := c.Mandate, w.witness.disks
	switch {
	case m != nil && m.Phase == arbiter.Begun:
		if was := w.begun.mandate; was.ID != m.ID || was.ByWitness != m.ByWitness || w.begun.disk != disk {
			w.begun = begun{*m, disk, w.now, false}
		}
	case w.begun.disk == disk && (m == nil || m.Phase == arbiter.Open):
		w.begun.over = true
	}
}

// checkShot holds whenever a shot lands on a machine that was on.
func (w *World) checkShot(target *Node, by hand) {
	w.checkSteady(target, "is shot")
	w.checkSpared(target)
	if target.peer.shot {
		w.breaks("S5: %s is shot by %s, and %s was", target.id, by.name, target.peer.id)
	}
	b := w.begun
	lands := arbiter.Guard(w.Definition.Timing.FenceTimeout) + time.Second
	switch {
	case b.over, b.disk != w.witness.disks && w.now-b.at > lands, b.mandate.ID == 0:
		w.breaks("S5: %s was shot without a mandate under way", target.id)
	case b.mandate.Target != "" && b.mandate.Target != target.id:
		w.breaks("S5: %s was shot under a mandate against %s", target.id, b.mandate.Target)
	}
}

// Holder returns the node that runs a group's services for clients, if any.
func (w *World) Holder(g arbiter.GroupID) (Host, bool) {
	for _, n := range w.nodes {
		if n.Serves(g) {
			if c := n.replica(g); c == nil || n.Primary(g) && !c.drbd.Suspended() {
				return n.host, true
			}
		}
	}
	return W, false
}
