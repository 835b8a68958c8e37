package agent

import (
	"slices"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// drill is a rehearsal of the peer's fence devices that the witness has asked for:
// the peer holds nothing, and nobody is granted anything meanwhile.
type drill struct {
	mandate arbiter.MandateID
	step    shotStep
	before  boottime.Instant
	flies   bool // it was reported as one that may still land
}

// rehearse begins the rehearsal that the witness asks for, once.
func (m *Machine) rehearse(id arbiter.MandateID) {
	if id <= m.drilled || m.shot != nil || m.drill != nil || !m.cfg.CanFence {
		return
	}
	m.drilled = id
	if held := m.peerInOffice(); held != "" {
		m.note(nil, "no rehearsal", string(m.cfg.Peer)+" says that it runs "+string(held)).Alarm = true
		return
	}
	m.drill = &drill{mandate: id}
	m.note(nil, "rehearsal", "reading the power of "+string(m.cfg.Peer)+", which is to be switched off and on again")
	m.do(ReadPower{id})
}

// peerInOffice names a group that the peer says it runs, whatever the witness
// believes.
func (m *Machine) peerInOffice() arbiter.GroupID {
	for _, g := range m.groups {
		if m.hearsInOffice(m.last, g) {
			return g.id
		}
	}
	return ""
}

// onDrillPower asks for the permission.
func (m *Machine) onDrillPower(now boottime.Instant, ev PowerRead) {
	d := m.drill
	d.step = asking
	m.mem.Mandates, m.dirty = append(m.mem.Mandates, d.mandate), true
	m.mem.Begun = max(m.mem.Begun, d.mandate)
	m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.Begin{Seen: m.mem.Seen, Clock: m.last, Begin: arbiter.Begin{Caller: m.caller(id), Mandate: d.mandate, Readings: ev.Readings}}
		},
		done: func(now boottime.Instant, c *call, v arbiter.Verdict) {
			switch {
			case v.Kind != arbiter.Permitted:
				m.note(nil, "no rehearsal", v.Sentence)
				m.endDrill(d)
			case m.drill != d || v.Repeated || now.Sub(c.sentAt) > shootWithin || m.peerInOffice() != "":
				m.reportDrill(now, d, ShotDone{Failure: "the permission came too late, or " + string(m.cfg.Peer) + " runs something"})
			default:
				d.step, d.before = shooting, c.sentAt.Add(m.timing.FenceTimeout)
				m.note(nil, "rehearsing", v.Sentence)
				m.do(Shoot{Mandate: d.mandate, Readings: ev.Readings, Asked: c.sentAt, Before: d.before, Rehearsal: true})
			}
		},
	})
}

func (m *Machine) reportDrill(now boottime.Instant, d *drill, ev ShotDone) {
	d.step, d.flies = reporting, ev.InFlight
	m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.ReportFence{Seen: m.mem.Seen, Clock: m.last, ReportFence: arbiter.ReportFence{
				Caller: m.caller(id), Mandate: d.mandate, Grade: ev.Grade, Readings: ev.Readings, Failure: ev.Failure, InFlight: ev.InFlight,
			}}
		},
		done: func(_ boottime.Instant, _ *call, v arbiter.Verdict) {
			m.note(nil, "rehearsal over", v.Sentence).Alarm = !v.OK()
			m.endDrill(d)
		},
	})
}

func (m *Machine) endDrill(d *drill) {
	if d.flies {
		m.landsBy = max(m.landsBy, d.before)
	} else {
		m.mem.Mandates = slices.DeleteFunc(m.mem.Mandates, func(id arbiter.MandateID) bool { return id <= d.mandate })
		m.dirty = true
	}
	if m.drill == d {
		m.drill = nil
	}
}

// abortDrill gives a rehearsal up; what was switched off is switched on again.
func (m *Machine) abortDrill(why string) {
	d := m.drill
	if d == nil {
		return
	}
	switch d.step {
	case reading, asking:
		m.drill = nil
		m.note(nil, "no rehearsal", why)
	case shooting:
		m.do(Hold{d.mandate, why})
	}
}
