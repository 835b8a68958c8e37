package witness

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// A command that the state knows and the witness does not ends the witness when
// it comes.
func TestWitnessKnowsEveryCommand(t *testing.T) {
	own, err := os.ReadFile("perform.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../command.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "command" || f.Recv == nil {
			continue
		}
		found++
		name := f.Recv.List[0].Type.(*ast.Ident).Name
		if !strings.Contains(string(own), "case arbiter."+name+":") && !strings.Contains(string(own), "arbiter."+name+",") && !strings.Contains(string(own), ", arbiter."+name+":") {
			t.Errorf("clusterOf does not know arbiter.%s", name)
		}
	}
	if found < 17 {
		t.Errorf("only %d commands were found in ../command.go", found)
	}
}
