package leader_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
)

// A holder may count by the ttl that it was last answered under. Neither a
// renewal nor a new leadership ends its lease earlier for a shorter one.
func TestShorterTTLEndsNoRunningLeaseEarlier(t *testing.T) {
	s := newStage(t)
	s.grant(nodeA)
	def := s.cluster().Definition
	def.Timing.TTL = 8 * time.Second
	s.must(arbiter.Define{Definition: def, By: "alice"})
	s.elect()
	if left := s.l.Views(s.now, cluster)[0].Leases[data]; left < 20*time.Second {
		t.Errorf("a new leader gives the lease %v", left)
	}
	s.pass(2 * time.Second)
	s.beat(nodeA, 4)
	if left := s.l.Views(s.now, cluster)[0].Leases[data]; left < 20*time.Second {
		t.Errorf("a renewal gives the lease %v", left)
	}
}
