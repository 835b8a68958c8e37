// Package archive carries files from one machine to another as they are: content,
// owner, mode and time. Extended attributes stay behind.
package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Pack writes files of a copy as a tar archive: those that are named, from the
// copy's root, with all that is in a directory that is named; or everything if
// none is. A name that is not there is an error.
func Pack(ctx context.Context, dir string, names []string, to io.Writer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	defer root.Close()
	if len(names) == 0 {
		names = []string{"."}
	}
	w := tar.NewWriter(to)
	p := packing{ctx: ctx, root: root, to: w, packed: map[string]bool{}}
	for _, n := range names {
		if err := p.tree(filepath.Clean(n)); err != nil {
			return fmt.Errorf("pack files: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	return nil
}

type packing struct {
	ctx    context.Context
	root   *os.Root
	to     *tar.Writer
	packed map[string]bool
}

// tree packs a file, the directories that lead to it, and what is in it.
func (p *packing) tree(name string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leads out of the copy", name)
	}
	parts := strings.Split(name, "/")
	for i := range parts[:len(parts)-1] {
		if err := p.one(strings.Join(parts[:i+1], "/")); err != nil {
			return err
		}
	}
	return p.below(name)
}

// below packs a file and what is in it. It does not go by way of fs.FS, which
// refuses names that are not UTF-8.
func (p *packing) below(name string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if name != "." {
		if err := p.one(name); err != nil {
			return err
		}
	}
	info, err := p.root.Lstat(name)
	if err != nil || !info.IsDir() {
		return err
	}
	d, err := p.root.Open(name)
	if err != nil {
		return err
	}
	inside, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	slices.Sort(inside)
	for _, n := range inside {
		if err := p.below(filepath.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// one packs a single entry. What is neither file, directory nor link is left out.
func (p *packing) one(path string) error {
	if p.packed[path] {
		return nil
	}
	p.packed[path] = true
	info, err := p.root.Lstat(path)
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = p.root.Readlink(path); err != nil {
			return err
		}
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = path
	if info.IsDir() {
		h.Name += "/"
	}
	if err := p.to.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := p.root.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(p.to, f)
	return errors.Join(err, f.Close())
}

// Unpack writes an archive of Pack's below dir, which must be there, and returns
// the names of its files. What exists already is not written over.
func Unpack(from io.Reader, dir string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack files: %w", err)
	}
	defer root.Close()
	var files []string
	var dirs []*tar.Header
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return files, fmt.Errorf("unpack files: %w", err)
		}
		name := filepath.Clean(h.Name)
		if err := unpackOne(root, name, h, r); err != nil {
			return files, fmt.Errorf("unpack %s: %w", name, err)
		}
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
			continue
		}
		files = append(files, name)
	}
	// A directory's own time and mode last: what is put into it changes the one and
	// may be kept out by the other.
	for _, h := range slices.Backward(dirs) {
		if err := dress(root, filepath.Clean(h.Name), h); err != nil {
			return files, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	return files, nil
}

func unpackOne(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		err := root.Mkdir(name, 0o700)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
	default:
		return nil
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return dress(root, name, h)
}

// dress gives a file the owner, mode and time that it had. Who is not root leaves
// the owner.
func dress(root *os.Root, name string, h *tar.Header) error {
	if os.Geteuid() == 0 {
		if err := root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if err := root.Chmod(name, h.FileInfo().Mode().Perm()); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}
