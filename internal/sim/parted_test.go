package sim_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"sbarbiter/internal/sim"
	"sbarbiter/recovery"
)

// A disk fails in the moment in which its node is reset, before anybody could be told.
// DRBD 9 has the other copy begin a generation of its own, so the two part. Without a
// policy an operator is told and resolves it; with one, nobody is needed. What was
// acknowledged before is in the copy that runs, both times: else the run would break.
func TestCopiesThatPartedUnrecordedAreBroughtTogether(t *testing.T) {
	for _, name := range []string{"disk-fails-as-its-holder-is-reset"} {
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

// Any disk fails as agents stand still, machines are reset and the link is cut, all
// within two seconds: whatever is lost of the record of it, no schedule ends otherwise
// than with both copies one again.
func TestDiskThatFailsInTheMomentOfAResetEndsWithOneCopy(t *testing.T) {
	resolved := 0
	for seed := uint64(1); seed <= 60; seed++ {
		w := sim.Play(resetSchedule(seed))
		if len(w.Broken()) > 0 || w.Excepted() != "" {
			t.Fatalf("seed %d: %v %s\n%s", seed, w.Broken(), w.Excepted(), w.Timeline())
		}
		if strings.Contains(w.Timeline(), "of db is opened by operator") {
			resolved++
		}
	}
	if resolved == 0 {
		t.Error("no copies have parted: the moment is not met any more")
	}
	t.Logf("%d of 60 needed an operator", resolved)
}

// resetSchedule draws what goes wrong around one failing disk.
func resetSchedule(seed uint64) *sim.Schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	within := func(d time.Duration) sim.Span { return s(5) + sim.Span(r.Int64N(int64(d))) }
	host := func() string { return [2]string{"node-a", "node-b"}[r.IntN(2)] }
	faults := []sim.Fault{
		{What: [2]string{"agent stopped", "agent killed"}[r.IntN(2)], Host: "node-a", At: within(time.Second)},
		{What: "disk fails", Host: "node-a", At: within(2 * time.Second)},
		{What: "is reset", Host: "node-a", At: within(2 * time.Second)},
	}
	for _, more := range []string{"agent stopped", "is reset", "replication cut", "is cut off from the witness", "crashes", "heartbeats cut"} {
		if r.IntN(3) == 0 {
			faults = append(faults, sim.Fault{What: more, Host: host(), At: within(2 * time.Second), For: s(1) + within(8*time.Second)})
		}
	}
	pairs := sim.Pairs()
	return &sim.Schedule{
		Format: 1, Seed: seed, Pair: pairs[r.IntN(len(pairs))], Groups: dbAlone,
		Episodes: []sim.Episode{{After: s(5), Faults: faults, Mended: s(25)}},
	}
}
