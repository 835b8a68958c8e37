// Package secret reads passwords and keys from where they are kept: files that
// their owner alone may read, or credentials that systemd hands to a service.
// A secret is read at each use, so that a new one needs no restart, and no error
// shows what a file holds.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CredentialsVariable names the directory of the service's credentials
// (systemd.exec(5), LoadCredential=).
const CredentialsVariable = "CREDENTIALS_DIRECTORY"

const mostRead = 64 << 10

// Source says where one secret is kept: in a file, or under the name of a
// credential.
type Source struct {
	File       string // absolute path
	Credential string // name in the service's credentials
}

// String returns the path, or "credential NAME".
func (s Source) String() string {
	if s.Credential != "" {
		return "credential " + s.Credential
	}
	return s.File
}

// Validate returns an error unless s names exactly one place.
func (s Source) Validate() error {
	switch {
	case s.File != "" && s.Credential != "":
		return fmt.Errorf("both file %s and credential %s are given; keep one", s.File, s.Credential)
	case s.Credential != "" && strings.ContainsRune(s.Credential, '/'):
		return fmt.Errorf("credential %q: a name, not a path", s.Credential)
	case s.Credential == "" && !filepath.IsAbs(s.File):
		return fmt.Errorf("%q must be an absolute path", s.File)
	}
	return nil
}

// Path returns where the secret is on this machine.
func (s Source) Path() (string, error) {
	if s.Credential == "" {
		return s.File, nil
	}
	dir := os.Getenv(CredentialsVariable)
	if dir == "" {
		return "", fmt.Errorf("credential %s: this process was given no credentials; add LoadCredential=%s:PATH to its systemd unit", s.Credential, s.Credential)
	}
	return filepath.Join(dir, s.Credential), nil
}

// Line returns the first line, which must not be empty.
func (s Source) Line() (string, error) {
	text, err := s.Bytes()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("%s: its first line is empty", s)
	}
	return line, nil
}

// Bytes returns all of it.
func (s Source) Bytes() ([]byte, error) {
	path, err := s.Path()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; write the secret into it and run chmod 600", s)
	}
	if err != nil {
		var of *os.PathError
		if errors.As(err, &of) {
			err = of.Err // the file is named already
		}
		return nil, fmt.Errorf("open %s: %w; write the secret into it and run chmod 600", s, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", s, err)
	}
	if err := s.private(info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", s, err)
	case len(text) > mostRead:
		return nil, fmt.Errorf("%s is larger than %d KiB; is it the right file", s, mostRead>>10)
	}
	return text, nil
}

// Check reports what would keep the secret from being read.
func (s Source) Check() error {
	text, err := s.Bytes()
	if err == nil && len(text) == 0 {
		err = errors.New(s.String() + " is empty; write the secret into it")
	}
	return err
}

// private wants a file that only its owner can use. systemd keeps credentials
// in a directory that is closed to everybody else, and gives a service that runs
// as another user its right by an access list, which shows in the mode.
func (s Source) private(info os.FileInfo) error {
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("%s is no regular file", s)
	case s.Credential == "" && mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s can be used by others than its owner (mode %04o); run: chmod 600 %s", s, mode.Perm(), s.File)
	}
	return nil
}
