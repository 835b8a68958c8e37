package keep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// Keep copies the volume. Nothing may write to it meanwhile.
func (c Copy) Keep(ctx context.Context, v Volume, dir string) (string, uint64, error) {
	if v.Size > c.AtMost {
		return "", 0, fmt.Errorf("copy %s: it has %d bytes and only up to %d are copied: use snapshots, or raise the limit", v.Device, v.Size, c.AtMost)
	}
	from, err := os.Open(v.Device)
	if err != nil {
		return "", 0, fmt.Errorf("copy the volume: %w", err)
	}
	defer from.Close()
	path := filepath.Join(dir, copyName)
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, fmt.Errorf("copy the volume: %w", err)
	}
	n, err := sparse(ctx, to, from)
	if err == nil && n < v.Size {
		err = fmt.Errorf("it ends after %d of %d bytes", n, v.Size)
	}
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return "", 0, fmt.Errorf("copy %s to %s: %w", v.Device, path, err)
	}
	return path, n, nil
}

// Drop removes the copy.
func (Copy) Drop(_ context.Context, _ Volume, dir string) error {
	if err := os.Remove(filepath.Join(dir, copyName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the copy: %w", err)
	}
	return nil
}

// sparse copies all of from, leaving holes where there are zeros.
func sparse(ctx context.Context, to *os.File, from io.Reader) (n uint64, err error) {
	block, zeros := make([]byte, copyBlock), make([]byte, copyBlock)
	for {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		got, err := io.ReadFull(from, block)
		if got > 0 && !bytes.Equal(block[:got], zeros[:got]) {
			if _, err := to.WriteAt(block[:got], int64(n)); err != nil {
				return n, err //nolint:wrapcheck // the caller names both files
			}
		}
		n += uint64(got)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, to.Truncate(int64(n)) //nolint:wrapcheck // the caller names both files
		default:
			return n, err //nolint:wrapcheck // the caller names both files
		}
	}
}
