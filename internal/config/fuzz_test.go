package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the text: no panic, either a node that keeps its rules or errors that
// point into the file.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds: %v", err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseNode("f.yaml", data, "node-a")
		pointsInto(t, data, err)
		if err == nil {
			keepsRules(t, n)
		}
		_, err = ParseCluster("f.yaml", data)
		pointsInto(t, data, err)
		_, err = ParseWitness("f.yaml", data, "w")
		pointsInto(t, data, err)
	})
}

func pointsInto(t *testing.T, data []byte, err error) {
	var all Errors
	if !errors.As(err, &all) {
		return
	}
	lines := strings.Count(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") + strings.Count(string(data), "\r") + 1
	for _, e := range all {
		if e.Line < 0 || e.Line > lines || e.Column < 0 || e.Message == "" {
			t.Fatalf("points at line %d, column %d of %d lines: %q", e.Line, e.Column, lines, e.Message)
		}
	}
	if err.Error() == "" {
		t.Fatal("says nothing")
	}
}

func keepsRules(t *testing.T, n Node) {
	if err := n.Timing.Check(); err != nil {
		t.Fatal(err)
	}
	if n.Name == "" || n.Peer == "" || n.Name == n.Peer || len(n.Links) == 0 || len(n.Witnesses) == 0 || len(n.Groups) == 0 {
		t.Fatalf("incomplete: %+v", n)
	}
	if n.References.Need < 1 || n.References.Need > len(n.References.Addresses) {
		t.Fatalf("%d of %d references", n.References.Need, len(n.References.Addresses))
	}
	for _, g := range n.Groups {
		sum := n.Timing.Stop * 0
		for _, s := range g.Services {
			if s.Spec == nil || s.StopTimeout <= 0 || s.StartTimeout <= 0 {
				t.Fatalf("service %+v", s)
			}
			sum += s.StopTimeout
		}
		if sum > g.StopTimeout || g.StopTimeout > n.Timing.Stop {
			t.Fatalf("group %s stops in %v of %v of %v", g.Name, sum, g.StopTimeout, n.Timing.Stop)
		}
	}
	_ = n.Hash()
}
