//go:build mutants

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sbarbiter/internal/mutant"
)

// Each weakening that the simulator notices is noticed by the schedule that was
// recorded, and the same schedule is harmless without it. Where the simulator
// has changed so that a schedule is another run now, a short hunt has to find
// the weakening anew; make mutants-record then keeps what that finds.
func TestEveryWeakeningIsNoticed(t *testing.T) {
	for i := range table {
		r := &table[i]
		if r.decided != "" || r.test != "" && r.kept == "" {
			continue
		}
		t.Run(r.word, func(t *testing.T) {
			s, err := r.recorded("testdata")
			if err != nil {
				t.Fatal(err)
			}
			if what, _ := play(s); what != "" {
				t.Errorf("without the weakening: %s", what)
			}
			if what, _ := play(s, r.behind...); len(r.behind) > 0 && what != "" {
				t.Errorf("with the lines behind it alone taken away: %s", what)
			}
			if what, _ := play(s, r.names()...); what != "" {
				return
			}
			if f := r.anew(); f.Found == "" {
				t.Errorf("%s: nothing breaks any more", r.rule)
			} else {
				t.Logf("the recorded schedule is another run now; seed %d shows it: %s", f.Seed, f.Found)
			}
		})
	}
}

// anew finds a weakening whose schedule is another run now.
func (r *row) anew() finding {
	if r.test != "" {
		return r.runTest()
	}
	return r.search(30 * time.Second)
}

// Every weakening has its line in the code, and stands in the table once, with a
// rule and a guarantee.
func TestTheTableIsWhole(t *testing.T) {
	seen := map[mutant.Name]bool{}
	for _, r := range table {
		if seen[r.name] || r.name == mutant.None {
			t.Errorf("%s: its weakening stands in the table twice", r.word)
		}
		seen[r.name] = true
		if r.rule == "" || !strings.Contains("S1 S2 S3 S4 S5 S6 L1 L2", r.breaks) {
			t.Errorf("%s: no rule, or no guarantee", r.word)
		}
	}
	source := code(t, "../../..")
	names := regexp.MustCompile(`(?m)^\t([A-Z]\w+) .*//`).FindAllStringSubmatch(read(t, "../mutant.go"), -1)
	if len(names) != len(seen) {
		t.Errorf("%d weakenings are named, %d stand in the table", len(names), len(seen))
	}
	for _, n := range names {
		if !strings.Contains(source, "mutant."+n[1]) {
			t.Errorf("%s has no line in the code", n[1])
		}
	}
}

// code returns all written code outside of this package and its parent.
func code(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "mutant" || strings.HasPrefix(d.Name(), ".") && name != root):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			all.WriteString(read(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
