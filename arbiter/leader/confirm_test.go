package leader_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// The witness has lost a holder that its peer hears well: it runs by the peer's
// promise, whatever an operator has seen.
func TestNodeThatItsPeerHearsIsNotConfirmedOff(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	confirm := arbiter.Confirm{Cluster: cluster, Node: nodeA, Epochs: []arbiter.Epoch{e}, By: "alice", Reason: "looks dead"}
	hears := func(yes bool) func() {
		return func() {
			b := s.beatOf(nodeB, 0)
			b.Links = []leader.Link{{Name: "cross", HearsPeer: yes}, {Name: "lan"}}
			s.send(b)
		}
	}
	s.passWith(5*time.Second, hears(true))
	if v := s.say(confirm); v.Reason != arbiter.TargetAlive {
		t.Errorf("a word against what the peer hears is answered with %+v", v)
	}
	s.passWith(time.Second, hears(false))
	s.must(confirm)
}

// A machine whose agent hangs looks dead, and its kernel goes on replicating: granted to
// its peer, the group would run on both.
func TestMachineToWhichDRBDIsConnectedIsNotConfirmedOff(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	confirm := arbiter.Confirm{Cluster: cluster, Node: nodeA, Epochs: []arbiter.Epoch{e}, By: "alice", Reason: "looks dead"}
	connected := func(yes bool) func() {
		return func() {
			b := s.beatOf(nodeB, 0)
			b.Groups[0].Evidence.HearsPeer = yes
			s.send(b)
		}
	}
	s.passWith(5*time.Second, connected(true))
	if v := s.say(confirm); v.Reason != arbiter.TargetAlive {
		t.Errorf("a word against what DRBD shows is answered with %+v", v)
	}
	s.passWith(time.Second, connected(false))
	s.must(confirm)
}

// A machine is lost that neither this witness nor the other node hears. Both are looked at
// once more when the stale copy is to stand in for it.
func TestNodeThatIsHeardIsNotLost(t *testing.T) {
	s := newStage(t, func(def *arbiter.Definition) {
		g := def.Groups[data]
		g.MinimumGrade = arbiter.E1
		def.Groups[data] = g
	})
	e := s.grant(nodeA)
	s.must(leader.Exclude{Exclude: arbiter.Exclude{Caller: s.caller(nodeA), Group: data, Epoch: e, Evidence: fit()}})
	lost := arbiter.GiveUp{Cluster: cluster, Group: data, Node: nodeA, By: "alice", Reason: "burnt down", Lost: true}
	hears := func(yes bool) func() {
		return func() {
			b := s.beatOf(nodeB, 0)
			b.Links = []leader.Link{{Name: "cross", HearsPeer: yes}}
			s.send(b)
		}
	}
	s.passWith(5*time.Second, hears(false))
	s.must(arbiter.Confirm{Cluster: cluster, Node: nodeA, Epochs: []arbiter.Epoch{e}, By: "alice", Reason: "burnt down"})
	s.passWith(time.Second, hears(true))
	if v := s.say(lost); v.Reason != arbiter.TargetAlive {
		t.Errorf("heard by its peer: %+v", v)
	}
	s.passWith(time.Second, hears(false))
	s.send(s.beatOf(nodeA, 0))
	if v := s.say(lost); v.Reason != arbiter.TargetAlive {
		t.Errorf("heard here: %+v", v)
	}
	s.passWith(2*time.Second, hears(false))
	s.must(lost)
	s.send(s.beatOf(nodeA, 0))
	if v := s.say(s.acquire(nodeB)); v.Reason != arbiter.TargetAlive {
		t.Errorf("heard when the other one asks: %+v", v)
	}
	s.passWith(2*time.Second, hears(false))
	if v := s.say(s.acquire(nodeB)); v.Reason != arbiter.IsExcluded {
		t.Errorf("it was heard after the word: %+v", v)
	}
	s.must(lost)
	if v := s.say(s.acquire(nodeB)); v.Kind != arbiter.Granted || !v.Basis.StandIn {
		t.Errorf("%+v", v)
	}
}
