package leader

import (
	"fmt"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// restAfterMove is how long a group that was moved by itself stays where it is at
// the least: the next node may be cut off as well in a moment.
const restAfterMove = 2 * orderTimeout

// isolated notes since when a node reaches too few of its reference addresses, by
// its own word.
func (h *hearing) isolated(at boottime.Instant) {
	switch {
	case h.beat.References >= h.beat.Needed:
		h.cutOff = 0
	case h.cutOff.IsZero():
		h.cutOff = at
	}
}

// moves returns the order to move a group away from a holder that has been isolated
// for long enough, to a peer that is not, or nil. The holder is well, so this is a
// switchover, and Apply asks of it all that it asks of an operator's.
func (l *Leader) moves(now boottime.Instant, d *desk) arbiter.Command {
	for _, id := range d.moving {
		g, def := d.c.Groups[id], d.c.Definition.Groups[id]
		if def.Manual || !d.mayMove(now, id, g, def.MoveAfter) {
			continue
		}
		holder := g.Lease.Holder
		to := d.c.Definition.Peer(holder)
		cmd := arbiter.Order{
			Cluster: d.c.Definition.Cluster, Group: id, To: to, Target: d.latest(now, to, id), By: "sbwitness",
			Reason: fmt.Sprintf("%s has been isolated for %v, and %s is not", holder, def.MoveAfter, to),
		}
		if d.preview(l.version, cmd).OK() {
			d.moved[id] = now
			return cmd
		}
	}
	return nil
}

// mayMove: the holder is heard and isolated, and was so all the time; its peer is
// heard, is not isolated, and could start the group when it tried last; and the group
// has not just come.
func (d *desk) mayMove(now boottime.Instant, id arbiter.GroupID, g *arbiter.Group, after time.Duration) bool {
	if g.Lease == nil || !g.Lease.Started || g.Order != nil || g.Recovery != nil || d.c.HoldsBack(g.Lease) {
		return false
	}
	holder, peer := g.Lease.Holder, d.c.Definition.Peer(g.Lease.Holder)
	h, p := d.heard[holder], d.heard[peer]
	switch {
	case h == nil || p == nil || d.suspected(now, holder) || d.suspected(now, peer):
		return false
	case h.cutOff.IsZero() || now.Sub(h.cutOff) < after || p.beat.References < p.beat.Needed || p.first.IsZero():
		return false
	case g.Failed[peer] != "":
		return false
	}
	rest := max(d.c.Definition.HoldTime, restAfterMove)
	return d.moved[id].IsZero() || now.Sub(d.moved[id]) >= rest
}

// nextMove hands over when an isolated holder may have been so for long enough.
func (d *desk) nextMove(at func(boottime.Instant)) {
	for _, id := range d.moving {
		g := d.c.Groups[id]
		if g.Lease == nil || d.heard[g.Lease.Holder] == nil {
			continue
		}
		if since := d.heard[g.Lease.Holder].cutOff; !since.IsZero() {
			at(since.Add(d.c.Definition.Groups[id].MoveAfter))
		}
	}
}
