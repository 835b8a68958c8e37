// Package look reads a copy of a file system without changing a bit of it: it
// mounts a snapshot or a backing device read-only, log recovery left out, and
// lists what is in it.
package look

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbarbiter/recovery"
)

// readOnly are the options with which each file system is mounted so that it
// writes nothing, not even its log, and an error in it ends nothing else, whatever
// its superblock wants (ext4(5), xfs(5)).
var readOnly = map[string]string{
	"ext4": "ro,noload,errors=continue,noatime,nodev,nosuid,noexec",
	"ext3": "ro,noload,errors=continue,noatime,nodev,nosuid,noexec",
	"xfs":  "ro,norecovery,nouuid,noatime,nodev,nosuid,noexec",
}

const mountTimeout = 30 * time.Second

// Mounted is a copy that can be read.
type Mounted struct {
	Dir string
	// Note is what a reader should know of the copy; "" if nothing.
	Note string
	undo []func() error // what was made for it, oldest first
}

// later has something undone when the copy is closed, before what was made earlier.
func (m *Mounted) later(undo func() error) { m.undo = append(m.undo, undo) }

// Mount mounts the copy on source, a block device or an image file, in a private
// directory. A source that is an image is attached to a read-only loop device.
func Mount(ctx context.Context, source, fstype string) (*Mounted, error) {
	options, known := readOnly[fstype]
	if !known {
		return nil, fmt.Errorf("look into %s: a %q file system cannot be read without writing to it; ext4, ext3 and xfs can", source, fstype)
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("look into a copy: %w", err)
	}
	if info.Mode().IsRegular() {
		options += ",loop"
	}
	m := &Mounted{}
	if err := m.mount(ctx, source, fstype, options); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Mounted) mount(ctx context.Context, source, fstype, options string) error {
	dir, err := os.MkdirTemp("", "sbarbiter-look-")
	if err != nil {
		return fmt.Errorf("make a mount point: %w", err)
	}
	m.later(func() error { return os.Remove(dir) })
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mount", "-t", fstype, "-o", options, source, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount %s read-only: %w: %s", source, err, strings.TrimSpace(string(out)))
	}
	m.Dir = dir
	m.later(func() error { return unix.Unmount(dir, unix.UMOUNT_NOFOLLOW) })
	return nil
}

// Close unmounts the copy, and gives back all that was made to look into it.
func (m *Mounted) Close() error {
	for _, undo := range slices.Backward(m.undo) {
		if err := undo(); err != nil {
			return fmt.Errorf("clear away what a copy was looked into with: %w", err)
		}
	}
	m.undo = nil
	return nil
}

// List lists every entry below dir, which is the root of one file system; what
// other file systems are mounted in it is left out. A copy that was not unmounted
// may hold names that cannot be read: they are returned apart, for the operator
// to see.
func List(ctx context.Context, dir string) (entries []recovery.Entry, unreadable []string, err error) {
	var root unix.Stat_t
	if err := unix.Lstat(dir, &root); err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", dir, err)
	}
	entries = []recovery.Entry{} // an empty list is one
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, relErr := filepath.Rel(dir, path)
		if relErr != nil {
			return relErr //nolint:wrapcheck // the walk's own paths
		}
		if err != nil {
			unreadable = append(unreadable, rel)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if rel == "." {
			return nil
		}
		e, dev, err := entry(path, rel)
		switch {
		case err != nil:
			unreadable = append(unreadable, rel)
		case dev != root.Dev:
			return skip(d)
		default:
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return entries, unreadable, nil
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func entry(path, rel string) (recovery.Entry, uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return recovery.Entry{}, 0, fmt.Errorf("look at %s: %w", rel, err)
	}
	return recovery.Entry{
		Path: rel, Kind: kindOf(st.Mode), Size: uint64(st.Size), Inode: st.Ino,
		Written: time.Unix(st.Mtim.Unix()), Changed: time.Unix(st.Ctim.Unix()),
	}, st.Dev, nil
}

func kindOf(mode uint32) recovery.FileKind {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return recovery.FileRegular
	case syscall.S_IFDIR:
		return recovery.FileDir
	case syscall.S_IFLNK:
		return recovery.FileLink
	}
	return recovery.FileOther
}
