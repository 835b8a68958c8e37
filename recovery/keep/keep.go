// Package keep keeps what a recovery is about to overwrite: a volume's data and
// its metadata, in a directory of its own, until an operator releases it. The end
// of a resynchronisation deletes nothing, and neither does a full store: it
// refuses the next copy instead.
package keep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Volume is what is to be kept.
type Volume struct {
	Recovery string `json:"recovery"` // names the recovery; part of the path
	Group    string `json:"group"`
	Resource string `json:"resource"`
	Number   int    `json:"number"`
	Device   string `json:"device"` // the backing device
	Size     uint64 `json:"size"`   // bytes
	// Metadata is the text of "drbdadm dump-md".
	Metadata string `json:"-"`
}

// Kept is a volume whose data is safe.
type Kept struct {
	Volume
	Driver string    `json:"driver"`
	Source string    `json:"source"` // what to look into: a file or a device
	Made   time.Time `json:"made"`
	Bytes  uint64    `json:"bytes"` // of room that it takes at the most
	dir    string
}

// Driver makes copies or snapshots of one kind.
type Driver interface {
	Name() string
	// Keep makes the copy in dir, which is there and empty, and returns what to
	// look into, durably written, and the bytes it takes. After an error what it
	// left behind is removed by Drop.
	Keep(ctx context.Context, v Volume, dir string) (source string, bytes uint64, err error)
	// Drop gives a copy up. One that is not there is no error.
	Drop(ctx context.Context, v Volume, dir string) error
}

// Store is the directory in which a node keeps copies. Its methods belong to one
// goroutine.
type Store struct {
	Dir string
	// Quota is how many bytes all copies together may take.
	Quota  uint64
	Driver Driver
	Now    func() time.Time
}

const (
	manifest = "kept.json"
	metadata = "metadata.txt"
)

// ErrFull says that the store's quota leaves no room.
var ErrFull = errors.New("the store of kept copies is full")

var plain = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

func (s *Store) dir(v Volume) (string, error) {
	for _, name := range []string{v.Recovery, v.Group, v.Resource} {
		if !plain.MatchString(name) || strings.Contains(name, "..") {
			return "", fmt.Errorf("keep %s/%d: %q cannot be part of a path", v.Resource, v.Number, name)
		}
	}
	return filepath.Join(s.Dir, v.Group, v.Recovery, fmt.Sprintf("%s-%d", v.Resource, v.Number)), nil
}

// Keep keeps a volume's data and metadata. A volume that was kept for the same
// recovery already is not copied again: what it held then is what counts.
func (s *Store) Keep(ctx context.Context, v Volume) (Kept, error) {
	dir, err := s.dir(v)
	if err != nil {
		return Kept{}, err
	}
	if k, err := read(dir); err == nil {
		return k, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Kept{}, err
	}
	if err := s.room(v); err != nil {
		return Kept{}, err
	}
	k, err := s.make(ctx, v, dir)
	if err != nil {
		err = fmt.Errorf("keep %s/%d of group %s: %w", v.Resource, v.Number, v.Group, err)
		return Kept{}, errors.Join(err, s.Driver.Drop(context.WithoutCancel(ctx), v, dir), os.RemoveAll(dir))
	}
	return k, nil
}

func (s *Store) room(v Volume) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	used := uint64(0)
	for _, k := range all {
		used += k.Bytes
	}
	if used+v.Size > s.Quota {
		return fmt.Errorf("keep %s/%d: %w: %d of %d bytes are used and up to %d more are needed; release a copy (the oldest is %s) or raise the quota",
			v.Resource, v.Number, ErrFull, used, s.Quota, v.Size, oldest(all))
	}
	return nil
}

func oldest(all []Kept) string {
	if len(all) == 0 {
		return "none: nothing is kept"
	}
	return fmt.Sprintf("recovery %s of group %s, %s", all[0].Recovery, all[0].Group, all[0].Made.Format(time.DateTime))
}

func (s *Store) make(ctx context.Context, v Volume, dir string) (Kept, error) {
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut short
		return Kept{}, fmt.Errorf("clear its directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Kept{}, fmt.Errorf("make its directory: %w", err)
	}
	if err := writeSynced(filepath.Join(dir, metadata), []byte(v.Metadata)); err != nil {
		return Kept{}, err
	}
	source, bytes, err := s.Driver.Keep(ctx, v, dir)
	if err != nil {
		return Kept{}, err //nolint:wrapcheck // Keep wraps
	}
	k := Kept{Volume: v, Driver: s.Driver.Name(), Source: source, Made: s.Now().UTC(), Bytes: bytes, dir: dir}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return Kept{}, fmt.Errorf("write down what was kept: %w", err)
	}
	// The manifest is the last thing written: without it nothing counts as kept.
	if err := writeSynced(filepath.Join(dir, manifest), text); err != nil {
		return Kept{}, err
	}
	return k, syncDirs(dir, s.Dir)
}

// List returns all that is kept, the oldest first.
func (s *Store) List() ([]Kept, error) {
	found, err := filepath.Glob(filepath.Join(s.Dir, "*", "*", "*", manifest))
	if err != nil {
		return nil, fmt.Errorf("list kept copies: %w", err)
	}
	var all []Kept
	for _, f := range found {
		k, err := read(filepath.Dir(f))
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(a, b Kept) int { return a.Made.Compare(b.Made) })
	return all, nil
}

// Metadata returns the dump that was kept with a copy.
func (k Kept) Metadata() (string, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, metadata))
	if err != nil {
		return "", fmt.Errorf("read the kept metadata: %w", err)
	}
	return string(text), nil
}

// Release gives a copy up for good. Its manifest goes first: half a copy is none.
func (s *Store) Release(ctx context.Context, k Kept) error {
	if k.Driver != s.Driver.Name() {
		return fmt.Errorf("release %s/%d of recovery %s: it was made by driver %s and the store uses %s now: set that one again", k.Resource, k.Number, k.Recovery, k.Driver, s.Driver.Name())
	}
	if err := s.Driver.Drop(ctx, k.Volume, k.dir); err != nil {
		return fmt.Errorf("release %s/%d of recovery %s: %w", k.Resource, k.Number, k.Recovery, err)
	}
	if err := os.Remove(filepath.Join(k.dir, manifest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release %s/%d of recovery %s: %w", k.Resource, k.Number, k.Recovery, err)
	}
	if err := os.RemoveAll(k.dir); err != nil {
		return fmt.Errorf("release %s/%d of recovery %s: %w", k.Resource, k.Number, k.Recovery, err)
	}
	return nil
}

func read(dir string) (Kept, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifest))
	if err != nil {
		return Kept{}, fmt.Errorf("read what was kept: %w", err)
	}
	k := Kept{dir: dir}
	if err := json.Unmarshal(text, &k); err != nil {
		return Kept{}, fmt.Errorf("read what was kept in %s: %w; the copy beside it may still be good", dir, err)
	}
	return k, nil
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncDirs makes the names from dir up to top durable.
func syncDirs(dir, top string) error {
	for {
		d, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("make %s durable: %w", dir, err)
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return fmt.Errorf("make %s durable: %w", dir, err)
		}
		if dir == top || dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}
