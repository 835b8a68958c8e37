package arbiter

import (
	"testing"
	"time"
)

// A holder counts by the ttl that its last renewal was answered under. A shorter
// one that is declared meanwhile must not let another leader call it expired
// earlier.
func TestShorterTTLCountsFromTheNextEpochOn(t *testing.T) {
	def := Definition{
		Cluster: "c", Nodes: [2]NodeID{"a", "b"}, Groups: map[GroupID]GroupDefinition{"g": {}},
		Timing: Timing{
			TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: time.Second / 4, RPCTimeout: time.Second / 4,
			SuspectAfter: time.Second, FenceTimeout: time.Second,
		},
	}
	s := NewState()
	index := uint64(0)
	do := func(c Command) Verdict {
		index++
		return s.Apply(index, Entry{Command: c}).Verdict
	}
	do(Define{Definition: def, By: "alice"})
	for _, n := range def.Nodes {
		do(NodeUp{Caller: Caller{Cluster: "c", Node: n, Boot: BootID("boot-" + n), Incarnation: 1}})
	}
	if v := do(Acquire{Caller: Caller{Cluster: "c", Node: "a", Boot: "boot-a", Incarnation: 1, Request: 1}, Group: "g"}); v.Kind != Granted {
		t.Fatalf("not granted: %+v", v)
	}
	def.Timing.TTL = 8 * time.Second
	if v := do(Define{Definition: def, By: "alice"}); !v.OK() {
		t.Fatalf("not declared: %+v", v)
	}
	if got := s.Clusters["c"].Groups["g"].Lease.TTL; got != 20*time.Second {
		t.Errorf("the running lease counts %v, its holder may count 20s", got)
	}
}
