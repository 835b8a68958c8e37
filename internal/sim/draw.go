package sim

import (
	"math/rand/v2"
	"time"

	"sbarbiter/arbiter"
)

// Draw returns the schedule of a seed: one episode, in any of the pairs.
func Draw(seed uint64) *Schedule {
	d := drawer{rand.New(rand.NewPCG(seed, 11))}
	s := d.pair(seed)
	e := Episode{After: Span(4 * time.Second), Mended: Span(56 * time.Second)}
	if seed%3 == 0 { // before the pair has found itself
		e.After = Span(d.between(0, 2*time.Second))
	}
	count, from, to := 1+int(seed%4), time.Duration(0), 50*time.Second
	if seed%2 == 0 { // all at once
		count, from = 1+int(seed%7), time.Duration(seed%24)*time.Second
		to = from + time.Duration(3+seed%17)*time.Second
		e.Mended = Span(to)
	}
	e.Faults = append(d.faults(count, from, to), d.seldom(seed)...)
	s.Episodes = []Episode{e}
	return s
}

// DrawLong returns a schedule of many episodes, some in every hour.
func DrawLong(seed uint64, length time.Duration, perHour int) *Schedule {
	d := drawer{rand.New(rand.NewPCG(seed, 13))}
	s := d.pair(seed)
	every := time.Hour / time.Duration(perHour)
	for range max(1, int(length/every)) {
		s.Episodes = append(s.Episodes, d.episode(every))
	}
	s.Episodes[0].Faults = append(s.Episodes[0].Faults, d.seldom(seed)...)
	return s
}

// DrawAmong returns the schedule of a seed with some of its faults replaced by
// the kinds given: for a search that knows where it is dark.
func DrawAmong(seed uint64, kinds []string) *Schedule {
	s := Draw(seed)
	d := drawer{rand.New(rand.NewPCG(seed, 17))}
	for i := range s.Episodes[0].Faults {
		f := &s.Episodes[0].Faults[i]
		if i > 0 && d.rng.IntN(2) == 0 {
			continue
		}
		at := f.At
		*f = d.of(kinds[d.rng.IntN(len(kinds))])
		f.At = at
	}
	return s
}

// DrawOne returns the schedule of a seed in which one of the kinds happens, and
// nothing else.
func DrawOne(seed uint64, kinds []string) *Schedule {
	d := drawer{rand.New(rand.NewPCG(seed, 19))}
	s := d.pair(seed)
	f := d.of(kinds[d.rng.IntN(len(kinds))])
	f.At = Span(d.between(0, 8*time.Second))
	s.Episodes = []Episode{{After: Span(4 * time.Second), Faults: []Fault{f}, Mended: Span(56 * time.Second)}}
	return s
}

// drawer draws schedules from a seed.
type drawer struct{ rng *rand.Rand }

func (d drawer) pair(seed uint64) *Schedule {
	s := &Schedule{
		Format: scheduleFormat, Seed: seed, Pair: Pairs()[seed%uint64(len(pairs))], Groups: []arbiter.GroupID{db},
	}
	switch seed % 7 {
	case 0:
		s.Groups = append(s.Groups, web)
	case 1:
		s.Groups = append(s.Groups, mail)
	case 2:
		s.Groups = []arbiter.GroupID{web} // nothing but a lease
	}
	return s
}

// episode draws a time of trouble, every so often on average.
func (d drawer) episode(every time.Duration) Episode {
	lasts := d.between(5*time.Second, 25*time.Second)
	if d.rng.IntN(3) == 0 {
		lasts = d.between(25*time.Second, 55*time.Second)
	}
	after := d.between(time.Second, every*8/3-2*time.Minute) // every, on average
	if d.rng.IntN(4) == 0 {
		after = d.between(0, 30*time.Second) // while the one before is fresh
	}
	return Episode{After: Span(after), Mended: Span(lasts), Faults: d.faults(1+d.rng.IntN(5), 0, lasts)}
}

func (d drawer) faults(count int, from, to time.Duration) []Fault {
	out := make([]Fault, 0, count)
	for range count {
		f := d.fault()
		f.At = Span(d.between(from, to))
		out = append(out, f)
	}
	return out
}

// seldom draws what few seeds have, besides all that they have anyhow.
func (d drawer) seldom(seed uint64) []Fault {
	if seed%64 != 29 {
		return nil
	}
	return []Fault{{What: unwise[d.rng.IntN(len(unwise))].what, At: Span(d.between(0, 8*time.Second))}}
}

func (d drawer) fault() Fault {
	if d.rng.IntN(3) == 0 {
		return Fault{What: schemes[d.rng.IntN(len(schemes))].what}
	}
	return d.of(faults[d.rng.IntN(len(faults))].what)
}

// of draws a fault of one kind.
func (d drawer) of(what string) Fault {
	k := kindOf(what)
	if k.holders() {
		return Fault{What: what}
	}
	out := Fault{What: what, Host: Host(d.rng.IntN(2)).String()}
	if k.ends != nil {
		out.For = Span(d.between(100*time.Millisecond, 3*time.Second))
		if d.rng.IntN(2) == 0 {
			out.For = Span(d.between(time.Second, 25*time.Second))
		}
	}
	return out
}

// between draws a time, in whole milliseconds.
func (d drawer) between(lo, hi time.Duration) time.Duration {
	return lo.Truncate(time.Millisecond) + time.Duration(d.rng.Int64N(int64((hi-lo)/time.Millisecond)+1))*time.Millisecond
}
