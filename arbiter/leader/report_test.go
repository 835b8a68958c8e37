package leader_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/timing"
)

// reporting is a beat with what the node says of itself: its group took so long
// to stop.
func (s *stage) reporting(node arbiter.NodeID, stop time.Duration) leader.Beat {
	plan, _ := timing.Profile(timing.ProfileSTONITH)
	b := s.beatOf(node, 0)
	b.Report = &leader.Report{Timing: timing.Node{
		Plan: plan, ReadBack: plan.Watchdog, Hardware: true,
		Groups: []timing.Group{{Name: string(data), StopBudget: plan.Stop, Stop: timing.Measured{Count: 5, P999: stop, Max: stop}}},
	}}
	return b
}

// remarks are those written down about timing.
func (s *stage) remarks() (out []string) {
	for _, r := range s.state.Clusters[cluster].Audit {
		if r.What == "timing" {
			out = append(out, r.Sentence)
		}
	}
	return out
}

func TestShrinkingSlackIsWrittenDownOncePerCrossing(t *testing.T) {
	s := newStage(t)
	for _, stop := range []time.Duration{time.Second, 9 * time.Second, 9 * time.Second, 7900 * time.Millisecond} {
		s.send(s.reporting(nodeA, stop))
		s.send(s.beatOf(nodeA, 0))
	}
	if got := s.remarks(); len(got) != 1 || !strings.Contains(got[0], "stop of data on node-a has shrunk") {
		t.Fatalf("nearly all of the time is used: %q", got)
	}
	s.elect()
	s.send(s.reporting(nodeA, 9*time.Second))
	if got := s.remarks(); len(got) != 1 {
		t.Errorf("the next leader says it again: %q", got)
	}
	s.send(s.reporting(nodeA, 11*time.Second))
	s.send(s.reporting(nodeA, time.Second))
	got := s.remarks()
	if len(got) != 3 || !strings.Contains(got[1], "does not hold any more") || !strings.Contains(got[2], "holds again") {
		t.Errorf("lost and back: %q", got)
	}
	if slack := s.state.Clusters[cluster].Slack; len(slack) != 0 {
		t.Errorf("remembered for nothing: %v", slack)
	}
}

func TestReportOutlivesTheBeatsWithoutOne(t *testing.T) {
	s := newStage(t)
	s.send(s.reporting(nodeA, time.Second))
	s.send(s.beatOf(nodeA, 0))
	v := s.l.Views(s.now)[0]
	if v.Nodes[nodeA].Report == nil || v.Nodes[nodeB].Report != nil {
		t.Errorf("known of %v and %v", v.Nodes[nodeA].Report, v.Nodes[nodeB].Report)
	}
	if p := v.Pair(); len(p.Nodes) != 1 || p.Nodes[0].Name != string(nodeA) {
		t.Errorf("the pair's timing is %+v", p)
	}
	s.callers[nodeA].Incarnation++
	s.must(leader.Hello{Sender: s.sender(nodeA)})
	if s.l.Views(s.now)[0].Nodes[nodeA].Report != nil {
		t.Error("what an earlier life said of itself still counts")
	}
}
