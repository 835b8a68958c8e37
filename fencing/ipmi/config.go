package ipmi

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/secret"
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
	// Password is read at each use, so that a new one needs no restart.
	Password secret.Source
	// CipherSuite is 3 (SHA1) or 17 (SHA256), or 0 to try 17 and then 3.
	CipherSuite uint8
	// Timeout bounds one command, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
// It does not look for the password, which may come later.
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
	if err := c.Password.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("password: %w", err))
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

// password reads the password. Errors wrap fencing.ErrConfig, say what to do,
// and never show what the file holds.
func (c Config) password() (string, error) {
	line, err := c.Password.Line()
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: password: %w", fencing.ErrConfig, err)
	case len(line) > maxPassword:
		return "", fmt.Errorf("%w: password: %s: longer than the %d bytes of IPMI 2.0", fencing.ErrConfig, c.Password, maxPassword)
	}
	return line, nil
}
