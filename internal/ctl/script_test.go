package ctl

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sbarbiter/internal/pki"
)

// TestScripts runs the command lines of testdata against a witness that tells a
// scene. In a script
//
//	scene NAME       says what the witness answers from now on; the names are in scenes
//	refuse REASON    makes it refuse what operators ask from now on
//	asked REGEXP     fails unless such a question has reached the witness
//	unasked          fails if anything was asked but for status
//	exits CODE ...   runs sbctl and compares its exit code
func TestScripts(t *testing.T) {
	home := filepath.Join(t.TempDir(), "ca")
	ca, err := pki.Init(home)
	if err != nil {
		t.Fatal(err)
	}
	credentials := func(id pki.Identity) string {
		dir := filepath.Join(t.TempDir(), id.Name)
		if _, err := ca.Issue(dir, pki.Request{Identity: id}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	alice := credentials(pki.Identity{Role: pki.RoleOperator, Name: "alice"})
	node := credentials(pki.Identity{Role: pki.RoleNode, Cluster: "nfs1", Name: "node-a"})
	w1 := credentials(pki.Identity{Role: pki.RoleWitness, Name: "w1"})

	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			f := newFake(t, w1)
			e.Defer(f.stop)
			e.Values["fake"] = f
			e.Setenv("ADDR", f.addr)
			e.Setenv("SBCTL_WITNESS", f.addr)
			e.Setenv("ALICE", alice)
			e.Setenv("NODE", node)
			e.Setenv("TZ", "UTC")
			e.Setenv("TERM", "xterm")
			return os.WriteFile(filepath.Join(e.WorkDir, "sbctl.yaml"), []byte("pki: "+alice+"\n"), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"scene": func(ts *testscript.TestScript, _ bool, args []string) {
				s, ok := scenes[args[0]]
				if !ok {
					ts.Fatalf("there is no scene %s", args[0])
				}
				ts.Value("fake").(*fake).play(s())
			},
			"refuse": func(ts *testscript.TestScript, _ bool, args []string) { ts.Value("fake").(*fake).refuse(args[0]) },
			"asked": func(ts *testscript.TestScript, _ bool, args []string) {
				if got := ts.Value("fake").(*fake).questions(); !regexp.MustCompile(args[0]).MatchString(got) {
					ts.Fatalf("nothing like %s was asked, but:\n%s", args[0], got)
				}
			},
			"unasked": func(ts *testscript.TestScript, _ bool, _ []string) {
				if got := ts.Value("fake").(*fake).questions(); got != "" {
					ts.Fatalf("this was asked:\n%s", got)
				}
			},
			"exits": exits,
		},
	})
}

// exits runs sbctl with the script's defaults and compares its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits CODE ARGS...: %v", err)
	}
	err = ts.Exec("sbctl", append([]string{"--config", ts.MkAbs("sbctl.yaml")}, args[1:]...)...)
	got := ExitDone
	var exit interface{ ExitCode() int }
	if err != nil {
		if !asExit(err, &exit) {
			ts.Fatalf("run sbctl: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
