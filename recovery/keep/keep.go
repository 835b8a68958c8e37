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
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sbarbiter/recovery"
)

// Volume is what is to be kept.
type Volume struct {
	Recovery string `json:"recovery"` // names the recovery; part of the path
	Group    string `json:"group"`
	Resource string `json:"resource"`
	Number   int    `json:"number"`
	Device   string `json:"device"` // the backing device
	Size     uint64 `json:"size"`   // bytes
	// Changes is how many bytes may be overwritten while the copy is kept, at most;
	// 0: all of it.
	Changes uint64 `json:"changes,omitempty"`
	// Written is what DRBD says was written to the disk since it was attached, in KiB,
	// right before the copy was made.
	Written uint64 `json:"written_kib,omitempty"`
	// Marked is how many bytes of it DRBD had as changed then; nil: not known.
	Marked *uint64 `json:"marked,omitempty"`
	// Generation is DRBD's line of what was decided on. What is kept under the same
	// name of another generation belongs to another recovery.
	Generation string `json:"generation,omitempty"`
	// Label names what a driver makes; the store gives it.
	Label string `json:"label,omitempty"`
	// Promised is what the same recovery's other volumes will take.
	Promised Promises `json:"-"`
	// AtMost is what the store's quota leaves; 0: not told.
	AtMost uint64 `json:"-"`
	// At is what Keep has returned to look into, for Drop; "": it has not come that far.
	At string `json:"-"`
}

// changes is Changes, or all where that is not known.
func (v Volume) changes() uint64 {
	if v.Changes == 0 {
		return v.Size
	}
	return min(v.Changes, v.Size)
}

// Promises are how many bytes will be taken where: by the places of offers, and by "" all
// of it, which counts towards the quota.
type Promises map[string]uint64

// left is what is there of so many bytes besides what is promised.
func (p Promises) left(place string, of uint64) uint64 { return of - min(p[place], of) }

func (p Promises) add(place string, bytes uint64) { p[place] += min(bytes, math.MaxUint64-p[place]) }

// Kept is a volume whose data is safe.
type Kept struct {
	Volume
	Driver string    `json:"driver"`
	Source string    `json:"source"` // what to look into: a file or a device
	Made   time.Time `json:"made"`
	Bytes  uint64    `json:"bytes"` // of room that it takes at the most
	// Place is what it takes them from as the volume is overwritten; "": it has them.
	Place string `json:"place,omitempty"`
	dir   string
}

// Offer is what a driver could do for a volume.
type Offer struct {
	Room uint64 // bytes of changes that a copy could hold
	Cost uint64 // bytes that it takes at the most
	// Place names what it takes them from, where several volumes may share that; "": the
	// directory, or not known.
	Place string
	// Later: it takes them as the volume is overwritten, and nothing when it is made.
	Later bool
}

// Driver makes copies or snapshots of one kind.
type Driver interface {
	Name() string
	// Offer says what a copy of the volume in dir could hold and would take. An
	// error says why none can be made.
	Offer(ctx context.Context, v Volume, dir string) (Offer, error)
	// Keep makes the copy in dir, which is there and empty, and returns what to
	// look into, durably written, and the bytes it takes. After an error what it
	// left behind is removed by Drop.
	Keep(ctx context.Context, v Volume, dir string) (source string, bytes uint64, err error)
	// Drop gives a copy up, by its label or by where it is: the device may be called
	// otherwise by now. One that is not there is no error.
	Drop(ctx context.Context, v Volume, dir string) error
}

// Checker is a driver that can tell more of a copy than whether its file or device is there.
type Checker interface {
	// Check returns an error if the copy is lost.
	Check(ctx context.Context, k Kept) error
}

// Grower is a driver whose copies are lost once more is overwritten than they have room for.
type Grower interface {
	// Grow sees to it that a copy can hold so many bytes of changes, of free bytes at the
	// most, and returns what it takes then. An error says why it cannot, and wraps ErrFull
	// where room is all that it lacks.
	Grow(ctx context.Context, k Kept, changes, free uint64) (bytes uint64, err error)
}

// Store is the directory in which a node keeps copies. Its methods belong to one
// goroutine.
type Store struct {
	Dir string
	// Quota is how many bytes all copies together may take.
	Quota uint64
	// Drivers are asked in this order; the first that can keep a volume does.
	Drivers []Driver
	Now     func() time.Time
}

const manifest = "kept.json"

// ErrFull says that there is no room for another copy.
var ErrFull = errors.New("the store of kept copies is full")

func (s *Store) dir(v Volume) (string, error) {
	for _, name := range []string{v.Recovery, v.Group, v.Resource} {
		if !recovery.IsName(name) {
			return "", fmt.Errorf("keep %s/%d: %q cannot be part of a path", v.Resource, v.Number, name)
		}
	}
	return filepath.Join(s.Dir, v.Group, v.Recovery, fmt.Sprintf("%s-%d", v.Resource, v.Number)), nil
}

// Find returns what is kept of a volume for its recovery.
func (s *Store) Find(v Volume) (Kept, bool, error) {
	dir, err := s.dir(v)
	if err != nil {
		return Kept{}, false, err
	}
	k, err := read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Kept{}, false, nil
	case err != nil:
		return Kept{}, false, err
	case v.Generation != "" && k.Generation != "" && v.Generation != k.Generation:
		return Kept{}, false, fmt.Errorf("what is kept of %s/%d as %q is of another recovery, which had the same name (%s, made %s): release it (sbagent recovery release %s --recovery %s) once nobody needs it",
			v.Resource, v.Number, v.Recovery, k.Generation, k.Made.Format(time.DateTime), v.Group, v.Recovery)
	}
	return k, true, nil
}

// Keep keeps a volume's data. A volume that was kept for the same recovery
// already is not copied again: what it held then is what counts.
func (s *Store) Keep(ctx context.Context, v Volume) (Kept, error) {
	if k, found, err := s.Find(v); err != nil || found {
		return k, err
	}
	dir, err := s.dir(v)
	if err != nil {
		return Kept{}, err
	}
	if v.AtMost, err = s.free(); err != nil {
		return Kept{}, err
	}
	if v.Promised, err = s.promised(v); err != nil {
		return Kept{}, err
	}
	v.Label = v.newLabel()
	d, place, err := s.choose(ctx, v, dir)
	if err != nil {
		return Kept{}, fmt.Errorf("keep %s/%d of group %s: %w", v.Resource, v.Number, v.Group, err)
	}
	k, err := s.make(ctx, d, Kept{Volume: v, Driver: d.Name(), Place: place, dir: dir})
	if err != nil {
		err = fmt.Errorf("keep %s/%d of group %s: %w", v.Resource, v.Number, v.Group, err)
		return Kept{}, errors.Join(err, d.Drop(context.WithoutCancel(ctx), v, dir), os.RemoveAll(dir))
	}
	return k, nil
}

func (s *Store) make(ctx context.Context, d Driver, k Kept) (Kept, error) {
	// Of an attempt that was cut short.
	err := errors.Join(d.Drop(ctx, k.Volume, k.dir), os.RemoveAll(k.dir))
	if err != nil {
		return Kept{}, fmt.Errorf("clear its directory: %w", err)
	}
	if err = os.MkdirAll(k.dir, 0o700); err != nil {
		return Kept{}, fmt.Errorf("make its directory: %w", err)
	}
	if k.Source, k.Bytes, err = d.Keep(ctx, k.Volume, k.dir); err != nil {
		return Kept{}, err //nolint:wrapcheck // Keep wraps
	}
	k.Made = s.now()
	// The manifest is the last thing written: without it nothing counts as kept.
	return k, s.note(k)
}

// note writes the manifest, in one step: half of one would hide a copy that is good.
func (s *Store) note(k Kept) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("write down what was kept: %w", err)
	}
	file := filepath.Join(k.dir, manifest)
	if err := writeSynced(file+".new", text); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write down what was kept: %w", err)
	}
	return syncDirs(k.dir, s.Dir)
}

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Now().UTC()
	}
	return s.Now().UTC()
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

// Release gives a copy up for good. Its manifest goes first: half a copy is none. It
// comes back if the driver cannot give the copy up, which is then to be done again.
func (s *Store) Release(ctx context.Context, k Kept) error {
	i := slices.IndexFunc(s.Drivers, func(d Driver) bool { return d.Name() == k.Driver })
	if i < 0 {
		return fmt.Errorf("release %s/%d of recovery %s: it was made by driver %s, which the store does not use now: set that one again", k.Resource, k.Number, k.Recovery, k.Driver)
	}
	k.At = k.Source
	file := filepath.Join(k.dir, manifest)
	// What is left after a crash here is found by nobody and costs room, no data.
	for _, step := range []func() error{
		func() error { return ifThere(os.Rename(file, file+".released")) },
		func() error {
			err := s.Drivers[i].Drop(ctx, k.Volume, k.dir)
			if err != nil {
				err = errors.Join(err, ifThere(os.Rename(file+".released", file)))
			}
			return err
		},
		func() error { return os.RemoveAll(k.dir) },
		func() error { return ifThere(os.Remove(k.dir + metadata)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("release %s/%d of recovery %s: %w", k.Resource, k.Number, k.Recovery, err)
		}
	}
	return nil
}

func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
