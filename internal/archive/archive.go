// Package archive carries files from one machine to another as they are: content,
// owner, mode, time, and extended attributes, access lists among them. Device nodes,
// pipes and sockets stay behind: there is nothing in them, and a device's node opens a
// disk of whatever machine it is on.
//
// What cannot be read does not keep the rest back: see [Incomplete].
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

// Incomplete is what Pack or Unpack returns where all went well but for these: each
// says a name, and what could not be read or kept of it.
type Incomplete struct{ Left []string }

const named = 20 // of what is left are said

// ExitIncomplete is the exit code of a program that has packed all but what it names.
const ExitIncomplete = 4

// Error names some of them.
func (e *Incomplete) Error() string {
	some := strings.Join(e.Left[:min(named, len(e.Left))], "; ")
	if more := len(e.Left) - named; more > 0 {
		some += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Sprintf("incomplete: %d could not be brought, all else was: %s", len(e.Left), some)
}

// leftovers collects what could not be brought.
type leftovers struct{ left []string }

func (l *leftovers) leave(name string, err error) {
	var path *fs.PathError
	if errors.As(err, &path) { // which names it again
		err = path.Err
	}
	l.left = append(l.left, fmt.Sprintf("%q: %v", name, err))
}

func (l *leftovers) err() error {
	if len(l.left) == 0 {
		return nil
	}
	return &Incomplete{Left: l.left}
}

// Pack writes files of a copy as a tar archive: those that are named, from the
// copy's root, with all that is in a directory that is named; or everything if
// none is. A name that is not there or cannot be read makes it [Incomplete].
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
		if !filepath.IsLocal(n) {
			return fmt.Errorf("pack files: %q leads out of the copy", n)
		}
	}
	for _, n := range names {
		if err := p.tree(filepath.Clean(n)); err != nil {
			return fmt.Errorf("pack files: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	return p.err()
}

// packing ends with an error only where the archive cannot be written.
type packing struct {
	ctx    context.Context
	root   *os.Root
	to     *tar.Writer
	packed map[string]bool
	leftovers
}

// tree packs a file, the directories that lead to it, and what is in it.
func (p *packing) tree(name string) error {
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
		return nil // one has said so
	}
	inside, err := p.inside(name)
	if err != nil {
		p.leave(name, err)
	}
	for _, n := range inside {
		if err := p.below(filepath.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// inside lists a directory, as far as it can be read.
func (p *packing) inside(name string) ([]string, error) {
	d, err := p.root.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

// one packs a single entry, and remembers what cannot be read of it.
func (p *packing) one(path string) error {
	if p.packed[path] {
		return nil
	}
	p.packed[path] = true
	info, err := p.root.Lstat(path)
	if err != nil {
		p.leave(path, err)
		return nil
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := p.root.Readlink(path)
		if err != nil {
			p.leave(path, err)
			return nil
		}
		return p.head(path, info, to, nil)
	case !info.Mode().IsRegular() && !info.IsDir():
		return nil // there is nothing in it
	}
	f, err := p.root.Open(path)
	if err != nil {
		p.leave(path, err)
		if info.IsDir() { // what is known of it still counts for what is in it
			return p.head(path, info, "", nil)
		}
		return nil
	}
	defer f.Close()
	attributes, err := attributesOf(f)
	if err != nil {
		p.leave(path, err)
	}
	if err := p.head(path, info, "", attributes); err != nil || info.IsDir() {
		return err
	}
	return p.content(path, f, info.Size())
}

func (p *packing) head(path string, info fs.FileInfo, link string, attributes map[string]string) error {
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = path
	if info.IsDir() {
		h.Name += "/"
	}
	h.PAXRecords = attributes
	return p.to.WriteHeader(h)
}

// content packs what is in a file. The archive has said how much that is: where it
// cannot be read, zeros are in its place.
func (p *packing) content(path string, f io.Reader, size int64) error {
	block := make([]byte, 128<<10)
	for at := int64(0); at < size; {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(block[:min(int64(len(block)), size-at)])
		if _, err := p.to.Write(block[:n]); err != nil {
			return err
		}
		at += int64(n)
		if err == nil || at == size {
			continue
		}
		p.leave(path, fmt.Errorf("it has zeros from byte %d on: %w", at, err))
		_, err = io.CopyN(p.to, zeros{}, size-at)
		return err
	}
	return nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
