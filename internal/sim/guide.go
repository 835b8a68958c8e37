package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"sbarbiter/arbiter"
)

// Guide draws schedules towards what has not been met yet: it keeps the episodes
// in which something met something for the first time, and plays variations of
// them among fresh ones.
type Guide struct {
	known *Coverage
	kept  []keepsake
}

type keepsake struct {
	pair    string
	groups  []arbiter.GroupID
	episode Episode
}

// mostKept bounds the keepsakes: the oldest go.
const mostKept = 400

// rare is how often a pair must have been met to be nothing special any more.
const rare = 3

// NewGuide returns a guide that knows nothing.
func NewGuide() *Guide { return &Guide{known: newCoverage()} }

// Known returns what was met so far.
func (g *Guide) Known() *Coverage { return g.known }

// Learn takes what a run has met.
func (g *Guide) Learn(s *Schedule, w *World) {
	var from []int
	for grid := range w.met.met {
		for i, n := range w.met.met[grid] {
			if n > 0 && g.known.met[grid][i] < rare {
				from = append(from, int(w.met.first[grid][i]))
			}
		}
	}
	g.known.Add(w.met)
	slices.Sort(from)
	for _, i := range slices.Compact(from) {
		if i > 0 && i <= len(s.Episodes) {
			g.kept = append(g.kept, keepsake{s.Pair, s.Groups, s.Episodes[i-1]})
		}
	}
	if over := len(g.kept) - mostKept; over > 0 {
		g.kept = slices.Delete(g.kept, 0, over)
	}
}

// Draw returns the schedule of a seed: of fresh episodes, and of variations of
// those that were special.
func (g *Guide) Draw(seed uint64, length time.Duration, perHour int) *Schedule {
	s := DrawLong(seed, length, perHour)
	if len(g.kept) == 0 {
		return s
	}
	d := drawer{rand.New(rand.NewPCG(seed, 17))}
	of := g.kept[d.rng.IntN(len(g.kept))]
	if d.rng.IntN(2) == 0 {
		s.Pair, s.Groups = of.pair, of.groups
	}
	for i := range s.Episodes {
		if d.rng.IntN(2) == 0 {
			continue
		}
		after := s.Episodes[i].After
		s.Episodes[i] = d.vary(of.episode)
		s.Episodes[i].After = after
		of = g.kept[d.rng.IntN(len(g.kept))]
	}
	return s
}

// vary changes an episode a little.
func (d drawer) vary(e Episode) Episode {
	e.Faults = slices.Clone(e.Faults)
	for range 1 + d.rng.IntN(3) {
		i := d.rng.IntN(len(e.Faults) + 1)
		switch {
		case i == len(e.Faults) || d.rng.IntN(6) == 0 && len(e.Faults) < 8:
			f := d.fault()
			f.At = Span(d.between(0, time.Duration(e.Mended)))
			e.Faults = append(e.Faults, f)
		case d.rng.IntN(6) == 0:
			at := e.Faults[i].At
			e.Faults[i] = d.fault()
			e.Faults[i].At = at
		case d.rng.IntN(2) == 0:
			e.Faults[i].At = d.nudge(e.Faults[i].At)
		case e.Faults[i].For > 0:
			e.Faults[i].For = d.nudge(e.Faults[i].For)
		default:
			e.Mended = d.nudge(e.Mended)
		}
	}
	return e
}

// nudge makes a time a little longer or shorter.
func (d drawer) nudge(s Span) Span {
	by := d.between(0, 2*time.Second) - time.Second
	if d.rng.IntN(2) == 0 {
		by /= 10
	}
	return max(s+Span(by.Truncate(time.Millisecond)), Span(time.Millisecond))
}
