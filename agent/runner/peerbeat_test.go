package runner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sbarbiter/agent"
	"sbarbiter/agent/heartbeat"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

var (
	names  = rapid.StringMatching(`[a-z0-9-]{1,12}`)
	epochs = rapid.Custom(func(t *rapid.T) arbiter.Epoch { return arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")) })
)

func drawGroup(t *rapid.T) agent.PeerGroup {
	return agent.PeerGroup{
		Group: arbiter.GroupID(names.Draw(t, "group")), Phase: agent.Phase(names.Draw(t, "phase")),
		InOffice: rapid.Bool().Draw(t, "in office"), Epoch: epochs.Draw(t, "epoch"),
		Holder: arbiter.NodeID(names.Draw(t, "holder")), HolderEpoch: epochs.Draw(t, "holder epoch"),
		GivenBack: rapid.Bool().Draw(t, "given back"), Promised: epochs.Draw(t, "promised"), PromisedFor: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "for")),
		InStep: rapid.Bool().Draw(t, "in step"), Excluded: arbiter.ExclusionNumber(rapid.Uint64().Draw(t, "excluded")),
		OwnWord: rapid.Uint64().Draw(t, "own word"),
	}
}

func drawBeat(t *rapid.T) agent.PeerBeat {
	return agent.PeerBeat{
		Number: rapid.Uint64().Draw(t, "number"), Clock: boottime.Instant(rapid.Int64().Draw(t, "clock")), Echo: rapid.Uint64().Draw(t, "echo"),
		References: rapid.IntRange(0, 9).Draw(t, "references"), Needed: rapid.IntRange(0, 9).Draw(t, "needed"), Floor: epochs.Draw(t, "floor"),
		Groups: rapid.SliceOfN(rapid.Custom(drawGroup), 1, 4).Draw(t, "groups"),
		Asks: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) agent.PeerAsk {
			return agent.PeerAsk{
				Group: arbiter.GroupID(names.Draw(t, "group")), Epoch: epochs.Draw(t, "epoch"),
				Ask: rapid.Uint64().Draw(t, "ask"), UpToDate: rapid.Bool().Draw(t, "up to date"),
			}
		}), 1, 2).Draw(t, "asks"),
		Words: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) agent.PeerWord {
			return agent.PeerWord{
				Group: arbiter.GroupID(names.Draw(t, "group")), Ask: rapid.Uint64().Draw(t, "ask"), Given: rapid.Bool().Draw(t, "given"),
				OwnWord: rapid.Uint64().Draw(t, "own word"), Why: names.Draw(t, "why"),
			}
		}), 1, 2).Draw(t, "words"),
	}
}

func TestBeatArrivesAsItWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := drawBeat(t)
		payload, err := encodeBeat(sent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeBeat(payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Fatalf("the peer hears something else (-sent +heard):\n%s", diff)
		}
	})
}

func TestBeatOfManyGroupsFitsADatagram(t *testing.T) {
	var b agent.PeerBeat
	for range 8 {
		b.Groups = append(b.Groups, agent.PeerGroup{
			Group: "a-group-with-a-name", Phase: agent.Quarantine, InOffice: true, Epoch: 1 << 40, Holder: "node-a.example.org", HolderEpoch: 1 << 40,
			GivenBack: true, Promised: 1 << 40, InStep: true, Excluded: 1 << 60, OwnWord: 1 << 20,
		})
	}
	payload, err := encodeBeat(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(payload) > heartbeat.MaxPayload {
		t.Errorf("8 groups take %d bytes, and a heartbeat carries %d", len(payload), heartbeat.MaxPayload)
	}
}

func TestGarbageIsNoBeat(t *testing.T) {
	if b, err := decodeBeat([]byte{0xff, 0xff, 0xff}); err == nil {
		t.Errorf("garbage was read as %+v", b)
	}
}

func FuzzDecodeBeat(f *testing.F) {
	payload, err := encodeBeat(agent.PeerBeat{Number: 7, Groups: []agent.PeerGroup{{Group: "nfs", Phase: agent.Running}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := decodeBeat(payload)
		if err == nil && (b.References < 0 || b.Needed < 0) {
			t.Errorf("a negative count of references: %+v", b)
		}
	})
}
