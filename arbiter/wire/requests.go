package wire

import (
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	sbv1 "sbarbiter/proto/sb/v1"
)

// ToAcquire writes a request for a group.
func ToAcquire(m leader.Acquire) *sbv1.AcquireRequest {
	return &sbv1.AcquireRequest{Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Evidence: ToEvidence(m.Evidence)}
}

// FromAcquire reads a request for a group.
func FromAcquire(p *sbv1.AcquireRequest) (leader.Acquire, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Acquire{Seen: who.Seen, Acquire: arbiter.Acquire{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Evidence: r.evidence(p.GetEvidence()),
	}}
	return m, r.err()
}

// ToRelease writes a stop receipt.
func ToRelease(m leader.Release) *sbv1.ReleaseRequest {
	return &sbv1.ReleaseRequest{
		Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Epoch: uint64(m.Epoch), Started: m.Started, Failed: m.Failed, Reason: m.Reason,
	}
}

// FromRelease reads a stop receipt.
func FromRelease(p *sbv1.ReleaseRequest) (leader.Release, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Release{Seen: who.Seen, Release: arbiter.Release{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Epoch: r.epoch("epoch", p.GetEpoch()),
		Started: p.GetStarted(), Failed: p.GetFailed(), Reason: r.text("reason", p.GetReason()),
	}}
	return m, r.err()
}

// ToExclude writes a request to exclude the peer's copy.
func ToExclude(m leader.Exclude) *sbv1.ExcludeRequest {
	return &sbv1.ExcludeRequest{
		Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Epoch: uint64(m.Epoch), Promoting: m.Promoting, Evidence: ToEvidence(m.Evidence),
	}
}

// FromExclude reads a request to exclude the peer's copy.
func FromExclude(p *sbv1.ExcludeRequest) (leader.Exclude, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Exclude{Seen: who.Seen, Exclude: arbiter.Exclude{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Epoch: r.epoch("epoch", p.GetEpoch()),
		Promoting: p.GetPromoting(), Evidence: r.evidence(p.GetEvidence()),
	}}
	return m, r.err()
}

// ToReadmit writes a readmission.
func ToReadmit(m leader.Readmit) *sbv1.ReadmitRequest {
	return &sbv1.ReadmitRequest{
		Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Node: string(m.Node), Number: uint64(m.Number), OwnWord: m.OwnWord,
		Evidence: ToEvidence(m.Evidence),
	}
}

// FromReadmit reads a readmission.
func FromReadmit(p *sbv1.ReadmitRequest) (leader.Readmit, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Readmit{Seen: who.Seen, Readmit: arbiter.Readmit{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Node: arbiter.NodeID(r.name("node", p.GetNode())),
		Number: arbiter.ExclusionNumber(p.GetNumber()), OwnWord: p.GetOwnWord(), Evidence: r.evidence(p.GetEvidence()),
	}}
	if m.Number == 0 && m.OwnWord == 0 {
		r.fail("number", "a readmission names the exclusion that it clears")
	}
	return m, r.err()
}

// ToBegin writes the question before a shot.
func ToBegin(m leader.Begin) *sbv1.BeginRequest {
	return &sbv1.BeginRequest{Caller: ToCaller(m.Caller, m.Seen), Mandate: uint64(m.Mandate), Readings: all(m.Readings, ToReading), ClockNs: int64(m.Clock)}
}

// FromBegin reads the question before a shot.
func FromBegin(p *sbv1.BeginRequest) (leader.Begin, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Begin{Seen: who.Seen, Clock: r.instant("clock_ns", p.GetClockNs()), Begin: arbiter.Begin{
		Caller: who.Caller, Mandate: r.mandate(p.GetMandate()), Readings: each(&r, "readings", p.GetReadings(), FromReading),
	}}
	return m, r.err()
}

// ToReportFence writes how a shot ended.
func ToReportFence(m leader.ReportFence) *sbv1.ReportFenceRequest {
	return &sbv1.ReportFenceRequest{
		Caller: ToCaller(m.Caller, m.Seen), Mandate: uint64(m.Mandate), Grade: uint32(m.Grade), Readings: all(m.Readings, ToReading),
		Failure: m.Failure, InFlight: m.InFlight, Evidence: ToEvidence(m.Evidence), ClockNs: int64(m.Clock),
	}
}

// FromReportFence reads how a shot ended.
func FromReportFence(p *sbv1.ReportFenceRequest) (leader.ReportFence, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.ReportFence{Seen: who.Seen, Clock: r.instant("clock_ns", p.GetClockNs()), ReportFence: arbiter.ReportFence{
		Caller: who.Caller, Mandate: r.mandate(p.GetMandate()), Grade: r.grade("grade", p.GetGrade()),
		Readings: each(&r, "readings", p.GetReadings(), FromReading), Failure: r.text("failure", p.GetFailure()),
		InFlight: p.GetInFlight(), Evidence: r.evidence(p.GetEvidence()),
	}}
	for _, reading := range m.Readings {
		if reading.At > m.Clock {
			r.fail("readings", "%s was read after the report was sent", reading.Device)
		}
	}
	return m, r.err()
}

func (r *reader) caller(p *sbv1.Caller) leader.Sender {
	s, err := FromCaller(p)
	r.in("caller", err)
	return s
}

func (r *reader) evidence(p *sbv1.Evidence) arbiter.Evidence {
	e, err := FromEvidence(p)
	r.in("evidence", err)
	return e
}

func (r *reader) epoch(field string, n uint64) arbiter.Epoch {
	if n == 0 {
		r.fail(field, "an epoch is needed")
	}
	return arbiter.Epoch(n)
}

func (r *reader) mandate(n uint64) arbiter.MandateID {
	if n == 0 {
		r.fail("mandate", "a number is needed")
	}
	return arbiter.MandateID(n)
}
