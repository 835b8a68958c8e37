package wire

import (
	"errors"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	sbv1 "sbarbiter/proto/sb/v1"
)

var errMissing = errors.New("is missing")

// ToVersion writes a version.
func ToVersion(v arbiter.Version) *sbv1.Version {
	if v == (arbiter.Version{}) {
		return nil
	}
	return &sbv1.Version{Incarnation: v.Incarnation, Starts: v.Starts, Nonce: v.Nonce, Index: v.Index}
}

// FromVersion reads a version; none is that of somebody who has seen no witness.
func FromVersion(p *sbv1.Version) arbiter.Version {
	return arbiter.Version{Incarnation: p.GetIncarnation(), Starts: p.GetStarts(), Nonce: p.GetNonce(), Index: p.GetIndex()}
}

// ToCaller writes who sends a request.
func ToCaller(c arbiter.Caller, seen arbiter.Version) *sbv1.Caller {
	return &sbv1.Caller{
		Cluster: string(c.Cluster), Node: string(c.Node), Boot: string(c.Boot), Incarnation: uint64(c.Incarnation),
		Request: uint64(c.Request), Floor: uint64(c.Floor), Seen: ToVersion(seen),
	}
}

// FromCaller reads who claims to send a request.
func FromCaller(p *sbv1.Caller) (leader.Sender, error) {
	if p == nil {
		return leader.Sender{}, errMissing
	}
	var r reader
	s := leader.Sender{
		Caller: arbiter.Caller{
			Cluster:     arbiter.ClusterID(r.name("cluster", p.GetCluster())),
			Node:        arbiter.NodeID(r.name("node", p.GetNode())),
			Boot:        arbiter.BootID(r.name("boot", p.GetBoot())),
			Incarnation: arbiter.Incarnation(p.GetIncarnation()),
			Request:     arbiter.RequestID(p.GetRequest()),
			Floor:       arbiter.Epoch(p.GetFloor()),
		},
		Seen: FromVersion(p.GetSeen()),
	}
	return s, r.err()
}

// ToEvidence writes what a node knows.
func ToEvidence(e arbiter.Evidence) *sbv1.Evidence {
	return &sbv1.Evidence{
		Disks: all(e.Disks, func(d arbiter.Disk) *sbv1.Disk {
			return &sbv1.Disk{Volume: d.Volume, Own: string(d.Own), Peer: string(d.Peer), Connected: d.Connected}
		}),
		References: unsigned(e.References), Needed: unsigned(e.Needed), HearsPeer: e.HearsPeer,
		PeerReaches: unsigned(e.PeerReaches), OwnWord: e.OwnWord, Promising: e.Promising, Failed: e.Failed,
		Watchdog: ToWatchdog(e.Watchdog),
	}
}

// ToWatchdog writes what a node reports of its watchdog.
func ToWatchdog(w arbiter.Watchdog) *sbv1.Watchdog {
	return &sbv1.Watchdog{Armed: w.Armed, Hardware: w.Hardware, TimeoutNs: w.Timeout.Nanoseconds()}
}

// FromEvidence reads what a node says that it knows.
func FromEvidence(p *sbv1.Evidence) (arbiter.Evidence, error) {
	if p == nil {
		return arbiter.Evidence{}, errMissing
	}
	var r reader
	w := p.GetWatchdog()
	e := arbiter.Evidence{
		Disks:      each(&r, "disks", p.GetDisks(), fromDisk),
		References: r.count("references", p.GetReferences()), Needed: r.count("needed", p.GetNeeded()),
		HearsPeer: p.GetHearsPeer(), PeerReaches: r.count("peer_reaches", p.GetPeerReaches()),
		OwnWord: p.GetOwnWord(), Promising: p.GetPromising(), Failed: p.GetFailed(),
		Watchdog: arbiter.Watchdog{Armed: w.GetArmed(), Hardware: w.GetHardware(), Timeout: r.span("watchdog.timeout_ns", w.GetTimeoutNs())},
	}
	once(&r, "disks", e.Disks, func(d arbiter.Disk) string { return d.Volume })
	return e, r.err()
}

func fromDisk(p *sbv1.Disk) (arbiter.Disk, error) {
	var r reader
	d := arbiter.Disk{
		Volume: r.name("volume", p.GetVolume()), Own: arbiter.DiskState(r.name("own", p.GetOwn())),
		Peer: arbiter.DiskState(r.mayName("peer", p.GetPeer())), Connected: p.GetConnected(),
	}
	return d, r.err()
}

// ToBasis writes what a grant rests on.
func ToBasis(b arbiter.Basis) *sbv1.Basis {
	if b == (arbiter.Basis{}) {
		return nil
	}
	return &sbv1.Basis{
		Cause: string(b.Cause), Holder: string(b.Holder), Epoch: uint64(b.Epoch), Grade: uint32(b.Grade), Switchover: b.Switchover,
		Boot: string(b.Boot), Mandate: uint64(b.Mandate), StandIn: b.StandIn,
	}
}

// FromBasis reads what a grant rests on; none is a first grant's.
func FromBasis(p *sbv1.Basis) (arbiter.Basis, error) {
	var r reader
	b := arbiter.Basis{
		Cause: oneOf(&r, "cause", p.GetCause(), arbiter.ByNothing, arbiter.ByReceipt, arbiter.ByBoot,
			arbiter.ByFence, arbiter.ByClock, arbiter.ByOperator, arbiter.ByReport),
		Holder: arbiter.NodeID(r.mayName("holder", p.GetHolder())), Epoch: arbiter.Epoch(p.GetEpoch()),
		Grade: r.grade("grade", p.GetGrade()), Switchover: p.GetSwitchover(),
		Boot: arbiter.BootID(r.mayName("boot", p.GetBoot())), Mandate: arbiter.MandateID(p.GetMandate()), StandIn: p.GetStandIn(),
	}
	return b, r.err()
}

// ToVerdict writes a verdict and the version of the witness that gives it.
func ToVerdict(v arbiter.Verdict, version arbiter.Version) *sbv1.Verdict {
	return &sbv1.Verdict{
		Kind: string(v.Kind), Reason: string(v.Reason), Sentence: v.Sentence, Holder: string(v.Holder), Epoch: uint64(v.Epoch),
		Basis: ToBasis(v.Basis), Mandate: uint64(v.Mandate), Number: uint64(v.Number), Incarnation: uint64(v.Incarnation),
		Repeated: v.Repeated, Version: ToVersion(version), Recovery: uint64(v.Recovery),
	}
}

// FromVerdict reads a verdict. One that lacks what its kind promises is an
// error: its receiver would act on nothing.
func FromVerdict(p *sbv1.Verdict) (arbiter.Verdict, arbiter.Version, error) {
	if p == nil {
		return arbiter.Verdict{}, arbiter.Version{}, errMissing
	}
	var r reader
	basis, err := FromBasis(p.GetBasis())
	r.in("basis", err)
	v := arbiter.Verdict{
		Kind:   oneOf(&r, "kind", p.GetKind(), arbiter.Granted, arbiter.FenceFirst, arbiter.Permitted, arbiter.Done, arbiter.Refused),
		Reason: arbiter.Reason(r.mayName("reason", p.GetReason())), Sentence: r.text("sentence", p.GetSentence()),
		Holder: arbiter.NodeID(r.mayName("holder", p.GetHolder())), Epoch: arbiter.Epoch(p.GetEpoch()), Basis: basis,
		Mandate: arbiter.MandateID(p.GetMandate()), Number: arbiter.ExclusionNumber(p.GetNumber()),
		Incarnation: arbiter.Incarnation(p.GetIncarnation()), Repeated: p.GetRepeated(),
		Recovery: arbiter.RecoveryID(p.GetRecovery()),
	}
	switch {
	case v.Kind == arbiter.Granted && (v.Epoch == 0 || v.Holder == ""):
		r.fail("kind", "a grant needs holder and epoch")
	case (v.Kind == arbiter.FenceFirst || v.Kind == arbiter.Permitted) && (v.Mandate == 0 || v.Holder == ""):
		r.fail("kind", "%s needs a mandate and its target", v.Kind)
	case v.Kind == arbiter.Refused && v.Reason == "":
		r.fail("reason", "a refusal needs one")
	}
	return v, FromVersion(p.GetVersion()), r.err()
}

// ToReading writes a look at a power device.
func ToReading(v arbiter.Reading) *sbv1.Reading {
	return &sbv1.Reading{Device: v.Device, Power: v.Power, AtNs: int64(v.At)}
}

// FromReading reads a look at a power device.
func FromReading(p *sbv1.Reading) (arbiter.Reading, error) {
	var r reader
	v := arbiter.Reading{
		Device: r.name("device", p.GetDevice()), Power: oneOf(&r, "power", p.GetPower(), "on", "off", "unknown"),
		At: r.instant("at_ns", p.GetAtNs()),
	}
	return v, r.err()
}

// ToRecord writes a line of the audit log.
func ToRecord(v arbiter.Record) *sbv1.Record {
	return &sbv1.Record{
		Index: v.Index, AtMs: v.At, Cluster: v.Cluster, Group: string(v.Group), Node: string(v.Node), What: v.What,
		Reason: string(v.Reason), Sentence: v.Sentence, Epoch: uint64(v.Epoch), Inputs: v.Inputs,
	}
}

// FromRecord reads a line of the audit log.
func FromRecord(p *sbv1.Record) (arbiter.Record, error) {
	if p == nil {
		return arbiter.Record{}, errMissing
	}
	var r reader
	v := arbiter.Record{
		Index: p.GetIndex(), At: p.GetAtMs(), Cluster: r.name("cluster", p.GetCluster()),
		Group: arbiter.GroupID(r.mayName("group", p.GetGroup())), Node: arbiter.NodeID(r.mayName("node", p.GetNode())),
		What: r.name("what", p.GetWhat()), Reason: arbiter.Reason(r.mayName("reason", p.GetReason())),
		Sentence: p.GetSentence(), Epoch: arbiter.Epoch(p.GetEpoch()), Inputs: p.GetInputs(),
	}
	if v.Index == 0 {
		r.fail("index", "a record has a place in the log")
	}
	return v, r.err()
}
