package keep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Copy is the driver that copies a volume into a file, for small volumes. Blocks
// of zeros take no room.
type Copy struct {
	// AtMost is the largest volume, in bytes, that is copied.
	AtMost uint64
}

const (
	copyName  = "data.img"
	copyBlock = 1 << 20
)

// Name is "copy".
func (Copy) Name() string { return "copy" }

// Offer refuses what is too large, or more than the file system has room for.
func (c Copy) Offer(_ context.Context, v Volume, dir string) (Offer, error) {
	if v.Size > c.AtMost {
		return Offer{}, fmt.Errorf("copy %s: it has %d bytes and only up to %d are copied: use snapshots, or raise the limit", v.Device, v.Size, c.AtMost)
	}
	free, err := freeIn(dir)
	if err != nil {
		return Offer{}, err
	}
	if free = v.Promised.left("", free); v.Size > free {
		return Offer{}, fmt.Errorf("copy %s: %w: it has %d bytes and the file system of %s has %d left", v.Device, ErrFull, v.Size, dir, free)
	}
	return Offer{Room: v.Size, Cost: v.Size}, nil
}

// freeIn is what is left in the file system of dir, which need not exist yet.
func freeIn(dir string) (uint64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	for errors.Is(err, unix.ENOENT) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		err = unix.Statfs(dir, &st)
	}
	if err != nil {
		return 0, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Keep copies the volume. Nothing may write to it meanwhile.
func (c Copy) Keep(ctx context.Context, v Volume, dir string) (string, uint64, error) {
	from, err := openDirect(v.Device)
	if err != nil {
		return "", 0, fmt.Errorf("copy the volume: %w", err)
	}
	defer from.Close()
	path := filepath.Join(dir, copyName)
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, fmt.Errorf("copy the volume: %w", err)
	}
	n, taken, err := sparse(ctx, to, from)
	if err == nil && n < v.Size {
		err = fmt.Errorf("it ends after %d of %d bytes", n, v.Size)
	}
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return "", 0, fmt.Errorf("copy %s to %s: %w", v.Device, path, err)
	}
	return path, taken, nil
}

// openDirect opens a device past the page cache: DRBD writes to its disk beneath
// that, so that what somebody once read through it may be old. A file system that
// cannot do so has nobody writing beneath it.
func openDirect(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return os.Open(path)
	}
	return f, err
}

// Drop removes the copy.
func (Copy) Drop(_ context.Context, _ Volume, dir string) error {
	if err := os.Remove(filepath.Join(dir, copyName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the copy: %w", err)
	}
	return nil
}

// sparse copies all n bytes of from, leaving holes where there are zeros: only those
// taken are written.
func sparse(ctx context.Context, to *os.File, from io.Reader) (n, taken uint64, err error) {
	// Reading past the page cache wants memory on a page's border.
	block, err := unix.Mmap(-1, 0, copyBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, 0, fmt.Errorf("get memory to copy with: %w", err)
	}
	defer unix.Munmap(block) //nolint:errcheck // it was mapped here
	zeros := make([]byte, copyBlock)
	for {
		if ctx.Err() != nil {
			return n, taken, ctx.Err()
		}
		// One read each: the rest of a block would begin anywhere.
		got, err := from.Read(block)
		if got > 0 && !bytes.Equal(block[:got], zeros[:got]) {
			if _, err := to.WriteAt(block[:got], int64(n)); err != nil {
				return n, taken, err //nolint:wrapcheck // the caller names both files
			}
			taken += uint64(got)
		}
		n += uint64(got)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return n, taken, to.Truncate(int64(n)) //nolint:wrapcheck // the caller names both files
		default:
			return n, taken, err //nolint:wrapcheck // the caller names both files
		}
	}
}
