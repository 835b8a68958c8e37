package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

func moving(d time.Duration) func(*arbiter.Definition) {
	return func(def *arbiter.Definition) {
		g := def.Groups[data]
		g.MoveAfter = d
		def.Groups[data] = g
	}
}

// reaching sends beats of a node that reaches so many references.
func (s *stage) reaching(n arbiter.NodeID, e arbiter.Epoch, references int, change ...func(*leader.GroupBeat)) func() {
	return func() {
		b := s.beatOf(n, e)
		b.References = references
		b.Groups[0].Evidence.References = references
		b.Groups[0].Running = e != 0
		for _, c := range change {
			c(&b.Groups[0])
		}
		s.send(b)
	}
}

func (s *stage) order() *arbiter.Switch { return s.state.Clusters[cluster].Groups[data].Order }

func TestIsolatedHolderGivesWayToAPeerThatIsNot(t *testing.T) {
	s := newStage(t, moving(10*time.Second))
	e := s.grant(nodeA)
	s.passWith(2*time.Second, s.reaching(nodeA, e, 1), s.reaching(nodeB, 0, 1))
	s.passWith(9*time.Second, s.reaching(nodeA, e, 0), s.reaching(nodeB, 0, 1))
	if s.order() != nil {
		t.Fatal("moved before its time")
	}
	s.passWith(2*time.Second, s.reaching(nodeA, e, 0), s.reaching(nodeB, 0, 1))
	if o := s.order(); o == nil || o.To != nodeB || o.Epoch != e {
		t.Fatalf("%+v", o)
	}
	audit := s.state.Clusters[cluster].Audit
	if said := audit[len(audit)-1].Sentence; !strings.Contains(said, "isolated for 10s") {
		t.Errorf("it does not say why: %s", said)
	}
	s.must(leader.Release{Release: arbiter.Release{Caller: s.caller(nodeA), Group: data, Epoch: e, Started: true}})
	e = s.grant(nodeB)
	// The next one is cut off too, and the first is back: not at once again.
	s.passWith(60*time.Second, s.reaching(nodeA, 0, 1), s.reaching(nodeB, e, 0))
	if s.order() != nil {
		t.Error("moved back at once")
	}
	s.passWith(90*time.Second, s.reaching(nodeA, 0, 1), s.reaching(nodeB, e, 0))
	if o := s.order(); o == nil || o.To != nodeA {
		t.Error("not moved at all any more")
	}
}

func TestIsolatedHolderStaysWhereNobodyIsBetter(t *testing.T) {
	behind := func(g *leader.GroupBeat) { g.Evidence.Disks = []arbiter.Disk{{Volume: "r0/0", Own: "Inconsistent"}} }
	for name, c := range map[string]struct {
		after time.Duration
		peer  func(*stage) func()
		first func(*stage)
	}{
		"the peer is isolated too":      {10 * time.Second, func(s *stage) func() { return s.reaching(nodeB, 0, 0) }, nil},
		"the peer's copy lags":          {10 * time.Second, func(s *stage) func() { return s.reaching(nodeB, 0, 1, behind) }, nil},
		"the peer is silent":            {10 * time.Second, func(*stage) func() { return func() {} }, nil},
		"nobody has asked for it":       {0, func(s *stage) func() { return s.reaching(nodeB, 0, 1) }, nil},
		"the peer is in standby":        {10 * time.Second, func(s *stage) func() { return s.reaching(nodeB, 0, 1) }, func(s *stage) { s.must(arbiter.Standby{Cluster: cluster, Node: nodeB, On: true}) }},
		"the cluster is in maintenance": {10 * time.Second, func(s *stage) func() { return s.reaching(nodeB, 0, 1) }, func(s *stage) { s.must(arbiter.Maintenance{Cluster: cluster, On: true}) }},
	} {
		s := newStage(t, moving(c.after))
		e := s.grant(nodeA)
		if c.first != nil {
			c.first(s)
		}
		s.passWith(time.Minute, s.reaching(nodeA, e, 0), c.peer(s))
		if s.order() != nil {
			t.Errorf("%s: moved all the same", name)
		}
		if n := s.proposedOf(is[arbiter.Order]); n != 0 {
			t.Errorf("%s: ordered %d times in vain", name, n)
		}
	}
}

func TestIsolationThatComesAndGoesMovesNothing(t *testing.T) {
	s := newStage(t, moving(10*time.Second))
	e := s.grant(nodeA)
	for range 6 {
		s.passWith(8*time.Second, s.reaching(nodeA, e, 0), s.reaching(nodeB, 0, 1))
		s.passWith(time.Second, s.reaching(nodeA, e, 1), s.reaching(nodeB, 0, 1))
	}
	if s.order() != nil {
		t.Error("moved")
	}
}

func TestGroupThatWasJustTakenOverIsNotMoved(t *testing.T) {
	s := takenOver(t, holding(time.Minute), moving(10*time.Second))
	e := s.state.Clusters[cluster].Groups[data].Lease.Epoch
	s.passWith(40*time.Second, s.reaching(nodeA, 0, 1), s.reaching(nodeB, e, 0))
	if s.order() != nil {
		t.Error("moved within the hold time")
	}
	s.passWith(40*time.Second, s.reaching(nodeA, 0, 1), s.reaching(nodeB, e, 0))
	if s.order() == nil {
		t.Error("not moved after it")
	}
}
