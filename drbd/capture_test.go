package drbd

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// captured is one command and its output in a file under testdata.
type captured struct {
	file, node, command, output string
	exit                        int
}

var (
	commandLine = regexp.MustCompile(`^(node[-\w]+)# (.*)$`)
	exitLine    = regexp.MustCompile(`^\[exit (\d+)\]$`)
)

// captures returns every command of every capture of a family's directory.
func captures(t testing.TB, dir string) []captured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in testdata/%s: %v", dir, err)
	}
	var all []captured
	for _, file := range files {
		all = append(all, capturesIn(t, file)...)
	}
	return all
}

func capturesIn(t testing.TB, file string) []captured {
	t.Helper()
	var all []captured
	var open *captured
	for line := range strings.Lines(readFile(t, file)) {
		bare := strings.TrimRight(line, "\n")
		if m := commandLine.FindStringSubmatch(bare); m != nil {
			open = &captured{file: filepath.Base(file), node: m[1], command: m[2]}
		} else if m := exitLine.FindStringSubmatch(bare); m != nil && open != nil {
			open.exit, _ = strconv.Atoi(m[1])
			all = append(all, *open)
			open = nil
		} else if open != nil {
			open.output += line
		}
	}
	return all
}

// one returns the first capture of a file that ran command on node.
func one(t testing.TB, file, node, command string) string {
	t.Helper()
	for _, c := range capturesIn(t, filepath.Join("testdata", file)) {
		if c.node == node && c.command == command {
			return c.output
		}
	}
	t.Fatalf("%s has no %q on %s", file, command, node)
	return ""
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replay feeds event lines to a tracker and fails the test at the first error.
func replay(t testing.TB, tr *Tracker, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		e, err := ParseEvent(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Apply(e); err != nil {
			t.Fatalf("apply %q: %v", line, err)
		}
	}
}

// only returns the single resource of a status.
func only(t testing.TB, list []Resource, err error) Resource {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("got %d resources, want one: %+v", len(list), list)
	}
	return list[0]
}
