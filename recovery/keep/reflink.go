package keep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Reflink is the driver for a backing device that is a file, or a loop device on
// one, in a file system whose files can share blocks: btrfs, or xfs. The copy is
// made in no time, beside the file.
type Reflink struct{}

// Name is "reflink".
func (Reflink) Name() string { return "reflink" }

// fileOf is the file that a device stands for.
func fileOf(device string) (string, error) {
	info, err := os.Stat(device)
	if err != nil {
		return "", fmt.Errorf("look at the backing device: %w", err)
	}
	if info.Mode().IsRegular() {
		return device, nil
	}
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return "", fmt.Errorf("look at the backing device: %w", err)
	}
	name, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(real), "loop/backing_file"))
	if err != nil {
		return "", fmt.Errorf("%s is neither a file nor a loop device on one", device)
	}
	return strings.TrimSuffix(string(name), "\n"), nil
}

// beside is where the copy of a file is made: it has to be in the same file system.
func (v Volume) beside(file string) string {
	return filepath.Join(filepath.Dir(file), "."+v.label())
}

// Offer goes by what the file's own file system has left.
func (Reflink) Offer(_ context.Context, v Volume, _ string) (Offer, error) {
	file, err := fileOf(v.Device)
	if err != nil {
		return Offer{}, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(file, &st); err != nil {
		return Offer{}, fmt.Errorf("look at the file system of %s: %w", file, err)
	}
	if st.Type != unix.BTRFS_SUPER_MAGIC && st.Type != unix.XFS_SUPER_MAGIC {
		return Offer{}, fmt.Errorf("the file system of %s is neither btrfs nor xfs", file)
	}
	place := fmt.Sprintf("file system %x", st.Fsid.Val)
	return Offer{Room: min(v.Size, v.Promised.left(place, st.Bavail*uint64(st.Bsize))), Cost: v.changes(), Place: place, Later: true}, nil
}

// Keep makes a file that shares all blocks with the volume's.
func (Reflink) Keep(_ context.Context, v Volume, _ string) (string, uint64, error) {
	file, err := fileOf(v.Device)
	if err != nil {
		return "", 0, err
	}
	from, err := os.Open(file)
	if err != nil {
		return "", 0, fmt.Errorf("share the blocks of the volume: %w", err)
	}
	defer from.Close()
	path := v.beside(file)
	to, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, fmt.Errorf("share the blocks of the volume: %w", err)
	}
	err = unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return "", 0, fmt.Errorf("share the blocks of %s with %s: %w", file, path, err)
	}
	return path, v.changes(), syncDirs(filepath.Dir(path), filepath.Dir(path))
}

// Drop removes the file.
func (Reflink) Drop(_ context.Context, v Volume, _ string) error {
	if v.At != "" {
		return ifThere(os.Remove(v.At))
	}
	file, err := fileOf(v.Device)
	if err != nil {
		return err
	}
	return ifThere(os.Remove(v.beside(file)))
}
