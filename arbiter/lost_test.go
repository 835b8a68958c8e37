package arbiter_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/arbiter"
)

// standsIn: a stale copy is granted the group only by an operator's word that the other
// one is lost, while nothing is heard of that one.
func standsIn(before, after *arbiter.Group, lost arbiter.NodeID, cmd arbiter.Command) error {
	_, stale := before.Excluded[lost]
	switch {
	case before.StandIn == nil || before.StandIn.Node != after.Lease.Holder:
		return errors.New("nobody has said that it stands in for another")
	case stale:
		return fmt.Errorf("the copy of %s is stale as well", lost)
	case !after.Lease.Basis.StandIn:
		return errors.New("its node is not told")
	}
	if c, ok := cmd.(arbiter.Acquire); ok && (c.Evidence.HearsPeer || c.Judgement.PeerHeard) {
		return fmt.Errorf("%s is heard", lost)
	}
	return nil
}

// stoodIn: the two change places only when the one that stands in is about to be promoted,
// and never while the other one is heard.
func stoodIn(before, after *arbiter.Group, cmd arbiter.Command) error {
	c, ok := cmd.(arbiter.Exclude)
	if _, was := before.Excluded[c.Caller.Node]; !ok || !was || c.Group != "nfs" {
		return nil
	}
	if _, is := after.Excluded[c.Caller.Node]; is {
		return nil
	}
	for node, e := range after.Excluded {
		if node != c.Caller.Node && e.Lost && before.StandIn != nil && c.Promoting && !c.Evidence.HearsPeer && !c.Judgement.PeerHeard {
			return nil
		}
	}
	return fmt.Errorf("%s counts as good at its own word", c.Caller.Node)
}

// TestWhatMustAlwaysHoldOfALostMachine is about pairs of which one node has run the
// group alone, with an operator who has little patience.
func TestWhatMustAlwaysHoldOfALostMachine(t *testing.T) {
	seen := map[string]int{}
	untilSeen(t, seen, []string{"said", "fallen", "taken back", "stood in"}, func(t *rapid.T) {
		s := newStage()
		for _, line := range []string{
			"define stonith watchdog groups=nfs,web", "node-a up", "node-b up", "node-a acquire nfs in-step", "node-a started nfs",
			"node-a exclude nfs", "confirm node-a epochs=4",
		} {
			if _, err := s.play(line); err != nil {
				t.Fatal(err)
			}
		}
		w := newWatcher()
		w.highest, w.number = 4, 1<<32|1
		w.weak["nfs/node-a"] = true
		for range 10 + evenly(t, 60, "steps") {
			before := s.state.Clusters[pair].Clone()
			cmd := s.drawLost(t, before)
			v, err := s.apply(cmd)
			if err != nil {
				t.Fatal(err)
			}
			s.follow(cmd, v)
			after := s.state.Clusters[pair]
			if err := w.watch(before, after, cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
			if err := spoke(before, after, cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
			if err := stoodIn(before.Groups["nfs"], after.Groups["nfs"], cmd); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
			if err := takenBack(before.Groups["nfs"], after.Groups["nfs"], cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
			if err := counted(before.Groups["nfs"], after.Groups["nfs"], cmd, v); err != nil {
				t.Fatalf("%T: %v\n%s", cmd, err, v.Sentence)
			}
			count(seen, before.Groups["nfs"], after.Groups["nfs"], cmd)
		}
	})
}

// takenBack: a word that is taken back is gone, and nothing else has changed by that.
func takenBack(before, after *arbiter.Group, cmd arbiter.Command, v arbiter.Verdict) error {
	c, ok := cmd.(arbiter.GiveUp)
	if !ok || !c.Cancel {
		return nil
	}
	if v.OK() && (before.StandIn == nil || after.StandIn != nil) {
		return errors.New("it was not there, or is there still")
	}
	was := *before
	if v.OK() {
		was.StandIn = nil
	}
	if !reflect.DeepEqual(&was, after) {
		return fmt.Errorf("it has changed more:\n%+v\n%+v", was, *after)
	}
	return nil
}

// drawLost draws an operator's word that a node is lost, mostly of the one that is not
// stale, or anything.
func (s *stage) drawLost(t *rapid.T, c *arbiter.Cluster) arbiter.Command {
	g := c.Groups["nfs"]
	if l := g.Lease; l != nil && l.Basis.StandIn && likely(t, 3, "promotion") {
		e := arbiter.Exclude{
			Caller: s.drawCaller(t, l.Holder), Group: "nfs", Epoch: l.Epoch, Promoting: likely(t, 8, "promoting"),
			Evidence: drawEvidence(t), Judgement: s.drawJudgement(t, "nfs"),
		}
		if likely(t, 7, "nothing is heard of the other one") {
			e.Evidence.HearsPeer, e.Judgement.PeerHeard = false, false
		}
		return e
	}
	if !likely(t, 2, "lost") {
		return s.draw(t)
	}
	if g.StandIn != nil && likely(t, 1, "cancel") {
		return arbiter.GiveUp{Cluster: pair, Group: "nfs", By: "ops", Cancel: true, Word: drawWord(t, g.StandIn.Word)}
	}
	node := oneOf(t, "whose", nodes...)
	for _, n := range nodes {
		if _, stale := c.Groups["nfs"].Excluded[n]; !stale && likely(t, 8, "the good one") {
			node = n
		}
	}
	ev := drawEvidence(t)
	return arbiter.GiveUp{Cluster: pair, Group: "nfs", Node: node, Kept: &ev, By: "ops", Lost: true, Alive: likely(t, 2, "alive"), Word: drawWord(t, g.Words+1)}
}

// drawWord draws the number of a word: mostly the one in turn, or none, or an old one.
func drawWord(t *rapid.T, next arbiter.WordID) arbiter.WordID {
	if likely(t, 3, "another word") {
		return arbiter.WordID(evenly(t, int(next)+1, "word"))
	}
	return next
}

// counted: a word counts once, and takes back the one that it names.
func counted(before, after *arbiter.Group, cmd arbiter.Command, v arbiter.Verdict) error {
	c, ok := cmd.(arbiter.GiveUp)
	switch {
	case !ok || c.Group != "nfs" || !v.OK():
		if before.Words != after.Words {
			return errors.New("a word is counted that was not taken")
		}
	case c.Cancel && c.Word != 0 && c.Word != before.StandIn.Word:
		return fmt.Errorf("word %d is taken back by one that is about word %d", before.StandIn.Word, c.Word)
	case !c.Cancel && (after.Words != before.Words+1 || c.Word != 0 && c.Word != after.Words):
		return fmt.Errorf("word %d counts as %d, after %d", c.Word, after.Words, before.Words)
	}
	return nil
}

// spoke: nobody who speaks is lost.
func spoke(before, after *arbiter.Cluster, cmd arbiter.Command, v arbiter.Verdict) error {
	s := after.Groups["nfs"].StandIn
	if s == nil || before.Groups["nfs"].StandIn == nil {
		return nil
	}
	var who arbiter.NodeID
	switch c := cmd.(type) {
	case arbiter.NodeUp:
		who = c.Caller.Node
	case arbiter.Release:
		who = c.Caller.Node
	default:
		who = asks(cmd)
	}
	known := v.OK() || v.Reason == arbiter.IsExcluded || v.Reason == arbiter.NotHolder
	if _, up := cmd.(arbiter.NodeUp); who == after.Definition.Peer(s.Node) && (up || known) {
		return fmt.Errorf("%s speaks, and counts as lost", who)
	}
	return nil
}

func count(seen map[string]int, before, after *arbiter.Group, cmd arbiter.Command) {
	c, ok := cmd.(arbiter.GiveUp)
	switch {
	case ok && c.Cancel && before.StandIn != nil && after.StandIn == nil:
		seen["taken back"]++
	case before.StandIn == nil && after.StandIn != nil:
		seen["said"]++
	case before.StandIn != nil && after.StandIn == nil && len(before.Excluded) == len(after.Excluded):
		seen["fallen"]++
	case !lost(before) && lost(after):
		seen["stood in"]++
	}
}

func lost(g *arbiter.Group) bool {
	for _, e := range g.Excluded {
		if e.Lost {
			return true
		}
	}
	return false
}

// A word that is taken back after the two copies have changed places does not put them
// back: that must not be told as if it did.
func TestWordTakenBackLateSaysWhichCopyCounts(t *testing.T) {
	s := newStage()
	for _, line := range []string{
		"define stonith groups=nfs", "node-a up", "node-b up", "node-a acquire nfs in-step", "node-a started nfs", "node-a exclude nfs", "confirm node-a epochs=4",
		"give-up nfs node-a lost disks=Outdated", "node-b acquire nfs disks=Outdated", "node-b exclude nfs promoting disks=Outdated", "node-b release nfs unused",
	} {
		if _, err := s.play(line); err != nil {
			t.Fatal(err)
		}
	}
	v, err := s.apply(arbiter.GiveUp{Cluster: pair, Group: "nfs", By: "ops", Cancel: true})
	if err != nil || !v.OK() || s.group("nfs").StandIn != nil {
		t.Fatalf("%+v, %v", v, err)
	}
	if !strings.Contains(v.Sentence, "counts as the good one of the two (exclusion 1.2 of node-a's)") || strings.Contains(v.Sentence, "does not stand in") {
		t.Error(v.Sentence)
	}
}
