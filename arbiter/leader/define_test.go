package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
)

// redefine changes the durations of the cluster.
func (s *stage) redefine(change func(*arbiter.Timing)) arbiter.Verdict {
	def := s.state.Clusters[cluster].Definition
	change(&def.Timing)
	return s.say(arbiter.Define{Definition: def, By: "alice"})
}

// A lease that is shorter than a node needs to stop in would have it stop what it runs,
// and give every grant back.
func TestDurationsThatANodeCannotKeepAreRefused(t *testing.T) {
	s := newStage(t)
	shorter := func(d *arbiter.Timing) { d.TTL, d.Promise = 8*time.Second, 8*time.Second }
	s.send(s.reporting(nodeA, time.Second))
	v := s.redefine(shorter)
	if v.Reason != arbiter.BadDefinition || !strings.Contains(v.Sentence, "lease of node-a") || !strings.Contains(v.Sentence, "18.3") {
		t.Fatalf("a lease of 8s, of which 18.3s are needed: %+v", v)
	}
	if v := s.redefine(func(d *arbiter.Timing) { d.TTL = 30 * time.Second }); !v.OK() {
		t.Errorf("a longer lease: %+v", v)
	}
	s.pass(2 * time.Second) // the node is gone, and what it said of itself keeps nobody from anything
	if v := s.redefine(shorter); !v.OK() {
		t.Errorf("the node that needs more is not heard: %+v", v)
	}
	if v := s.redefine(func(d *arbiter.Timing) { d.TTL, d.Promise = 9*time.Second, 9*time.Second }); !v.OK() {
		t.Errorf("better than before: %+v", v)
	}
}

func TestNewDurationsAreHeldAgainstWhatTheNodesHaveSaid(t *testing.T) {
	s := newStage(t)
	b := s.reporting(nodeA, time.Second)
	b.Report.Timing.Fence = 12 * time.Second
	s.send(b)
	if v := s.redefine(func(d *arbiter.Timing) { d.FenceTimeout = 5 * time.Second }); !v.OK() {
		t.Fatalf("not taken: %+v", v)
	}
	s.send(s.beatOf(nodeA, 0))
	if got := s.remarks(); len(got) != 1 || !strings.Contains(got[0], "fence of node-a does not hold") {
		t.Errorf("shots are cut short from now on: %q", got)
	}
	s.send(s.beatOf(nodeA, 0))
	if got := s.remarks(); len(got) != 1 {
		t.Errorf("said again: %q", got)
	}
}
