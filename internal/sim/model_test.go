package sim_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// fromTheModel are schedules that spin found where the protocol's model lacks
// a rule (model/weak.txt), told again in what goes wrong in a pair: a message
// that never arrives is a link that is cut, a tick is the length of a lease.
// With the rule the production cores come through each; a program that can be
// weakened (-tags mutants) breaks the same guarantee as the model.
var fromTheModel = []struct {
	weakening string        // of the model
	mutants   []mutant.Name // two where the code has a second line
	breaks    string        // this guarantee
	pair      string
	group     arbiter.GroupID
	mended    time.Duration
	faults    []sim.Fault
}{
	{
		// A's agent stands still, the witness crashes and is back, B asks.
		"M_NEWLEADER",
		[]mutant.Name{mutant.NewLeaderGrantsAtOnce},
		"S1", "watchdog", web, 40 * time.Second,
		[]sim.Fault{
			{What: "heartbeats cut", Host: "node-a", At: s(0)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
			{What: "witness restarts", Host: "node-a", At: s(20.1)},
		},
	},
	{
		// A's agent stands still, B asks while A's lease still runs.
		"M_EARLYE2",
		[]mutant.Name{mutant.E2BeforeExpiry},
		"S1", "watchdog", web, 40 * time.Second,
		[]sim.Fault{
			{What: "heartbeats cut", Host: "node-a", At: s(0)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
		},
	},
	{
		// B promises, the witness hears A no more, B's agent restarts and asks.
		"M_FORGET",
		[]mutant.Name{mutant.PromiseForgotten},
		"S1", "watchdog", web, 60 * time.Second,
		[]sim.Fault{
			{What: "is cut off from the witness", Host: "node-a", At: s(0)},
			{What: "heartbeats cut", Host: "node-a", At: s(20)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
			{What: "agent killed", Host: "node-b", At: s(20.2), For: sim.Span(300 * time.Millisecond)},
		},
	},
	{
		// A loses B and goes on before it is recorded, then dies; B is granted.
		"M_EXIT4",
		[]mutant.Name{mutant.EarlyExit4},
		"S2", "stonith", db, 30 * time.Second,
		[]sim.Fault{
			{What: "is cut off from everybody", Host: "node-a", At: s(0)},
			{What: "crashes", Host: "node-a", At: s(8)},
		},
	},
	{
		// A excludes B and writes on, dies; B is granted as if nothing were.
		"M_EXPIRE",
		[]mutant.Name{mutant.ExclusionExpires},
		"S2", "stonith", db, 30 * time.Second,
		[]sim.Fault{
			{What: "replication cut", Host: "node-a", At: s(0)},
			{What: "is put in standby", Host: "node-a", At: s(5)},
			{What: "crashes", Host: "node-a", At: s(6), For: s(1)},
		},
	},
	{
		// B's promise runs, A's lease has run out at the witness, B is granted it
		// and takes it.
		"M_BASIS",
		[]mutant.Name{mutant.BasisIgnored, mutant.E2WhilePromising},
		"S1", "watchdog", web, 60 * time.Second,
		[]sim.Fault{
			{What: "is cut off from the witness", Host: "node-a", At: s(0)},
			{What: "heartbeats cut", Host: "node-a", At: s(20)},
			{What: "agent stopped", Host: "node-a", At: s(20)},
		},
	},
	{
		// The permission to shoot A leaves no trace: A is heard again, renews, and
		// the shot lands.
		"M_TWOSTEP",
		[]mutant.Name{mutant.TwoSteps},
		"S5", "stonith", web, 40 * time.Second,
		[]sim.Fault{
			{What: "power switch obeys late", Host: "node-a", At: s(0)},
			{What: "is cut off from everybody", Host: "node-a", At: s(1), For: s(1.7)},
		},
	},
}

func s(seconds float64) sim.Span { return sim.Span(seconds * float64(time.Second)) }

func TestWhatSpinFindsWithoutARuleDoesNotHappenWithIt(t *testing.T) {
	for _, m := range fromTheModel {
		t.Run(m.weakening, func(t *testing.T) {
			schedule := &sim.Schedule{
				Format: 1, Seed: 1, Pair: m.pair, Groups: []arbiter.GroupID{m.group},
				Episodes: []sim.Episode{
					{After: s(5), Faults: []sim.Fault{{What: "is to take the group", Host: "node-a"}}, Mended: s(5)},
					{After: s(25), Faults: m.faults, Mended: sim.Span(m.mended)},
				},
			}
			w := sim.Play(schedule)
			if broken := w.Broken(); len(broken) > 0 {
				t.Fatalf("%v\n%s", broken, w.Timeline())
			}
			if !mutant.Possible {
				return
			}
			mutant.Set(m.mutants...)
			defer mutant.Set()
			w = sim.Play(schedule)
			if broken := w.Broken(); len(broken) == 0 || !strings.HasPrefix(broken[0], m.breaks) {
				t.Errorf("without the rule: %v, want %s broken", broken, m.breaks)
				if testing.Verbose() {
					t.Log("\n" + w.Timeline())
				}
			}
		})
	}
}
