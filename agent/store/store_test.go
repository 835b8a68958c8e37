package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var nodeA = Identity{Cluster: "shop", Node: "node-a"}

func open(t *testing.T, dir string, id Identity) *Store {
	t.Helper()
	s, err := Open(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
	return s
}

func save(t *testing.T, f *File, body string) {
	t.Helper()
	if err := f.Save([]byte(body)); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, f *File, want string) {
	t.Helper()
	got, err := f.Load()
	if err != nil || string(got) != want {
		t.Fatalf("loaded %q, %v, want %q", got, err, want)
	}
}

func TestSavedStateIsThereAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	s := open(t, dir, nodeA)
	if _, err := s.Durable().Load(); !errors.Is(err, ErrMissing) {
		t.Fatalf("before the first save: %v", err)
	}
	save(t, s.Durable(), "")
	mustLoad(t, s.Durable(), "")
	save(t, s.Durable(), "epoch 41")
	save(t, s.Durable(), "epoch 42")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, open(t, dir, nodeA).Durable(), "epoch 42")
	info, err := os.Stat(filepath.Join(dir, durableName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
}

func TestEveryDamageIsFoundAndNeverTakenForEmpty(t *testing.T) {
	f := open(t, t.TempDir(), nodeA).Durable()
	save(t, f, "epoch 42")
	whole, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(f.Path(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := f.Load(); !errors.As(err, &corrupt) || !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrMissing) {
			t.Fatalf("%s: %v", what, err)
		}
		if !strings.Contains(corrupt.Error(), f.Path()) || !strings.Contains(corrupt.Error(), "move it away") {
			t.Fatalf("%s: %q does not help", what, corrupt)
		}
	}
	for i := range whole {
		for _, flip := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(whole)
			b[i] ^= flip
			check(fmt.Sprintf("byte %d xor %#x", i, flip), b)
		}
		check(fmt.Sprintf("cut to %d bytes", i), whole[:i])
	}
	check("a byte more", append(bytes.Clone(whole), 0))
	check("zeros, as after a crash of a careless file system", make([]byte, len(whole)))
	check("much too long", make([]byte, maxFile+10))
}

func FuzzDecode(f *testing.F) {
	whole := encode(record{kind: "agent", id: nodeA, body: []byte("epoch 42")})
	f.Add(whole[:len(whole)-crcSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		sealed := sum(bytes.Clone(b))
		r, err := decode(sealed)
		if err == nil && !bytes.Equal(encode(r), sealed) {
			t.Fatalf("two encodings of one record: %x", sealed)
		}
	})
}

func TestFileOfANewerAgentIsNotCalledDamaged(t *testing.T) {
	f := open(t, t.TempDir(), nodeA).Durable()
	b := encode(record{kind: "agent", id: nodeA})
	b[5] = fileVersion + 1
	if err := os.WriteFile(f.Path(), sum(b[:len(b)-crcSize]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestForeignFileIsNamed(t *testing.T) {
	for _, other := range []Identity{{"shop", "node-b"}, {"bank", "node-a"}} {
		dir := t.TempDir()
		s := open(t, dir, other)
		save(t, s.Durable(), "epoch 7")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, dir, nodeA).Durable().Load()
		var foreign *ForeignError
		if !errors.As(err, &foreign) || foreign.Found != other || !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), other.String()) || !strings.Contains(err.Error(), nodeA.String()) {
			t.Fatalf("%q does not name both", err)
		}
	}
}

func TestFilesCannotBeSwapped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nodeA)
	if _, err := s.NextIncarnation(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, incarnationName), s.Durable().Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Durable().Load(); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestBootFileDiesWithTheBoot(t *testing.T) {
	s, run := open(t, t.TempDir(), nodeA), t.TempDir()
	lease := func(boot string) *File {
		f, err := s.Boot(run, boot)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	save(t, lease("boot-1"), "sent at 5 s")
	mustLoad(t, lease("boot-1"), "sent at 5 s")
	if _, err := lease("boot-2").Load(); !errors.Is(err, ErrMissing) {
		t.Fatalf("a lease of an earlier boot: %v", err)
	}
	save(t, lease("boot-2"), "sent at 1 s")
	mustLoad(t, lease("boot-2"), "sent at 1 s")
	if _, err := s.Boot(run, ""); err == nil {
		t.Fatal("without a boot id every file would count")
	}
}

func TestTornNewFileHarmsNothing(t *testing.T) {
	f := open(t, t.TempDir(), nodeA).Durable()
	save(t, f, "epoch 41")
	next := encode(record{kind: "agent", id: nodeA, body: []byte("epoch 42")})
	for n := range len(next) + 1 {
		if err := os.WriteFile(f.Path()+".new", next[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, f, "epoch 41")
	}
	save(t, f, "epoch 43")
	mustLoad(t, f, "epoch 43")
}

func TestIncarnationGrowsWithEveryStart(t *testing.T) {
	dir := t.TempDir()
	for want := uint64(1); want <= 3; want++ {
		s := open(t, dir, nodeA)
		if got, err := s.NextIncarnation(); err != nil || got != want {
			t.Fatalf("start %d counts as %d, %v", want, got, err)
		}
		save(t, s.Durable(), "epoch 1")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, nodeA)
	if err := os.Remove(filepath.Join(dir, incarnationName)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.NextIncarnation(); !errors.Is(err, ErrMissing) {
		t.Fatalf("the counter is lost, the state is not: %d, %v", n, err)
	}
	if err := os.WriteFile(filepath.Join(dir, incarnationName), []byte("9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := s.NextIncarnation(); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("the counter is damaged: %d, %v", n, err)
	}
}

func TestSecondAgentIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nodeA)
	_, err := Open(dir, nodeA)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nodeA)
}

func TestIdentityMustBeNamed(t *testing.T) {
	for _, id := range []Identity{{}, {Cluster: "shop"}, {Node: "a"}, {"shop", strings.Repeat("x", 300)}} {
		if _, err := Open(t.TempDir(), id); err == nil {
			t.Errorf("%+v was taken", id)
		}
	}
}

func TestBootIDIsOneWordAndStays(t *testing.T) {
	a, err := BootID()
	if err != nil || len(a) != 36 {
		t.Fatalf("%q, %v", a, err)
	}
	if b, _ := BootID(); a != b {
		t.Fatalf("%q became %q", a, b)
	}
}

func BenchmarkSaveDurable(b *testing.B) {
	s, err := Open(b.TempDir(), nodeA)
	if err != nil {
		b.Fatal(err)
	}
	f, body := s.Durable(), bytes.Repeat([]byte("x"), 4096)
	for b.Loop() {
		if err := f.Save(body); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func TestRaisedIncarnationNeverGoesBack(t *testing.T) {
	s := open(t, t.TempDir(), Identity{"nfs1", "node-a"})
	defer s.Close()
	for _, step := range []struct {
		raise, next uint64
	}{{7, 8}, {3, 9}} { // a lower number changes nothing
		if err := s.RaiseIncarnation(step.raise); err != nil {
			t.Fatal(err)
		}
		n, err := s.NextIncarnation()
		if err != nil || n != step.next {
			t.Fatalf("after raising to %d the next start is number %d (%v), want %d", step.raise, n, err, step.next)
		}
	}
}
