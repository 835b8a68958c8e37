package sim_test

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// replay is a schedule that spin found where the protocol's model lacks a rule
// (model/weak.txt), told again in what goes wrong in a pair: a message that never
// arrives is a link that is cut, a tick is the length of a lease, and a host that
// does nothing meanwhile is held by a fault. With the rule the production cores
// come through; a program that can be weakened (-tags mutants) goes spin's steps,
// in their order, and breaks the same guarantee as the model.
type replay struct {
	weakening string        // of the model
	mutants   []mutant.Name // more than one where the code has further lines
	breaks    string        // this guarantee
	pair      string
	groups    []arbiter.GroupID
	faults    []sim.Fault
	mended    time.Duration
	// steps of spin's schedule, as lines of the timeline of the weakened run
	// ("who, what happened") have them. What leaves no line, as a promise, is not
	// among them.
	steps []string

	seed   uint64 // 0: 1
	atHome bool   // each group stays where it is at home; else node-a has them all
	bare   bool   // groups have no data
}

func s(seconds float64) sim.Span { return sim.Span(seconds * float64(time.Second)) }

func (r *replay) schedule() *sim.Schedule {
	out := &sim.Schedule{Format: 1, Seed: max(1, r.seed), Pair: r.pair, Groups: r.groups}
	if !r.atHome {
		out.Episodes = append(out.Episodes, sim.Episode{
			After: s(5), Faults: []sim.Fault{{What: "is to take the group", Host: "node-a"}}, Mended: s(5),
		})
	}
	out.Episodes = append(out.Episodes, sim.Episode{After: s(25), Faults: r.faults, Mended: sim.Span(r.mended)})
	return out
}

func (r *replay) play() *sim.World {
	return sim.PlayOn(r.schedule(), func(o *sim.Options) {
		for id, g := range o.Definition.Groups {
			g.DRBD = g.DRBD && !r.bare
			o.Definition.Groups[id] = g
		}
	})
}

// missing returns the first of spin's steps that a run does not go, "" if it goes
// all of them in their order.
func (r *replay) missing(w *sim.World) string {
	lines := w.Lines()
next:
	for _, step := range r.steps {
		who, what, _ := strings.Cut(step, ", ")
		for i, l := range lines {
			if l.Host == who && strings.Contains(l.What+" "+l.Why, what) {
				lines = lines[i+1:]
				continue next
			}
		}
		return step
	}
	return ""
}

func TestWhatSpinFindsWithoutARuleDoesNotHappenWithIt(t *testing.T) {
	for _, r := range replays {
		t.Run(r.weakening, func(t *testing.T) {
			w := r.play()
			if broken := w.Broken(); len(broken) > 0 {
				t.Fatalf("%v\n%s", broken, w.Timeline())
			}
			if !mutant.Possible {
				return
			}
			mutant.Set(r.mutants...)
			defer mutant.Set()
			w = r.play()
			if broken := w.Broken(); len(broken) == 0 || !strings.HasPrefix(broken[0], r.breaks) {
				t.Errorf("without the rule: %v, want %s broken", broken, r.breaks)
			} else if step := r.missing(w); step != "" {
				t.Errorf("without the rule %q broke, but not by spin's steps: %q is not there, or not in its place", broken[0], step)
			}
			if testing.Verbose() {
				t.Log("\n" + w.Timeline())
			}
		})
	}
}
