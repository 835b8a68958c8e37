package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrMissing means that there is no such file, or, of a boot file, none of this
	// boot. On a first start that is as it should be; an incarnation above 1 says
	// that it was lost.
	ErrMissing = errors.New("nothing is stored")
	// ErrCorrupt is what a [*CorruptError] wraps.
	ErrCorrupt = errors.New("state file is damaged")
	// ErrForeign is what a [*ForeignError] wraps.
	ErrForeign = errors.New("state file is another's")
	// ErrVersion means that a file is whole, and of a format that this agent does
	// not know.
	ErrVersion = errors.New("written by another version of sbagent: use that one")
)

// CorruptError says that a file is not what was written.
type CorruptError struct {
	Path   string
	Reason string
}

// Error says what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged (%s): check the disk and restore the file from where it is whole; "+
		"or move it away, and this node stays in quarantine until a witness or an operator has spoken", e.Path, e.Reason)
}

// Unwrap makes it ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// ForeignError says that a file is whole, and not of this node.
type ForeignError struct {
	Path  string
	Found Identity
	Want  Identity
}

// Error says what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s: belongs to %s, this agent is %s: correct the names in the configuration; "+
		"or, if the disk came from another machine, move the file away", e.Path, e.Found, e.Want)
}

// Unwrap makes it ErrForeign.
func (e *ForeignError) Unwrap() error { return ErrForeign }

// maxFile bounds what Load reads; what an agent stores has a few kilobytes.
const maxFile = 4 << 20

// File is one file of a node's memory. It has one owner: Load and Save are not for
// several goroutines at once.
type File struct {
	path string
	kind string // what it is for, so that two files cannot be swapped
	id   Identity
	boot string // "" in files that outlive the boot
	sync bool
}

// Path is where the file lies.
func (f *File) Path() string { return f.path }

// Load returns what was saved last. Its errors are or wrap [ErrMissing],
// [*CorruptError], [*ForeignError] or [ErrVersion]; any other means that the file could not be
// read and says nothing about it.
func (f *File) Load() ([]byte, error) {
	b, err := f.read()
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("load %s: %w", f.path, ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	r, err := decode(b)
	var d damage
	if errors.As(err, &d) {
		return nil, f.corrupt(string(d))
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", f.path, err)
	}
	if r.kind != f.kind {
		return nil, f.corrupt(fmt.Sprintf("it is a file of kind %q, not %q", r.kind, f.kind))
	}
	if r.id != f.id {
		return nil, &ForeignError{Path: f.path, Found: r.id, Want: f.id}
	}
	if r.boot != f.boot {
		return nil, fmt.Errorf("load %s, which is of an earlier boot: %w", f.path, ErrMissing)
	}
	return r.body, nil
}

func (f *File) read() ([]byte, error) {
	in, err := os.OpenFile(f.path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(in, maxFile+1))
}

func (f *File) corrupt(reason string) error { return &CorruptError{Path: f.path, Reason: reason} }

// Save replaces the contents with body, all or nothing. When a durable file's Save
// returns nil, the new contents outlive a power cut. After an error the file holds
// the old contents; only where the very last step fails (making the new name
// durable) it may hold the new ones.
func (f *File) Save(body []byte) error {
	b := encode(record{kind: f.kind, id: f.id, boot: f.boot, body: body})
	if len(b) > maxFile {
		return fmt.Errorf("save %s: %d bytes, at most %d fit", f.path, len(b), maxFile)
	}
	temp := f.path + ".new"
	if err := f.write(temp, b); err != nil {
		_ = os.Remove(temp) // it is not used; the next Save would overwrite it
		return fmt.Errorf("save state, the old one is kept: %w", err)
	}
	if err := os.Rename(temp, f.path); err != nil {
		_ = os.Remove(temp) // as above
		return fmt.Errorf("save state, the old one is kept: %w", err)
	}
	if !f.sync {
		return nil
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("save %s, the old or the new state is kept: %w", f.path, err)
	}
	return nil
}

func (f *File) write(path string, b []byte) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	if err == nil && f.sync {
		err = out.Sync()
	}
	// Some file systems tell of a full disk only here.
	return errors.Join(err, out.Close())
}

// syncDir makes a rename durable (fsync(2), NOTES).
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
