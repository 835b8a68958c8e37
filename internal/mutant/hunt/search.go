package main

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// finding is how a weakening was noticed.
type finding struct {
	Word      string        `json:"word"`
	Found     string        `json:"found,omitempty"` // what broke; "": nothing did
	Seed      uint64        `json:"seed,omitempty"`
	Aimed     bool          `json:"aimed,omitempty"` // drawn among the row's faults
	Seeds     uint64        `json:"seeds,omitempty"` // played in all
	Simulated time.Duration `json:"simulated,omitempty"`
	CPU       time.Duration `json:"cpu"`
	Dirty     []string      `json:"dirty,omitempty"` // what broke without any weakening

	schedule *sim.Schedule
}

// search plays seed after seed with r weakened, for so much time of one core,
// until something breaks that does not break without.
func (r *row) search(within time.Duration) finding {
	f := finding{Word: r.word}
	began := cpuTime()
	for seed := uint64(1); f.Found == "" && cpuTime()-began < within; seed++ {
		s, aimed := r.draw(seed)
		f.Seeds++
		what, at := play(s, r.names()...)
		if what == "" {
			continue
		}
		if dirty, _ := play(s); dirty != "" {
			f.Dirty = append(f.Dirty, fmt.Sprintf("seed %d: %s", seed, dirty))
			continue
		}
		if len(r.behind) > 0 {
			if other, _ := play(s, r.behind...); other != "" {
				continue // this row's weakening has no part in it
			}
		}
		f.Found, f.Seed, f.Aimed, f.Simulated, f.schedule = what, seed, aimed, at, s
	}
	f.CPU = cpuTime() - began
	return f
}

// names are the weakenings that are in force for r: its own, and those that
// stand behind it.
func (r *row) names() []mutant.Name { return append([]mutant.Name{r.name}, r.behind...) }

// draw returns a seed's schedule: one of all faults; one in which those that r aims
// with are frequent; or one of them alone.
func (r *row) draw(seed uint64) (s *sim.Schedule, aimed bool) {
	switch {
	case len(r.aim) == 0 || seed%2 == 1:
		return sim.Draw(seed), false
	case seed%4 == 0:
		return sim.DrawOne(seed/4, r.aim), true
	}
	return sim.DrawAmong(seed/2, r.aim), true
}

// play plays a schedule with weakenings in force, and returns what broke and
// when. A core that panics is broken too.
func play(s *sim.Schedule, weak ...mutant.Name) (what string, at time.Duration) {
	mutant.Set(weak...)
	defer mutant.Set()
	defer func() {
		if p := recover(); p != nil {
			what = fmt.Sprintf("panic: %v", p)
		}
	}()
	w := sim.Play(s)
	if b := w.Broken(); len(b) > 0 {
		lines := w.Lines()
		return b[0], lines[len(lines)-1].At
	}
	return "", w.Now()
}

// small returns a smaller schedule that shows the same, and nothing without the
// weakening.
func (r *row) small(s *sim.Schedule) *sim.Schedule {
	return sim.Shrink(s, func(s *sim.Schedule) string {
		what, _ := play(s, r.names()...)
		if what == "" {
			return ""
		}
		if dirty, _ := play(s); dirty != "" {
			return ""
		}
		if other, _ := play(s, r.behind...); other != "" {
			return ""
		}
		guarantee, _, _ := strings.Cut(what, ":")
		return guarantee
	})
}

// cpuTime is what this process has used of the machine's processors, and
// childrensTime what those have that it has started and that have ended.
func cpuTime() time.Duration { return used(syscall.RUSAGE_SELF) }

func childrensTime() time.Duration { return used(syscall.RUSAGE_CHILDREN) }

func used(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
