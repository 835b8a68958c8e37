package raftlog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/arbiter/enginetest"
)

// used makes a state directory that has been in use, with a snapshot.
func used(t *testing.T) string {
	t.Helper()
	dir := mustInit(t, "w1")
	e := enginetest.Lead(t, mustOpen(t, Config{Dir: dir, Name: "w1", Election: leastElection}, &enginetest.Journal{}))
	for range 40 {
		e.MustApply(strings.Repeat("command ", 100))
	}
	compact(t, e.Engine.(*Engine))
	e.MustApply("behind the snapshot")
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAWrongDirectoryIsNamedAndLeftAlone(t *testing.T) {
	stories := map[string]struct {
		spoil func(t *testing.T, dir string)
		want  error
		says  string
	}{
		"never made": {
			func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
			ErrNoState, "sbwitness --init",
		},
		"somebody else's meta": {
			func(t *testing.T, dir string) { overwrite(t, dir, metaName, "PG_VERSION 15\n") },
			ErrForeign, "not written by sbarbiter",
		},
		"a later format": {
			func(t *testing.T, dir string) { overwrite(t, dir, metaName, metaTitle+"2\nrealm x\n") },
			ErrForeign, "start the release that wrote it",
		},
		"another witness": {
			func(t *testing.T, dir string) { overwrite(t, dir, metaName, string(encodeMeta("w2"))) },
			ErrForeign, `belongs to witness "w2"`,
		},
		"a name edited by hand": {
			func(t *testing.T, dir string) {
				overwrite(t, dir, metaName, strings.Replace(string(encodeMeta("w2")), "w2", "w1", 1))
			},
			ErrDamaged, "checksum",
		},
		"log gone": {
			func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, boltName))) },
			ErrDamaged, "no such file",
		},
		"log emptied": {
			func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, boltName), 0)) },
			ErrDamaged, "the file is empty",
		},
		"log cut short": {
			func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, boltName), 3*4096)) },
			ErrDamaged, "cut short",
		},
		"log overwritten": {
			func(t *testing.T, dir string) {
				overwrite(t, dir, boltName, strings.Repeat("not a database. ", 4096))
			},
			ErrDamaged, "sbwitness --init",
		},
		"pages overwritten": {
			func(t *testing.T, dir string) { scribble(t, dir, 2*4096, "\xff\xfe\xfd\xfc", 6*1024) },
			ErrDamaged, "sbwitness --init",
		},
		"one command altered": {
			func(t *testing.T, dir string) { alter(t, dir, "behind the snapshot", "behind the snapshop") },
			ErrDamaged, "checksum",
		},
		"snapshot altered": {
			func(t *testing.T, dir string) {
				found, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", "state.bin"))
				must(t, err)
				overwrite(t, "", found[0], "sbsnap1 but not the rest")
			},
			ErrDamaged, "read snapshot",
		},
		"snapshot and old log gone": {
			func(t *testing.T, dir string) {
				must(t, os.RemoveAll(filepath.Join(dir, snapshotsDir)))
				forgetLogBefore(t, dir, 30)
			},
			ErrDamaged, "the log begins at entry",
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			dir := used(t)
			story.spoil(t, dir)
			e, err := Open(Config{Dir: dir, Name: "w1"}, &enginetest.Journal{})
			if err == nil {
				t.Fatal("it was opened", e.Close())
			}
			if !errors.Is(err, story.want) || !strings.Contains(err.Error(), story.says) {
				t.Fatalf("the error is %q, want %q and %q", err, story.want, story.says)
			}
			t.Log(err)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, dir, name, with string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(with), 0o600))
}

func scribble(t *testing.T, dir string, at int64, what string, times int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, boltName), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat(what, times)), at)
	must(t, errors.Join(err, f.Close()))
}

// alter changes bytes of the log as a failing disk would.
func alter(t *testing.T, dir, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, boltName))
	must(t, err)
	after := strings.ReplaceAll(string(b), from, to)
	if after == string(b) {
		t.Fatalf("%q is not in the file", from)
	}
	overwrite(t, dir, boltName, after)
}

func forgetLogBefore(t *testing.T, dir string, index uint64) {
	t.Helper()
	store, _, err := openBolt(dir, 0)
	must(t, err)
	must(t, errors.Join(store.DeleteRange(1, index-1), store.Close()))
}

func TestASecondProcessIsToldSo(t *testing.T) {
	dir := mustInit(t, "w1")
	mustOpen(t, Config{Dir: dir, Name: "w1"}, &enginetest.Journal{})
	e, err := Open(Config{Dir: dir, Name: "w1"}, &enginetest.Journal{})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "another sbwitness runs") {
		t.Fatalf("opened twice: engine %v, error %v", e, err)
	}
}

func TestInitNeverReplacesAState(t *testing.T) {
	dir := used(t)
	if err := Init(dir, "w1"); !errors.Is(err, ErrForeign) {
		t.Fatalf("Init on a state returned %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, metaName)))
	if err := Init(dir, "w1"); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), boltName) {
		t.Fatalf("Init on a state that lost its meta file returned %v", err)
	}
}

func TestAnInterruptedInitIsSimplyRunAgain(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, dir string){
		"before the log": func(t *testing.T, dir string) {
			overwrite(t, dir, metaName+unfinished, "half")
		},
		"in the log": func(t *testing.T, dir string) {
			overwrite(t, dir, metaName+unfinished, "half")
			overwrite(t, dir, boltName+unfinished, "half")
		},
		"between the renames": func(t *testing.T, dir string) {
			must(t, Init(dir, "w1"))
			must(t, os.Rename(filepath.Join(dir, metaName), filepath.Join(dir, metaName+unfinished)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			leave(t, dir)
			if _, err := Open(Config{Dir: dir, Name: "w1"}, &enginetest.Journal{}); !errors.Is(err, ErrNoState) {
				t.Fatalf("half a state was opened: %v", err)
			}
			must(t, Init(dir, "w1"))
			enginetest.Lead(t, mustOpen(t, Config{Dir: dir, Name: "w1"}, &enginetest.Journal{}))
		})
	}
}

func TestInitRefusesVotersThatCannotWork(t *testing.T) {
	a, b, c := Voter{"a", "a:1"}, Voter{"b", "b:1"}, Voter{"c", "c:1"}
	for says, try := range map[string]struct {
		name   string
		voters []Voter
	}{
		"odd number":       {"a", []Voter{a, b}},
		"named twice":      {"a", []Voter{a, b, b}},
		"not among":        {"d", []Voter{a, b, c}},
		"no witness name":  {"", nil},
		"one word is need": {"two words", nil},
	} {
		if err := Init(t.TempDir(), try.name, try.voters...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Init(%q, %v) returned %v, want %q", try.name, try.voters, err, says)
		}
	}
}

func TestOnlyAnUnusedStoreIsFresh(t *testing.T) {
	dir := mustInit(t, "w1")
	conf := Config{Dir: dir, Name: "w1", Election: leastElection}
	for round, want := range []bool{true, true, false} {
		e := mustOpen(t, conf, &enginetest.Journal{})
		if e.Fresh() != want {
			t.Fatalf("round %d: fresh after opening is %t", round, e.Fresh())
		}
		r := enginetest.Lead(t, e)
		if e.Fresh() != want {
			t.Fatalf("round %d: fresh as a leader is %t", round, e.Fresh())
		}
		if round == 1 {
			r.MustApply("incarnation")
			if e.Fresh() {
				t.Fatal("fresh after the first command")
			}
		}
		must(t, r.Stop())
	}
}
