package sim

import (
	"fmt"
	"strings"
	"time"

	"sbarbiter/arbiter"
)

// lasting is how long it must stay recovered.
const lasting = 3 * time.Second

// Play runs a schedule, up to its end or to what breaks first.
func Play(s *Schedule) *World { return play(s, s.options()) }

// PlayOn runs a schedule on a pair that differs from what it says.
func PlayOn(s *Schedule, change func(*Options)) *World {
	o := s.options()
	change(&o)
	return play(s, o)
}

func play(s *Schedule, o Options) *World {
	w := New(o)
	w.looks = allLooks.Get().(*looks)
	defer func() {
		allLooks.Put(w.looks)
		w.looks = nil
	}()
	w.Start()
	for _, e := range s.Episodes {
		w.episode(e)
		if w.ended() {
			break
		}
	}
	return w
}

// episode makes everything go wrong that an episode holds, and looks whether the
// pair recovers.
func (w *World) episode(e Episode) {
	w.met.episode++
	w.rest(time.Duration(e.After))
	end := w.now + time.Duration(e.Mended)
	w.steady = talking(e) && w.settled()
	w.quiet = quiet(e)
	defer func() { w.steady = false }()
	for _, f := range e.Faults {
		w.plan(f, end)
	}
	w.At(end, "everything is mended", w.mend)
	w.Run(end)
	w.recover(end + w.recovery())
}

// recover waits until the pair has recovered, for longer than a moment: what
// went wrong may show only later.
func (w *World) recover(limit time.Duration) {
	for tries := 0; !w.ended(); {
		if _, ok := w.RunUntil(limit, w.settled); !ok {
			if tries < mostDecisions && !w.lastCopy && (w.decide() || w.resolve()) {
				tries++
				limit = w.now + w.recovery()
				continue
			}
			if w.noGoodCopy() && !w.lastCopy {
				w.except("both copies of a group are stale: a holder's disk failed before the peer that it had excluded was in step again")
			}
			if !w.ended() {
				w.breaks("L1: not recovered %v after everything was mended: %s", w.recovery(), w.unsettled())
			}
			return
		}
		if _, gone := w.RunUntil(w.now+lasting, func() bool { return !w.settled() }); !gone {
			return
		}
	}
}

// noGoodCopy reports whether the witness has both copies of a group as stale. L1
// promises nothing then.
func (w *World) noGoodCopy() bool {
	known := w.witness.State()
	if known == nil {
		return false
	}
	for _, g := range known.Groups {
		if len(g.Excluded) == len(w.nodes) {
			return true
		}
	}
	return false
}

// plan puts a fault on the heap; whatever lasts ends at end.
func (w *World) plan(f Fault, end time.Duration) {
	at := w.now + time.Duration(f.At)
	if at >= end {
		return
	}
	k := kindOf(f.What)
	w.after(time.Duration(f.At), func() {
		n := w.target(f.Host)
		what := fmt.Sprintf("%s %s", n.id, f.What)
		w.faults[f.What]++
		if f.For > 0 && k.ends != nil {
			w.line("fault", "", fmt.Sprintf("%s (for %v)", what, f.For), "")
			w.At(min(at+time.Duration(f.For), end), "over: "+what, func() { k.ends(w, n) })
		} else {
			w.line("fault", "", what, "")
		}
		k.begin(w, n, end)
	})
}

// target returns the node that a fault is about.
func (w *World) target(host string) *Node {
	for _, n := range w.nodes {
		if n.host.String() == host || host == "" && n.Runs(w.groups[0]) {
			return n
		}
	}
	return w.nodes[A]
}

func (w *World) settled() bool {
	why, _ := w.lacking()
	return why == ""
}

// unsettled says why this is not a pair that has recovered.
func (w *World) unsettled() string {
	why, of := w.lacking()
	return strings.ReplaceAll(why, "%s", string(of))
}

// lacking returns what is missing to a pair that has recovered, and to which of
// its groups: every group runs, both copies are in step and nobody is excluded.
// It is asked after every step of a recovery, so it builds no sentence.
func (w *World) lacking() (why string, of arbiter.GroupID) {
	known := w.witness.State()
	switch {
	case known == nil:
		return "no witness knows the cluster", ""
	case known.Mandate != nil:
		return "a mandate is open", ""
	case !w.nodes[A].Up() || !w.nodes[B].Up():
		return "a machine is down", ""
	}
	for i, id := range w.groups {
		if why := w.groupLacks(i, known); why != "" {
			return why, id
		}
	}
	return "", ""
}

func (w *World) groupLacks(i int, known *arbiter.Cluster) string {
	id := w.groups[i]
	_, up := w.Holder(id)
	switch {
	case !up:
		return "nobody runs %s"
	case w.disks[i] == nil:
		return ""
	case !w.disks[i].inStep():
		return "the copies of %s are not in step"
	case len(known.Groups[id].Excluded) > 0:
		return "a copy of %s is excluded"
	}
	return ""
}
