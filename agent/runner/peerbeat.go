package runner

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

// encodeBeat writes a beat as the heartbeat links carry it.
func encodeBeat(b agent.PeerBeat) ([]byte, error) {
	p := &sbv1.PeerBeat{
		Number: b.Number, ClockNs: int64(b.Clock), Echo: b.Echo,
		References: count(b.References), Needed: count(b.Needed), Floor: uint64(b.Floor),
	}
	for _, g := range b.Groups {
		p.Groups = append(p.Groups, &sbv1.PeerGroup{
			Group: string(g.Group), Phase: string(g.Phase), InOffice: g.InOffice, Epoch: uint64(g.Epoch),
			Holder: string(g.Holder), HolderEpoch: uint64(g.HolderEpoch), GivenBack: g.GivenBack,
			Promised: uint64(g.Promised), PromisedForNs: g.PromisedFor.Nanoseconds(), InStep: g.InStep, Ready: g.Ready, Excluded: uint64(g.Excluded), OwnWord: g.OwnWord,
		})
	}
	for _, a := range b.Asks {
		p.Asks = append(p.Asks, &sbv1.PeerAsk{Group: string(a.Group), Epoch: uint64(a.Epoch), Ask: a.Ask, UpToDate: a.UpToDate})
	}
	for _, w := range b.Words {
		p.Words = append(p.Words, &sbv1.PeerWord{Group: string(w.Group), Ask: w.Ask, Given: w.Given, OwnWord: w.OwnWord, Sentence: w.Why})
	}
	payload, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode beat for the peer: %w", err)
	}
	return payload, nil
}

// decodeBeat reads what encodeBeat wrote.
func decodeBeat(payload []byte) (agent.PeerBeat, error) {
	p := &sbv1.PeerBeat{}
	if err := proto.Unmarshal(payload, p); err != nil {
		return agent.PeerBeat{}, fmt.Errorf("decode beat of the peer: %w", err)
	}
	b := agent.PeerBeat{
		Number: p.GetNumber(), Clock: boottime.Instant(p.GetClockNs()), Echo: p.GetEcho(),
		References: int(p.GetReferences()), Needed: int(p.GetNeeded()), Floor: arbiter.Epoch(p.GetFloor()),
	}
	for _, g := range p.GetGroups() {
		b.Groups = append(b.Groups, agent.PeerGroup{
			Group: arbiter.GroupID(g.GetGroup()), Phase: agent.Phase(g.GetPhase()), InOffice: g.GetInOffice(), Epoch: arbiter.Epoch(g.GetEpoch()),
			Holder: arbiter.NodeID(g.GetHolder()), HolderEpoch: arbiter.Epoch(g.GetHolderEpoch()), GivenBack: g.GetGivenBack(),
			Promised: arbiter.Epoch(g.GetPromised()), PromisedFor: time.Duration(g.GetPromisedForNs()), InStep: g.GetInStep(), Ready: g.GetReady(),
			Excluded: arbiter.ExclusionNumber(g.GetExcluded()), OwnWord: g.GetOwnWord(),
		})
	}
	for _, a := range p.GetAsks() {
		b.Asks = append(b.Asks, agent.PeerAsk{
			Group: arbiter.GroupID(a.GetGroup()), Epoch: arbiter.Epoch(a.GetEpoch()), Ask: a.GetAsk(), UpToDate: a.GetUpToDate(),
		})
	}
	for _, w := range p.GetWords() {
		b.Words = append(b.Words, agent.PeerWord{
			Group: arbiter.GroupID(w.GetGroup()), Ask: w.GetAsk(), Given: w.GetGiven(), OwnWord: w.GetOwnWord(), Why: w.GetSentence(),
		})
	}
	return b, nil
}

func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }
