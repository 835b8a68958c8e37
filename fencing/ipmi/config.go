package ipmi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sbarbiter/fencing"
)

// What a zero field of Config stands for.
const (
	DefaultPort    = 623
	DefaultTimeout = 5 * time.Second
)

// The IPMI 2.0 limits of user names and passwords, in bytes (section 13.20 and
// 22.30 of the specification).
const (
	maxUser     = 16
	maxPassword = 20
)

// Config describes one BMC.
type Config struct {
	// Address is HOST or HOST:PORT; an IPv6 address with a port stands in
	// brackets. DefaultPort if there is none.
	Address string
	User    string
	// PasswordFile holds the password on one line. It is read at each use, so
	// that a new password needs no restart, and only its owner may read it.
	PasswordFile string
	// CipherSuite is 3 (SHA1) or 17 (SHA256), or 0 to try 17 and then 3.
	CipherSuite uint8
	// Timeout bounds one command, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
// It does not look at the password file, which may come later.
func (c Config) Validate() error {
	var errs []error
	if _, err := c.hostPort(); err != nil {
		errs = append(errs, fmt.Errorf("address: %w", err))
	}
	switch {
	case c.User == "":
		errs = append(errs, errors.New("user: empty; name the BMC's user"))
	case len(c.User) > maxUser:
		errs = append(errs, fmt.Errorf("user: %q is longer than the %d bytes of IPMI 2.0", c.User, maxUser))
	}
	if !filepath.IsAbs(c.PasswordFile) {
		errs = append(errs, fmt.Errorf("password file: %q must be an absolute path", c.PasswordFile))
	}
	switch c.CipherSuite {
	case 0, 3, 17:
	default:
		errs = append(errs, fmt.Errorf("cipher suite: %d is not supported; use 17, 3, or 0 to try both (the others do not both sign and encrypt, or rest on MD5)", c.CipherSuite))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

func (c Config) hostPort() (string, error) {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		host, port = strings.Trim(c.Address, "[]"), strconv.Itoa(DefaultPort)
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("%q: want HOST or HOST:PORT", c.Address)
		}
	}
	if host == "" {
		return "", fmt.Errorf("%q names no host", c.Address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q: %q is no port", c.Address, port)
	}
	return net.JoinHostPort(host, port), nil
}

// readPassword returns the first line of the file. Errors wrap
// fencing.ErrConfig, say what to do, and never show what the file holds.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: open password file: %w; write the BMC's password into it and run chmod 600", fencing.ErrConfig, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%w: stat password file: %w", fencing.ErrConfig, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: password file %s is no regular file", fencing.ErrConfig, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%w: password file %s can be read by others (mode %04o); run: chmod 600 %s", fencing.ErrConfig, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("%w: read password file: %w", fencing.ErrConfig, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return "", fmt.Errorf("%w: password file %s: its first line is empty", fencing.ErrConfig, path)
	case len(line) > maxPassword:
		return "", fmt.Errorf("%w: password file %s: longer than the %d bytes of IPMI 2.0", fencing.ErrConfig, path, maxPassword)
	}
	return line, nil
}
