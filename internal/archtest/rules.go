package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// cores decide and touch nothing. Each is listed with the packages of this
// module that it may import besides the ones in forEveryCore.
var cores = map[string][]string{
	"arbiter":           {"timing", "recovery", "drbd"}, // whose copy is given up is decided inside Apply
	"arbiter/engine":    {},
	"arbiter/leader":    {"arbiter", "doctor", "recovery", "timing"},
	"agent":             {"arbiter", "arbiter/leader", "fencing", "recovery", "drbd"},
	"agent/guard":       {},
	"fencing":           {},
	"recovery":          {"drbd", "drbd/model"}, // it judges by the model of DRBD's own handshake
	"drbd":              {"timing"},
	"doctor":            {"timing"},
	"timing":            {},
	"drbd/model":        {"drbd"},
	"internal/boottime": {},
}

// forEveryCore: the type boottime.Instant, and the lines that weaken a rule in
// the hunter for mutants and are gone from everything else.
var forEveryCore = []string{"internal/boottime", "internal/mutant"}

// features own shells: everything below them that is not a core.
var features = []string{"arbiter", "agent", "fencing", "recovery", "drbd", "doctor"}

// shellMayImport lists the shells that a shell may use besides those below it.
// Whoever extends it says here why.
var shellMayImport = map[string][]string{
	// The runner performs the agent's actions: it holds every hand there is.
	"agent/runner": {
		"agent/heartbeat", "agent/probe", "agent/service", "agent/store", "agent/watchdog",
		"arbiter/remote", "drbd/kernel", "fencing/shooter", "recovery/carry",
	},
	// The guard's process speaks with the agent on a line that has two ends, and
	// holds what the guard acts with.
	"agent/guard/process": {"agent/guard/line", "agent/guard/filter", "agent/service", "agent/watchdog"},
	// A node's hands in a recovery: the driver, the store of copies, and the look
	// into them.
	"recovery/carry": {"drbd/kernel", "recovery/keep", "recovery/look"},
	// The two ends of one contract read and write it alike.
	"arbiter/witness": {"arbiter/wire"},
	"arbiter/remote":  {"arbiter/wire"},
}

// supports are for tests alone.
var supports = []string{"arbiter/enginetest", "fencing/fencetest", "internal/archtest", "internal/bubble", "internal/faketime", "internal/linear", "internal/sim"}

// notForShells are the daemons' own parts.
var notForShells = []string{"internal/config", "internal/telemetry", "internal/sim", "internal/bubble", "internal/linear"}

// notForCores are packages that do things, or whose results differ from run to
// run. Values among them are allowed by name.
var (
	notForCores = []string{
		"os", "net", "syscall", "log", "math/rand", "crypto/rand", "crypto/tls", "database", "io/ioutil",
		"plugin", "runtime", "testing", "unsafe", "time/tzdata", "sync", "embed", "expvar", "flag",
	}
	valuesForCores = []string{"net/netip"}
)

// clockReads are time's functions that read or wait for a clock.
var clockReads = []string{"Now", "After", "Sleep", "NewTimer", "NewTicker", "Tick", "AfterFunc", "Since", "Until"}

// plainTextIsRefused lists the tests that try plain text to see it refused.
var plainTextIsRefused = []string{"internal/rpc/rpc_test.go"}

// Sizes. Above the first a look is worth it, above the second the test fails.
const (
	fileLines, fileLimit = 400, 500
	funcLines, funcLimit = 60, 70
)

// Rules are all rules, by name.
var Rules = map[string]func(*Tree) []Finding{
	"cores import only the standard library's pure part": coreImports,
	"cores read no clock, start no goroutine":            corePurity,
	"shells keep to themselves":                          shellImports,
	"nothing imports cmd":                                commandImports,
	"internal packages import no shell":                  internalImports,
	"chaos-tests see only what an outsider sees":         outsiderImports,
	"plain text does not exist":                          plainText,
	"bubbles are opened by internal/faketime":            bubbles,
	"each package has one comment":                       packageComments,
	"files and functions stay small":                     sizes,
	"comments stand on their own":                        comments,
}

func coreImports(t *Tree) (found []Finding) {
	for _, f := range t.files {
		allowed, core := cores[f.pkg]
		if !core || f.test || f.pkg == "internal/boottime" {
			continue
		}
		for _, i := range f.imports() {
			dir, ours := inside(i.path)
			switch {
			case ours && !slices.Contains(append(allowed, forEveryCore...), dir):
				found = append(found, Finding{t.at(i.pos), "core " + f.pkg + " imports " + i.path, "define the port in the core and let a shell fill it, or add the arrow to cores in internal/archtest"})
			case !ours && !standard(i.path):
				found = append(found, Finding{t.at(i.pos), "core " + f.pkg + " imports the library " + i.path, "use it in a shell and hand the core its results"})
			case !ours && impure(i.path):
				found = append(found, Finding{t.at(i.pos), "core " + f.pkg + " imports " + i.path, "let the caller do it and pass in what it found; chance and time are arguments too"})
			}
		}
	}
	return found
}

func impure(importPath string) bool {
	return !slices.Contains(valuesForCores, importPath) &&
		slices.ContainsFunc(notForCores, func(p string) bool { return under(importPath, p) })
}

func corePurity(t *Tree) (found []Finding) {
	for _, f := range t.files {
		if _, core := cores[f.pkg]; !core || f.test || f.pkg == "internal/boottime" {
			continue
		}
		names := map[string]string{}
		for _, i := range f.imports() {
			names[i.name] = i.path
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, Finding{t.at(n.Pos()), "core " + f.pkg + " starts a goroutine", "return an action and let a shell carry it out"})
			case *ast.SelectorExpr:
				if what := clockRead(n, names); what != "" {
					found = append(found, Finding{t.at(n.Pos()), "core " + f.pkg + " calls " + what, "take now (boottime.Instant) as an argument"})
				}
			}
			return true
		})
	}
	return found
}

// clockRead names the clock function that an expression refers to, "" for none.
func clockRead(e *ast.SelectorExpr, names map[string]string) string {
	on, ok := e.X.(*ast.Ident)
	if !ok {
		return ""
	}
	switch names[on.Name] {
	case "time":
		if slices.Contains(clockReads, e.Sel.Name) {
			return "time." + e.Sel.Name
		}
	case module + "/internal/boottime":
		if e.Sel.Name == "Now" {
			return "boottime.Now"
		}
	}
	return ""
}

func isShell(dir string) bool {
	if _, core := cores[dir]; core || slices.Contains(supports, dir) {
		return false
	}
	return slices.ContainsFunc(features, func(f string) bool { return under(dir, f) })
}

func shellImports(t *Tree) (found []Finding) {
	for _, f := range t.files {
		if f.test || !isShell(f.pkg) {
			continue
		}
		for _, i := range f.imports() {
			dir, ours := inside(i.path)
			if !ours {
				continue
			}
			allowed := under(dir, f.pkg) || slices.Contains(shellMayImport[f.pkg], dir)
			if isShell(dir) && !allowed {
				found = append(found, Finding{t.at(i.pos), "shell " + f.pkg + " imports shell " + dir, "take an interface and let the daemon join the two, or give a reason in shellMayImport in internal/archtest"})
			}
			if slices.Contains(supports, dir) {
				found = append(found, Finding{t.at(i.pos), f.pkg + " imports " + dir + ", which is for tests", "move the import to a _test.go file"})
			}
			if slices.Contains(notForShells, dir) {
				found = append(found, Finding{t.at(i.pos), "shell " + f.pkg + " imports " + dir, "take a Config struct of your own and let the daemon fill it"})
			}
		}
	}
	return found
}

func commandImports(t *Tree) (found []Finding) {
	for _, f := range t.files {
		for _, i := range f.imports() {
			if dir, ours := inside(i.path); ours && under(dir, "cmd") && !under(f.pkg, "cmd") {
				found = append(found, Finding{t.at(i.pos), f.pkg + " imports " + i.path, "move what it needs out of cmd into a package of its own"})
			}
		}
	}
	return found
}

func internalImports(t *Tree) (found []Finding) {
	for _, f := range t.files {
		if f.test || !under(f.pkg, "internal") || f.pkg == "internal/bubble" {
			continue
		}
		for _, i := range f.imports() {
			if dir, ours := inside(i.path); ours && isShell(dir) {
				found = append(found, Finding{t.at(i.pos), f.pkg + " imports shell " + dir, "turn the arrow round: shells use internal packages, the daemons join them"})
			}
		}
	}
	return found
}

func outsiderImports(t *Tree) (found []Finding) {
	allowed := func(p string) bool {
		dir, ours := inside(p)
		if ours {
			return under(dir, "chaos-tests") || under(dir, "proto") || dir == "deploy"
		}
		return standard(p) || under(p, "golang.org/x") || under(p, "google.golang.org/grpc") || under(p, "google.golang.org/protobuf")
	}
	for _, f := range t.files {
		if !under(f.pkg, "chaos-tests") {
			continue
		}
		for _, i := range f.imports() {
			if !allowed(i.path) {
				found = append(found, Finding{t.at(i.pos), f.pkg + " imports " + i.path, "drive the real binaries and read sbctl's JSON instead"})
			}
		}
	}
	return found
}

func plainText(t *Tree) (found []Finding) {
	for _, f := range t.files {
		for _, i := range f.imports() {
			if i.path == "google.golang.org/grpc/credentials/insecure" && !slices.Contains(plainTextIsRefused, f.path) {
				found = append(found, Finding{t.at(i.pos), "gRPC without TLS", "use a certificate of internal/pki, in tests too"})
			}
		}
	}
	return found
}

func bubbles(t *Tree) (found []Finding) {
	for _, f := range t.files {
		if f.pkg == "internal/faketime" {
			continue
		}
		names := map[string]string{}
		for _, i := range f.imports() {
			names[i.name] = i.path
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			e, ok := n.(*ast.SelectorExpr)
			if !ok || e.Sel.Name != "Test" {
				return true
			}
			if on, ok := e.X.(*ast.Ident); ok && names[on.Name] == "testing/synctest" {
				found = append(found, Finding{t.at(e.Pos()), "a bubble on as many processors as there are", "use faketime.Test: the race detector does not bear it otherwise"})
			}
			return true
		})
	}
	return found
}

func packageComments(t *Tree) (found []Finding) {
	commented := map[string][]*file{}
	for _, f := range t.files {
		if f.syntax.Doc != nil && !f.test && !f.generated {
			commented[f.pkg] = append(commented[f.pkg], f)
		}
	}
	for _, dir := range t.packages() {
		switch with := commented[dir]; len(with) {
		case 0:
			found = append(found, Finding{dir, "no package comment", "say which question the package answers and what it leaves to others"})
		case 1:
			if doc := with[0].syntax.Doc; with[0].syntax.Name.Name != "main" && !strings.HasPrefix(doc.Text(), "Package "+with[0].syntax.Name.Name+" ") {
				found = append(found, Finding{t.at(doc.Pos()), "the package comment does not begin with the package's name", "begin with: Package " + with[0].syntax.Name.Name})
			}
		default:
			found = append(found, Finding{with[1].path, "a second package comment; the first is in " + with[0].path, "keep one, and separate other comments from the package clause by an empty line"})
		}
	}
	return found
}

func sizes(t *Tree) (found []Finding) { return t.larger(fileLimit, funcLimit) }

// Large lists what is within the limits but worth a look.
func Large(t *Tree) []Finding { return t.larger(fileLines, funcLines) }

func (t *Tree) larger(file, function int) (found []Finding) {
	for _, f := range t.files {
		if f.test || f.generated {
			continue
		}
		if f.lines > file {
			found = append(found, Finding{f.path, fmt.Sprintf("%d lines, more than %d", f.lines, file), "split it along the questions that it answers"})
		}
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1; n > function {
				found = append(found, Finding{t.at(fn.Pos()), fmt.Sprintf("%s has %d lines, more than %d", fn.Name.Name, n, function), "name its steps and make them functions"})
			}
		}
	}
	return found
}

// comments must make sense to somebody who has only this repository, and
// promise nothing that is not there.
func comments(t *Tree) (found []Finding) {
	outside := []string{"/work/" + "shared", "../" + "shared", "protocol" + ".md"}
	unfinished := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:"}
	for _, f := range t.files {
		if f.generated {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				if slices.ContainsFunc(outside, func(s string) bool { return strings.Contains(c.Text, s) }) {
					found = append(found, Finding{t.at(c.Pos()), "the comment points outside the repository", "say it here, or point at docs/"})
				}
				if slices.ContainsFunc(unfinished, func(s string) bool { return strings.Contains(c.Text, s) }) {
					found = append(found, Finding{t.at(c.Pos()), "the comment promises work", "do it, or file it where work is planned"})
				}
			}
		}
	}
	return found
}
