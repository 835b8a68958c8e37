package recovery

import (
	"strings"
	"testing"

	"sbarbiter/drbd"
)

// sized gives both sides of a split the sizes of their volume and of the device beneath.
func sized(a, aBeneath, b, bBeneath uint64) Evidence {
	return split().with(func(e *Evidence) {
		e.Sides[0].Volumes[0].Size, e.Sides[0].Volumes[0].Backing = a*mib, aBeneath*mib
		e.Sides[1].Volumes[0].Size, e.Sides[1].Volumes[0].Backing = b*mib, bBeneath*mib
	})
}

// DRBD shrinks no copy that counts as good: what it would refuse is said before the first
// step, and what it would do is not refused.
func TestCopiesThatDRBDWouldNotConnectForTheirSizesAreNotBegunWith(t *testing.T) {
	full := func(e *Evidence) {
		e.Sides[0].Volumes[0].Generations, e.Sides[1].Volumes[0].Generations = giOldFork1, giOldFork2
	}
	nine := func(e *Evidence) { e.Sides[0].Family, e.Sides[1].Family = drbd.Family9, drbd.Family9 }
	const smaller = "r0/0 has 256.0 MiB on node-a, and the device beneath it on node-b only 252.0 MiB"
	for name, is := range map[string]struct {
		e      Evidence
		refuse string // to discard node-b's copy
	}{
		"alike":                              {sized(256, 257, 256, 257), ""},
		"not known":                          {sized(256, 0, 252, 0), ""},
		"grown, and there is room":           {sized(256, 257, 252, 300), ""},
		"the victim has too little":          {sized(256, 257, 252, 252), smaller},
		"the same, on 9":                     {sized(256, 257, 252, 252).with(nine), smaller},
		"the same, copied as a whole":        {sized(256, 257, 252, 252).with(full), smaller},
		"the survivor has too little":        {sized(252, 253, 256, 257), "r0/0 has 256.0 MiB on node-b, and the device beneath it on node-a only 253.0 MiB"},
		"the survivor, of one declared bad":  {sized(252, 253, 256, 257).with(full), ""},
		"by a byte that the figures conceal": {sized(256, 257, 256, 256).with(func(e *Evidence) { e.Sides[1].Volumes[0].Backing-- }), "only 255.999999 MiB"},
	} {
		for _, e := range []Evidence{is.e, is.e.turned()} {
			d, err := Choose(e, "node-b")
			if is.refuse == "" {
				if err == nil {
					_, err = MakePlan(e, d)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), is.refuse) || !strings.Contains(err.Error(), "make that device larger") {
				t.Errorf("%s: %v", name, err)
			}
			if d := Decide(e, []Policy{{Name: DiscardNode, Node: "node-b"}}); d.Victim != "" {
				t.Errorf("%s: a policy decides: %+v", name, d)
			}
		}
	}
}

// Nor is one told to connect what DRBD would not connect.
func TestACopyThatLagsBehindOnTooSmallADeviceIsToGetRoomFirst(t *testing.T) {
	lags := func(e *Evidence) { e.Sides[1].Volumes[0].Generations = giBoth }
	if d := Diagnose(sized(256, 257, 252, 252).with(lags)); d.Kind != Resync || !strings.Contains(d.Advice, "make that device larger first, then connect them") {
		t.Errorf("%+v", d)
	}
	if d := Diagnose(sized(256, 257, 252, 257).with(lags)); !strings.HasPrefix(d.Advice, "connect them") {
		t.Errorf("%+v", d)
	}
}
