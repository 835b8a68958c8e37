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

// A controller that needs longer than a shot: "on" was read in the one, "off" is
// read in the next.
func TestOnOfAShotCountsForTheNextOne(t *testing.T) {
	var tr Track
	tr.Aimed([]Reading{{Device: "a", Power: PowerUnknown, At: origin}, {Device: "a", Power: PowerOn, At: origin.Add(time.Second)}, {Device: "b", Power: PowerOff, At: origin}})
	if got := tr.SeenOn(); len(got) != 1 || got[0].Device != "a" {
		t.Fatalf("%v", got)
	}
	tr.Observe(Reading{Device: "a", Power: PowerOff, At: origin.Add(2 * time.Second)})
	tr.Heard(origin.Add(2100 * time.Millisecond))
	tr.Aimed([]Reading{{Device: "a", Power: PowerOn, At: origin.Add(3 * time.Second)}})
	if got := tr.SeenOn(); got != nil {
		t.Fatalf("a device that said off of a living target vouches again: %v", got)
	}
}

func TestDeviceIsWantedUntilALivingTargetWasSeenOn(t *testing.T) {
	var tr Track
	now := origin.Add(time.Hour)
	wants := func(want bool, why string) {
		t.Helper()
		if got := tr.Wanting("a", now); got != want {
			t.Errorf("%s: %v", why, got)
		}
	}
	wants(false, "nothing was read")
	tr.Observe(Reading{Device: "a", Power: PowerOn, At: now.Add(-time.Minute)})
	wants(false, "nothing was heard")
	tr.Heard(now.Add(-100 * time.Millisecond)) // too late for that reading
	wants(true, "it lives, and no on of it is confirmed")
	tr.Observe(Reading{Device: "a", Power: PowerOn, At: now})
	tr.Heard(now.Add(time.Millisecond))
	wants(false, "it is confirmed")
}
