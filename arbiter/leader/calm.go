package leader

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// shotsWithin is the time over which shots are counted.
const shotsWithin = time.Hour

// countUp starts the times that pass after a takeover and after a shot.
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

// recount takes off what had passed of them before this leadership, by the dates that
// earlier leaders have written down. wall is the time of day in Unix seconds. Nothing
// but patience rests on it: where the two hosts' clocks differ, a group is held back
// for longer or less long by as much, and never for longer than by counting anew.
func (d *desk) recount(wall int64) {
	d.dated = true
	since := func(at int64) time.Duration {
		if passed := wall - at/1000; at > 0 && passed > 0 {
			return time.Duration(min(passed, longAgo)) * time.Second
		}
		return 0
	}
	for id, t := range d.takeovers {
		if g := d.c.Groups[id]; g != nil && g.Lease != nil {
			t.at = t.at.Add(-since(g.Lease.Granted))
			d.takeovers[id] = t
		}
	}
	if d.c.Definition.ShotsPerHour == 0 {
		return // their age bars nobody
	}
	dates := d.c.ShotsAt
	for i := range min(len(d.shots), len(dates)) { // from the latest on
		shot := &d.shots[len(d.shots)-1-i]
		*shot = shot.Add(-since(dates[len(dates)-1-i]))
	}
}

// longAgo, in seconds, is longer than anything that is counted here.
const longAgo = 7 * 24 * 3600

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
