package fencing

import (
	"slices"
	"testing"
	"time"
)

func TestOnCountsOnceTheNodeWasHeardAfterIt(t *testing.T) {
	var tr Track
	tr.Observe(Reading{Device: "a", Power: PowerOn, At: origin})
	tr.Heard(origin)
	if got := tr.SeenOn(); got != nil {
		t.Fatalf("a sign of life that is no newer than the reading confirmed %v", got)
	}
	tr.Heard(origin.Add(time.Millisecond))
	if got := tr.SeenOn(); len(got) != 1 || got[0].At != origin {
		t.Fatalf("confirmed %v", got)
	}
	tr.Observe(Reading{Device: "a", Power: PowerOff, At: origin.Add(time.Minute)})
	if got := tr.SeenOn(); len(got) != 1 {
		t.Fatalf("an off of a node that is not heard any more took the on away: %v", got)
	}
}

func TestOffOfALivingNodeContradicts(t *testing.T) {
	var tr Track
	tr.Observe(Reading{Device: "a", Power: PowerOn, At: origin})
	tr.Heard(origin.Add(time.Millisecond))
	tr.Observe(Reading{Device: "a", Power: PowerOff, At: origin.Add(time.Second)})
	tr.Heard(origin.Add(1200 * time.Millisecond))
	if got := tr.Contradicted(); !slices.Equal(got, []DeviceName{"a"}) {
		t.Fatalf("contradicted: %v", got)
	}
	if got := tr.SeenOn(); got != nil {
		t.Fatalf("a device that lies still vouches: %v", got)
	}
	tr.Observe(Reading{Device: "a", Power: PowerOn, At: origin.Add(2 * time.Second)})
	tr.Heard(origin.Add(2200 * time.Millisecond))
	if got := tr.Contradicted(); got != nil {
		t.Fatalf("contradicted after it said on again: %v", got)
	}
}

func TestANodeThatBootsDoesNotContradictTheOffBeforeIt(t *testing.T) {
	var tr Track
	tr.Observe(Reading{Device: "a", Power: PowerOff, At: origin})
	tr.Heard(origin.Add(20 * time.Second))
	tr.Heard(origin.Add(20*time.Second + 250*time.Millisecond))
	if got := tr.Contradicted(); got != nil {
		t.Fatalf("contradicted: %v", got)
	}
}
