package ctl

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sbarbiter/arbiter"
)

// TestEveryRefusalIsExplained: each reason that a witness can give has advice,
// and a row in the runbook; neither explains what does not exist.
func TestEveryRefusalIsExplained(t *testing.T) {
	root := filepath.Join("..", "..")
	runbook, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(runbook), "| reason | means | do |")
	table, _, _ = strings.Cut(table, "\n## ")
	all := reasons(t, filepath.Join(root, "arbiter"))
	for _, r := range all {
		if advice[r] == "" {
			t.Errorf("no advice about %s", r)
		}
		if !strings.Contains(table, "\n| `"+string(r)+"` |") {
			t.Errorf("docs/operations.md has no row for %s", r)
		}
	}
	if rows := strings.Count(table, "\n| `"); rows != len(all) || len(advice) != len(all) {
		t.Errorf("%d reasons, %d pieces of advice, %d rows in docs/operations.md", len(all), len(advice), rows)
	}
}

// reasons reads the constants of type Reason out of the arbiter's source.
func reasons(t *testing.T, dir string) (out []arbiter.Reason) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
				return true
			}
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, arbiter.Reason(text))
			return true
		})
	}
	return out
}
