package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
	"sbarbiter/recovery"
)

const (
	blockBytes       = 4096
	handMin, handMax = 5 * time.Millisecond, 50 * time.Millisecond // of one thing that an agent's hands do
)

// byHandRequest is the number of a write that is nobody's record.
const byHandRequest model.RequestID = math.MaxUint64 - 1

// byHandBlocks is how many blocks such a person writes.
const byHandBlocks = 3

// Force is a person who makes a node's copy Primary by force, writes to it, and lets
// go of it again: beside a holder, that is a split brain.
func (n *Node) Force(g arbiter.GroupID) {
	c := n.replica(g)
	c.v.forced, c.byHand = true, true
	c.command(model.PromoteForced, func(a model.Answer) {
		c.byHand, c.stray = false, a.OK()
		n.w.line(n.host.String(), g, "forced", fmt.Sprintf("by hand, though nobody has the right: %v", a))
		c.v.spoilt, c.byPerson = c.v.spoilt || a.OK(), a.OK()
		for b := range byHandBlocks {
			c.step(model.Write{ID: byHandRequest, At: placeOf(b), Stamp: 1})
		}
		c.command(model.Demote, nil)
	})
}

// measure is what an agent's hands see of its side.
func (n *Node) measure(a agent.Measure) {
	n.local(n.w.between(handMin, handMax), func() {
		c := n.replica(a.Group)
		changed := uint64(len(c.drbd.OutOfSync(0))) * blockBytes
		n.give(agent.SideMeasured{Group: a.Group, Task: a.Task, Side: recovery.Side{
			Node: recovery.Node(n.id), Family: c.v.family, Role: c.drbd.Role(),
			Volumes: []recovery.Volume{{
				Resource: c.v.name, Size: volumeBlocks * blockBytes, Disk: c.state().Disk, Generations: giLine(c.drbd.Metadata(0)), OutOfSync: &changed,
			}},
		}})
	})
}

// giLine is what get-gi prints.
func giLine(g drbd.Generations) string {
	bit := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	f := g.Flags
	return fmt.Sprintf("%016X:%016X:%016X:%016X:%d:%d:%d:%d:%d:%d:%d", uint64(g.Current), uint64(g.Bitmap), uint64(g.History[0]), uint64(g.History[1]),
		bit(f.Consistent), bit(f.WasUpToDate), bit(f.Primary), bit(f.Connected), bit(f.FullSync), bit(f.PeerOutdated), bit(f.CrashedPrimary))
}

// carryOut does the steps of a recovery that an agent's hands are told to, each
// unless it is done. What they are at when the agent dies comes to its end, for it is a
// process of its own; nothing follows it.
func (n *Node) carryOut(a agent.Carry, i int, so agent.Carried) {
	if i == len(a.Steps) || so.Err != nil {
		n.give(so)
		return
	}
	life := n.life
	n.local(n.w.between(handMin, handMax), func() {
		n.replica(a.Group).carryStep(a, a.Steps[i], func(done bool, err error) {
			if n.life != life {
				return
			}
			n.carryOut(a, i+1, agent.Carried{Group: a.Group, Task: a.Task, Done: done, Ready: err == nil && (done || a.Steps[i].Kind != recovery.FollowResync), Err: err})
		})
	})
}

func (c *replica) carryStep(a agent.Carry, s recovery.Step, then func(done bool, err error)) {
	is := c.state()
	over := is.Repl == drbd.ReplSyncTarget || c.v.inStep()
	tell := func(v model.Verb, done bool) {
		c.command(v, func(answer model.Answer) {
			if !answer.OK() {
				then(false, fmt.Errorf("%s: %v", v, answer))
				return
			}
			then(done, nil)
		})
	}
	switch s.Kind {
	case recovery.Demote:
		tell(model.Demote, true)
	case recovery.Disconnect:
		tell(model.Disconnect, true)
	case recovery.Snapshot:
		c.kept = a.Task.Name
		then(true, nil)
	case recovery.Invalidate:
		if over || is.Conn != drbd.ConnStandAlone && is.Disk == drbd.DiskInconsistent {
			then(true, nil)
			return
		}
		if is.Conn != drbd.ConnStandAlone { // DRBD declares nothing bad while it looks for its peer
			c.command(model.Disconnect, func(model.Answer) { tell(model.Invalidate, true) })
			return
		}
		tell(model.Invalidate, true)
	case recovery.Discard:
		c.discard(is, over, tell, then)
	case recovery.Connect:
		if is.Conn != drbd.ConnStandAlone {
			then(is.Conn == drbd.ConnConnected, nil)
			return
		}
		tell(model.Connect, false)
	case recovery.FollowResync:
		if is.Conn == drbd.ConnStandAlone && c.kept != a.Task.Name {
			tell(model.Connect, false)
			return
		}
		then(c.v.inStep(), nil)
	case recovery.StopServices, recovery.DumpMetadata, recovery.Measure, recovery.Readmit:
		then(true, nil)
	}
}

// discard gives this side's changes up at the next handshake, and again where one has
// used the wish up.
func (c *replica) discard(is model.State, over bool, tell func(model.Verb, bool), then func(bool, error)) {
	switch {
	case over || is.Conn == drbd.ConnConnected:
		then(over, nil)
	case is.Conn == drbd.ConnStandAlone:
		tell(model.ConnectDiscard, false)
	case c.drbd.Discarding():
		then(false, nil)
	default:
		c.command(model.Disconnect, func(model.Answer) { then(false, errors.New("the wish to discard was used up")) })
	}
}

// chosen reports whether a recovery keeps a copy: what that lacks is lost by the word
// of whoever ordered it. That holds on where it was let go of, and where it was called
// off only after the group had been granted to whose copy it kept.
func (w *World) chosen(c *replica) bool {
	known := w.witness.State()
	if known == nil || known.Groups[c.v.group] == nil {
		return false
	}
	g := known.Groups[c.v.group]
	if g.Recovery.Survivor() == c.n.id {
		return true
	}
	if g.Lease == nil || g.Lease.Holder != c.n.id {
		return false
	}
	for _, r := range slices.Backward(g.Recovered) {
		switch {
		case r.Outcome == arbiter.Recovered:
			return false
		case r.Outcome == arbiter.Abandoned:
			return arbiter.NodeID(r.Plan.Survivor) == c.n.id
		case r.Outcome == arbiter.Cancelled && r.ID == c.chosen:
			return true
		}
	}
	return false
}

// agreements notes which copies a recovery has begun to give up. A witness may forget
// that, with its disk, or somebody lets go of it; DRBD goes on at the peer's next word as
// it was told, and who has agreed has agreed. It ends with any other end of the recovery,
// where that goes back to the decision, where a later one keeps that copy and has come as
// far, and once the copy may be written to again (see checkGrants).
func (w *World) agreements(c *arbiter.Cluster) {
	if w.witness.unnoticed() {
		return
	}
	for i, id := range w.groups {
		g := c.Groups[id]
		if g == nil || w.disks[i] == nil {
			continue
		}
		for _, end := range w.disks[i].ends {
			r := g.Recovery
			if r != nil && r.Victim() == end.n.id && !r.Cancellable() {
				end.agreed = r.ID
				continue
			}
			over := r != nil && (r.ID == end.agreed || r.Survivor() == end.n.id && !r.Cancellable())
			for _, was := range g.Recovered {
				over = over || was.ID == end.agreed && was.Outcome != arbiter.Forgotten && was.Outcome != arbiter.Abandoned
			}
			if over {
				end.agreed = 0
			}
		}
	}
}

// deliberate reports whether a recovery has begun to give a copy up, as it must: with
// somebody's word or a policy, and after it was kept.
func (w *World) deliberate(c *replica) bool {
	begun := c.agreed != 0
	if known := w.witness.State(); known != nil && known.Groups[c.v.group] != nil {
		r := known.Groups[c.v.group].Recovery
		begun = begun || r.Victim() == c.n.id
		if r != nil && r.ID == c.agreed && c.v.said != r.ID && !r.Order.Automatic && (r.Order.AtMost == nil || *r.Order.AtMost == 0) {
			w.breaks("S6: %s's copy of %s is overwritten, and the operator was not shown what it had", c.n.id, c.v.group)
		}
	}
	if begun && (c.kept == "" || c.agreed == 0) {
		w.breaks("S6: %s's copy of %s is overwritten before a recovery has kept it and come so far", c.n.id, c.v.group)
	}
	return begun
}

// stopIsOnItsWay reports whether a copy was excluded by a recovery that gives it up, and
// its node, which was just starting the group, cannot know yet. The first step of the plan
// stops it, and nothing is given up before both sides have been measured behind that.
func (c *replica) stopIsOnItsWay(r *arbiter.Recovery, e arbiter.Exclusion) bool {
	if r.Victim() != c.n.id || r.Number != e.Number || r.Plan.Steps[r.Step].Kind != recovery.StopServices {
		return false
	}
	s := c.n.service(c.v.group)
	return s.number != 0 && (s.stops || c.n.remembers(c.v.group).Excluded != e.Number)
}

// ofRecovery reports whether a core is told something about a recovery, which has a grid
// of the coverage for itself (see toldRecovery).
func ofRecovery(told any) bool {
	switch told.(type) {
	case arbiter.Resolve, arbiter.Measured, arbiter.Unmeasured, arbiter.MeasureAgain, arbiter.Approve, arbiter.StepDone, arbiter.CancelRecovery,
		leader.Measured, leader.StepDone, agent.SideMeasured, agent.Carried:
		return true
	}
	return false
}

// Alike reports whether both copies of a group hold the same in every block.
func (w *World) Alike(g arbiter.GroupID) bool {
	v := w.disks[w.index(g)]
	for b := range volumeBlocks {
		if v.ends[A].drbd.Content(placeOf(b)) != v.ends[B].drbd.Content(placeOf(b)) {
			return false
		}
	}
	return true
}
