package sim

import (
	"slices"
	"strings"
	"time"
)

// mostPlays bounds how often a schedule is played to make it smaller.
const mostPlays = 600

// Broken returns the guarantee that a run broke first, by its number, or
// nothing.
func Broken(s *Schedule) string {
	w := Play(s)
	if len(w.broken) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(w.broken[0], ":")
	return name
}

// Shrink returns a smaller schedule that breaks the same guarantee, as broken
// says ([Broken], but for tests).
func Shrink(s *Schedule, broken func(*Schedule) string) *Schedule {
	k := &shrinker{best: s, broken: broken, rule: broken(s)}
	if k.rule == "" {
		return s
	}
	for before := ""; before != string(k.best.Encode()) && k.plays < mostPlays; {
		before = string(k.best.Encode())
		k.fewerEpisodes()
		k.fewerFaults()
		k.shorter()
	}
	return k.best
}

// shrinker tries smaller schedules and keeps those that break the same.
type shrinker struct {
	best   *Schedule
	broken func(*Schedule) string
	rule   string
	plays  int
}

// try changes a copy of the best schedule, and keeps it if it still breaks.
func (k *shrinker) try(change func(*Schedule)) bool {
	if k.plays >= mostPlays {
		return false
	}
	s := k.best.clone()
	change(s)
	k.plays++
	if k.broken(s) != k.rule {
		return false
	}
	k.best = s
	return true
}

func (s *Schedule) clone() *Schedule {
	c := *s
	c.Groups = slices.Clone(s.Groups)
	c.Episodes = slices.Clone(s.Episodes)
	for i := range c.Episodes {
		c.Episodes[i].Faults = slices.Clone(s.Episodes[i].Faults)
	}
	return &c
}

// fewerEpisodes drops runs of episodes, long ones first.
func (k *shrinker) fewerEpisodes() {
	k.drop(func() int { return len(k.best.Episodes) }, func(s *Schedule, from, to int) {
		s.Episodes = slices.Delete(s.Episodes, from, to)
	})
}

func (k *shrinker) fewerFaults() {
	for i := range k.best.Episodes {
		k.drop(func() int { return len(k.best.Episodes[i].Faults) }, func(s *Schedule, from, to int) {
			s.Episodes[i].Faults = slices.Delete(s.Episodes[i].Faults, from, to)
		})
	}
	if len(k.best.Groups) > 1 {
		for i := range k.best.Groups {
			if k.try(func(s *Schedule) { s.Groups = slices.Delete(s.Groups, i, i+1) }) {
				break
			}
		}
	}
}

// drop leaves out parts of a list of which count says how long it is, halves
// first, then ever smaller parts.
func (k *shrinker) drop(count func() int, without func(s *Schedule, from, to int)) {
	for size := count(); size > 0; size /= 2 {
		for from := 0; from < count(); {
			to := min(from+size, count())
			if !k.try(func(s *Schedule) { without(s, from, to) }) {
				from = to
			}
		}
	}
}

// shorter makes times shorter and rounder.
func (k *shrinker) shorter() {
	for i := range k.best.Episodes {
		k.rounder(func(s *Schedule) *Span { return &s.Episodes[i].After }, 4*time.Second)
		k.rounder(func(s *Schedule) *Span { return &s.Episodes[i].Mended }, 0)
		for j := range k.best.Episodes[i].Faults {
			k.rounder(func(s *Schedule) *Span { return &s.Episodes[i].Faults[j].At }, 0)
			k.rounder(func(s *Schedule) *Span { return &s.Episodes[i].Faults[j].For }, 0)
		}
	}
}

// rounder tries smaller values of one time, the least first.
func (k *shrinker) rounder(of func(*Schedule) *Span, least time.Duration) {
	is := time.Duration(*of(k.best))
	for _, d := range []time.Duration{least, is / 2, is - is/4, is.Truncate(time.Second), is.Truncate(100 * time.Millisecond)} {
		d = d.Truncate(time.Millisecond)
		if d >= is || d < least || d == 0 && least != 0 {
			continue
		}
		if k.try(func(s *Schedule) { *of(s) = Span(d) }) {
			return
		}
	}
}
