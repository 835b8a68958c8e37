package leader

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// The witness's own host is the second executor: when a node could not shoot, it
// tries from its own side of the network. It is held to what a node is held to:
// the power is read first, Begin is the only question, and it is put only when the
// node that is to be granted the group has just asked again and still hears
// nothing of the target.

const (
	lookWithin = 3 * time.Second // for the answer to a look
	lookFresh  = 2 * time.Second // and so old it may be when the question is put
)

// Look asks the shell to read a node's power. It answers with [Looked].
type Look struct {
	Cluster arbiter.ClusterID
	Mandate arbiter.MandateID
	Target  arbiter.NodeID
}

// Shoot asks the shell to power a node off. The first off leaves within two
// seconds after Asked, and nothing from Before on. It answers with [ShotDone],
// once, also when it was too late to begin. A shot dies with the leadership.
type Shoot struct {
	Cluster  arbiter.ClusterID
	Mandate  arbiter.MandateID
	Target   arbiter.NodeID
	Asked    boottime.Instant
	Before   boottime.Instant
	Readings []arbiter.Reading // stored with the mandate
}

func (Look) action()  {}
func (Shoot) action() {}

// The shell's answers, given like requests.
type (
	// Looked says what the devices read.
	Looked struct {
		Cluster  arbiter.ClusterID
		Mandate  arbiter.MandateID
		Readings []arbiter.Reading
	}
	// ShotDone says how a shot ended.
	ShotDone struct {
		Cluster  arbiter.ClusterID
		Mandate  arbiter.MandateID
		Grade    arbiter.Grade
		Readings []arbiter.Reading
		Failure  string // why it is not proven
		InFlight bool
	}
)

// look is a reading of the target's power by this host.
type look struct {
	mandate  arbiter.MandateID
	asked    boottime.Instant
	answered boottime.Instant // zero until then
	readings []arbiter.Reading
}

// Reaches says which nodes this witness's host has fence devices for. The shell
// says it once, after New.
func (l *Leader) Reaches(nodes map[arbiter.ClusterID][]arbiter.NodeID) { l.hands = nodes }

func (l *Leader) reaches(d *desk, target arbiter.NodeID) bool {
	return slices.Contains(l.hands[d.c.Definition.Cluster], target)
}

// turn returns this host's own question, put by the ask that shows that the group
// is still wanted, or nil when it is not its turn.
func (l *Leader) turn(now boottime.Instant, d *desk, r *request, ask arbiter.Acquire) arbiter.Command {
	m := d.c.Mandate
	switch {
	case m == nil || !m.ByWitness || m.Phase != arbiter.Open || m.Executor != ask.Caller.Node || m.Group != ask.Group:
		return nil
	case !l.reaches(d, m.Target) || now.Sub(r.at) > d.c.Definition.Timing.Renew:
		return nil // an ask that waited behind the log says what was true then
	// As for the mandate itself: DRBD may hear a machine whose agent is dead, so
	// once the lease has run out that is no sign of life. A node that hears the
	// target's beats asks for nothing.
	case ask.Evidence.HearsPeer && !ask.Judgement.Expired:
		return nil
	// What the first executor has sent may land until then. A leader that did not
	// see it begin counts anew.
	case now <= d.mandate.at:
		return nil
	case now.Sub(d.since) < d.c.Definition.Timing.SuspectAfter:
		return nil
	}
	if !d.look.fresh(now, m.ID) {
		if !d.look.underWay(now, m.ID) {
			d.look = look{mandate: m.ID, asked: now}
			l.do(Look{Cluster: ask.Caller.Cluster, Mandate: m.ID, Target: m.Target})
		}
		return nil
	}
	return arbiter.WitnessBegin{
		Cluster: ask.Caller.Cluster, Mandate: m.ID, Readings: d.look.readings,
		Judgement: d.judge(now, ask.Caller.Node, m.Group),
	}
}

func (l look) fresh(now boottime.Instant, m arbiter.MandateID) bool {
	return l.mandate == m && !l.answered.IsZero() && now.Sub(l.answered) <= lookFresh
}

func (l look) underWay(now boottime.Instant, m arbiter.MandateID) bool {
	return l.mandate == m && l.answered.IsZero() && now.Sub(l.asked) <= lookWithin
}

func (d *desk) looked(now boottime.Instant, m Looked) {
	if d.look.mandate != m.Mandate || !d.look.answered.IsZero() {
		return
	}
	d.look.answered, d.look.readings = now, m.Readings
}

// permitted has the shell shoot, unless the target was heard while the question was
// written down. An answer that was lost permits nothing: the mandate ends by its
// deadline.
func (l *Leader) permitted(now boottime.Instant, d *desk, p *proposal, v arbiter.Verdict) {
	m := d.c.Mandate
	if v.Kind != arbiter.Permitted || m == nil {
		return
	}
	if h := d.heard[m.Target]; h != nil && h.at >= p.at {
		l.shotDone(now, d, nil, ShotDone{Cluster: d.c.Definition.Cluster, Mandate: m.ID, Failure: string(m.Target) + " is heard again"})
		return
	}
	l.do(Shoot{
		Cluster: d.c.Definition.Cluster, Mandate: m.ID, Target: m.Target, Readings: slices.Clone(m.Readings),
		Asked: p.at, Before: p.at.Add(d.c.Definition.Timing.FenceTimeout),
	})
}

// shotDone makes the result durable, and says whether the target was heard after
// the last reading.
func (l *Leader) shotDone(now boottime.Instant, d *desk, r *request, m ShotDone) {
	cmd := arbiter.WitnessReport{
		Cluster: m.Cluster, Mandate: m.Mandate, Grade: m.Grade, Readings: m.Readings, Failure: m.Failure, InFlight: m.InFlight,
	}
	if mandate := d.c.Mandate; mandate != nil && len(m.Readings) > 0 {
		h := d.heard[mandate.Target]
		cmd.Alive = h != nil && h.at > m.Readings[len(m.Readings)-1].At
	}
	l.propose(now, d, r, cmd)
}
