package sim

import (
	"fmt"
	"strings"
	"time"
)

// Story tells what a schedule is and what came of it, as a timeline that a
// person can follow.
func Story(s *Schedule, w *World) string {
	var b strings.Builder
	fmt.Fprintf(&b, "A pair of kind %s with %v, seed %d.\n", s.Pair, s.Groups, s.Seed)
	for i, e := range s.Episodes {
		after := "its start"
		if i > 0 {
			after = "it had recovered"
		}
		fmt.Fprintf(&b, "\n%v after %s:\n", e.After, after)
		for _, f := range e.Faults {
			fmt.Fprintf(&b, "  %8v later  %s\n", f.At, f.tell())
		}
		fmt.Fprintf(&b, "  %8v later  everything is mended\n", e.Mended)
	}
	b.WriteString("\nWhat came of it:\n\n")
	for _, l := range w.lines {
		fmt.Fprintf(&b, "%s\n", l)
	}
	for _, what := range w.broken {
		fmt.Fprintf(&b, "\nBROKEN %s\n", what)
	}
	return b.String()
}

func (f Fault) tell() string {
	who := f.Host
	if who == "" {
		who = "the holder"
	}
	if f.For == 0 {
		return who + " " + f.What
	}
	return fmt.Sprintf("%s %s (for %v)", who, f.What, time.Duration(f.For))
}
