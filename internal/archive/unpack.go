package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// unpacking writes below one directory.
type unpacking struct {
	root  *os.Root
	files []string
	dirs  []*tar.Header // that it has made
	leftovers
}

// Unpack writes an archive of Pack's below dir, which must be there, and returns
// the names of its files. What exists already is not written over. Attributes that the
// file system there does not take make it [Incomplete].
//
// Root gives a file its owner, and the bits and attributes by which it runs with more
// than its caller's rights; for anybody else it would be himself whose rights it has,
// so they are left out.
func Unpack(from io.Reader, dir string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack files: %w", err)
	}
	defer root.Close()
	u := unpacking{root: root}
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.files, fmt.Errorf("unpack files: %w", err)
		}
		name := filepath.Clean(h.Name)
		if err := u.one(name, h, r); err != nil {
			return u.files, fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	// A directory's own time and mode last: what is put into it changes the one and
	// may be kept out by the other.
	for _, h := range slices.Backward(u.dirs) {
		if err := u.dressDir(filepath.Clean(h.Name), h); err != nil {
			return u.files, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	return u.files, u.err()
}

func (u *unpacking) one(name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		err := u.root.Mkdir(name, 0o700)
		if errors.Is(err, fs.ErrExist) {
			return nil // it stays as it is
		}
		u.dirs = append(u.dirs, h)
		return err
	case tar.TypeSymlink:
		return u.link(name, h)
	case tar.TypeReg:
	default: // Pack has packed nothing else
		u.leave(name, errors.New("it is neither file, directory nor link"))
		return nil
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	u.files = append(u.files, name)
	_, err = io.Copy(f, r)
	return errors.Join(err, u.dress(f, name, h), f.Close())
}

func (u *unpacking) link(name string, h *tar.Header) error {
	if err := u.root.Symlink(h.Linkname, name); err != nil {
		return err
	}
	u.files = append(u.files, name)
	if !privileged() {
		return nil
	}
	return u.root.Lchown(name, h.Uid, h.Gid)
}

func (u *unpacking) dressDir(name string, h *tar.Header) error {
	f, err := u.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(u.dress(f, name, h), f.Close())
}

func privileged() bool { return os.Geteuid() == 0 }

// dress gives a file the owner, attributes, mode and time that it had, in this order:
// each may take from those before it, and what takes most comes first.
func (u *unpacking) dress(f *os.File, name string, h *tar.Header) error {
	mode := h.FileInfo().Mode().Perm()
	if privileged() {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
		mode = h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	for _, err := range setAttributes(f, h.PAXRecords) {
		u.leave(name, err)
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}
