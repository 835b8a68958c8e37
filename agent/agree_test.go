package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
)

func TestTheShorterTTLCounts(t *testing.T) {
	var m Machine
	m.cfg.Timing.Timing = arbiter.Timing{TTL: 20 * time.Second, Promise: 20 * time.Second, FenceTimeout: 12 * time.Second}
	m.timing = m.cfg.Timing
	m.agree(arbiter.Timing{})
	if m.timing.TTL != 20*time.Second || len(m.actions) != 0 {
		t.Fatalf("an answer that says nothing of durations changed something: %v %v", m.timing.TTL, m.actions)
	}
	m.agree(arbiter.Timing{TTL: 15 * time.Second, Promise: 20 * time.Second, FenceTimeout: 30 * time.Second})
	m.agree(arbiter.Timing{TTL: 15 * time.Second, Promise: 20 * time.Second, FenceTimeout: 30 * time.Second})
	if m.timing.TTL != 15*time.Second || m.timing.FenceTimeout != 12*time.Second {
		t.Errorf("counted: ttl %v, fence timeout %v", m.timing.TTL, m.timing.FenceTimeout)
	}
	if len(m.actions) != 1 {
		t.Errorf("the difference is told %d times", len(m.actions))
	}
}

func TestALongerPromiseOfAnEarlierLifeStillBinds(t *testing.T) {
	mem := NewMemory()
	mem.Promise = 40 * time.Second
	cfg := Config{Node: "a", Peer: "b", Timing: Timing{Timing: arbiter.Timing{Promise: 8 * time.Second}}, Groups: []GroupConfig{{ID: "g"}}}
	m := New(1000, cfg, mem, &BootMemory{})
	if left := m.boundUntil(m.groups[0]).Sub(1000); left < 40*time.Second {
		t.Errorf("bound for %v, and 40s may have been promised before", left)
	}
}

func TestShotsThatWouldBeCutShortAreTold(t *testing.T) {
	var m Machine
	m.cfg.CanFence = true
	m.cfg.Timing.Timing = arbiter.Timing{TTL: time.Second, Promise: time.Second, FenceTimeout: 22 * time.Second}
	m.agree(arbiter.Timing{TTL: time.Second, Promise: time.Second, FenceTimeout: 15 * time.Second})
	m.agree(arbiter.Timing{TTL: time.Second, Promise: time.Second, FenceTimeout: 15 * time.Second})
	if n := len(m.actions); n != 1 {
		t.Errorf("told %d times", n)
	}
}
