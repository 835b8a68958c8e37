package look

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

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
	// A loop device reads a disk that is held; past the page cache, beneath which
	// DRBD writes.
	loop, err := losetup(ctx, source)
	if err != nil {
		return nil, err
	}
	m, err := looked(ctx, loop, fstype, unclean(source))
	if err != nil {
		return nil, errors.Join(err, detach(loop))
	}
	m.undo = append([]func() error{func() error { return detach(loop) }}, m.undo...)
	return m, nil
}

// looked mounts what is on a loop device. The log of a copy that was not unmounted is
// applied, if that can be done beside it. Xfs does not say whether it was unmounted.
func looked(ctx context.Context, loop, fstype string, dirty bool) (*Mounted, error) {
	if !dirty && fstype != "xfs" {
		return Mount(ctx, loop, fstype)
	}
	m, failed := replayed(ctx, loop, fstype)
	if failed == nil {
		return m, nil
	}
	m, err := Mount(ctx, loop, fstype)
	if err != nil {
		return nil, err
	}
	m.Note = fmt.Sprintf("its log could not be applied here, so that what was written last may be missing (%v)", failed)
	if !dirty {
		m.Note = "if it was not unmounted, " + m.Note
	}
	return m, nil
}

func losetup(ctx context.Context, source string) (string, error) {
	if _, err := os.Stat("/dev/loop-control"); errors.Is(err, os.ErrNotExist) {
		_, _ = tool(ctx, "modprobe", "loop") // losetup says what is wrong without it
	}
	args := []string{"--find", "--show", "--read-only", source}
	if info, err := os.Stat(source); err == nil && !info.Mode().IsRegular() {
		args = append([]string{"--direct-io=on"}, args...)
	}
	return tool(ctx, "losetup", args...)
}

func detach(loop string) error {
	_, err := tool(context.Background(), "losetup", "--detach", loop)
	return err
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
// was last read. Once it is open the mount is taken out of the file tree, and ends
// with this process: one that is killed leaves nothing behind that would hold the
// device and keep the service's own stop from ending.
func Live(point string) (*Mounted, error) {
	dir, err := os.MkdirTemp("", "sbarbiter-look-")
	if err != nil {
		return nil, fmt.Errorf("make a mount point: %w", err)
	}
	root, err := openReadOnly(point, dir)
	if err := errors.Join(err, os.Remove(dir)); err != nil {
		if root >= 0 {
			err = errors.Join(err, unix.Close(root))
		}
		return nil, fmt.Errorf("look into %s: %w", point, err)
	}
	m := &Mounted{Dir: fmt.Sprintf("/proc/self/fd/%d/.", root)}
	m.later(func() error { return unix.Close(root) })
	return m, nil
}

// openReadOnly mounts point's file system on dir as well, opens that, and takes the
// mount away again.
func openReadOnly(point, dir string) (root int, err error) {
	if err := unix.Mount(point, dir, "", unix.MS_BIND, ""); err != nil {
		return -1, fmt.Errorf("bind it: %w", err)
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC)
	root = -1
	if err = unix.Mount("", dir, "", flags, ""); err == nil {
		root, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return root, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
}
