package arbiter_test

import (
	"pgregory.net/rapid"

	"sbarbiter/arbiter"
)

var (
	nodes  = []arbiter.NodeID{"node-a", "node-b"}
	groups = []arbiter.GroupID{"nfs", "web"}
)

// evenly draws one of n numbers, each as likely as the other: rapid's own ranges
// prefer small ones, and schedules of small numbers go nowhere.
func evenly(t *rapid.T, n int, what string) int {
	x := 0
	for i := range 8 {
		if rapid.Bool().Draw(t, what) {
			x |= 1 << i
		}
	}
	return x * n / 256
}

// likely draws true n times in ten.
func likely(t *rapid.T, n int, what string) bool { return evenly(t, 10, what) >= 10-n }

func oneOf[T any](t *rapid.T, what string, of ...T) T { return of[evenly(t, len(of), what)] }

// draw draws a command: mostly what a real node or leader would send now, and
// often enough something that is late, false or senseless.
func (s *stage) draw(t *rapid.T) arbiter.Command {
	if likely(t, 1, "recovery") {
		return s.drawRecovery(t)
	}
	node := oneOf(t, "node", nodes...)
	id := oneOf(t, "group", groups...)
	verb := evenly(t, 20, "verb")
	switch m := s.state.Clusters[pair].Mandate; {
	case m == nil && verb >= 13 && verb <= 16:
		verb -= 13
	case m != nil && likely(t, 5, "shoot"):
		verb = 13 + evenly(t, 4, "shot")
	}
	if verb == 9 || verb == 10 {
		id = "nfs"
	}
	if likely(t, 8, "the right one") {
		node = s.speaker(node, id, verb)
	}
	switch verb {
	case 0, 1, 2, 3, 4, 5:
		return arbiter.Acquire{Caller: s.drawCaller(t, node), Group: id, Evidence: drawEvidence(t), Judgement: s.drawJudgement(t, id)}
	case 6:
		return arbiter.Started{Caller: s.drawCaller(t, node), Group: id, Epoch: s.drawEpoch(t, id)}
	case 7, 8:
		return arbiter.Release{
			Caller: s.drawCaller(t, node), Group: id, Epoch: s.drawEpoch(t, id),
			Started: likely(t, 5, "started"), Failed: likely(t, 2, "failed"),
		}
	case 9, 10:
		return arbiter.Exclude{
			Caller: s.drawCaller(t, node), Group: id, Epoch: s.drawEpoch(t, id), Promoting: likely(t, 3, "promoting"),
			Evidence: drawEvidence(t), Judgement: s.drawJudgement(t, id),
		}
	case 11:
		if !likely(t, 3, "stale") {
			return s.drawReadmit(t, node, id)
		}
		return arbiter.OwnWord{Caller: s.drawCaller(t, node), Group: id, Number: uint64(evenly(t, 5, "word"))}
	case 12:
		return s.drawReadmit(t, node, id)
	case 13, 14:
		if m := s.state.Clusters[pair].Mandate; m != nil && m.ByWitness && likely(t, 8, "the witness's turn") {
			return arbiter.WitnessBegin{Cluster: pair, Mandate: s.drawMandate(t), Readings: drawReadings(t), Judgement: s.drawJudgement(t, s.asked())}
		}
		return arbiter.Begin{
			Caller: s.drawCaller(t, node), Mandate: s.drawMandate(t), Readings: drawReadings(t), Judgement: s.drawJudgement(t, s.asked()),
		}
	case 15, 16:
		if m := s.state.Clusters[pair].Mandate; m != nil && m.ByWitness && likely(t, 8, "the witness's turn") {
			return arbiter.WitnessReport{
				Cluster: pair, Mandate: s.drawMandate(t), Grade: oneOf(t, "grade", arbiter.E3, arbiter.E4, arbiter.E0),
				Readings: drawReadings(t), InFlight: likely(t, 3, "in flight"), Alive: likely(t, 2, "alive"),
			}
		}
		return arbiter.ReportFence{
			Caller: s.drawCaller(t, node), Mandate: s.drawMandate(t), Grade: oneOf(t, "grade", arbiter.E3, arbiter.E3, arbiter.E4, arbiter.E0, arbiter.E5),
			Readings: drawReadings(t), InFlight: likely(t, 3, "in flight"), Alive: likely(t, 2, "alive"), Next: likely(t, 5, "next"),
			Evidence: drawEvidence(t), Judgement: s.drawJudgement(t, s.asked()),
		}
	case 17:
		return s.drawUp(t, node)
	}
	if verb == 18 {
		return arbiter.Maintenance{Cluster: pair}
	}
	return s.drawRare(t, node, id)
}

// speaker returns the node that would say such a thing: the holder, or the
// executor of the mandate under way.
func (s *stage) speaker(node arbiter.NodeID, id arbiter.GroupID, verb int) arbiter.NodeID {
	l, m := s.group(id).Lease, s.state.Clusters[pair].Mandate
	switch {
	case verb >= 6 && verb <= 10 && l != nil:
		return l.Holder
	case verb >= 13 && verb <= 16 && m != nil:
		return m.Executor
	}
	return node
}

func (s *stage) drawRare(t *rapid.T, node arbiter.NodeID, id arbiter.GroupID) arbiter.Command {
	on := likely(t, 3, "on")
	switch evenly(t, 9, "rare verb") {
	case 0:
		phase := oneOf(t, "phase", arbiter.Open, arbiter.Begun, arbiter.Settled)
		return arbiter.EndMandate{Cluster: pair, Mandate: s.drawMandate(t), Phase: phase, Next: on}
	case 1:
		o := arbiter.Order{Cluster: pair, Group: id, By: "ops"}
		if on {
			ev := drawEvidence(t)
			o.To, o.Target = node, &ev
		}
		return o
	case 2:
		return arbiter.Standby{Cluster: pair, Node: node, On: on}
	case 3:
		return arbiter.Maintenance{Cluster: pair, On: on}
	case 4:
		return arbiter.Confirm{Cluster: pair, Node: node, Epochs: []arbiter.Epoch{s.drawEpoch(t, id)}, Alive: likely(t, 2, "alive")}
	case 5:
		v := s.state.Version
		v.Starts += uint64(evenly(t, 2, "starts"))
		v.Index -= min(v.Index, uint64(evenly(t, 4, "index")))
		return arbiter.Renounce{Shown: v}
	case 6:
		ev := drawEvidence(t)
		return arbiter.GiveUp{Cluster: pair, Group: id, Node: node, Kept: &ev, By: "ops", Lost: likely(t, 5, "lost"), Alive: likely(t, 2, "alive")}
	case 7:
		return arbiter.Lead{Nonce: uint64(evenly(t, 9, "nonce"))}
	}
	return arbiter.Define{Definition: drawDefinition(t)}
}

func drawDefinition(t *rapid.T) arbiter.Definition {
	d := arbiter.Definition{
		Cluster: pair, Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: timing(),
		Stonith: likely(t, 7, "stonith"), Watchdog: likely(t, 7, "watchdog"),
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{},
	}
	for _, id := range groups {
		d.Groups[id] = arbiter.GroupDefinition{
			DRBD: id == "nfs", Manual: likely(t, 1, "manual"),
			MinimumGrade: oneOf(t, "minimum", arbiter.E0, arbiter.E0, arbiter.E2, arbiter.E3),
		}
		if g := d.Groups[id]; g.DRBD && likely(t, 6, "policies") {
			g.Recovery = policies([]string{"discard-zero-changes", "discard-least-changes", "manual"})
			d.Groups[id] = g
		}
	}
	return d
}

func (s *stage) drawCaller(t *rapid.T, node arbiter.NodeID) arbiter.Caller {
	n := s.nodes[node]
	c := arbiter.Caller{Cluster: pair, Node: node, Boot: n.boot, Incarnation: n.start, Floor: n.floor}
	if !likely(t, 1, "repeated") {
		n.request++
	}
	c.Request = n.request
	if likely(t, 1, "earlier agent") && c.Incarnation > 1 {
		c.Incarnation--
	}
	return c
}

func drawEvidence(t *rapid.T) arbiter.Evidence {
	states := []arbiter.DiskState{arbiter.UpToDate, arbiter.UpToDate, arbiter.UpToDate, arbiter.Consistent, "Outdated"}
	d := arbiter.Disk{
		Volume: "r0/0", Own: oneOf(t, "own", states...), Peer: oneOf(t, "peer", states...),
		Connected: likely(t, 7, "connected"),
	}
	e := arbiter.Evidence{
		Disks: []arbiter.Disk{d}, References: 1, Needed: 1, HearsPeer: likely(t, 2, "hears"), Promising: likely(t, 2, "promising"),
		Watchdog: arbiter.Watchdog{Armed: likely(t, 7, "armed"), Hardware: likely(t, 8, "hardware")},
	}
	if likely(t, 1, "own word") {
		e.OwnWord = 1
	}
	return e
}

func (s *stage) drawJudgement(t *rapid.T, id arbiter.GroupID) arbiter.Judgement {
	j := arbiter.Judgement{
		Epoch: s.lease(id), Suspected: likely(t, 6, "suspected"), Expired: likely(t, 4, "expired"),
		Backoff: likely(t, 2, "backoff"), PeerHeard: likely(t, 3, "peer heard"),
	}
	j.InTime = !j.Expired
	if likely(t, 1, "earlier judgement") {
		j.Epoch = 4
	}
	return j
}

func (s *stage) drawEpoch(t *rapid.T, id arbiter.GroupID) arbiter.Epoch {
	if likely(t, 8, "its epoch") {
		return s.lease(id)
	}
	return s.group(id).Last.Epoch
}

func (s *stage) drawMandate(t *rapid.T) arbiter.MandateID {
	c := s.state.Clusters[pair]
	if c.Mandate != nil && likely(t, 9, "its mandate") {
		return c.Mandate.ID
	}
	return c.Mandates
}

func (s *stage) drawReadmit(t *rapid.T, node arbiter.NodeID, id arbiter.GroupID) arbiter.Command {
	r := arbiter.Readmit{Caller: s.drawCaller(t, node), Group: id, Node: oneOf(t, "readmitted", nodes...), Evidence: drawEvidence(t)}
	e := s.group(id).Excluded[r.Node]
	r.Number, r.OwnWord = e.Number, e.OwnWord
	if likely(t, 2, "earlier number") && r.Number > 0 {
		r.Number--
	}
	return r
}

func drawReadings(t *rapid.T) []arbiter.Reading {
	power := func(device string) arbiter.Reading {
		return arbiter.Reading{Device: device, Power: oneOf(t, device, "on", "on", "off", "off", "unknown"), At: 1}
	}
	return []arbiter.Reading{power("bmc"), power("pdu")}
}

// drawUp begins a life: the agent restarted, or the machine, or a report to a
// witness that is learning, or a message of a life long gone.
func (s *stage) drawUp(t *rapid.T, node arbiter.NodeID) arbiter.Command {
	n := s.nodes[node]
	up := arbiter.NodeUp{Caller: arbiter.Caller{Cluster: pair, Node: node}, Report: arbiter.Report{Groups: map[arbiter.GroupID]arbiter.GroupReport{}}}
	for _, id := range groups {
		l := s.group(id).Lease
		if l != nil && l.Holder == node && likely(t, 6, "runs") {
			up.Report.Groups[id] = arbiter.GroupReport{Holder: node, Epoch: l.Epoch, Runs: true}
		}
	}
	switch evenly(t, 10, "life") {
	case 0, 1, 2, 3:
		n.boot += "+"
		n.start++
		n.request = 0
	case 4, 5:
		n.start++
		n.request = 0
	case 6:
		up.Report.Fresh = true
	case 7:
		up.Report.Mandates = []arbiter.MandateID{s.drawMandate(t)} // told to a witness that learns, if at all
	case 8:
		up.Caller.Boot, up.Caller.Incarnation = n.boot[:1], n.start
		return up
	}
	up.Caller.Boot, up.Caller.Incarnation, up.Caller.Floor = n.boot, n.start, n.floor
	if likely(t, 1, "rolled back") {
		up.Caller.Floor = 0
	}
	return up
}
