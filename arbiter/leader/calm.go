package leader

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// shotsWithin is the time over which shots are counted.
const shotsWithin = time.Hour

// countUp starts the times that pass after a takeover and after a shot. A new
// leader begins all of them anew: it waits longer, and never less.
func (d *desk) countUp(now boottime.Instant) {
	for id, g := range d.c.Groups {
		l := g.Lease
		if l == nil || !l.TakenOver() || l.Calm || d.c.Definition.HoldTime == 0 {
			delete(d.takeovers, id)
		} else if d.takeovers[id].of != uint64(l.Epoch) {
			d.takeovers[id] = deadline{of: uint64(l.Epoch), at: now.Add(arbiter.Guard(d.c.Definition.HoldTime))}
		}
	}
	for len(d.shots) < int(d.c.Shots) {
		d.shots = append(d.shots, now)
	}
	d.shots = d.shots[len(d.shots)-int(d.c.Shots):] // the oldest go first
}

// passed returns the command that says which of these times is over, or nil.
func (d *desk) passed(now boottime.Instant) arbiter.Command {
	for _, id := range inOrder(d.takeovers) {
		if t := d.takeovers[id]; now > t.at {
			return arbiter.Calm{Cluster: d.c.Definition.Cluster, Group: id, Epoch: arbiter.Epoch(t.of)}
		}
	}
	if len(d.shots) > 0 && now > d.shots[0].Add(shotsWithin) {
		return arbiter.Calm{Cluster: d.c.Definition.Cluster, Shot: true}
	}
	return nil
}

// nextCalm hands over when one of these times is over.
func (d *desk) nextCalm(at func(boottime.Instant)) {
	for _, t := range d.takeovers {
		at(t.at + 1)
	}
	if len(d.shots) > 0 {
		at(d.shots[0].Add(shotsWithin) + 1)
	}
}
