package look

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbarbiter/internal/archive"
)

// crashed is what a machine leaves behind that loses its power: files that were there
// before are changed, removed and added, and what the log alone knows of that was never
// put in its place.
func crashed(t *testing.T, fstype string, size int64) string {
	t.Helper()
	path := image(t, fstype, size)
	dir := mounted(t, path, fstype)
	write(t, filepath.Join(dir, "late"), "written and synced")
	write(t, filepath.Join(dir, "changed"), "after the last checkpoint")
	if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sync", filepath.Join(dir, "late"), filepath.Join(dir, "changed"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return copyOf(t, path)
}

// A log that waits to be applied is not applied to the copy itself: neither preview nor
// salvage changes a bit of what is kept. Where the kernel can lay a layer over it, what
// the log holds is seen; where it cannot, the reader is told that it is not.
func TestLogOfACrashIsNotAppliedToTheCopy(t *testing.T) {
	for fstype, size := range map[string]int64{"ext4": 16 << 20, "xfs": 320 << 20} {
		t.Run(fstype, func(t *testing.T) {
			path := crashed(t, fstype, size)
			before := sum(t, path)
			m, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			list, _, err := List(t.Context(), m.Dir)
			if err != nil {
				t.Error(err)
			}
			var names []string
			for _, e := range list {
				names = append(names, e.Path)
			}
			var tape bytes.Buffer
			packed := archive.Pack(t.Context(), m.Dir, []string{"same", "dir/inside"}, &tape)
			if err := errors.Join(packed, m.Close()); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(before, sum(t, path)) {
				t.Error("the copy was changed")
			}
			for _, f := range []string{"same", "dir/inside"} {
				if !slices.Contains(names, f) {
					t.Errorf("%s is not listed: %q", f, names)
				}
			}
			to := t.TempDir()
			if files, err := archive.Unpack(&tape, to); err != nil || len(files) != 2 {
				t.Fatalf("%q, %v", files, err)
			}
			for _, f := range []string{"same", "dir/inside"} {
				if text, err := os.ReadFile(filepath.Join(to, f)); err != nil || string(text) != "before "+f {
					t.Errorf("%s: %q, %v", f, text, err)
				}
			}
			switch applied := m.Note == ""; {
			case applied && !slices.Contains(names, "late"):
				t.Errorf("the log was applied, and what it holds is missing: %q", names)
			case !applied && !strings.Contains(m.Note, "may be missing"):
				t.Errorf("%q", m.Note)
			}
		})
	}
}

// Both sides of a pair hold file systems of one identity, which xfs refuses to mount
// twice; and a copy is looked into while the other one is mounted for the service.
func TestBothSidesOfOneFileSystemAreReadAtOnce(t *testing.T) {
	path := crashed(t, "xfs", 320<<20)
	service := copyOf(t, path)
	mounted(t, service, "xfs")
	var open []*Mounted
	for range 2 {
		m, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, m)
	}
	for _, m := range open {
		if list, _, err := List(t.Context(), m.Dir); err != nil || len(list) < 3 {
			t.Errorf("%v, %v", list, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
