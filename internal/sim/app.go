package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// The application writes two records at a time: the first like any data, the
// second like the commit of a journal, with flushes. Once the second is through,
// both are safe as far as the application knows. It writes often while something
// happens and seldom while nothing does.
const (
	writeBusy = 100 * time.Millisecond
	writeIdle = time.Second
	busyFor   = 5 * time.Second // after the last line of the timeline
	mostOpen  = 8               // writes that it lets wait
)

// application is what the clients of a group know of their data.
type application struct {
	v      *volume
	next   model.Stamp
	acked  [volumeBlocks]model.Stamp // newest that is safe, by block
	plain  model.Stamp               // newest first record that is through
	count  int
	blind  *replica      // whose disk failed while connected, not on record yet
	boot   int           // of its node then, in which that may record it
	able   time.Duration // its agent could have recorded it since
	unsure []model.Stamp
	// unrecorded: somebody was lost in that moment. Until the copies are in step
	// again, both may have writes of their own and nobody know of it.
	unrecorded bool
}

func placeOf(b int) model.Place { return model.Place{Block: model.Block(b)} }

func blockOf(s model.Stamp) model.Block { return model.Block(s % volumeBlocks) }

// applications lets the application of every group that is up write.
func (w *World) applications() {
	every := writeIdle
	if w.calm || w.idle {
		w.app.set(every)
		return
	}
	if w.now-w.stirred < busyFor {
		every = writeBusy
	}
	w.app.set(every)
	for _, id := range w.groups {
		for _, n := range w.nodes {
			if c := n.replica(id); c != nil && n.Runs(id) && !n.frozen && c.drbd.Waiting() < mostOpen {
				c.v.app.write(c)
			}
		}
	}
}

func (a *application) write(c *replica) {
	for _, durable := range [2]bool{false, true} {
		a.next++
		c.step(model.Write{
			ID: model.RequestID(a.next), At: model.Place{Block: blockOf(a.next)}, Stamp: a.next, Durable: durable,
		})
	}
}

// done takes the end of a write. Odd numbers are first records, even ones
// commits.
func (a *application) done(c *replica, e model.IODone) {
	s := model.Stamp(e.ID)
	switch {
	case e.Result != model.IODoneOK:
	case c.onFailedDisk():
		// DRBD 8.4 knows no fencing without a disk: a link that was dead already
		// when the disk failed, and noticed later, has it acknowledge what only
		// the failed disk has (docs/architecture.md, "What is not closed").
	case s%2 == 1:
		a.plain = s
	case a.blind != nil && a.noted() == nil && !a.overdue():
		a.unsure = append(a.unsure, s)
	case a.plain == s-1:
		a.sure(s)
	}
}

// onFailedDisk reports whether nothing but a disk that has failed can hold what
// is acknowledged now.
func (c *replica) onFailedDisk() bool {
	s := c.state()
	return !s.Disk.AtLeast(drbd.DiskInconsistent) && s.Conn != drbd.ConnConnected
}

// sure takes a commit, and the record before it, for safe.
func (a *application) sure(s model.Stamp) {
	a.count++
	a.acked[blockOf(s-1)] = max(a.acked[blockOf(s-1)], s-1)
	a.acked[blockOf(s)] = max(a.acked[blockOf(s)], s)
}

// lacks counts the records that are safe and not in a copy.
func (a *application) lacks(c *replica) int {
	lost := 0
	for b, s := range a.acked {
		if a.v.spoilt && b < byHandBlocks {
			continue // a person has written over them
		}
		if c.drbd.Content(placeOf(b)) < s {
			lost++
		}
	}
	return lost
}

// blinded begins the moment that S2 excepts: a disk has failed while DRBD is
// connected, and nothing durable says so yet. What is written in it counts as
// safe once it does. A frozen primary without a disk writes nothing, but goes on
// as soon as it meets its peer.
func (a *application) blinded(c *replica) {
	if (c.drbd.Session() != 0 || c.drbd.Suspended()) && a.blind == nil {
		a.blind, a.boot, a.able = c, c.n.boots, a.v.w.now
	}
}

// momentFor is how long an agent that runs may take to record that its disk has
// failed: it hears of DRBD seconds late.
const momentFor = 5 * time.Second

// overdue reports whether the failure of a disk should be on record by now. Then
// the moment that S2 excepts is over, whether it is or not.
func (a *application) overdue() bool {
	n := a.blind.n
	if n.boots != a.boot {
		n = n.peer
	}
	if !n.steps() || n.busy {
		a.able = a.v.w.now
	}
	return a.v.w.now-a.able > momentFor
}

// noted looks whether the failure of a disk is on record, and ends the moment.
func (a *application) noted() *replica {
	c := a.blind
	if !c.n.remembersLoss(a.v.group) && !a.v.w.excludes(a.v.group, c.n.id) {
		return nil
	}
	for _, s := range a.unsure {
		a.sure(s)
	}
	a.blind, a.unsure = nil, nil
	return c
}

// died: whoever is lost in the moment that S2 excepts takes what was written in it
// along; but where it is the node whose disk failed, and the other one the holder,
// that one may record it yet. The moment lasts while somebody is there who may.
func (a *application) died(c *replica) {
	if a.blind == nil || a.noted() != nil {
		return
	}
	a.unrecorded = true
	if c == a.blind && c.other().drbd.Role() == drbd.RolePrimary {
		return
	}
	a.unsure = nil
	if c == a.blind || a.blind.n.boots != a.boot {
		a.blind = nil
	}
}

// met: the copies are in step, whatever was on record.
func (a *application) met() {
	for _, s := range a.unsure {
		a.sure(s)
	}
	a.blind, a.unsure, a.unrecorded = nil, nil, false
}

// excludes reports whether a witness has a node's copy down as stale.
func (w *World) excludes(g arbiter.GroupID, node arbiter.NodeID) bool {
	known := w.witness.State()
	if known == nil || known.Groups[g] == nil {
		return false
	}
	_, ok := known.Groups[g].Excluded[node]
	return ok
}

// Acked returns how many times the application was told that its records are
// safe.
func (w *World) Acked(g arbiter.GroupID) int { return w.disks[w.index(g)].app.count }
