package leader

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// handle decides what becomes of a message now, or keeps it until the command
// that its cluster waits for is through.
func (l *Leader) handle(now boottime.Instant, r *request) {
	if define, ok := r.message.(arbiter.Define); ok && l.desks[define.Definition.Cluster] == nil {
		l.propose(now, nil, r, define)
		return
	}
	id, who, node := addressee(r.message)
	d := l.desks[id]
	if d == nil {
		l.refuse(r, arbiter.UnknownCluster, fmt.Sprintf("this witness does not know cluster %s; declare it with sbctl cluster add", id))
		return
	}
	if _, beat := r.message.(Beat); d.busy != nil && !(beat && mutant.On(mutant.RenewalBesideEnding)) {
		if node && d.knows(who.Caller) {
			d.hear(r.at, who.Caller.Node) // a slow disk makes nobody silent
		}
		if len(d.queue) >= mostWaiting {
			l.reply(r, Answer{}) // whoever still wants it asks again
			return
		}
		d.queue = append(d.queue, r)
		return
	}
	if node && !l.accept(now, d, r, who) {
		return
	}
	l.dispatch(now, d, r)
}

// accept looks at who speaks before what is said: a node with a version of this
// witness that is not in its memory stops everything.
func (l *Leader) accept(now boottime.Instant, d *desk, r *request, who Sender) bool {
	if l.misses(who.Seen) {
		if !l.renouncing() {
			l.propose(now, nil, nil, arbiter.Renounce{Shown: who.Seen})
		}
		l.refuse(r, arbiter.WitnessBehind, "this witness's memory is older than its own earlier answers; it begins anew and learns from the nodes")
		return false
	}
	if _, hello := r.message.(Hello); hello {
		return true
	}
	if !d.knows(who.Caller) {
		l.refuse(r, arbiter.NotIntroduced, fmt.Sprintf("%s has not reported under boot %s, agent start %d", who.Caller.Node, who.Caller.Boot, who.Caller.Incarnation))
		return false
	}
	d.hear(r.at, who.Caller.Node)
	return true
}

// knows reports whether this life of a node has introduced itself, to a memory
// that learns again once more.
func (d *desk) knows(caller arbiter.Caller) bool {
	n := d.c.Nodes[caller.Node]
	if mutant.On(mutant.StaleLifeHeard) {
		return n != nil
	}
	return n != nil && n.Boot == caller.Boot && n.Incarnation == caller.Incarnation && (n.Reported || !d.c.Learning)
}

// misses reports whether an answer of this witness that a node has seen is not
// in its memory.
func (l *Leader) misses(seen arbiter.Version) bool {
	memory := arbiter.State{Version: l.version, Leads: l.leads}
	return memory.Misses(seen) && !mutant.On(mutant.BackupUnnoticed)
}

func (l *Leader) renouncing() bool {
	for _, p := range l.underWay {
		if _, ok := p.command.(arbiter.Renounce); ok {
			return true
		}
	}
	return false
}

func (l *Leader) dispatch(now boottime.Instant, d *desk, r *request) {
	switch m := r.message.(type) {
	case Hello:
		l.propose(now, d, r, arbiter.NodeUp{Caller: m.Caller, Report: m.Report})
	case Beat:
		l.beat(now, d, r, m)
	case Acquire:
		l.acquire(now, d, r, m)
	case Begin:
		l.begin(now, d, r, m)
	case Exclude:
		cmd := m.Exclude
		cmd.Judgement = d.judge(now, cmd.Caller.Node, cmd.Group)
		l.propose(now, d, r, cmd)
	case ReportFence:
		l.reportFence(now, d, r, m)
	case Release:
		l.propose(now, d, r, m.Release)
	case Readmit:
		l.propose(now, d, r, m.Readmit)
	case Measured:
		l.propose(now, d, r, m.Measured)
	case StepDone:
		l.propose(now, d, r, m.StepDone)
	case arbiter.Resolve:
		l.resolve(now, d, r, m)
	case arbiter.Approve:
		l.propose(now, d, r, m)
	case arbiter.CancelRecovery:
		l.propose(now, d, r, m)
	case arbiter.Order:
		m.Target = d.latest(now, m.To, m.Group)
		l.propose(now, d, r, m)
	case arbiter.GiveUp:
		if !m.Cancel { // that rests on nothing that was heard
			m.Kept = d.latest(now, d.c.Definition.Peer(m.Node), m.Group)
		}
		m.Alive = m.Lost && (!d.suspected(now, m.Node) || d.vouched(now, m.Node))
		l.propose(now, d, r, m)
	case arbiter.Confirm:
		m.Alive = !d.suspected(now, m.Node) || d.vouched(now, m.Node)
		l.propose(now, d, r, m)
	case arbiter.Define:
		l.define(now, d, r, m)
	case arbiter.Standby:
		l.propose(now, d, r, m)
	case arbiter.Maintenance:
		l.propose(now, d, r, m)
	case arbiter.Rehearse:
		executor := d.c.Definition.Peer(m.Node)
		m.ExecutorHeard = d.heard[executor] != nil && !d.suspected(now, executor)
		l.propose(now, d, r, m)
	case Looked:
		d.looked(now, m)
		l.reply(r, Answer{})
	case ShotDone:
		l.shotDone(now, d, r, m)
	default:
		panic(fmt.Sprintf("leader: unknown message %T", r.message))
	}
}

// vouched reports whether the other node, heard a moment ago, hears this one on
// some link, DRBD's connection included.
func (d *desk) vouched(now boottime.Instant, node arbiter.NodeID) bool {
	peer := d.c.Definition.Peer(node)
	if d.heard[peer] == nil || d.suspected(now, peer) {
		return false
	}
	b := &d.heard[peer].beat
	return slices.ContainsFunc(b.Links, func(l Link) bool { return l.HearsPeer }) ||
		slices.ContainsFunc(b.Groups, func(g GroupBeat) bool { return g.Evidence.HearsPeer })
}

// latest returns what was last heard of a node about a group, if it was heard.
func (d *desk) latest(now boottime.Instant, node arbiter.NodeID, id arbiter.GroupID) *arbiter.Evidence {
	h := d.heard[node]
	if h == nil || d.suspected(now, node) {
		return nil
	}
	b := h.beat.group(id)
	if b == nil {
		return nil
	}
	ev := b.Evidence
	return &ev
}

// acquire tries the request on a copy first: a refusal that repeats the one
// before it changes nothing and needs no place in the log.
func (l *Leader) acquire(now boottime.Instant, d *desk, r *request, m Acquire) {
	cmd := m.Acquire
	if d.c.Groups[cmd.Group] == nil {
		// Nothing is kept of it: there are more names than memory.
		l.refuse(r, arbiter.UnknownGroup, fmt.Sprintf("cluster %s has no group %s", d.c.Definition.Cluster, cmd.Group))
		return
	}
	d.asked[cmd.Caller.Node] = now
	cmd.Judgement = d.judge(now, cmd.Caller.Node, cmd.Group)
	v := d.preview(l.version, cmd)
	if v.Kind == arbiter.Refused { // what else was only tried is not so yet
		if own := l.turn(now, d, r, cmd); own != nil {
			if l.ledSince(r) {
				l.reply(r, Answer{Verdict: &v})
				l.propose(now, d, nil, own)
			}
			return
		}
	}
	key := asker{cmd.Caller.Node, cmd.Group}
	open := d.c.Mandate != nil && !mutant.On(mutant.MandateNotExclusive) && v.Kind == arbiter.FenceFirst
	if open || v.Kind == arbiter.Refused && d.refusals[key] == v.Reason {
		if l.ledSince(r) { // what is not logged must not come from the past either
			l.reply(r, Answer{Verdict: &v})
		}
		return
	}
	if v.Kind == arbiter.Refused {
		d.refusals[key] = v.Reason
	} else {
		delete(d.refusals, key)
	}
	l.propose(now, d, r, cmd)
}

func (d *desk) preview(version arbiter.Version, cmd arbiter.Command) arbiter.Verdict {
	c := d.c.Clone()
	s := &arbiter.State{Version: version, Clusters: map[arbiter.ClusterID]*arbiter.Cluster{c.Definition.Cluster: c}}
	return s.Try(version.Index+1, arbiter.Entry{Command: cmd})
}

// begin lets nobody shoot before this leader has listened long enough to know
// that the target is silent.
func (l *Leader) begin(now boottime.Instant, d *desk, r *request, m Begin) {
	cmd := m.Begin
	mandate := d.c.Mandate
	if mandate == nil {
		if l.ledSince(r) {
			l.refuse(r, arbiter.MandateOver, fmt.Sprintf("mandate %d is over", cmd.Mandate))
		}
		return
	}
	d.asked[cmd.Caller.Node] = now
	if now.Sub(d.since) < d.c.Definition.Timing.SuspectAfter && !mutant.On(mutant.NewLeaderSuspectsAtOnce) {
		l.refuse(r, arbiter.MandateUnderWay, "this leader has not listened long enough to know who is silent; ask again")
		return
	}
	cmd.Judgement = d.judge(now, cmd.Caller.Node, mandate.Group)
	d.begun = beginning{cmd.Mandate, r.at, m.Clock}
	l.propose(now, d, r, cmd)
}

// beginning is when this leader was asked for a shot, and the executor's clock when
// it asked.
type beginning struct {
	mandate arbiter.MandateID
	at      boottime.Instant // on this clock
	sent    boottime.Instant // on the executor's; 0: not known
}

// dated dates the last reading of a shot on this leader's clock, as late as it can
// have been: the report was sent after it, and so much time after the beginning. A
// report that was long on its way says nothing by its arrival.
func (b beginning) dated(received boottime.Instant, m ReportFence) boottime.Instant {
	last := m.Readings[len(m.Readings)-1].At
	read := received.Add(-m.Clock.Sub(last))
	if b.mandate == m.Mandate && !b.sent.IsZero() {
		read = min(read, b.at.Add(arbiter.Guard(last.Sub(b.sent))))
	}
	return read
}

// reportFence notes whether the target was heard after the last reading.
func (l *Leader) reportFence(now boottime.Instant, d *desk, r *request, m ReportFence) {
	cmd := m.ReportFence
	if mandate := d.c.Mandate; mandate != nil {
		d.asked[cmd.Caller.Node] = now // it did not ask while it shot
		cmd.Judgement = d.judge(now, cmd.Caller.Node, mandate.Group)
		if h := d.heard[mandate.Target]; h != nil && len(cmd.Readings) > 0 {
			cmd.Alive = h.at > d.begun.dated(r.at, m)
		}
		cmd.Next = l.reaches(d, mandate.Target)
	}
	l.propose(now, d, r, cmd)
}

// concluded looks at an outcome for what it means to this leader's clock and
// whom it concerns.
func (l *Leader) concluded(now boottime.Instant, p *proposal, v arbiter.Verdict) {
	d := p.desk
	if d == nil {
		return
	}
	switch cmd := p.command.(type) {
	case arbiter.Define:
		d.reconsider()
	case arbiter.Acquire:
		if v.Kind == arbiter.Granted && !v.Repeated {
			d.renew(p.at, cmd.Group, v.Epoch)
		}
	case arbiter.Exclude:
		if v.OK() && !v.Repeated {
			d.renew(p.at, cmd.Group, cmd.Epoch)
		}
	case arbiter.ReportFence:
		if v.Reason == arbiter.NotProven || v.Reason == arbiter.TargetAlive {
			d.failedAt = now
		}
	case arbiter.EndMandate:
		if v.OK() && cmd.Phase == arbiter.Begun {
			d.failedAt = now
		}
	case arbiter.WitnessBegin:
		l.permitted(now, d, p, v)
	case arbiter.WitnessReport:
		if v.Reason == arbiter.NotProven || v.Reason == arbiter.TargetAlive {
			d.failedAt = now
		}
	case arbiter.Standby:
		l.empty(now, d, cmd)
	case arbiter.NodeUp:
		if v.OK() {
			d.greet(now, cmd.Caller)
		}
	}
	if v.OK() && !quiet(p.command) {
		l.notify(d, v.Sentence)
	}
}

func quiet(c arbiter.Command) bool {
	switch c.(type) {
	case arbiter.Exclude, arbiter.Started, arbiter.OwnWord, arbiter.Armed, arbiter.Calm, arbiter.Remark:
		return true
	}
	return false
}

func (l *Leader) notify(d *desk, why string) {
	for _, n := range d.c.Definition.Nodes {
		l.do(Notify{Cluster: d.c.Definition.Cluster, Node: n, Why: why})
	}
}

// empty moves the groups of a node in standby to the other one.
func (l *Leader) empty(now boottime.Instant, d *desk, cmd arbiter.Standby) {
	if !cmd.On {
		return
	}
	for _, id := range d.groups {
		g := d.c.Groups[id]
		if g.Lease == nil || g.Lease.Holder != cmd.Node {
			continue
		}
		d.queue = append(d.queue, &request{at: now, message: arbiter.Order{
			Cluster: cmd.Cluster, Group: id, To: d.c.Definition.Peer(cmd.Node), By: cmd.By, Reason: "standby",
		}})
	}
}

// due does what the clock alone makes due.
func (l *Leader) due(now boottime.Instant, d *desk) {
	if m := d.c.Mandate; m != nil {
		why := d.mandateOver(now, m)
		if why == "" && m.ByWitness && m.Phase == arbiter.Open && !l.reaches(d, m.Target) {
			why = "the witness that leads now has no fence device for " + string(m.Target)
		}
		if why != "" {
			l.propose(now, d, nil, arbiter.EndMandate{
				Cluster: d.c.Definition.Cluster, Mandate: m.ID, Phase: m.Phase, Reason: why, Next: l.reaches(d, m.Target),
			})
			return
		}
	}
	for _, id := range inOrder(d.orders) {
		if now.Sub(d.orders[id]) > orderTimeout {
			d.orders[id] = now
			l.propose(now, d, nil, arbiter.Order{
				Cluster: d.c.Definition.Cluster, Group: id, By: "sbwitness",
				Reason: fmt.Sprintf("not done within %v", orderTimeout),
			})
			return
		}
	}
	if cmd := d.recoveryDue(now); cmd != nil {
		l.propose(now, d, nil, cmd)
		return
	}
	if cmd := d.passed(now); cmd != nil {
		l.propose(now, d, nil, cmd)
		return
	}
	if cmd := l.moves(now, d); cmd != nil {
		l.propose(now, d, nil, cmd)
		return
	}
	if d.c.Maintenance && d.c.Until != 0 && l.wall >= d.c.Until {
		l.propose(now, d, nil, arbiter.Maintenance{Cluster: d.c.Definition.Cluster, By: "sbwitness: its time has passed"})
	}
}

// inOrder returns the keys of a map that is empty most of the time.
func inOrder[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// mandateOver says why a mandate has to be closed, or nothing.
func (d *desk) mandateOver(now boottime.Instant, m *arbiter.Mandate) string {
	t := d.c.Definition.Timing
	switch {
	case m.Phase == arbiter.Settled && now > d.mandate.at:
		return "nothing of its shot can land any more"
	case m.Phase != arbiter.Open && now > d.mandate.at:
		return fmt.Sprintf("its executor, %s, has not reported in time", m.Shooter())
	case m.Phase == arbiter.Open && m.Rehearsal:
		if now > d.mandate.at {
			return fmt.Sprintf("%s has not begun the rehearsal; has it a fence device for %s?", m.Executor, m.Target)
		}
	case m.Phase == arbiter.Open && silence(now, d.asked[m.Executor], d.since) > t.SuspectAfter:
		return fmt.Sprintf("%s does not ask any more", m.Executor)
	}
	return ""
}
