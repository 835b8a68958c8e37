package timing

import (
	"fmt"
	"strings"
	"time"
)

// Rule is one inequality: Have must not be less than Need.
type Rule struct {
	Name    string // lease, promise, suspicion, ...
	Subject string // the node, or "GROUP on NODE"; "": the whole cluster
	Have    Sum
	Need    Sum
	Why     string // what goes wrong where it does not hold
	Change  string // which number to change, and to what
	Weight  Weight
	// Observed: the need was measured, so that it moves, and a slack that shrinks
	// is worth a word before it is gone.
	Observed bool
}

// Weight is what a broken rule means.
type Weight string

// A rule whose breach keeps an agent from arming, and one whose breach costs
// time or comfort but no guarantee.
const (
	Required Weight = "required"
	Advised  Weight = "advised"
)

// State is how a rule stands.
type State string

// The states of a rule.
const (
	Holds  State = "holds"
	Tight  State = "tight" // it holds, and what was measured has used up nearly all
	Broken State = "broken"
)

// tightShare is the part of what there is below which a measured slack counts as
// shrunk.
const tightShare = 5

// Slack is what is left; below zero the rule is broken.
func (r Rule) Slack() time.Duration { return r.Have.Total() - r.Need.Total() }

// State says how the rule stands.
func (r Rule) State() State {
	switch slack := r.Slack(); {
	case slack < 0:
		return Broken
	case r.Observed && slack < r.Have.Total()/tightShare:
		return Tight
	}
	return Holds
}

// Settled is the state, given what was said of it last: a slack that sways about
// the line is not said to have come back until it clearly has.
func (r Rule) Settled(was State) State {
	is := r.State()
	if is == Holds && was != Holds && r.Observed && r.Slack() < 3*r.Have.Total()/(2*tightShare) {
		return Tight
	}
	return is
}

// String is the inequality with its numbers.
func (r Rule) String() string {
	sign := ">="
	if r.Slack() < 0 {
		sign = "<"
	}
	have, need := r.Have.String(), r.Need.String()
	if len(r.Have) > 1 {
		have = fmt.Sprintf("%s = %v", have, round(r.Have.Total()))
	}
	if len(r.Need) > 1 {
		need = fmt.Sprintf("%v = %s", round(r.Need.Total()), need)
	}
	return have + " " + sign + " " + need
}

// Sum is what is added up on one side of a rule, or along a way.
type Sum []Term

// Term is one number of a sum.
type Term struct {
	What string
	Time time.Duration
	As   string // how it is written in a sum, where that is not What and Time
	// Measured: it is what was seen, and not what is allowed.
	Measured bool
}

// String is the term as it stands in a sum.
func (t Term) String() string {
	if t.As != "" {
		return t.As
	}
	return fmt.Sprintf("%s %v", t.What, round(t.Time))
}

// Total is the sum.
func (s Sum) Total() time.Duration {
	var total time.Duration
	for _, t := range s {
		total += t.Time
	}
	return total
}

// String names the terms.
func (s Sum) String() string {
	var out []string
	for _, t := range s {
		out = append(out, t.String())
	}
	return strings.Join(out, " + ")
}

// Observed reports whether one of the terms was measured.
func (s Sum) Observed() bool {
	for _, t := range s {
		if t.Measured {
			return true
		}
	}
	return false
}

// times is a number that counts more than once.
func times(factor, what string, each, total time.Duration) Term {
	return Term{What: factor + " x " + what, Time: total, As: fmt.Sprintf("%s x %s %v", factor, what, each)}
}

func one(what string, d time.Duration) Sum { return Sum{{What: what, Time: d}} }

// round drops what nobody reads: below a second to tenths of a millisecond, else
// to milliseconds.
func round(d time.Duration) time.Duration {
	if d < time.Second && d > -time.Second {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
