package recovery

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// Opinion is what one policy made of the evidence.
type Opinion struct {
	Policy Policy `json:"policy"`
	// Victim is the side it would discard; "" if it passed.
	Victim Node   `json:"victim,omitempty"`
	Why    string `json:"why"`
}

// Decision is whose data is given up, and on what grounds.
type Decision struct {
	Diagnosis Diagnosis `json:"diagnosis"`
	// Victim is the side to discard; "": nobody may be discarded, or a person has
	// to decide.
	Victim Node `json:"victim,omitempty"`
	// By is the policy that decided; "" if none did.
	By       PolicyName `json:"by,omitempty"`
	Why      string     `json:"why"`
	Opinions []Opinion  `json:"opinions,omitempty"`
	// Discard is how many bytes of the victim's changes are given up, at most.
	Discard uint64 `json:"discard"`
}

// Decide lets the policies speak in their order; the first that decides within
// its guards does. Without a proven split brain none is asked.
func Decide(e Evidence, policies []Policy) Decision {
	d := Decision{Diagnosis: Diagnose(e)}
	if !d.Diagnosis.Kind.Split() && !mutant.On(mutant.LagGivenUp) {
		d.Why = d.Diagnosis.noSplit()
		return d
	}
	if !d.Diagnosis.Kind.Proven() && !mutant.On(mutant.LagGivenUp) {
		d.Why = "no policy is asked, a person has to decide: " + d.Diagnosis.Why
		return d
	}
	if why := e.meets(d.Diagnosis); why != "" {
		d.Why = "no policy is asked: " + why + "; then a person has to decide"
		return d
	}
	for _, p := range policies {
		o := e.opinion(d.Diagnosis, p)
		d.Opinions = append(d.Opinions, o)
		if o.Victim != "" {
			d.Victim, d.By, d.Why = o.Victim, p.Name, o.Why
			d.Discard = e.loss(d.Diagnosis, o.Victim)
			return d
		}
		if p.Name == Manual {
			break
		}
	}
	d.Why = "no policy decides: a person has to"
	return d
}

// noSplit says why no policy is asked. Not to know is not to know that all is well.
func (d Diagnosis) noSplit() string {
	if !d.Kind.Tells() {
		return "it cannot be told whether the copies have split: " + d.Why
	}
	return fmt.Sprintf("no split brain (%s): %s", d.Kind, d.Why)
}

// Choose is an operator's own decision. It is bound by what is possible, not by
// policies and their guards.
func Choose(e Evidence, victim Node) (Decision, error) {
	d := Decision{Diagnosis: Diagnose(e)}
	switch {
	case !e.Has(victim):
		return d, fmt.Errorf("%s is not a node of this pair: it has %s and %s", victim, e.Sides[0].Node, e.Sides[1].Node)
	case !d.Diagnosis.Kind.Tells():
		return d, fmt.Errorf("it cannot be told whether the copies of %s have split: %s; %s", e.Group, d.Diagnosis.Why, d.Diagnosis.Advice)
	case !d.Diagnosis.Kind.Split():
		return d, fmt.Errorf("group %s is not in split brain (%s): %s; %s", e.Group, d.Diagnosis.Kind, d.Diagnosis.Why, d.Diagnosis.Advice)
	}
	if why := e.forbids(d.Diagnosis, victim); why != "" {
		return d, fmt.Errorf("discard %s: %s", victim, why)
	}
	if why := e.meets(d.Diagnosis); why != "" {
		return d, fmt.Errorf("discard %s: %s; then resolve group %s again", victim, why, e.Group)
	}
	d.Victim, d.Why, d.Discard = victim, "an operator's decision", e.loss(d.Diagnosis, victim)
	return d, nil
}

func (e Evidence) opinion(d Diagnosis, p Policy) Opinion {
	o := Opinion{Policy: p}
	if err := p.Validate(); err != nil {
		o.Why = err.Error()
		return o
	}
	victim, why := p.choose(e.sinceFork(d))
	o.Why = why
	if victim == "" {
		return o
	}
	limits := append([]string{e.forbids(d, victim)}, e.outside(p.Guards, d, victim)...)
	for _, l := range limits {
		if l != "" {
			o.Why = fmt.Sprintf("%s; but %s", why, l)
			return o
		}
	}
	o.Victim = victim
	return o
}

// sinceFork leaves out what a bitmap counts from some later moment than the fork: a side
// that has changed nothing since then may have changed anything before.
func (e Evidence) sinceFork(d Diagnosis) Evidence {
	for s := range e.Sides {
		side := &e.Sides[s]
		side.Volumes = slices.Clone(side.Volumes)
		for i, f := range d.Volumes {
			if f.Kind == MissingAncestor && !mutant.On(mutant.CountedSinceLater) {
				side.Volumes[i].OutOfSync = nil
			}
		}
	}
	return e
}

// forbids says why a side cannot be the victim: the other one has no whole copy to
// keep, or another volume, which did not split, is copied from it.
func (e Evidence) forbids(d Diagnosis, victim Node) string {
	for _, v := range e.side(e.Other(victim)).Volumes {
		if !v.Disk.AtLeast(drbd.DiskOutdated) {
			return fmt.Sprintf("%s of %s, which would be kept, is %s", v.Name(), e.Other(victim), v.Disk)
		}
	}
	if why := e.unfit(d, victim); why != "" {
		return why
	}
	if d.Source != victim {
		return ""
	}
	for _, f := range d.Volumes {
		if f.Source == victim {
			return fmt.Sprintf("%s did not split and is copied from %s: the group would be put together from two sides", f.Volume, victim)
		}
	}
	return ""
}

// outside names the guards that a decision would overstep.
func (e Evidence) outside(g Guards, d Diagnosis, victim Node) []string {
	var out []string
	s, loss := e.side(victim), e.loss(d, victim)
	if g.MaxDiscard != nil && loss > *g.MaxDiscard && !mutant.On(mutant.LimitIgnored) {
		out = append(out, fmt.Sprintf("up to %s would be discarded, and max_discard is %s", Bytes(loss), Bytes(*g.MaxDiscard)))
	}
	if g.RequireUnmounted && len(s.Mounted) > 0 {
		out = append(out, fmt.Sprintf("%s has it mounted at %s", victim, strings.Join(s.Mounted, ", ")))
	}
	if g.NotIfOpen && (s.Open || len(s.Mounted) > 0) {
		out = append(out, fmt.Sprintf("%s is using it", victim))
	}
	if g.RequireSnapshot {
		for i, v := range s.Volumes {
			if need := e.overwritten(d, victim, i); v.SnapshotRoom < need {
				out = append(out, fmt.Sprintf("a snapshot of %s on %s has room for %s of the %s that may be overwritten", v.Name(), victim, Bytes(v.SnapshotRoom), Bytes(need)))
			}
		}
	}
	return out
}

// loss is how many bytes of a side's own changes are given up, at most. Where
// the bitmaps do not count from the fork, that is everything.
func (e Evidence) loss(d Diagnosis, victim Node) uint64 {
	var sum uint64
	for i, v := range e.side(victim).Volumes {
		switch {
		case !d.Volumes[i].Kind.Split():
		case d.Volumes[i].Full || v.OutOfSync == nil:
			sum = plus(sum, v.Size)
		default:
			sum = plus(sum, *v.OutOfSync)
		}
	}
	return sum
}

// plus adds sizes that a node has measured. What is too large to count must not come
// out small.
func plus(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}
