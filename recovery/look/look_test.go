package look

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/recovery"
)

// image makes a file system in a file, with some files in it.
func image(t *testing.T, fstype string, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("needs loop devices")
	}
	path := filepath.Join(t.TempDir(), fstype+".img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs."+fstype, "-q", path).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.%s: %v: %s", fstype, err, out)
	}
	writing(t, path, fstype, func(dir string) {
		for _, f := range []string{"same", "changed", "deleted", "dir/inside"} {
			write(t, filepath.Join(dir, f), "before "+f)
		}
	})
	return path
}

// writing mounts an image as an application would, and unmounts it again.
func writing(t *testing.T, path, fstype string, do func(dir string)) {
	t.Helper()
	dir := mounted(t, path, fstype)
	do(dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}

func mounted(t *testing.T, path, fstype string) string {
	t.Helper()
	dir := t.TempDir()
	options := "loop"
	if fstype == "xfs" {
		options += ",nouuid"
	}
	if out, err := exec.Command("mount", "-t", fstype, "-o", options, path, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount %s here: %v: %s", fstype, err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "copy.img")
	if out, err := exec.Command("cp", "--sparse=always", path, other).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return other
}

func sum(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(data)
	return s[:]
}

// listed mounts a copy, lists it, and wants not a bit of it changed.
func listed(t *testing.T, path, fstype string) []recovery.Entry {
	t.Helper()
	before := sum(t, path)
	m, err := Mount(t.Context(), path, fstype)
	if err != nil {
		t.Fatal(err)
	}
	list, unreadable, err := List(t.Context(), m.Dir)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || len(unreadable) > 0 {
		t.Fatalf("%v; unreadable %v", err, unreadable)
	}
	if !bytes.Equal(before, sum(t, path)) {
		t.Error("looking changed the copy")
	}
	return list
}

func TestTwoCopiesShowWhatEachSideWrote(t *testing.T) {
	for fstype, size := range map[string]int64{"ext4": 16 << 20, "xfs": 320 << 20} {
		t.Run(fstype, func(t *testing.T) {
			victim := image(t, fstype, size)
			survivor := copyOf(t, victim)
			time.Sleep(20 * time.Millisecond) // file systems stamp by the kernel's tick
			fork := time.Now()
			time.Sleep(20 * time.Millisecond)
			writing(t, victim, fstype, func(dir string) {
				write(t, filepath.Join(dir, "dir/only on the victim"), "lost")
				write(t, filepath.Join(dir, "changed"), "the victim's")
			})
			writing(t, survivor, fstype, func(dir string) {
				write(t, filepath.Join(dir, "only on the survivor"), "kept")
				write(t, filepath.Join(dir, "same"), "the survivor's")
				if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
					t.Fatal(err)
				}
			})
			diff := recovery.CompareFiles(listed(t, victim, fstype), listed(t, survivor, fstype), recovery.Forks{Victim: fork, Survivor: fork})
			want := []string{
				"changed: reverted", "deleted: kept", "dir/only on the victim: lost",
				"only on the survivor: kept", "same: kept",
			}
			if got := words(diff); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if l := recovery.CountLoss(diff); l.Files != 2 || l.Bytes != uint64(len("lost")+len("the victim's")) {
				t.Errorf("%+v", l)
			}
		})
	}
}

func words(diff []recovery.Difference) []string {
	var out []string
	for _, d := range diff {
		out = append(out, fmt.Sprintf("%s: %s", d.Path, d.Fate))
	}
	return out
}

func TestCopyThatWasNeverUnmountedIsReadWithoutReplayingItsLog(t *testing.T) {
	path := image(t, "ext4", 16<<20)
	dir := mounted(t, path, "ext4")
	write(t, filepath.Join(dir, "late"), "written and synced")
	if out, err := exec.Command("sync", "-f", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	crashed := copyOf(t, path)
	// What the log alone holds may be missing; what counts is that nothing is
	// written, which listed checks.
	if list := listed(t, crashed, "ext4"); len(list) < 4 {
		t.Errorf("%v", list)
	}
}

func TestWhatCannotBeReadWithoutWritingIsRefused(t *testing.T) {
	if _, err := Mount(t.Context(), "/nonexistent", "btrfs"); err == nil || !strings.Contains(err.Error(), "ext4, ext3 and xfs can") {
		t.Errorf("%v", err)
	}
	if _, err := Mount(t.Context(), "/nonexistent", "ext4"); err == nil {
		t.Error("mounted nothing")
	}
	if os.Geteuid() != 0 {
		return
	}
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	write(t, rubbish, strings.Repeat("rubbish", 10000))
	if _, err := Mount(t.Context(), rubbish, "ext4"); err == nil || !strings.Contains(err.Error(), "mount "+rubbish) {
		t.Errorf("%v", err)
	}
}

// BenchmarkListing lists 10,000 files.
func BenchmarkListing(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		path := filepath.Join(dir, fmt.Sprint(i%100), fmt.Sprint(i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if list, _, err := List(b.Context(), dir); err != nil || len(list) != 10_100 {
			b.Fatal(len(list), err)
		}
	}
}

func TestMountedAndHeldCopiesAreReadAsTheyAre(t *testing.T) {
	path := image(t, "ext4", 16<<20)
	if Type(path) != "ext4" {
		t.Errorf("%q", Type(path))
	}
	if at := LastWrite(path); time.Since(at).Abs() > time.Hour {
		t.Errorf("written %v", at)
	}
	out, err := exec.Command("losetup", "--find", "--show", path).Output()
	if err != nil {
		t.Skipf("no loop device: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = detach(loop) })
	m, err := Open(t.Context(), loop)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := List(t.Context(), m.Dir)
	if err := m.Close(); err != nil || len(list) < 4 {
		t.Errorf("%v, %v", list, err)
	}
	if err != nil || m.Note != "" {
		t.Errorf("%q, %v", m.Note, err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", loop, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	write(t, filepath.Join(dir, "late"), "x")
	live, err := Live(dir)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) { // others on this machine may look at theirs
		if strings.Contains(line, "sbarbiter-look-") && strings.Contains(line, " "+loop+" ") {
			t.Errorf("a killed process would leave a mount behind: %s", line)
		}
	}
	if err := os.WriteFile(filepath.Join(live.Dir, "bad"), nil, 0o600); err == nil {
		t.Error("it can be written to")
	}
	now, _, err := List(t.Context(), live.Dir)
	if err := errors.Join(err, live.Close()); err != nil || len(now) != len(list)+1 {
		t.Errorf("%d and %d, %v", len(list), len(now), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "late")); err != nil {
		t.Errorf("the mount itself is gone: %v", err)
	}
	if err := exec.Command("sync", "-f", dir).Run(); err != nil {
		t.Fatal(err)
	}
	if !unclean(path) {
		t.Error("a mounted file system's disk looks clean")
	}
}

// A pair's file systems are often told to panic at an error, so that the other node
// takes over. A copy with an error in it must not take down who looks at it.
func TestCopyThatWantsAPanicAtAnErrorGetsNone(t *testing.T) {
	path := image(t, "ext4", 16<<20)
	for _, dirty := range []bool{false, true} {
		if out, err := exec.Command("tune2fs", "-e", "panic", path).CombinedOutput(); err != nil {
			t.Skipf("needs tune2fs: %v: %s", err, out)
		}
		source := path
		if dirty {
			source = filepath.Join(t.TempDir(), "dirty.img")
			mounted(t, path, "ext4")
			if out, err := exec.Command("cp", path, source).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		m, err := Open(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		mounts, err := os.ReadFile("/proc/mounts")
		if err := errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, m.Dir) && !strings.Contains(line, "errors=continue") {
				t.Errorf("mounted as %s", line)
			}
		}
	}
}
