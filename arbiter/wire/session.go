package wire

import (
	"maps"
	"slices"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

// phaseRunning is the agent's word for a group whose services run.
const phaseRunning = "running"

// ToHello writes the first message of a session, groups by name.
func ToHello(h leader.Hello) *sbv1.Hello {
	p := &sbv1.Hello{Caller: ToCaller(h.Caller, h.Seen), Fresh: h.Report.Fresh, SinceNs: int64(h.Report.Since)}
	for _, id := range slices.Sorted(maps.Keys(h.Report.Groups)) {
		g := h.Report.Groups[id]
		p.Groups = append(p.Groups, &sbv1.GroupReport{
			Group: string(id), Holder: string(g.Holder), Epoch: uint64(g.Epoch), Runs: g.Runs, Excluded: uint64(g.Excluded),
			OwnWord: g.OwnWord, Obtained: uint64(g.Obtained), Pending: g.Pending,
		})
	}
	for _, m := range h.Report.Mandates {
		p.Mandates = append(p.Mandates, uint64(m))
	}
	return p
}

// FromHello reads the first message of a session.
func FromHello(p *sbv1.Hello) (leader.Hello, error) {
	var r reader
	who, err := FromCaller(p.GetCaller())
	r.in("caller", err)
	h := leader.Hello{Sender: who, Report: arbiter.Report{Fresh: p.GetFresh(), Since: boottime.Instant(p.GetSinceNs())}}
	for _, g := range few(&r, "groups", p.GetGroups()) {
		if h.Report.Groups == nil {
			h.Report.Groups = map[arbiter.GroupID]arbiter.GroupReport{}
		}
		id := arbiter.GroupID(r.name("groups.group", g.GetGroup()))
		if _, twice := h.Report.Groups[id]; twice {
			r.fail("groups", "%s is given twice", id)
		}
		h.Report.Groups[id] = arbiter.GroupReport{
			Holder: arbiter.NodeID(r.mayName("groups.holder", g.GetHolder())), Epoch: arbiter.Epoch(g.GetEpoch()), Runs: g.GetRuns(),
			Excluded: arbiter.ExclusionNumber(g.GetExcluded()), OwnWord: g.GetOwnWord(),
			Obtained: arbiter.ExclusionNumber(g.GetObtained()), Pending: g.GetPending(),
		}
	}
	for _, m := range few(&r, "mandates", p.GetMandates()) {
		h.Report.Mandates = append(h.Report.Mandates, arbiter.MandateID(m))
	}
	return h, r.err()
}

// ToBeat writes a beat sent at clock. Which references answer is the node's own
// affair; how many do is said.
func ToBeat(b leader.Beat, clock boottime.Instant) *sbv1.Beat {
	return &sbv1.Beat{
		Caller: ToCaller(b.Caller, b.Seen), Number: b.Number, ClockNs: int64(clock), References: unsigned(b.References), Needed: unsigned(b.Needed),
		Groups: all(b.Groups, toGroupBeat), Links: all(b.Links, toLink), Report: ToReport(b.Report),
	}
}

func toGroupBeat(g leader.GroupBeat) *sbv1.GroupBeat {
	return &sbv1.GroupBeat{
		Group: string(g.Group), Epoch: uint64(g.Epoch), Phase: g.Phase, Wants: g.Wants, Evidence: ToEvidence(g.Evidence),
		Parted: g.Parted, Split: g.Split, Idle: g.Idle, Carrying: ToCarrying(g.Carrying),
		Services: all(g.Services, func(s leader.Service) *sbv1.Service { return &sbv1.Service{Name: s.Name, State: s.State} }),
	}
}

func toLink(l leader.Link) *sbv1.Link {
	return &sbv1.Link{
		Name: l.Name, HearsPeer: l.HearsPeer, LostInPercent: unsigned(l.LostIn), LostOutPercent: unsigned(l.LostOut),
	}
}

// FromBeat reads a beat and the sender's clock.
func FromBeat(p *sbv1.Beat) (leader.Beat, boottime.Instant, error) {
	var r reader
	who, err := FromCaller(p.GetCaller())
	r.in("caller", err)
	b := leader.Beat{
		Sender: who, Number: p.GetNumber(), References: r.count("references", p.GetReferences()), Needed: r.count("needed", p.GetNeeded()),
		Groups: each(&r, "groups", p.GetGroups(), fromGroupBeat), Links: each(&r, "links", p.GetLinks(), fromLink),
	}
	b.Report, err = FromReport(p.GetReport())
	r.in("report", err)
	once(&r, "groups", b.Groups, func(g leader.GroupBeat) arbiter.GroupID { return g.Group })
	if b.Number == 0 {
		r.fail("number", "beats count from one")
	}
	return b, r.instant("clock_ns", p.GetClockNs()), r.err()
}

func fromGroupBeat(p *sbv1.GroupBeat) (leader.GroupBeat, error) {
	var r reader
	ev, err := FromEvidence(p.GetEvidence())
	r.in("evidence", err)
	g := leader.GroupBeat{
		Group: arbiter.GroupID(r.name("group", p.GetGroup())), Epoch: arbiter.Epoch(p.GetEpoch()),
		Phase: r.name("phase", p.GetPhase()), Running: p.GetPhase() == phaseRunning, Wants: p.GetWants(), Evidence: ev,
		Parted: p.GetParted(), Split: p.GetSplit(), Idle: p.GetIdle(),
	}
	g.Carrying, err = fromCarrying(p.GetCarrying())
	r.in("carrying", err)
	g.Services = each(&r, "services", p.GetServices(), func(s *sbv1.Service) (leader.Service, error) {
		var r reader
		out := leader.Service{Name: r.name("name", s.GetName()), State: r.name("state", s.GetState())}
		return out, r.err()
	})
	return g, r.err()
}

func fromLink(p *sbv1.Link) (leader.Link, error) {
	var r reader
	l := leader.Link{
		Name: r.name("name", p.GetName()), HearsPeer: p.GetHearsPeer(),
		LostIn: r.percent("lost_in_percent", p.GetLostInPercent()), LostOut: r.percent("lost_out_percent", p.GetLostOutPercent()),
	}
	return l, r.err()
}

// ToBeatAnswer writes an answer given at clock. A definition without a name is
// left out.
func ToBeatAnswer(a leader.BeatAnswer, version arbiter.Version, clock boottime.Instant) *sbv1.BeatAnswer {
	p := &sbv1.BeatAnswer{
		Number: a.Number, ClockNs: int64(clock), Version: ToVersion(version), Groups: all(a.Groups, toGroupAnswer),
		Maintenance: a.Maintenance, Standby: a.Standby, Rehearse: uint64(a.Rehearse),
		Peer: &sbv1.PeerView{Heard: a.Peer.Heard, References: unsigned(a.Peer.References), Needed: unsigned(a.Peer.Needed)},
	}
	if a.Definition != nil && a.Definition.Cluster != "" {
		p.Definition = ToDefinition(*a.Definition)
	}
	return p
}

// toGroupAnswer leaves out who obtained an exclusion and when: its numbers are
// what a node acts on.
func toGroupAnswer(a leader.GroupAnswer) *sbv1.GroupAnswer {
	return &sbv1.GroupAnswer{
		Group: string(a.Group), Renewed: uint64(a.Renewed), Reason: string(a.Reason), Sentence: a.Sentence,
		Holder: string(a.Holder), Epoch: uint64(a.Epoch), MoveTo: string(a.MoveTo),
		Excluded: uint64(a.Own.Number), OwnWord: a.Own.OwnWord, Cleared: a.Cleared, PeerExcluded: uint64(a.Peer.Number), PeerOwnWord: a.Peer.OwnWord,
		Task: toTask(a.Task), Apart: a.Apart, Discard: uint64(a.Own.Discard), PeerDiscard: uint64(a.Peer.Discard), Lost: a.Own.Lost,
	}
}

// FromBeatAnswer reads an answer, the witness's version and its clock. Without
// a definition the one before still holds.
func FromBeatAnswer(p *sbv1.BeatAnswer) (leader.BeatAnswer, arbiter.Version, boottime.Instant, error) {
	var r reader
	a := leader.BeatAnswer{
		Number: p.GetNumber(), Groups: each(&r, "groups", p.GetGroups(), fromGroupAnswer),
		Maintenance: p.GetMaintenance(), Standby: p.GetStandby(), Rehearse: arbiter.MandateID(p.GetRehearse()),
		Peer: leader.PeerView{
			Heard: p.GetPeer().GetHeard(), References: r.count("peer.references", p.GetPeer().GetReferences()),
			Needed: r.count("peer.needed", p.GetPeer().GetNeeded()),
		},
	}
	once(&r, "groups", a.Groups, func(g leader.GroupAnswer) arbiter.GroupID { return g.Group })
	if p.GetDefinition() != nil {
		d, err := FromDefinition(p.GetDefinition())
		r.in("definition", err)
		a.Definition = &d
	}
	if a.Number == 0 {
		r.fail("number", "beats count from one")
	}
	return a, FromVersion(p.GetVersion()), r.instant("clock_ns", p.GetClockNs()), r.err()
}

func fromGroupAnswer(p *sbv1.GroupAnswer) (leader.GroupAnswer, error) {
	var r reader
	a := leader.GroupAnswer{
		Group: arbiter.GroupID(r.name("group", p.GetGroup())), Renewed: arbiter.Epoch(p.GetRenewed()),
		Reason: arbiter.Reason(r.mayName("reason", p.GetReason())), Sentence: r.text("sentence", p.GetSentence()),
		Holder: arbiter.NodeID(r.mayName("holder", p.GetHolder())), Epoch: arbiter.Epoch(p.GetEpoch()),
		MoveTo: arbiter.NodeID(r.mayName("move_to", p.GetMoveTo())),
		Own: arbiter.Exclusion{
			Number: arbiter.ExclusionNumber(p.GetExcluded()), OwnWord: p.GetOwnWord(), Discard: arbiter.ExclusionNumber(p.GetDiscard()), Lost: p.GetLost(),
		},
		Peer: arbiter.Exclusion{
			Number: arbiter.ExclusionNumber(p.GetPeerExcluded()), OwnWord: p.GetPeerOwnWord(), Discard: arbiter.ExclusionNumber(p.GetPeerDiscard()),
		},
		Cleared: p.GetCleared(),
		Apart:   p.GetApart(),
	}
	var err error
	a.Task, err = fromTask(p.GetTask())
	r.in("task", err)
	if a.Renewed != 0 && a.Reason != "" {
		r.fail("renewed", "renewed and refused (%s) at once", a.Reason)
	}
	return a, r.err()
}
