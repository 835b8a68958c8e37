package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPackedFilesAreTheSameElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "first")
	write(t, filepath.Join(dir, "deep/er/b"), strings.Repeat("second", 100000))
	write(t, filepath.Join(dir, "deep/other"), "not asked for")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, err := range []error{
		os.Symlink("../a", filepath.Join(dir, "deep/link")), os.Chmod(filepath.Join(dir, "a"), 0o640),
		os.Chtimes(filepath.Join(dir, "deep/er"), old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	if err := Pack(t.Context(), dir, []string{"a", "deep/er", "deep/link"}, &archive); err != nil {
		t.Fatal(err)
	}
	again := bytes.NewReader(archive.Bytes())
	to := t.TempDir()
	files, err := Unpack(&archive, to)
	if err != nil || !slices.Equal(files, []string{"a", "deep/er/b", "deep/link"}) {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		if !bytes.Equal(content(t, filepath.Join(dir, f)), content(t, filepath.Join(to, f))) {
			t.Errorf("%s differs", f)
		}
	}
	a, err := os.Stat(filepath.Join(to, "a"))
	if err != nil || a.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", a, err)
	}
	if d, err := os.Stat(filepath.Join(to, "deep/er")); err != nil || !d.ModTime().Equal(old) {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "deep/other")); err == nil {
		t.Error("more was packed than was asked for")
	}
	if _, err := Unpack(again, to); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("it was written over: %v", err)
	}
	for _, bad := range []string{"nowhere", "../a", "/etc/passwd"} {
		if err := Pack(t.Context(), dir, []string{bad}, new(bytes.Buffer)); err == nil {
			t.Errorf("%s was packed", bad)
		}
	}
	var all bytes.Buffer
	if err := Pack(t.Context(), dir, nil, &all); err != nil {
		t.Fatal(err)
	}
	if files, err := Unpack(&all, t.TempDir()); err != nil || len(files) != 4 {
		t.Errorf("%q, %v", files, err)
	}
}

func TestArchiveDoesNotLeadOutOfItsDirectory(t *testing.T) {
	for _, name := range []string{"../out", "link/out"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []*tar.Header{
			{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o644},
		} {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(&b, dir); err == nil {
			t.Errorf("%s was unpacked", name)
		}
		if _, err := os.Stat(filepath.Join(dir, "..", "out")); err == nil {
			t.Errorf("%s got out", name)
		}
	}
}

func TestNamesThatAreNotUTF8ArePackedToo(t *testing.T) {
	dir, there := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "gr\xfc\xdfe/br\xfccke"), "text")
	write(t, filepath.Join(dir, "two\nlines"), "text")
	for _, names := range [][]string{nil, {"gr\xfc\xdfe", "two\nlines"}} {
		to := filepath.Join(there, strings.Repeat("x", len(names)+1))
		var tape bytes.Buffer
		if err := errors.Join(os.Mkdir(to, 0o700), Pack(t.Context(), dir, names, &tape)); err != nil {
			t.Fatal(err)
		}
		if files, err := Unpack(&tape, to); err != nil || len(files) != 2 || string(content(t, filepath.Join(to, "gr\xfc\xdfe/br\xfccke"))) != "text" {
			t.Errorf("%q, %v", files, err)
		}
	}
}
