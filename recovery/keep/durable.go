package keep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// metadata ends the name of the file with a volume's metadata, beside its copy.
const metadata = ".metadata"

// KeepMetadata keeps the text of a volume's metadata. What was kept for the same
// recovery first is what counts.
func (s *Store) KeepMetadata(v Volume, text string) error {
	dir, err := s.dir(v)
	if err != nil {
		return err
	}
	if s.HasMetadata(v) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("keep the metadata of %s/%d: %w", v.Resource, v.Number, err)
	}
	if err := writeSynced(dir+metadata+".new", []byte(text)); err != nil {
		return err
	}
	if err := os.Rename(dir+metadata+".new", dir+metadata); err != nil {
		return fmt.Errorf("keep the metadata of %s/%d: %w", v.Resource, v.Number, err)
	}
	return syncDirs(filepath.Dir(dir), s.Dir)
}

// HasMetadata reports whether a volume's metadata is kept for its recovery.
func (s *Store) HasMetadata(v Volume) bool {
	dir, err := s.dir(v)
	if err != nil {
		return false
	}
	_, err = os.Stat(dir + metadata)
	return err == nil
}

// Metadata returns the dump that was kept beside a copy, "" if there is none.
func (k Kept) Metadata() (string, error) {
	text, err := os.ReadFile(k.dir + metadata)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the kept metadata: %w", err)
	}
	return string(text), nil
}

// SizeOf is the size of a block device or a file, in bytes.
func SizeOf(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("look how large it is: %w", err)
	}
	defer f.Close()
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("look how large %s is: %w", path, err)
	}
	return uint64(n), nil
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
