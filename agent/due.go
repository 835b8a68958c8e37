package agent

import "sbarbiter/internal/boottime"

// Due returns the next instant at which time alone makes something due: until
// then, and as long as nothing else happens, a [Tick] does nothing. It may be
// earlier than necessary and never later.
func (m *Machine) Due() boottime.Instant {
	d := dueAfter{m.last, m.peer.sentAt.Add(m.timing.Renew)}
	d.at(m.feedAt.Add(m.timing.Renew))
	// What somebody's silence changes.
	d.at(m.peer.at.Add(m.timing.SuspectAfter))
	d.at(m.answered.Add(m.timing.SuspectAfter))
	for _, g := range m.groups {
		m.dueOf(&d, g)
	}
	if m.mem.Promise != m.cfg.Timing.Promise {
		d.at(m.bindsTo + 1)
	}
	if len(m.mem.Mandates) > 0 || m.unfinished != 0 {
		d.at(m.landed())
	}
	if m.flying.mandate != 0 {
		d.at(m.flying.lands)
	}
	if s := m.shot; s != nil && s.step == shooting {
		d.at(s.before.Add(m.timing.SuspectAfter))
	}
	if !m.session {
		return d.next
	}
	for _, c := range m.calls {
		d.at(c.retryAt)
	}
	if m.spoken {
		d.at(m.beatAt.Add(m.timing.Renew))
	} else {
		d.at(m.helloAt)
	}
	return d.next
}

// dueOf adds what becomes due about g.
func (m *Machine) dueOf(d *dueAfter, g *group) {
	d.at(max(m.started, m.gapAt).Add(reinstateAfter) + 1)
	switch {
	case g.hot():
		d.at(m.softStop(g))
		d.at(m.hardStop(g))
		d.at(g.right.promise.Add(-m.cfg.back() - m.timing.Stop))
		d.at(g.stopBy)
		d.at(g.attempt.next)
	default:
		d.at(g.backoff)
		d.at(g.demoteAt.Add(reinstateAfter))
	}
	d.at(g.meetBy)
	if g.bid != nil {
		d.at(g.bid.next)
	}
	if g.drbd() {
		if !g.joined {
			d.at(g.joinAt)
		}
		d.at(g.excl.next)
		d.at(g.newsOf())
		d.at(g.excl.since.Add(2*m.timing.RPCTimeout) + 1)
		if g.hot() {
			d.at(g.thawAt.Add(thawWithin) + 1)
		}
	}
}

// dueAfter finds the earliest instant after one: what lies before it has been
// done, or waits for something else than time.
type dueAfter struct{ after, next boottime.Instant }

func (d *dueAfter) at(t boottime.Instant) {
	if t > d.after && t < d.next {
		d.next = t
	}
}
