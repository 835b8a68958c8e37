package pki

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Source hands out the credentials of a directory, and new ones once the files
// have been replaced. It may be used by several goroutines.
type Source struct {
	dir string

	mu    sync.Mutex // held for a few stats and reads of local files
	last  Credentials
	stamp [3]stamp
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads dir as Load does and returns a source of its credentials.
func Open(dir string) (*Source, error) {
	before := stamps(dir)
	c, err := Load(dir)
	if err != nil {
		return nil, err
	}
	return &Source{dir: dir, last: c, stamp: before}, nil
}

// Static returns a source that always hands out c, for those who have no files.
func Static(c Credentials) *Source { return &Source{last: c} }

// Current returns the credentials to use for a new connection. When the files
// have changed and cannot be used (half of them copied, say), it returns the old
// ones together with the error, and tries again at the next call.
func (s *Source) Current() (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		return s.last, nil
	}
	now := stamps(s.dir)
	if now == s.stamp {
		return s.last, nil
	}
	c, err := Load(s.dir)
	if err != nil {
		return s.last, err
	}
	s.last, s.stamp = c, now
	return c, nil
}

func stamps(dir string) [3]stamp {
	var out [3]stamp
	for i, name := range []string{CAFile, CertFile, KeyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}
