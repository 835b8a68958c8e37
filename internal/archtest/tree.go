// Package archtest answers whether the code still has the shape that the
// architecture promises: which package may import which, what a core must not
// touch, how large things may grow. It reads source only; what the code does is
// other tests' business.
//
// The rules are the tables in rules.go. A new package is placed there, or is
// taken for a shell.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is this module's import path.
const module = "sbarbiter"

// Tree is the parsed source of the module.
type Tree struct {
	fset  *token.FileSet
	files []*file
}

// file is one Go file, with what the rules ask about it.
type file struct {
	pkg       string // directory below the module's root, "." for the root
	path      string
	syntax    *ast.File
	lines     int
	test      bool
	generated bool
}

// Finding is one breach of a rule.
type Finding struct {
	Where string // file:line, or a directory
	What  string
	Fix   string
}

func (f Finding) String() string { return f.Where + ": " + f.What + "\n\tfix: " + f.Fix }

// Load parses every Go file below the root, other modules, test data and
// hidden directories aside.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return t.enter(root, name)
		case path.Ext(name) != ".go":
			return nil
		}
		return t.add(root, name)
	})
	if err != nil {
		return nil, fmt.Errorf("load source: %w", err)
	}
	return t, nil
}

// enter decides whether a directory belongs to the module.
func (t *Tree) enter(root fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) add(root fs.FS, name string) error {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.files = append(t.files, &file{
		pkg:       path.Dir(name),
		path:      name,
		syntax:    syntax,
		lines:     strings.Count(string(source), "\n"),
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(syntax),
	})
	return nil
}

// packages lists the directories that hold written code, tests aside.
func (t *Tree) packages() []string {
	var all []string
	for _, f := range t.files {
		if !f.test && !f.generated {
			all = append(all, f.pkg)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// at formats a position.
func (t *Tree) at(pos token.Pos) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// importLine is one import of a file.
type importLine struct {
	path string
	name string // as the file calls it
	pos  token.Pos
}

func (f *file) imports() []importLine {
	var all []importLine
	for _, spec := range f.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		all = append(all, importLine{p, name, spec.Pos()})
	}
	return all
}

// inside returns the directory of an import of this module.
func inside(importPath string) (dir string, ok bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// standard reports whether an import is of the standard library.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return first != module && !strings.Contains(first, ".")
}

// under reports whether dir is parent or lies below it.
func under(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, parent+"/")
}
