package sim_test

import (
	"os"
	"strings"
	"testing"

	"sbarbiter/internal/sim"
	"sbarbiter/recovery"
)

// A disk fails in the moment in which its node is reset, before anybody could be told.
// DRBD 9 has the other copy begin a generation of its own, so the two part. Without a
// policy an operator is told and resolves it; with one, nobody is needed. What was
// acknowledged before is in the copy that runs, both times: else the run would break.
func TestCopiesThatPartedUnrecordedAreBroughtTogether(t *testing.T) {
	for _, name := range []string{"disk-fails-while-nobody-can-be-told", "disk-fails-as-its-holder-is-reset"} {
		raw, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		s, err := sim.DecodeSchedule(raw)
		if err != nil {
			t.Fatal(err)
		}
		for by, policies := range map[string][]recovery.Policy{
			"operator":  nil,
			"sbwitness": {{Name: recovery.DiscardSecondary}},
		} {
			t.Run(name+"/"+by, func(t *testing.T) {
				w := sim.PlayOn(s, func(o *sim.Options) {
					for id, g := range o.Definition.Groups {
						g.Recovery = policies
						o.Definition.Groups[id] = g
					}
				})
				for _, b := range w.Broken() {
					t.Fatalf("%s\n%s", b, w.Timeline())
				}
				if text := w.Timeline(); !strings.Contains(text, "of db is opened by "+by) || !strings.Contains(text, "of db is over (recovered)") {
					t.Fatalf("nobody has brought the copies together by the word of %s\n%s", by, text)
				}
				if g := w.Witness().State().Groups[db]; len(g.Excluded) > 0 || !w.InStep(db) || !w.Alike(db) {
					t.Error("the copies are not in step, or differ")
				}
			})
		}
	}
}
