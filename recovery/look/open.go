package look

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Where a superblock says that its log was not applied (the flag "recover" among
// the incompatible features of ext4).
const (
	extFeatures = extStart + 0x60
	extRecover  = 0x4
)

// Open makes the copy on source readable, whatever known file system it has: an
// image file, a snapshot, or a device, even one that somebody else holds, as DRBD
// does its disk. Such a disk must not be written to meanwhile.
func Open(ctx context.Context, source string) (*Mounted, error) {
	fstype := Type(source)
	if fstype == "" {
		return nil, fmt.Errorf("look into %s: it has neither ext4 nor xfs at its beginning", source)
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("look into a copy: %w", err)
	}
	note := ""
	if unclean(source) {
		note = "it was not unmounted, and its log is not applied: what was written last may be missing"
	}
	if info.Mode().IsRegular() {
		m, err := Mount(ctx, source, fstype)
		if err == nil {
			m.Note = note
		}
		return m, err
	}
	// A loop device reads a disk that is held; past the page cache, beneath which
	// DRBD writes.
	loop, err := losetup(ctx, source)
	if err != nil {
		return nil, err
	}
	m, err := Mount(ctx, loop, fstype)
	if err != nil {
		return nil, errors.Join(err, detach(loop))
	}
	m.Note, m.loop = note, loop
	return m, nil
}

func losetup(ctx context.Context, source string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", "--read-only", "--direct-io=on", source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("look into %s through a loop device: %w: %s", source, err, strings.TrimSpace(string(out)))
	}
	lines := strings.Fields(string(out))
	return lines[len(lines)-1], nil
}

func detach(loop string) error {
	if out, err := exec.Command("losetup", "--detach", loop).CombinedOutput(); err != nil {
		return fmt.Errorf("give the loop device %s back: %w: %s", loop, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// unclean reports whether the log of an ext4 still has to be applied; xfs does not
// say so in its superblock.
func unclean(path string) bool {
	b, err := readStart(path)
	return err == nil && binary.LittleEndian.Uint16(b[extMagic:]) == extMagicWord &&
		binary.LittleEndian.Uint32(b[extFeatures:])&extRecover != 0
}

// Live shows a file system that is mounted at point as it is at this moment,
// through a mount of its own by which nothing is changed, not even when something
// was last read.
func Live(point string) (*Mounted, error) {
	dir, err := os.MkdirTemp("", "sbarbiter-look-")
	if err != nil {
		return nil, fmt.Errorf("make a mount point: %w", err)
	}
	if err := unix.Mount(point, dir, "", unix.MS_BIND, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("look into %s: %w", point, err), os.Remove(dir))
	}
	m := &Mounted{Dir: dir}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC)
	if err := unix.Mount("", dir, "", flags, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("look into %s: %w", point, err), m.Close())
	}
	return m, nil
}
