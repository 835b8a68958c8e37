package leader_test

import (
	"fmt"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// A node that its witness knows, and that has gone mad, asks without end.
func TestFloodOfRequestsIsNotKept(t *testing.T) {
	s := newStage(t)
	e := s.grant(nodeA)
	s.slowLog = true
	s.send(leader.Release{Release: arbiter.Release{Caller: s.caller(nodeA), Group: data, Epoch: e}})
	const flood = 10_000
	turnedAway := 0
	for range flood {
		if a, ok := s.answers[s.send(s.acquire(nodeB))]; ok && a.Unknown() {
			turnedAway++
		}
	}
	if flood-turnedAway > 1000 {
		t.Errorf("%d requests are kept for a log that does not answer", flood-turnedAway)
	}
	s.slowLog = false
	for len(s.proposed) > 0 {
		s.settle()
	}
	s.pass(time.Second)
	s.grant(nodeB)
}

func TestGroupsThatDoNotExistLeaveNothingBehind(t *testing.T) {
	s := newStage(t)
	before := len(s.log)
	for i := range 100 {
		m := s.acquire(nodeB)
		m.Group = arbiter.GroupID(fmt.Sprint("no-such-group-", i))
		if v := s.say(m); v.Reason != arbiter.UnknownGroup {
			t.Fatalf("answered with %+v", v)
		}
	}
	if grown := len(s.log) - before; grown != 0 {
		t.Errorf("%d commands in the log for groups that do not exist", grown)
	}
}
