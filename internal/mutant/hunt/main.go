// Command hunt weakens one rule at a time and plays random schedules against the
// simulated pair until something breaks: a weakening that nobody notices is a
// hole in the simulator, or a rule that is not needed. Which of the two, the
// table says in writing.
//
// It must be built with -tags mutants; make mutants does that.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// options say what is hunted, and how.
type options struct {
	within time.Duration // of one core, for each weakening
	only   string
	record bool // keep what is found as the schedules that CI replays
	dir    string
}

func main() {
	o := options{}
	flag.DurationVar(&o.within, "for", time.Minute, "how much time of one core is spent on each weakening")
	flag.StringVar(&o.only, "only", "", "hunt these alone, by their words, separated by commas")
	flag.BoolVar(&o.record, "record", false, "keep the schedules that were found, for CI to replay")
	flag.StringVar(&o.dir, "dir", "internal/mutant/hunt/testdata", "where those schedules are")
	story := flag.String("story", "", "tell how the recorded schedule of this weakening breaks what it breaks")
	flag.Parse()
	run := o.hunt
	if *story != "" {
		run = func() error { return o.tell(*story) }
	}
	if !mutant.Possible {
		run = func() error { return errors.New("this program cannot be weakened: build it with -tags mutants") }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hunt:", err)
		os.Exit(1)
	}
}

// hunt looks for every weakening and prints how each was found.
func (o *options) hunt() error {
	words := strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' })
	for _, w := range words {
		if find(w) == nil {
			return fmt.Errorf("there is no weakening %q; the table in internal/mutant/hunt has them all", w)
		}
	}
	caught, hunted := 0, 0
	var errs []error
	for i := range table {
		r := &table[i]
		if len(words) > 0 && !slices.Contains(words, r.word) {
			continue
		}
		hunted++
		f, err := o.look(r)
		if err != nil {
			return err
		}
		fmt.Println(r.told(f))
		if f.Found != "" {
			caught++
		}
		for _, dirty := range f.Dirty { // make sim fails for it, not this
			fmt.Printf("%28s breaks without any weakening: %s\n", "", dirty)
		}
		if err := r.against(f); err != nil {
			errs = append(errs, err)
		}
	}
	fmt.Printf("RESULT {\"mutants\":%d,\"caught\":%d}\n", hunted, caught)
	return errors.Join(errs...)
}

// against says what a finding contradicts in the table, or in the code.
func (r *row) against(f finding) error {
	switch {
	case f.Found == "" && r.decided == "":
		return fmt.Errorf("nobody noticed %s: a hole in the simulator, or a rule that is not needed; decide which, in the table", r.word)
	case f.Found != "" && r.decided != "":
		return fmt.Errorf("%s was noticed, though the table says %q; correct that", r.word, r.decided)
	}
	return nil
}

// look hunts one weakening, in the way that its row says.
func (o *options) look(r *row) (finding, error) {
	if r.kept != "" {
		f, err := r.playKept(o.dir)
		if err != nil || f.Found != "" || len(f.Dirty) > 0 {
			return f, err
		}
	}
	if r.test != "" {
		return r.runTest(), nil
	}
	f := r.search(o.within)
	if f.Found == "" || !o.record {
		return f, nil
	}
	s := r.small(f.schedule)
	s.Found = f.Found
	return f, os.WriteFile(r.file(o.dir), s.Encode(), 0o644)
}

// told is the line that says how a weakening was found, or what was decided
// about it.
func (r *row) told(f finding) string {
	head := fmt.Sprintf("%-28s %-3s", r.word, r.breaks)
	switch {
	case f.Found == "" && r.decided != "":
		return fmt.Sprintf("%s not found in %d seeds, %.1f s: %s", head, f.Seeds, f.CPU.Seconds(), r.decided)
	case f.Found == "":
		return fmt.Sprintf("%s NOT FOUND in %d seeds, %.1f s", head, f.Seeds, f.CPU.Seconds())
	case f.Simulated == 0:
		return fmt.Sprintf("%s %.1f s: %s", head, f.CPU.Seconds(), f.Found)
	}
	with := ""
	for _, name := range r.behind {
		with += ", with " + wordOf(name)
	}
	if f.Aimed {
		with += ", aimed"
	}
	if r.kept != "" {
		return fmt.Sprintf("%s kept %s%s, at %.1f s simulated, %.2f s: %s", head, r.kept, with, f.Simulated.Seconds(), f.CPU.Seconds(), f.Found)
	}
	return fmt.Sprintf("%s seed %d%s, at %.1f s simulated, %.2f s: %s", head, f.Seed, with, f.Simulated.Seconds(), f.CPU.Seconds(), f.Found)
}

// tell plays the recorded schedule of a weakening and prints its story.
func (o *options) tell(word string) error {
	r := find(word)
	if r == nil {
		return fmt.Errorf("there is no weakening %q; the table in internal/mutant/hunt has them all", word)
	}
	s, err := r.recorded(o.dir)
	if err != nil {
		return err
	}
	fmt.Printf("Weakened: %s.\n\n", r.rule)
	mutant.Set(r.names()...)
	fmt.Print(sim.Story(s, sim.Play(s)))
	return nil
}
