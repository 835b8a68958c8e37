package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// window is a stage on which node-a holds the group, in maintenance.
func window(t *testing.T) (*stage, arbiter.Epoch) {
	t.Helper()
	s := newStage(t)
	e := s.grant(nodeA)
	s.beat(nodeA, e)
	s.beat(nodeB, 0)
	s.must(arbiter.Maintenance{Cluster: cluster, On: true, By: "alice"})
	return s, e
}

func rehearse(node arbiter.NodeID) arbiter.Rehearse {
	return arbiter.Rehearse{Cluster: cluster, Node: node, By: "alice"}
}

// told is the rehearsal that a node's next beat is answered with.
func (s *stage) told(node arbiter.NodeID, e arbiter.Epoch) arbiter.MandateID {
	s.t.Helper()
	a := s.answers[s.send(s.beatOf(node, e))]
	if a.Beat == nil {
		s.t.Fatalf("%s is not answered", node)
	}
	return a.Beat.Rehearse
}

func read(power string, at int64) arbiter.Reading {
	return arbiter.Reading{Device: "bmc", Power: power, At: boottime.Instant(at)}
}

// carriedOut is a rehearsal that node-a has begun.
func carriedOut(t *testing.T) (*stage, arbiter.Epoch, arbiter.MandateID) {
	t.Helper()
	s, e := window(t)
	s.must(rehearse(nodeB))
	s.pass(durations.SuspectAfter)
	s.beat(nodeB, 0) // it is alive, and that voids nothing
	m := s.told(nodeA, e)
	if m == 0 {
		t.Fatal("the executor is not told")
	}
	if other := s.told(nodeB, 0); other != 0 {
		t.Error("the target is told to switch itself off")
	}
	s.must(leader.Begin{Begin: arbiter.Begin{Caller: s.caller(nodeA), Mandate: m, Readings: []arbiter.Reading{read("on", 1)}}})
	return s, e, m
}

func (s *stage) over(m arbiter.MandateID, failure string, readings ...arbiter.Reading) arbiter.Verdict {
	s.t.Helper()
	return s.say(leader.ReportFence{Clock: 9, ReportFence: arbiter.ReportFence{
		Caller: s.caller(nodeA), Mandate: m, Grade: arbiter.E3, Readings: readings, Failure: failure,
	}})
}

func TestRehearsalProvesOffAndOnAndIsRemembered(t *testing.T) {
	s, e, m := carriedOut(t)
	if a := s.beat(nodeA, e); a == nil || a.Renewed != e {
		t.Error("the holder is not renewed during a rehearsal")
	}
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Refused {
		t.Errorf("the target is granted something: %+v", v)
	}
	s.pass(3 * time.Second)
	v := s.over(m, "", read("on", 1), read("off", 3), read("on", 5))
	if !v.OK() || !strings.Contains(v.Sentence, "off and on again by bmc") {
		t.Fatalf("%+v", v)
	}
	c := s.state.Clusters[cluster]
	if _, known := c.Nodes[nodeB].Proven["bmc"]; !known || c.Mandate != nil || c.Shots != 0 {
		t.Errorf("proven %v, mandate %v, %d shots", c.Nodes[nodeB].Proven, c.Mandate, c.Shots)
	}
	if again := s.told(nodeA, e); again != 0 {
		t.Error("the executor is told once more")
	}
}

func TestRehearsalThatFailsSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		readings []arbiter.Reading
		want     string
		proven   bool
	}{
		"never off":    {[]arbiter.Reading{read("on", 3)}, "was not seen going off", false},
		"stays off":    {[]arbiter.Reading{read("off", 3)}, "switch it on by hand", true},
		"always off":   {[]arbiter.Reading{}, "was not seen going off", false},
		"says nothing": {[]arbiter.Reading{read("unknown", 3)}, "was not seen going off", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, m := carriedOut(t)
			s.pass(3 * time.Second)
			v := s.over(m, "no answer", c.readings...)
			if v.Reason != arbiter.NotProven || !strings.Contains(v.Sentence, c.want) {
				t.Errorf("%+v", v)
			}
			if _, known := s.state.Clusters[cluster].Nodes[nodeB].Proven["bmc"]; known != c.proven {
				t.Errorf("proven: %t", known)
			}
		})
	}
}

func TestDeviceThatSaysOffOfAMachineThatGoesOnIsFoundOut(t *testing.T) {
	s, _, m := carriedOut(t)
	s.pass(3 * time.Second)
	s.beat(nodeB, 0)
	v := s.over(m, "", read("off", 3), read("on", 5))
	if v.Reason != arbiter.TargetAlive {
		t.Errorf("%+v", v)
	}
	if len(s.state.Clusters[cluster].Nodes[nodeB].Proven) != 0 {
		t.Error("it counts as proven")
	}
}

func TestNobodyIsRehearsedWhoMatters(t *testing.T) {
	s, e := window(t)
	if v := s.say(rehearse(nodeA)); v.Reason != arbiter.HoldsGroup {
		t.Errorf("a holder is rehearsed: %+v", v)
	}
	s.must(arbiter.Maintenance{Cluster: cluster, By: "alice"})
	if v := s.say(rehearse(nodeB)); v.Reason != arbiter.NoMaintenance {
		t.Errorf("outside of a window: %+v", v)
	}
	s.must(arbiter.Maintenance{Cluster: cluster, On: true, By: "alice"})
	s.passWith(durations.SuspectAfter+step, s.beating(nodeB, 0))
	if v := s.say(rehearse(nodeB)); v.OK() {
		t.Errorf("without an executor: %+v", v)
	}
	s.beat(nodeA, e)
	s.must(rehearse(nodeB))
	m := s.told(nodeA, e)
	s.must(arbiter.Maintenance{Cluster: cluster, By: "alice"})
	begin := leader.Begin{Begin: arbiter.Begin{Caller: s.caller(nodeA), Mandate: m, Readings: []arbiter.Reading{read("on", 1)}}}
	if v := s.say(begin); v.OK() {
		t.Errorf("the window has ended before the shot: %+v", v)
	}
}

func TestRehearsalThatNobodyBeginsOrReportsEnds(t *testing.T) {
	s, _ := window(t)
	s.must(rehearse(nodeB))
	s.pass(2 * time.Minute)
	if m := s.state.Clusters[cluster].Mandate; m != nil {
		t.Errorf("nobody began it: %+v", m)
	}
	s, _, _ = carriedOut(t)
	s.pass(2 * time.Minute)
	if m := s.state.Clusters[cluster].Mandate; m != nil {
		t.Errorf("nobody reported it: %+v", m)
	}
}
