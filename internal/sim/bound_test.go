package sim_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

// Each failure alone is over within the bound that package timing computes from
// the pair's numbers.
func TestFailuresEndWithinTheBoundsOfTheTimingRule(t *testing.T) {
	failures := map[string]func(*pair){
		"no service after a power cut":                                   func(p *pair) { p.Node(sim.A).Crash() },
		"no service after a power cut that takes the fence device along": func(p *pair) { p.Node(sim.A).Unplug() },
		"no service after isolation":                                     func(p *pair) { p.isolate(sim.A, true) },
		"no service during a switchover": func(p *pair) {
			p.Witness().Order(arbiter.Order{Cluster: "pair", Group: db, To: "node-b", By: "operator"})
		},
	}
	for name, options := range map[string]func(uint64) sim.Options{"stonith": stonith, "watchdog": watchdog, "tight": tight, "three": sim.Three} {
		o := options(0)
		for _, b := range o.Timing().Bounds() {
			fail := failures[b.After]
			if fail == nil {
				continue
			}
			t.Run(name+" "+strings.ReplaceAll(b.After, " ", "_"), func(t *testing.T) {
				var longest time.Duration
				for seed := uint64(1); seed <= 6; seed++ {
					p := up(t, options(seed))
					p.quiet(o.Definition.Timing.Promise) // no promise from before its start binds the standby
					fail(p)
					longest = max(longest, p.holds(sim.B, db, b.Parts.Total()))
				}
				t.Logf("longest %v, bound %v", longest.Round(time.Millisecond), b.Parts.Total())
			})
		}
	}
}

// While both nodes talk, nothing that happens to witnesses alone stops, moves or
// shoots anybody, and nothing that comes back does.
func TestTroubleOfWitnessesAloneMovesNothing(t *testing.T) {
	kinds := []string{
		"is cut off from the witness", "cannot talk to the witness", "cannot hear the witness", "loses messages to the witness",
		"answers of the witness are slow", "messages to the witness are slow", "witness dies", "witness restarts",
		"witness loses its disk", "leading witness dies", "leading witness is cut off from the others", "witness stands still",
		"witness's disk is full", "witness is restored from a backup",
	}
	runs := uint64(60)
	if testing.Short() {
		runs /= 10
	}
	for seed := uint64(1); seed <= runs; seed++ {
		s := &sim.Schedule{Format: 1, Seed: seed, Pair: sim.Pairs()[seed%4], Groups: []arbiter.GroupID{db}}
		e := sim.Episode{After: sim.Span(20 * time.Second), Mended: sim.Span(90 * time.Second)}
		for i := range 2 + seed%4 {
			n := seed*7 + i*13
			e.Faults = append(e.Faults, sim.Fault{
				At: sim.Span(time.Duration(n*3711%70000) * time.Millisecond), What: kinds[n%uint64(len(kinds))],
				Host: []string{"node-a", "node-b"}[n/3%2], For: sim.Span(time.Duration(500+n*977%30000) * time.Millisecond),
			})
		}
		s.Episodes = []sim.Episode{e}
		w := sim.Play(s)
		why := moved(w)
		for _, b := range w.Broken() {
			why = b
		}
		if why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, sim.Story(s, w))
		}
	}
}

// moved says what has stopped or moved after the beginning.
func moved(w *sim.World) string {
	for _, l := range w.Lines() {
		if l.At < 20*time.Second {
			continue
		}
		switch l.What {
		case "stopping", "RESET", "POWER OFF", "starting", "stopped":
			return l.String()
		}
	}
	return ""
}
