package archtest

import (
	"go/ast"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// modelFile is the protocol's model, but for its switches. At its top stands which of its names is
// which in the code: a table that nobody checks is soon a lie.
const modelFile = "../../model/arbiter.pml"

// modelPackages are the packages that the table speaks of.
var modelPackages = map[string]string{
	"arbiter": "arbiter", "leader": "arbiter/leader", "agent": "agent", "mutant": "internal/mutant",
}

// row is one line of the table.
type row struct{ here, code []string }

func TestTheModelsNamesAreTheCodes(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	text, rows := readModel(t)
	if len(rows) < 30 {
		t.Fatalf("only %d rows: is the table still where it was?", len(rows))
	}
	names := codeNames(tree)
	here := map[string]bool{}
	for _, r := range rows {
		for _, name := range r.code {
			if !names[name] {
				t.Errorf("%s: %v stands for %s, which the code does not have", modelFile, r.here, name)
			}
		}
		for _, name := range r.here {
			here[name] = true
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
				t.Errorf("%s: the table names %s, which the model does not have", modelFile, name)
			}
		}
	}
	for _, name := range modelState(text) {
		if !here[name] {
			t.Errorf("%s: %s is stored or sent, and the table does not say what it is in the code", modelFile, name)
		}
	}
}

// The test above must be able to fail.
func TestNamesThatTheCodeDoesNotHaveAreNoticed(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	names := codeNames(tree)
	for name, want := range map[string]bool{
		"arbiter.Lease.Epoch": true, "agent.Machine.boundUntil": true, "agent.right.lease": true, "arbiter.Acquire": true,
		"arbiter.Lease.Color": false, "agent.Machine.epoch": false, "arbiter.Grant": false,
	} {
		if names[name] != want {
			t.Errorf("%s: in the code: %t", name, names[name])
		}
	}
}

var code = regexp.MustCompile(`^[a-z]+(\.[A-Za-z0-9]+)+$`)

// readModel returns the model's text and the table above it.
func readModel(t *testing.T) (string, []row) {
	t.Helper()
	data, err := os.ReadFile(modelFile)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "  -- ")
		var r row
		for _, w := range strings.Fields(strings.TrimPrefix(line, " *  ")) {
			if code.MatchString(w) {
				r.code = append(r.code, w)
			} else {
				r.here = append(r.here, w)
			}
		}
		if strings.HasPrefix(line, " *   ") && len(r.code) > 0 {
			rows = append(rows, r)
		}
		if strings.HasPrefix(line, "#") {
			break
		}
	}
	switches, err := os.ReadFile(path.Join(path.Dir(modelFile), "switches.pml"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "*/")
	return text + string(switches), rows
}

// modelState lists what witness and nodes know and what the network carries.
func modelState(text string) []string {
	_, text, _ = strings.Cut(text, "/* the witness: what it stores */")
	text, _, _ = strings.Cut(text, "/* DRBD */")
	var names []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, m := range regexp.MustCompile(`\b(?:byte|bool) ([a-zA-Z]+)`).FindAllStringSubmatch(line, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// codeNames are the types, fields, methods and constants of the packages that the model
// speaks of: "agent.right", "agent.right.lease", "agent.Machine.boundUntil".
func codeNames(tree *Tree) map[string]bool {
	names := map[string]bool{}
	for _, f := range tree.files {
		short := path.Base(f.pkg)
		if f.test || modelPackages[short] != f.pkg {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				names[short+"."+n.Name.Name] = true
				if s, ok := n.Type.(*ast.StructType); ok {
					addFields(names, short+"."+n.Name.Name, s)
				}
			case *ast.ValueSpec:
				for _, name := range n.Names {
					names[short+"."+name.Name] = true
				}
			case *ast.FuncDecl:
				if on := receiver(n); on != "" {
					names[short+"."+on+"."+n.Name.Name] = true
				}
			}
			return true
		})
	}
	return names
}

func addFields(names map[string]bool, of string, s *ast.StructType) {
	for _, field := range s.Fields.List {
		for _, name := range field.Names {
			names[of+"."+name.Name] = true
		}
	}
}

// receiver names the type that a method is on, "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	on := f.Recv.List[0].Type
	if star, ok := on.(*ast.StarExpr); ok {
		on = star.X
	}
	if name, ok := on.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
