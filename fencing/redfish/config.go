package redfish

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/secret"
)

// DefaultTimeout stands for a Config.Timeout of 0.
const DefaultTimeout = 8 * time.Second

// Auth says how the driver shows who it is.
type Auth string

// A session of its own for each command, or user and password with each request.
const (
	Session Auth = "session"
	Basic   Auth = "basic"
)

// Config describes one service.
type Config struct {
	Address netip.AddrPort
	User    string
	// Password is read at each use, so that a new one needs no restart.
	Password secret.Source
	// System is the last part of the resource's path, as in
	// /redfish/v1/Systems/System. Empty: the only one that the service has.
	System string
	Auth   Auth // Session if empty

	// One of the two says whose word is believed. CAFile holds certificates in
	// PEM of who may sign the service's; it must then be made out for Name, or
	// for the address where Name is empty. Fingerprint is the SHA-256 of the
	// service's own certificate, in hex, with or without colons.
	CAFile      string
	Name        string
	Fingerprint string

	// Timeout bounds one command, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
func (c Config) Validate() error {
	var errs []error
	if !c.Address.IsValid() || c.Address.Port() == 0 {
		errs = append(errs, fmt.Errorf("address: %v is no address with a port", c.Address))
	}
	if c.User == "" || strings.Contains(c.User, ":") {
		errs = append(errs, fmt.Errorf("user: %q must not be empty nor contain a colon", c.User))
	}
	if err := c.Password.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("password: %w", err))
	}
	if strings.ContainsAny(c.System, "/?#%") {
		errs = append(errs, fmt.Errorf("system: %q is not the last part of a path", c.System))
	}
	if c.Auth != "" && c.Auth != Session && c.Auth != Basic {
		errs = append(errs, fmt.Errorf("auth: %q is neither session nor basic", c.Auth))
	}
	errs = append(errs, c.validateTrust())
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

func (c Config) validateTrust() error {
	switch {
	case c.CAFile == "" && c.Fingerprint == "":
		return errors.New("ca file: name it, or give the certificate's fingerprint: who answers must be known")
	case c.CAFile != "" && c.Fingerprint != "":
		return errors.New("ca file: both it and a fingerprint are given; keep one")
	case c.CAFile != "" && !filepath.IsAbs(c.CAFile):
		return fmt.Errorf("ca file: %q must be an absolute path", c.CAFile)
	case c.Fingerprint != "":
		_, err := ParseFingerprint(c.Fingerprint)
		return err
	}
	return nil
}

// ParseFingerprint reads 64 hex digits, with or without colons.
func ParseFingerprint(s string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return sum, fmt.Errorf("fingerprint: %q is no SHA-256 in hex; openssl x509 -noout -fingerprint -sha256 shows it", s)
	}
	copy(sum[:], b)
	return sum, nil
}

// trust returns how the service's certificate is verified. The file is read at
// each use, so that a new authority needs no restart.
func (c Config) trust() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Name}
	if c.Name == "" {
		conf.ServerName = c.Address.Addr().String()
	}
	if c.Fingerprint != "" {
		want, err := ParseFingerprint(c.Fingerprint)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", fencing.ErrConfig, err)
		}
		// Who signed it does not matter: it is this very certificate or none.
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(s tls.ConnectionState) error { return pinned(s, want) }
		return conf, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: ca file: %w", fencing.ErrConfig, err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: ca file %s holds no certificate in PEM", fencing.ErrConfig, c.CAFile)
	}
	return conf, nil
}

// errForeign: the service showed another certificate than the pinned one.
var errForeign = errors.New("the certificate is not the one whose fingerprint is configured")

func pinned(s tls.ConnectionState, want [sha256.Size]byte) error {
	if len(s.PeerCertificates) == 0 {
		return errForeign
	}
	if got := sha256.Sum256(s.PeerCertificates[0].Raw); got != want {
		return fmt.Errorf("%w: it has %s", errForeign, hex.EncodeToString(got[:]))
	}
	return nil
}
