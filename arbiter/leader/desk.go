package leader

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

const (
	shotBackoff  = 5 * time.Second  // between a failed shot and the next mandate
	switchOnTime = 45 * time.Second // of a rehearsal, after the shot
	orderTimeout = 60 * time.Second // of a planned switchover
	// mostWaiting bounds the requests of a cluster that wait for its log: two
	// nodes' for half a minute.
	mostWaiting = 512
)

// desk is what this leader knows of one cluster beyond the replicated state.
type desk struct {
	c         *arbiter.Cluster
	groups    []arbiter.GroupID // of it, by name
	moving    []arbiter.GroupID // those of them that leave an isolated holder
	heard     map[arbiter.NodeID]*hearing
	deadlines map[arbiter.GroupID]deadline
	gates     map[arbiter.GroupID]boottime.Instant // first asked for alone at
	orders    map[arbiter.GroupID]boottime.Instant
	refusals  map[asker]arbiter.Reason
	asked     map[arbiter.NodeID]boottime.Instant
	mandate   deadline // Epoch is the mandate's number here
	begun     beginning
	phase     arbiter.Phase
	look      look
	failedAt  boottime.Instant
	takeovers map[arbiter.GroupID]deadline         // until when a group is not taken over again
	dated     bool                                 // what had passed of these times before this leadership is counted
	moved     map[arbiter.GroupID]boottime.Instant // by itself, away from an isolated holder
	shots     []boottime.Instant                   // at or after which they began, oldest first
	watches   map[arbiter.GroupID]*watch
	since     boottime.Instant
	busy      *proposal
	queue     []*request
}

type asker struct {
	node  arbiter.NodeID
	group arbiter.GroupID
}

type hearing struct {
	at    boottime.Instant
	first boottime.Instant // beat of this life
	beat  Beat
	// cutOff is since when it has reached too few reference addresses; zero: it does.
	cutOff boottime.Instant
	// report is the latest of this life, which most beats do not carry. again: it has
	// not been held against the present definition yet.
	report *Report
	again  bool
}

type deadline struct {
	of uint64 // the epoch, or the mandate's number
	at boottime.Instant
}

func newDesk(now boottime.Instant) *desk {
	d := &desk{
		takeovers: map[arbiter.GroupID]deadline{}, moved: map[arbiter.GroupID]boottime.Instant{},
		gates: map[arbiter.GroupID]boottime.Instant{}, orders: map[arbiter.GroupID]boottime.Instant{},
	}
	d.restart(now)
	return d
}

// restart forgets everything heard: all leases count as just renewed. How long ago
// something was taken over or shot at, and for how long a node is waited for, is known
// as well as before: counted anew at each pause, it would never be long enough.
func (d *desk) restart(now boottime.Instant) {
	d.since = now
	d.heard = map[arbiter.NodeID]*hearing{}
	d.deadlines = map[arbiter.GroupID]deadline{}
	d.refusals = map[asker]arbiter.Reason{}
	d.asked = map[arbiter.NodeID]boottime.Instant{}
	d.watches = map[arbiter.GroupID]*watch{}
	d.mandate, d.phase, d.begun = deadline{}, "", beginning{}
	if d.c != nil {
		d.take(now, d.c)
	}
}

// take looks at the cluster as a command has left it, and starts the deadlines
// of what is new.
func (d *desk) take(now boottime.Instant, c *arbiter.Cluster) {
	d.c, d.groups = c, slices.Sorted(maps.Keys(c.Groups))
	d.moving = slices.DeleteFunc(slices.Clone(d.groups), func(id arbiter.GroupID) bool { return c.Definition.Groups[id].MoveAfter == 0 })
	t := c.Definition.Timing
	for id, g := range c.Groups {
		switch {
		case g.Lease == nil:
			delete(d.deadlines, id)
		case d.deadlines[id].of != uint64(g.Lease.Epoch):
			d.deadlines[id] = deadline{of: uint64(g.Lease.Epoch), at: now.Add(mutant.Weak(mutant.NewLeaderGrantsAtOnce, arbiter.Guard(max(t.TTL, g.Lease.TTL)), 0))}
		}
		if g.Order == nil {
			delete(d.orders, id)
		} else if d.orders[id].IsZero() {
			d.orders[id] = now
		}
	}
	m := c.Mandate
	switch {
	case m == nil:
		d.mandate, d.phase = deadline{}, ""
	case d.mandate.of != uint64(m.ID) || d.phase == arbiter.Open && m.Phase != arbiter.Open:
		// A begun shot is waited out from here: whoever began it counts less.
		d.mandate = deadline{of: uint64(m.ID), at: now.Add(arbiter.Guard(t.FenceTimeout))}
		if m.Rehearsal {
			d.mandate.at = d.mandate.at.Add(switchOnTime)
		}
	}
	if m != nil {
		d.phase = m.Phase
	}
	d.countUp(now)
}

// suspected reports whether node was silent for suspect_after, all of which
// this leader has listened.
func (d *desk) suspected(now boottime.Instant, node arbiter.NodeID) bool {
	var heard boottime.Instant
	if h := d.heard[node]; h != nil {
		heard = h.at
	}
	return silence(now, heard, d.since) >= d.c.Definition.Timing.SuspectAfter || heard.IsZero() && mutant.On(mutant.NewLeaderSuspectsAtOnce)
}

func (d *desk) expired(now boottime.Instant, id arbiter.GroupID) bool {
	at, ok := d.deadlines[id]
	return ok && now > at.at
}

// judge says what the clock says about the group's holder, for a request of
// node.
func (d *desk) judge(now boottime.Instant, node arbiter.NodeID, id arbiter.GroupID) arbiter.Judgement {
	g := d.c.Groups[id]
	if g == nil {
		return arbiter.Judgement{}
	}
	peer := d.c.Definition.Peer(node)
	j := arbiter.Judgement{PeerHeard: !d.suspected(now, peer) && d.heard[peer] != nil}
	if j.PeerHeard {
		if b := d.heard[peer].beat.group(id); b != nil && b.Wants {
			ev := b.Evidence
			j.Peer = &ev
		}
	}
	holder := g.Last.Holder
	if g.Lease != nil {
		holder = g.Lease.Holder
		j.Epoch = g.Lease.Epoch
		j.Expired = d.expired(now, id)
		j.InTime = !j.Expired
	}
	if holder != "" {
		j.Suspected = d.suspected(now, holder)
		j.Delay = d.delayed(now, id, holder)
	}
	j.Backoff = !d.failedAt.IsZero() && now.Sub(d.failedAt) < shotBackoff || d.soon(now, id, g)
	// A node that has just begun to talk does not know its own disks yet.
	j.Gate = d.gate(now, id, g, j.Peer != nil || j.PeerHeard && d.talks(now, peer))
	return j
}

// soon reports whether a holder that could not be shot is believed dead by the
// clock before another shot would be over: that one would only put the takeover
// off.
func (d *desk) soon(now boottime.Instant, id arbiter.GroupID, g *arbiter.Group) bool {
	return g.Lease != nil && g.Lease.Unshot != "" && d.c.ByClock(id) && !d.expired(now, id) &&
		d.deadlines[id].at.Sub(now) < arbiter.Guard(d.c.Definition.Timing.FenceTimeout)
}

// talks reports whether a node has beaten long enough to have said what it wants.
func (d *desk) talks(now boottime.Instant, node arbiter.NodeID) bool {
	h := d.heard[node]
	return h != nil && !h.first.IsZero() && now.Sub(h.first) >= 2*d.c.Definition.Timing.SuspectAfter
}

// gate reports whether a group that is free because machines have started waits
// for the other node.
func (d *desk) gate(now boottime.Instant, id arbiter.GroupID, g *arbiter.Group, peerSpoke bool) bool {
	cold := g.Lease == nil && (g.Last.Cause == arbiter.ByBoot || g.Last.Cause == arbiter.ByReport || g.Last.Cause == arbiter.ByNothing)
	if !cold || peerSpoke {
		delete(d.gates, id)
		return false
	}
	if d.gates[id].IsZero() {
		d.gates[id] = now
	}
	t := d.c.Definition.Timing // and who has just stood still has not heard it either
	return now.Sub(d.gates[id]) < t.StartGate || t.StartGate > 0 && now.Sub(d.since) < 2*t.SuspectAfter
}

func (d *desk) delayed(now boottime.Instant, id arbiter.GroupID, holder arbiter.NodeID) bool {
	wait := d.c.Definition.Groups[id].TakeoverDelay
	if wait == 0 {
		return false
	}
	var heard boottime.Instant
	if h := d.heard[holder]; h != nil {
		heard = h.at
	}
	return silence(now, heard, d.since) < wait+d.c.Definition.Timing.SuspectAfter
}

// hear notes a sign of life of a node.
func (d *desk) hear(now boottime.Instant, node arbiter.NodeID) *hearing {
	h := d.heard[node]
	if h == nil {
		h = &hearing{}
		d.heard[node] = h
	}
	h.at = max(h.at, now)
	return h
}

// greet notes that a node has introduced itself. What an earlier life of it said
// of itself counts no more.
func (d *desk) greet(now boottime.Instant, caller arbiter.Caller) {
	h := d.hear(now, caller.Node)
	if was := h.beat.Caller; was.Boot != caller.Boot || was.Incarnation != caller.Incarnation {
		h.beat, h.first, h.report, h.again, h.cutOff = Beat{}, 0, nil, false, 0
	}
}

// renew moves the deadline of a group's lease.
func (d *desk) renew(received boottime.Instant, id arbiter.GroupID, e arbiter.Epoch) {
	ttl := d.c.Definition.Timing.TTL
	if g := d.c.Groups[id]; g != nil && g.Lease != nil {
		ttl = max(ttl, g.Lease.TTL)
	}
	at := received.Add(mutant.Weak(mutant.NoMargin, arbiter.Guard(ttl), ttl))
	if was := d.deadlines[id]; was.of == uint64(e) && was.at > at {
		return
	}
	d.deadlines[id] = deadline{of: uint64(e), at: at}
}
