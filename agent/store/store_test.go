package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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

const childMark = "SBARBITER_TEST_CHILD"

// child is the calling test again, as a process of its own.
func child(t *testing.T, dir string, flags uintptr) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childMark+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func TestKilledAgentLeavesWholeStateAndNoLock(t *testing.T) {
	if dir := os.Getenv(childMark); dir != "" {
		saveForEver(t, open(t, dir, nodeA).Durable())
	}
	dir := t.TempDir()
	for round := range 8 {
		cmd := child(t, dir, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, acked := bufio.NewScanner(out), -1
		for lines.Scan() {
			n, found := strings.CutPrefix(lines.Text(), "saved ")
			if !found {
				continue
			}
			if acked, err = strconv.Atoi(n); err != nil {
				t.Fatal(err)
			}
			if acked == 20+7*round {
				_ = cmd.Process.Kill() // it may run on for a few saves
			}
		}
		_ = cmd.Wait() // killed
		if acked < 20 {
			t.Fatalf("the agent ended by itself after %d", acked)
		}
		s := open(t, dir, nodeA)
		b, err := s.Durable().Load()
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := bytes.Cut(b, []byte(" "))
		if got, err := strconv.Atoi(string(number)); err != nil || got < acked {
			t.Fatalf("acknowledged %d, loaded %q", acked, number)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func saveForEver(t *testing.T, f *File) {
	t.Helper()
	for n := 0; ; n++ {
		save(t, f, strconv.Itoa(n)+" "+strings.Repeat("x", 40000))
		fmt.Printf("saved %d\n", n)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func TestFullDiskKeepsTheOldState(t *testing.T) {
	if dir := os.Getenv(childMark); dir != "" {
		fillDisk(t, dir)
		return
	}
	needRoot(t)
	out, err := child(t, t.TempDir(), unix.CLONE_NEWNS).CombinedOutput()
	if err != nil {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
}

// fillDisk has a mount namespace of its own, and puts a tiny disk at dir.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, nodeA)
	f := s.Durable()
	if _, err := s.NextIncarnation(); err != nil {
		t.Fatal(err)
	}
	save(t, f, "epoch 41")
	big := bytes.Repeat([]byte("x"), 65536)
	if err := os.WriteFile(filepath.Join(dir, "log"), big, 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for _, body := range [][]byte{[]byte("epoch 42"), big} {
		if err := f.Save(body); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), f.Path()) {
			t.Fatalf("saved on a full disk: %v", err)
		}
		mustLoad(t, f, "epoch 41")
	}
	if n, err := s.NextIncarnation(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("counted on a full disk: %d, %v", n, err)
	}
	if err := os.Remove(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	save(t, f, "epoch 42")
	mustLoad(t, f, "epoch 42")
	if n, err := s.NextIncarnation(); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestDirectoryWithoutPermissionIsNamed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state"), nodeA)
	save(t, s.Durable(), "epoch 41")
	if err := os.Chmod(s.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread without rights ends here
		var none [2]unix.CapUserData
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
			return
		}
		err := s.Durable().Save([]byte("epoch 42"))
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), s.dir) {
			t.Errorf("saved without permission: %v", err)
		}
		if b, err := s.Durable().Load(); err != nil || string(b) != "epoch 41" {
			t.Errorf("%q, %v", b, err)
		}
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Error(err)
		}
		if _, err := Open(filepath.Join(dir, "other"), nodeA); !errors.Is(err, os.ErrPermission) {
			t.Errorf("opened without permission: %v", err)
		}
	}()
	<-done
	for _, d := range []string{dir, s.dir} { // so that it can be removed
		if err := os.Chmod(d, 0o700); err != nil {
			t.Error(err)
		}
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
