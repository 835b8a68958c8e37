//go:build !mutants

package mutant_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program that is not built to be hunted must not even be able to be weakened:
// nothing of this package is left in it.
func TestNothingOfAMutantIsInThePrograms(t *testing.T) {
	for _, daemon := range []string{"sbagent", "sbwitness"} {
		symbols := build(t, daemon)
		if found := of(symbols, "sbarbiter/internal/mutant."); len(found) > 0 {
			t.Errorf("%s contains %q", daemon, found)
		}
		if len(of(symbols, "sbarbiter/arbiter.")) == 0 {
			t.Errorf("%s contains nothing of the arbiter: its symbols cannot be read", daemon)
		}
	}
}

// build makes a program as make build does, and returns its symbols' names.
func build(t *testing.T, daemon string) (names []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), daemon)
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "sbarbiter/cmd/"+daemon)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", daemon, err, b)
	}
	f, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatalf("%s: %v", daemon, err)
	}
	for _, s := range symbols {
		names = append(names, s.Name)
	}
	return names
}

// of returns the names that begin with prefix.
func of(names []string, prefix string) (found []string) {
	for _, n := range names {
		if strings.HasPrefix(n, prefix) {
			found = append(found, n)
		}
	}
	return found
}
