package recovery

import (
	"encoding/json"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

const younger = "resource r0: after-sb-1pri is discard-secondary, must be disconnect; write: resource r0 { net { after-sb-1pri disconnect; } }"

// Where DRBD has policies of its own nothing is begun that would end there: the victim
// would be stopped, excluded and kept before they are looked for.
func TestNobodyIsChosenWhereDRBDMightChooseOtherwise(t *testing.T) {
	for i := range 2 {
		e := split().with(func(e *Evidence) { e.Sides[i].Policies = []string{younger, "another"} })
		for _, e := range []Evidence{e, e.turned()} {
			says := "DRBD on " + string(split().Sides[i].Node) + " might decide by its own policy when the two meet, and discard the other side: " + younger + " (and 1 more like it)"
			d := Decide(e, []Policy{{Name: DiscardNode, Node: "node-b"}})
			if d.Victim != "" || len(d.Opinions) > 0 || !strings.Contains(d.Why, says) {
				t.Errorf("%+v", d)
			}
			if _, err := Choose(e, "node-b"); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v", err)
			}
		}
	}
}

// A copy that is declared bad before the two meet leaves DRBD nothing to decide: 8.4 has
// that for an old fork, 9 gives all of it up by the flag.
func TestAnOldForkOf84IsChosenWhateverDRBDsPoliciesAre(t *testing.T) {
	for f, refused := range map[drbd.Family]bool{drbd.Family84: false, drbd.Family9: true} {
		e := split().with(gis(giOldFork1, giOldFork2)).with(func(e *Evidence) {
			for i := range e.Sides {
				e.Sides[i].Family, e.Sides[i].Policies = f, []string{younger}
			}
		})
		if _, err := Choose(e, "node-b"); (err != nil) != refused {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// A node of before says nothing of them, and one of before skips what it is told.
func TestDRBDsPoliciesAreReadBothWays(t *testing.T) {
	var was, is Side
	if err := json.Unmarshal([]byte(`{"node": "node-a"}`), &was); err != nil || was.Policies != nil {
		t.Errorf("%v, %q", err, was.Policies)
	}
	is.Policies = []string{younger}
	text, err := json.Marshal(is)
	if err != nil {
		t.Fatal(err)
	}
	var again Side
	if err := json.Unmarshal(text, &again); err != nil || len(again.Policies) != 1 {
		t.Errorf("%v, %s", err, text)
	}
	if text, err = json.Marshal(was); err != nil || strings.Contains(string(text), "policies") {
		t.Errorf("%v, %s", err, text)
	}
}
