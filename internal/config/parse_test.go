package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected errors in testdata anew")

// Every file in testdata/node, witness and cluster is wrong in the ways that its
// name tells; the .err file beside it is what the operator gets to read.
func TestErrorsShowTheWayOut(t *testing.T) {
	parsers := map[string]func(file string, data []byte) error{
		"node":    func(f string, d []byte) error { _, err := ParseNode(f, d, "node-a"); return err },
		"witness": func(f string, d []byte) error { _, err := ParseWitness(f, d, "witness"); return err },
		"cluster": func(f string, d []byte) error { _, err := ParseCluster(f, d); return err },
	}
	for kind, parse := range parsers {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases for %s: %v", kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) { golden(t, file, parse) })
		}
	}
}

func golden(t *testing.T, file string, parse func(string, []byte) error) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	err = parse(filepath.Base(file), data)
	if err == nil {
		t.Fatal("accepted")
	}
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("an error of type %T", err)
	}
	got := err.Error() + "\n"
	want := strings.TrimSuffix(file, ".yaml") + ".err"
	if *update {
		if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(expected), got); d != "" {
		t.Errorf("the operator reads something else (-want +got):\n%s", d)
	}
}
