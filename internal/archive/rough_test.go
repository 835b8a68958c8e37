package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// ext4 mounts a new file system, whose blocks are listed in inodes so that debugfs can
// damage one file alone.
func ext4(t *testing.T) (image, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	image = filepath.Join(t.TempDir(), "ext4.img")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-b", "4096", "-O", "^extents,^64bit,^metadata_csum,^has_journal", image).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4: %v: %s", err, out)
	}
	return image, mount(t, image, "loop")
}

func mount(t *testing.T, image, options string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", options, image, dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func carried(t *testing.T, from, to string) []string {
	t.Helper()
	var tape bytes.Buffer
	if err := Pack(t.Context(), from, nil, &tape); err != nil {
		t.Fatal(err)
	}
	files, err := Unpack(&tape, to)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// acl is an access list as the kernel takes it (linux/posix_acl_xattr.h): the owner may
// read and write, user 1000 read, the group and others nothing.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" +
	"\x04\x00\x00\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

func TestAttributesAndAccessListsComeAlong(t *testing.T) {
	_, from := ext4(t)
	_, to := ext4(t)
	write(t, filepath.Join(from, "dir/file"), "text")
	given := map[string]map[string]string{
		"dir/file": {
			"user.comment": "gr\xfc\xdfe\x00binary", "user.empty": "", "user.long": strings.Repeat("x", 3000), "trusted.overlay.opaque": "y",
			"system.posix_acl_access": acl, "security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		},
		"dir": {"user.of-a-directory": "yes", "system.posix_acl_default": acl},
	}
	for name, attributes := range given {
		for key, value := range attributes {
			if err := unix.Setxattr(filepath.Join(from, name), key, []byte(value), 0); err != nil {
				t.Fatalf("%s: %s: %v", name, key, err)
			}
		}
	}
	carried(t, from, to)
	for name, attributes := range given {
		for key, want := range attributes {
			got := make([]byte, 4096)
			n, err := unix.Getxattr(filepath.Join(to, name), key, got)
			if err != nil || string(got[:n]) != want {
				t.Errorf("%s: %s is %q, %v", name, key, got[:max(n, 0)], err)
			}
		}
	}
	a, errA := os.Stat(filepath.Join(from, "dir/file"))
	b, errB := os.Stat(filepath.Join(to, "dir/file"))
	if errors.Join(errA, errB) != nil || a.Mode() != b.Mode() {
		t.Errorf("%v and %v: %v", a.Mode(), b.Mode(), errors.Join(errA, errB))
	}
}

func TestAttributesThatAFileSystemDoesNotTakeAreNamed(t *testing.T) {
	_, from := ext4(t)
	write(t, filepath.Join(from, "file"), "text")
	if err := unix.Setxattr(filepath.Join(from, "file"), "user.comment", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := unix.Mount("ramfs", to, "ramfs", 0, ""); err != nil { // which knows of none
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	var tape bytes.Buffer
	if err := Pack(t.Context(), from, nil, &tape); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(&tape, to)
	var some *Incomplete
	if !errors.As(err, &some) || len(some.Left) != 1 || !strings.Contains(some.Left[0], "user.comment") {
		t.Errorf("%v", err)
	}
	if string(content(t, filepath.Join(to, "file"))) != "text" {
		t.Error("the file has another content")
	}
}

func TestRootKeepsSetIDBitsAndOwnersAndNobodyMakesDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	from, to := t.TempDir(), t.TempDir()
	for _, f := range []string{"setuid", "dir/file"} {
		write(t, filepath.Join(from, f), "text")
	}
	for _, err := range []error{
		os.Chown(filepath.Join(from, "setuid"), 1000, 1001), os.Chmod(filepath.Join(from, "setuid"), 0o4750|os.ModeSetuid),
		os.Chmod(filepath.Join(from, "dir"), 0o777|os.ModeSticky|os.ModeSetgid),
		os.Symlink("setuid", filepath.Join(from, "link")), os.Lchown(filepath.Join(from, "link"), 1000, 1001),
		unix.Mknod(filepath.Join(from, "device"), unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))), unix.Mkfifo(filepath.Join(from, "pipe"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if files := carried(t, from, to); !slices.Equal(files, []string{"dir/file", "link", "setuid"}) {
		t.Errorf("%q", files)
	}
	for name, want := range map[string]fs.FileMode{"setuid": 0o750 | fs.ModeSetuid, "dir": 0o777 | fs.ModeDir | fs.ModeSticky | fs.ModeSetgid} {
		if info, err := os.Lstat(filepath.Join(to, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, name := range []string{"setuid", "link"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(to, name), &st); err != nil || st.Uid != 1000 || st.Gid != 1001 {
			t.Errorf("%s belongs to %d:%d, %v", name, st.Uid, st.Gid, err)
		}
	}
	// Nor where an archive says so.
	var tape bytes.Buffer
	w := tar.NewWriter(&tape)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8}), w.Close()); err != nil {
		t.Fatal(err)
	}
	var some *Incomplete
	if _, err := Unpack(&tape, to); !errors.As(err, &some) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(to, "sda")); err == nil {
		t.Error("a device was made")
	}
}

func TestDirectoryThatWasThereKeepsItsMode(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "dir/file"), "text")
	if err := errors.Join(os.Chmod(filepath.Join(from, "dir"), 0o777), os.Mkdir(filepath.Join(to, "dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	carried(t, from, to)
	if info, err := os.Stat(filepath.Join(to, "dir")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// damaged is a copy with a directory, a file and an inode that cannot be read, as after a crash or on a dying disk.
func damaged(t *testing.T) string {
	image, dir := ext4(t)
	for _, f := range []string{"bad-dir/inside", "gone", "good", "zz/last"} {
		write(t, filepath.Join(dir, f), f)
	}
	write(t, filepath.Join(dir, "lost"), strings.Repeat("l", 12<<10))
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"sif /bad-dir block[0] 0x7ffffff0", "sif /lost block[1] 0x7ffffff0", "clri /gone"} {
		if out, err := exec.Command("debugfs", "-w", "-R", request, image).CombinedOutput(); err != nil {
			t.Skipf("needs debugfs: %v: %s", err, out)
		}
	}
	return mount(t, image, "loop,ro,errors=continue")
}

func TestWhatCannotBeReadDoesNotKeepTheRestBack(t *testing.T) {
	from, to := damaged(t), t.TempDir()
	var tape bytes.Buffer
	err := Pack(t.Context(), from, nil, &tape)
	var some *Incomplete
	if !errors.As(err, &some) || len(some.Left) != 3 {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{"bad-dir", "gone", "lost"} {
		if !strings.Contains(some.Left[i], want) {
			t.Errorf("%q is not about %s", some.Left[i], want)
		}
	}
	files, err := Unpack(&tape, to)
	if err != nil || !slices.Equal(files, []string{"good", "zz/last"}) {
		t.Fatalf("%q, %v", files, err)
	}
	// A name that is not there is none that can be read.
	tape.Reset()
	if err := Pack(t.Context(), from, []string{"nowhere", "good"}, &tape); !errors.As(err, &some) || len(some.Left) != 1 {
		t.Errorf("%v", err)
	}
	if files, err := Unpack(&tape, t.TempDir()); err != nil || len(files) != 1 {
		t.Errorf("%q, %v", files, err)
	}
}

func TestFileThatCanBeReadInPartIsBroughtInPart(t *testing.T) {
	var tape bytes.Buffer
	p := packing{ctx: t.Context(), to: tar.NewWriter(&tape)}
	if err := p.to.WriteHeader(&tar.Header{Name: "half", Typeflag: tar.TypeReg, Mode: 0o600, Size: 12 << 10}); err != nil {
		t.Fatal(err)
	}
	from := io.MultiReader(strings.NewReader(strings.Repeat("h", 4096)), iotest.ErrReader(unix.EIO))
	if err := errors.Join(p.content("half", from, 12<<10), p.to.Close()); err != nil {
		t.Fatal(err)
	}
	if len(p.left) != 1 || !strings.Contains(p.left[0], "zeros from byte 4096 on") {
		t.Errorf("%q", p.left)
	}
	to := t.TempDir()
	if _, err := Unpack(&tape, to); err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Repeat([]byte("h"), 4096), make([]byte, 8192)...)
	if got := content(t, filepath.Join(to, "half")); !bytes.Equal(got, want) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestLongListsOfWhatIsLackingAreCut(t *testing.T) {
	var l leftovers
	for i := range 1000 {
		l.leave(fmt.Sprint(i, "\x1b[31m"), errors.New("input/output error"))
	}
	if said := l.err().Error(); len(said) > 2000 || !strings.Contains(said, "and 980 more") || strings.Contains(said, "\x1b") {
		t.Errorf("%s", said)
	}
}
