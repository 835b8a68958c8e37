package arbiter

import (
	"maps"
	"slices"

	"sbarbiter/internal/mutant"
)

// mandate gives the caller the permission to shoot target, to begin later.
func (c *Cluster) mandate(cmd Acquire, target NodeID) Verdict {
	c.Mandates++
	c.Mandate = &Mandate{
		ID: c.Mandates, Target: target, Boot: c.Nodes[target].Boot,
		Executor: cmd.Caller.Node, Group: cmd.Group, Phase: Open,
	}
	return Verdict{
		Kind: FenceFirst, Mandate: c.Mandates, Holder: target, Epoch: epochOf(c.Groups[cmd.Group].Lease),
		Sentence: sentence("mandate %d: %s is silent; %s may shoot it and is then granted %s", c.Mandates, target, cmd.Caller.Node, cmd.Group),
	}
}

// shotAt reports whether a shot at node may be on its way.
func (c *Cluster) shotAt(node NodeID) bool {
	m := c.Mandate
	return m != nil && (m.Target == node || m.Target == "") && m.Phase != Open
}

// voidOpen takes back a mandate against node that has not begun.
func (c *Cluster) voidOpen(node NodeID) {
	if c.Mandate != nil && c.Mandate.Target == node && c.Mandate.Phase == Open {
		c.Mandate = nil
	}
}

// begin is the one question before a shot, and its answer the permission.
func (a *applying) begin(c *Cluster, n *Node, cmd Begin) Verdict {
	var group GroupID
	if c.Mandate != nil {
		group = c.Mandate.Group
	}
	v := c.mayBegin(n, cmd)
	if v.Kind == Permitted && !mutant.On(mutant.TwoSteps) {
		c.Mandate.Phase, c.Mandate.Readings = Begun, slices.Clone(cmd.Readings)
		if !c.Mandate.Rehearsal {
			c.countShot(a.entry.At)
		}
	}
	a.record(c, group, cmd.Caller.Node, "begin", v)
	return v
}

func (c *Cluster) mayBegin(n *Node, cmd Begin) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || m.Executor != cmd.Caller.Node || m.Phase != Open || m.ByWitness {
		return refuse(MandateOver, "mandate %d is not open for %s", cmd.Mandate, cmd.Caller.Node)
	}
	if v := c.ready(cmd.Caller); v != nil {
		return *v
	}
	return c.permit(n, m, cmd.Judgement)
}

// permit answers Begin for the open mandate m, whoever asks: n may be granted the
// group, and the target is silent still.
func (c *Cluster) permit(n *Node, m *Mandate, j Judgement) Verdict {
	if m.Rehearsal {
		return c.mayBeginRehearsal(m)
	}
	g := c.Groups[m.Group]
	no := c.allowed(n, m.Group, m.Executor)
	if _, excluded := g.Excluded[m.Executor]; excluded {
		no = refused(IsExcluded, "its copy of %s is stale", m.Group)
	}
	if no != nil {
		c.Mandate = nil
		return refuse(MandateOver, "%s may not be granted %s now, so nobody is shot for it: %s", m.Executor, m.Group, no.Sentence)
	}
	silent := j.Suspected || j.Expired || mutant.On(mutant.BeginUnjudged)
	if g.Lease == nil {
		silent = !j.PeerHeard
	}
	if c.Nodes[m.Target].Boot != m.Boot || j.Epoch != epochOf(g.Lease) || !silent {
		c.Mandate = nil
		return refuse(TargetAlive, "%s has been heard again; nobody is shot", m.Target)
	}
	return Verdict{
		Kind: Permitted, Mandate: m.ID, Holder: m.Target,
		Sentence: sentence("mandate %d: %s shoots %s now", m.ID, m.Shooter(), m.Target),
	}
}

// Shooter names who carries the mandate out.
func (m *Mandate) Shooter() string {
	if m.ByWitness {
		return "the witness's own host"
	}
	return string(m.Executor)
}

// witnessBegin is the same question of the witness's own host.
func (a *applying) witnessBegin(c *Cluster, cmd WitnessBegin) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || !m.ByWitness || m.Phase != Open {
		return refuse(MandateOver, "mandate %d is not open for the witness's own host", cmd.Mandate)
	}
	if c.Learning {
		return refuse(WitnessLearning, "this witness is learning what the nodes know; nobody is shot before both have reported")
	}
	v := c.permit(c.Nodes[m.Executor], m, cmd.Judgement)
	if v.Kind == Permitted {
		// What the node read before its own Begin stands: "on" then and "off" read
		// by anybody after it is a change.
		m.Phase, m.Readings = Begun, append(slices.Clone(m.Readings), cmd.Readings...)
	}
	a.record(c, m.Group, m.Executor, "begin", v)
	return v
}

// reportFence takes the result of a shot. A proof ends the target's leases and
// grants the group that was asked for, if the rules still allow it.
func (a *applying) reportFence(c *Cluster, n *Node, cmd ReportFence) Verdict {
	m := c.Mandate
	if c.declines(cmd) {
		v := c.declined(cmd)
		a.record(c, m.Group, cmd.Caller.Node, "fence", v)
		return v
	}
	if m == nil || m.ID != cmd.Mandate || m.Executor != cmd.Caller.Node || m.Phase == Open || m.ByWitness {
		return refuse(MandateOver, "mandate %d is not under way for %s; nothing was recorded", cmd.Mandate, cmd.Caller.Node)
	}
	v := a.fenced(c, n, cmd)
	if g := c.Groups[m.Group]; g != nil { // a rehearsal is for no group
		g.date(a.entry.At)
	}
	a.record(c, m.Group, cmd.Caller.Node, "fence", v)
	return v
}

// declines reports whether an executor says, before it has asked to begin, that it
// cannot shoot at all.
func (c *Cluster) declines(cmd ReportFence) bool {
	m := c.Mandate
	return m != nil && m.ID == cmd.Mandate && m.Executor == cmd.Caller.Node && m.Phase == Open && !m.ByWitness && !m.Rehearsal &&
		cmd.Failure != "" && !cmd.InFlight
}

// declined gives the next executor its turn at once: nothing has been begun.
func (c *Cluster) declined(cmd ReportFence) Verdict {
	target := c.Mandate.Target
	c.blame(cmd.Failure)
	if cmd.Next {
		c.handOver()
		return refuse(NotProven, "%s cannot shoot %s: %s; the witness's own host tries next", cmd.Caller.Node, target, cmd.Failure)
	}
	c.Mandate = nil
	return refuse(NotProven, "%s cannot shoot %s: %s", cmd.Caller.Node, target, cmd.Failure)
}

// witnessReport takes the result of a shot by the witness's own host.
func (a *applying) witnessReport(c *Cluster, cmd WitnessReport) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || !m.ByWitness || m.Phase == Open {
		return refuse(MandateOver, "mandate %d is not under way for the witness's own host; nothing was recorded", cmd.Mandate)
	}
	v := a.fenced(c, nil, ReportFence{
		Mandate: cmd.Mandate, Grade: cmd.Grade, Readings: cmd.Readings, Failure: cmd.Failure, InFlight: cmd.InFlight, Alive: cmd.Alive,
	})
	a.record(c, m.Group, m.Executor, "fence", v)
	return v
}

func (a *applying) fenced(c *Cluster, n *Node, cmd ReportFence) Verdict {
	m := c.Mandate
	if m.Rehearsal {
		return c.rehearsed(m, cmd, a.entry.At)
	}
	proven, why := m.proven(cmd)
	if proven && !cmd.Alive {
		c.noteProofs(m, cmd, a.entry.At)
	}
	switch {
	case m.Target == "":
		return refuse(MandateUnderWay, "two shots may be on their way; both are waited out")
	case m.Phase == Settled:
		if proven && !cmd.Alive {
			c.endAll(m.ending(cmd.Grade)) // it may hold other groups still
		}
		c.close(cmd)
		if cmd.Grade == E0 && cmd.Failure == "" {
			return done("mandate %d against %s is over: nothing of its shot can land any more", m.ID, m.Target)
		}
		return done("%s had given up its leases by itself before the shot was over", m.Target)
	case cmd.Alive && proven && !mutant.On(mutant.ProofWhileAlive):
		c.blame("it was heard after its power had been read as off")
		c.close(cmd)
		return refuse(TargetAlive, "%s was heard after its power had been read as off: the reading is wrong", m.Target)
	case !proven:
		c.blame(why)
		if cmd.Next && !cmd.InFlight {
			c.handOver()
			return refuse(NotProven, "%s is not proven off: %s; the witness's own host tries next", m.Target, why)
		}
		c.close(cmd)
		return refuse(NotProven, "%s is not proven off: %s", m.Target, why)
	case m.ByWitness:
		c.endAll(m.ending(cmd.Grade))
		m.Phase = Settled
		c.close(cmd)
		return done("%s is proven off (%s) by the witness's own host; %s is free", m.Target, cmd.Grade, m.Group)
	}
	return c.reward(n, m, cmd)
}

// handOver opens the mandate for the witness's own host. Until that has begun,
// its target's renewals count again.
func (c *Cluster) handOver() { c.Mandate.Phase, c.Mandate.ByWitness = Open, true }

func (m *Mandate) ending(g Grade) Ending {
	return Ending{Holder: m.Target, Cause: ByFence, Grade: g, Mandate: m.ID}
}

// proven reports whether the readings bear out the grade that the executor
// claims, or why not. E3 needs a device that was on, by the readings stored
// with Begin or earlier in the shot, and is off at last; E4 another one that is
// off. Which devices are independent is the executor's knowledge.
func (m *Mandate) proven(cmd ReportFence) (ok bool, why string) {
	off, turned := m.turned(cmd)
	switch {
	case cmd.Failure != "":
		return false, cmd.Failure
	case cmd.Grade < E3 || cmd.Grade > E4:
		return false, sentence("the shot reached grade %s, and a proof by power is E3 or E4", cmd.Grade)
	case len(turned) == 0 && !mutant.On(mutant.OffWithoutStatus):
		return false, sentence("grade %s is claimed, but no device was read as on before and off after the shot", cmd.Grade)
	case cmd.Grade == E4 && off < 2:
		return false, "grade E4 is claimed, but only one device was read as off"
	}
	return true, ""
}

// turned counts the devices that read off at last, and names those of them that
// were on before.
func (m *Mandate) turned(cmd ReportFence) (off int, turned []string) {
	on, last := map[string]bool{}, map[string]string{}
	for _, r := range m.Readings {
		on[r.Device] = on[r.Device] || r.Power == "on"
	}
	for _, r := range cmd.Readings {
		on[r.Device] = on[r.Device] || r.Power == "on"
		if r.Power == "on" || r.Power == "off" {
			last[r.Device] = r.Power
		}
	}
	for _, device := range slices.Sorted(maps.Keys(last)) {
		if last[device] != "off" {
			continue
		}
		off++
		if on[device] {
			turned = append(turned, device)
		}
	}
	return off, turned
}

// mostProofs is far more than a machine has fence devices.
const mostProofs = 32

// noteProofs remembers for people when each device was last seen to work.
func (c *Cluster) noteProofs(m *Mandate, cmd ReportFence, at int64) {
	_, turned := m.turned(cmd)
	c.proved(m.Target, turned, at)
}

func (c *Cluster) proved(target NodeID, devices []string, at int64) {
	n := c.Nodes[target]
	if n == nil {
		return
	}
	for _, device := range devices {
		if n.Proven == nil {
			n.Proven = map[string]int64{}
		}
		if _, known := n.Proven[device]; known || len(n.Proven) < mostProofs {
			n.Proven[device] = at
		}
	}
}

// close ends a mandate whose shot is over. One that may still land is waited
// out by the leader.
func (c *Cluster) close(cmd ReportFence) {
	if !cmd.InFlight {
		c.Mandate = nil
	}
}

// reward ends the leases of a node that is proven off and grants the group that
// the shot was fired for, if the rules still allow it.
func (c *Cluster) reward(n *Node, m *Mandate, cmd ReportFence) Verdict {
	g := c.Groups[m.Group]
	v := c.ready(cmd.Caller)
	if v == nil {
		v = c.admit(n, m.Group, cmd.Caller.Node, &cmd.Evidence)
	}
	c.endAll(m.ending(cmd.Grade))
	m.Phase = Settled
	c.close(cmd)
	switch {
	case v != nil:
		out := done("%s is proven off (%s); %s is not granted: %s", m.Target, cmd.Grade, m.Group, v.Sentence)
		out.Reason = v.Reason
		return out
	case g.Lease != nil || !c.graded(m.Group, cmd.Caller.Node) || g.Order != nil && g.Order.To != cmd.Caller.Node:
		return done("%s is proven off (%s)", m.Target, cmd.Grade)
	}
	out := c.grant(m.Group, cmd.Caller, cmd.Evidence.Watchdog)
	out.Mandate = m.ID
	return out
}

// blame notes why a shot proved nothing.
func (c *Cluster) blame(why string) {
	for _, g := range c.Groups {
		if g.Lease != nil && g.Lease.Holder == c.Mandate.Target {
			g.Lease.Unshot = why
		}
	}
}

// endMandate closes a mandate on the leader's conclusion.
func (a *applying) endMandate(c *Cluster, cmd EndMandate) Verdict {
	m := c.Mandate
	if m == nil || m.ID != cmd.Mandate || m.Phase != cmd.Phase {
		return refuse(MandateOver, "mandate %d is not %s any more", cmd.Mandate, cmd.Phase)
	}
	if m.Phase == Begun {
		c.blame(cmd.Reason)
	}
	v := done("mandate %d against %s is over: %s", m.ID, m.Target, cmd.Reason)
	if m.Phase == Begun && !m.ByWitness && !m.Rehearsal && cmd.Next {
		c.handOver()
		v = done("mandate %d against %s: %s; the witness's own host tries next", m.ID, m.Target, cmd.Reason)
	} else {
		c.Mandate = nil
	}
	a.record(c, m.Group, m.Target, "mandate over", v)
	return v
}
