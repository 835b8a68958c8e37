package witness_test

import (
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

// Both copies have become stale. An operator keeps one, both nodes are told, and the
// node whose copy is kept is granted the group.
func TestOperatorKeepsOneOfTwoStaleCopies(t *testing.T) {
	h := start(t, newDir(t))
	op, a, b := h.pair()
	a.mustHold()
	a.renewed()
	client := sbv1.NewArbiterClient(a.conn)
	excluded := a.verdict(client.Exclude(short(t), wire.ToExclude(leader.Exclude{
		Seen: a.seen, Exclude: arbiter.Exclude{Caller: a.next(), Group: data, Epoch: a.holds, Evidence: fit()},
	})))
	if excluded.Kind != arbiter.Done {
		t.Fatalf("%+v", excluded)
	}
	released := a.verdict(client.Release(short(t), wire.ToRelease(leader.Release{
		Seen: a.seen, Release: arbiter.Release{Caller: a.next(), Group: data, Epoch: a.holds, Reason: "its disk has failed"},
	})))
	if released.Kind != arbiter.Done {
		t.Fatalf("%+v", released)
	}
	a.holds = 0
	word := a.nextBeat()
	word.Groups[0].Evidence.OwnWord = 7
	a.say(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(word, boottime.Now())}})
	a.hear()
	if v := b.acquire(); v.Reason != arbiter.NoGoodCopy {
		t.Fatalf("%+v", v)
	}
	b.beat()

	v, err := op.GiveUp(short(t), &sbv1.GiveUpRequest{Cluster: string(cluster), Group: string(data), Node: "node-a", Typed: "node-a", Reason: "looked at both"})
	if err != nil || v.GetKind() != string(arbiter.Done) || v.GetNumber() == 0 {
		t.Fatalf("%v %v", v, err)
	}
	if answer, _ := a.beat(); answer.GetGroups()[0].GetDiscard() != v.GetNumber() {
		t.Errorf("the node whose copy is given up is not told: %v", answer)
	}
	if answer, _ := b.beat(); answer.GetGroups()[0].GetPeerDiscard() != v.GetNumber() || answer.GetGroups()[0].GetExcluded() != 0 {
		t.Errorf("the node whose copy is kept is not told: %v", answer)
	}
	if v := a.acquire(); v.Reason != arbiter.IsExcluded {
		t.Errorf("%+v", v)
	}
	if v := b.acquire(); v.Kind != arbiter.Granted {
		t.Errorf("%+v", v)
	}
}
