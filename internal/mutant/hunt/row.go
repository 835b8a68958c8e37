package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sbarbiter/internal/mutant"
	"sbarbiter/internal/sim"
)

// row is one weakening: what the rule is, what should break without it, and how
// that is found.
type row struct {
	name   mutant.Name
	word   string
	rule   string
	breaks string
	aim    []string      // faults that the hunter tries more often than the others
	behind []mutant.Name // other lines of defence, which have to be taken away as well: without this one they hold
	kept   string        // schedule of internal/sim that shows it, which a long search or a person has found once
	test   string        // package and test that notice it, where no schedule does
	// decided says, where nothing notices it, whether that is a hole in the
	// simulator or a rule that is not needed.
	decided string
}

func find(word string) *row {
	i := slices.IndexFunc(table, func(r row) bool { return r.word == word })
	if i < 0 {
		return nil
	}
	return &table[i]
}

func wordOf(name mutant.Name) string {
	i := slices.IndexFunc(table, func(r row) bool { return r.name == name })
	if i < 0 {
		return "?"
	}
	return table[i].word
}

func (r *row) file(dir string) string {
	if r.kept != "" {
		return filepath.Join(dir, "../../../sim/testdata", r.kept+".json")
	}
	return filepath.Join(dir, r.word+".json")
}

// recorded returns the schedule that showed the weakening.
func (r *row) recorded(dir string) (*sim.Schedule, error) {
	raw, err := os.ReadFile(r.file(dir))
	if err != nil {
		return nil, fmt.Errorf("read the schedule that shows %s: %w", r.word, err)
	}
	s, err := sim.DecodeSchedule(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.file(dir), err)
	}
	return s, nil
}

// playKept plays the schedule that is kept for other reasons, and shows this weakening.
func (r *row) playKept(dir string) (finding, error) {
	began := cpuTime()
	s, err := r.recorded(dir)
	if err != nil {
		return finding{}, err
	}
	f := finding{Word: r.word}
	if dirty, _ := play(s); dirty != "" {
		f.Dirty = append(f.Dirty, fmt.Sprintf("%s: %s", r.kept, dirty))
	} else if other, _ := play(s, r.behind...); other == "" {
		f.Found, f.Simulated = play(s, r.names()...)
	}
	f.CPU = cpuTime() - began
	return f, nil
}

// runTest runs the test that notices the weakening: it must pass without and
// fail with it. What is weaker may be lucky, so it gets a few tries.
func (r *row) runTest() finding {
	began := childrensTime()
	f := finding{Word: r.word}
	pkg, name, _ := strings.Cut(r.test, " ")
	run := func(weak, tries string) error {
		cmd := exec.Command("go", "test", "-tags", "mutants", "-failfast", "-count="+tries, "-run", "^"+name+"$", pkg)
		cmd.Env = append(os.Environ(), mutant.Env+"="+weak)
		return cmd.Run()
	}
	if run("", "1") == nil && run(fmt.Sprint(uint8(r.name)), "5") != nil {
		f.Found = r.test + " fails"
	}
	f.CPU = childrensTime() - began
	return f
}
