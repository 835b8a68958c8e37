package look

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Where a superblock has what is looked for (Documentation/filesystems/ext4/super.rst;
// xfs begins with its magic).
const (
	superblock   = 4096 // covers both
	extStart     = 1024
	extWritten   = extStart + 0x30
	extMagic     = extStart + 0x38
	extWrittenHi = extStart + 0x274
	xfsMagic     = "XFSB"
	extMagicWord = 0xEF53
)

// Type names the file system on a device or in an image: "ext4" (for all of its
// line), "xfs", or "" for anything else.
func Type(path string) string {
	b, err := readStart(path)
	switch {
	case err != nil:
		return ""
	case string(b[:len(xfsMagic)]) == xfsMagic:
		return "xfs"
	case binary.LittleEndian.Uint16(b[extMagic:]) == extMagicWord:
		return "ext4"
	}
	return ""
}

// LastWrite is when the file system on a device was last written to, by its own
// word, which a mounted one brings up to date now and then; zero if it does not
// say. Xfs does not.
func LastWrite(path string) time.Time {
	b, err := readStart(path)
	if err != nil || binary.LittleEndian.Uint16(b[extMagic:]) != extMagicWord {
		return time.Time{}
	}
	seconds := int64(binary.LittleEndian.Uint32(b[extWritten:])) | int64(b[extWrittenHi])<<32
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// readStart reads the beginning of a device past the page cache: DRBD writes
// beneath that.
func readStart(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page, err := unix.Mmap(-1, 0, superblock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	defer unix.Munmap(page) //nolint:errcheck // it was mapped here
	if n, err := f.ReadAt(page, 0); n < superblock {
		return nil, errors.Join(err, errors.New("it is too small for a file system"))
	}
	return append([]byte(nil), page...), nil
}
