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

// shootWithin is how soon after the question a shot must have begun.
const shootWithin = 2 * time.Second

type shotStep int

const (
	reading   shotStep = iota // the power, before the question
	asking                    // whether to begin
	shooting                  // until the power is seen off
	reporting                 // the result
)

// shot is a mandate being carried out.
type shot struct {
	group   *group
	mandate arbiter.MandateID
	step    shotStep
	before  boottime.Instant
	aborted string
	ended   boottime.Instant // its devices have been asked for the last time
	flies   bool             // it was reported as one that may still land
	lands   boottime.Instant // until then, if it is proven
}

// flight is what may still land of a shot that is proven.
type flight struct {
	mandate arbiter.MandateID // 0: nothing
	lands   boottime.Instant
}

// fenceFirst begins to carry a mandate out.
func (m *Machine) fenceFirst(g *group, v arbiter.Verdict) {
	if m.shot != nil {
		return
	}
	if !m.cfg.CanFence {
		m.decline(g, v)
		return
	}
	m.shot = &shot{group: g, mandate: v.Mandate}
	m.note(g, "mandate", v.Sentence)
	m.do(mutant.Weak[Action](mutant.ShotUnasked, ReadPower{v.Mandate}, Shoot{Mandate: v.Mandate, Asked: m.last, Before: m.last.Add(m.timing.FenceTimeout)}))
}

// decline tells the witness, once for each mandate, that this node cannot shoot:
// whoever else can is next.
func (m *Machine) decline(g *group, v arbiter.Verdict) {
	const why = "no fence device for it is configured on this node"
	if g.bid.last != arbiter.GradeTooLow {
		m.note(g, "cannot shoot", "the witness asks for "+string(v.Holder)+" to be shot: "+why).Alarm = true
	}
	g.bid.last = arbiter.GradeTooLow
	if v.Mandate <= m.declined {
		return
	}
	m.declined = v.Mandate
	m.call(m.last, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.ReportFence{Seen: m.mem.Seen, Clock: m.last, ReportFence: arbiter.ReportFence{
				Caller: m.caller(id), Mandate: v.Mandate, Failure: why, Evidence: m.evidence(m.last, g),
			}}
		},
		done: func(boottime.Instant, *call, arbiter.Verdict) {},
	})
}

// onPower asks for the permission to begin, with the power as it was before.
func (m *Machine) onPower(now boottime.Instant, ev PowerRead) {
	if d := m.drill; d != nil && d.mandate == ev.Mandate && d.step == reading {
		m.onDrillPower(now, ev)
		return
	}
	s := m.shot
	if s == nil || s.mandate != ev.Mandate || s.step != reading {
		return
	}
	if m.hearsBeats(now) || s.group.bid == nil {
		m.note(s.group, "shot withdrawn", string(m.cfg.Peer)+" is heard again, or the group is not asked for any more")
		m.shot = nil
		return
	}
	s.step = asking
	m.mem.Mandates, m.dirty = append(m.mem.Mandates, s.mandate), true
	m.mem.Begun = max(m.mem.Begun, s.mandate)
	m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.Begin{Seen: m.mem.Seen, Clock: m.last, Begin: arbiter.Begin{Caller: m.caller(id), Mandate: s.mandate, Readings: ev.Readings}}
		},
		done: func(now boottime.Instant, c *call, v arbiter.Verdict) { m.onPermission(now, s, c, v, ev.Readings) },
	})
}

// onPermission shoots, unless too much time has passed or the peer is heard.
func (m *Machine) onPermission(now boottime.Instant, s *shot, c *call, v arbiter.Verdict, before []arbiter.Reading) {
	if v.Kind != arbiter.Permitted {
		m.note(s.group, "shot refused", v.Sentence)
		m.endShot(now, s)
		return
	}
	why := s.aborted
	switch {
	case v.Repeated || now.Sub(c.sentAt) > shootWithin:
		why = "the permission came too late"
	case m.hearsBeats(now):
		why = string(m.cfg.Peer) + " is heard again"
	}
	if why != "" {
		m.report(now, s, ShotDone{Mandate: s.mandate, Failure: why, Readings: before})
		return
	}
	s.step, s.before = shooting, c.sentAt.Add(m.timing.FenceTimeout)
	m.note(s.group, "shooting", v.Sentence)
	m.do(Shoot{Mandate: s.mandate, Readings: before, Asked: c.sentAt, Before: s.before})
}

func (m *Machine) onShot(now boottime.Instant, ev ShotDone) {
	if d := m.drill; d != nil && d.mandate == ev.Mandate && d.step == shooting {
		m.reportDrill(now, d, ev)
		return
	}
	s := m.shot
	if s == nil || s.mandate != ev.Mandate || s.step != shooting {
		return
	}
	if ev.Revives {
		m.mem.Reviving, m.dirty = s.mandate, true
	}
	if ev.Failure == "" {
		m.note(s.group, "seen off", string(m.cfg.Peer)+": "+ev.Grade.String()+", "+ev.Grade.Meaning())
	} else {
		m.note(s.group, "shot failed", ev.Failure+"; once you have seen that "+string(m.cfg.Peer)+" is off, type: sbctl fence confirm "+string(m.cfg.Peer)).Alarm = true
	}
	m.report(now, s, ev)
}

// onRevived forgets a peer that is on again, or that nobody here can switch on.
func (m *Machine) onRevived(ev Revived) {
	if m.mem.Reviving == ev.Mandate {
		m.mem.Reviving, m.dirty = 0, true
	}
}

// report tells the witness how the shot ended, until it has taken it.
func (m *Machine) report(now boottime.Instant, s *shot, ev ShotDone) {
	s.step, s.flies, s.lands, s.ended = reporting, ev.InFlight, ev.Lands, now
	m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			if held := m.ranSince(s.ended); ev.Failure == "" && held != "" && !mutant.On(mutant.ProofWhileItRuns) {
				ev.Failure = fmt.Sprintf("%s was heard after its power had been read as off, and says that it runs %s", m.cfg.Peer, held)
				ev.InFlight, s.flies, s.lands = true, true, 0
			}
			return leader.ReportFence{Seen: m.mem.Seen, Clock: m.last, ReportFence: arbiter.ReportFence{
				Caller: m.caller(id), Mandate: s.mandate, Grade: ev.Grade, Readings: ev.Readings,
				Failure: ev.Failure, InFlight: ev.InFlight, Evidence: m.evidence(m.last, s.group),
			}}
		},
		done: func(now boottime.Instant, c *call, v arbiter.Verdict) {
			g := s.group
			m.endShot(now, s)
			if v.Kind == arbiter.Granted {
				m.onGrant(now, g, c, v)
			}
		},
	})
}

// ranSince names a group that the peer has said it runs by right, in a beat that was
// heard after at.
func (m *Machine) ranSince(at boottime.Instant) arbiter.GroupID {
	if i := slices.IndexFunc(m.peer.beat.Groups, func(p PeerGroup) bool { return p.InOffice }); i >= 0 && m.peer.known && m.peer.at > at {
		return m.peer.beat.Groups[i].Group
	}
	return ""
}

func (m *Machine) endShot(now boottime.Instant, s *shot) {
	switch {
	case s.flies && !s.lands.IsZero():
		m.landsBy = max(m.landsBy, s.lands)
		m.flying = flight{s.mandate, s.lands}
	case s.flies:
		m.landsBy = max(m.landsBy, s.before) // no word for the target until then
	default:
		m.mem.Mandates = slices.DeleteFunc(m.mem.Mandates, func(id arbiter.MandateID) bool { return id <= s.mandate })
		m.dirty = true
	}
	m.shot = nil
	if s.group.bid != nil {
		s.group.bid.next = now
	}
}

// land tells the witness that nothing more of a proven shot is to come, so that its
// mandate need not stand until its deadline.
func (m *Machine) land(now boottime.Instant) {
	over := m.flying.mandate
	m.flying = flight{}
	m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			return leader.ReportFence{Seen: m.mem.Seen, Clock: m.last, ReportFence: arbiter.ReportFence{Caller: m.caller(id), Mandate: over}}
		},
		done: func(boottime.Instant, *call, arbiter.Verdict) {},
	})
}

// leftOff has the peer switched on again where an earlier life of this agent had begun
// to shoot it and nobody knows how far it came, or had not come to the end of its
// reboot. Nothing of that shot can land any more.
func (m *Machine) leftOff(now boottime.Instant) {
	last, due := m.unfinished, m.mem.Reviving != 0 || slices.Contains(m.mem.Mandates, m.unfinished)
	m.unfinished, m.mem.Reviving = 0, 0
	if last == 0 || !due || !m.cfg.CanFence || m.hearsBeats(now) {
		return
	}
	m.mem.Reviving = last
	m.note(nil, "unfinished shot", fmt.Sprintf("mandate %d was begun by an agent before this one; if %s is off it is switched on again", last, m.cfg.Peer))
	m.do(SwitchOn{last})
}

// witnessShoots notes that the witness's own host shoots for this node's ask. Should
// that witness be replaced by one without a memory, nobody else could tell it of a
// shot that may be on its way.
func (m *Machine) witnessShoots(now boottime.Instant, v arbiter.Verdict) {
	if v.Reason != arbiter.MandateUnderWay || v.Mandate == 0 {
		return
	}
	m.landsBy = max(m.landsBy, now.Add(arbiter.Guard(m.cfg.Timing.FenceTimeout)))
	if !slices.Contains(m.mem.Mandates, v.Mandate) {
		m.mem.Mandates, m.dirty = append(m.mem.Mandates, v.Mandate), true
	}
}

// abortShot gives up a shot that has not been reported yet.
func (m *Machine) abortShot(why string) {
	m.abortDrill(why)
	s := m.shot
	if s == nil {
		return
	}
	s.aborted = why
	switch s.step {
	case reading:
		m.shot = nil
	case shooting:
		m.do(Hold{s.mandate, why})
	}
}

// landed is when whatever was begun to shoot here, by this agent or one before it,
// has landed, or does not any more.
func (m *Machine) landed() boottime.Instant {
	return max(m.started.Add(arbiter.Guard(m.cfg.Timing.FenceTimeout)), m.landsBy)
}

// fencing ends a shot of which nothing is heard any more, and forgets those that
// may have been in flight once they are over: a witness that is told of them gives its
// target nothing for as long as a shot takes.
func (m *Machine) fencing(now boottime.Instant) {
	if m.flying.mandate != 0 && now >= m.flying.lands {
		m.land(now)
	}
	s := m.shot
	if s == nil && m.drill == nil && (len(m.mem.Mandates) > 0 || m.unfinished != 0) && now >= m.landed() {
		m.leftOff(now)
		m.mem.Mandates, m.dirty = nil, true
	}
	if s == nil || s.step != shooting || now < s.before.Add(m.timing.SuspectAfter) {
		return
	}
	m.report(now, s, ShotDone{Mandate: s.mandate, Failure: "no result before the deadline", InFlight: true})
}
