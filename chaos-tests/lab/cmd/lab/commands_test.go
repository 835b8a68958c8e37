package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWordThatIsNoCommandIsAnsweredWithThoseThatAre(t *testing.T) {
	err := perform(t.Context(), &world{}, "exit-now")
	if err == nil {
		t.Fatal("exit-now is taken for a command")
	}
	for _, c := range commands {
		if !strings.Contains(err.Error(), c.usage) {
			t.Errorf("it does not tell of %q: %v", c.usage, err)
		}
	}
}

func TestHelpIsACommand(t *testing.T) {
	for _, word := range []string{"help", "?"} {
		if err := perform(t.Context(), &world{}, word); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
}

func TestWhatFollowsIsLeftToTheShellThatRunsIt(t *testing.T) {
	for line, want := range map[string][2]string{
		"":        {"", ""},
		" split ": {"split", ""},
		"sbctl\tresolve nfs --reason 'tested  there' | cat": {"sbctl", "resolve nfs --reason 'tested  there' | cat"},
	} {
		if first, rest := word(line); first != want[0] || rest != want[1] {
			t.Errorf("%q: %q, %q", line, first, rest)
		}
	}
}

func TestAShellHasProgramsOfItsOwnAndItsExitCodeIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sbctl"), []byte("#!/bin/sh\n[ \"$2\" = 'tested there' ] && exit 0\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{"sbctl --reason 'tested there' | cat": "", "sbctl --reason tested there": "exit 3"} {
		got := ""
		if err := inShell(exec.CommandContext(t.Context(), "bash", "-c", line), dir); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, and not %q", line, got, want)
		}
	}
}
