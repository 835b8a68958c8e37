package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const heartbeatKeySize = 32

// HeartbeatKey authenticates a cluster's heartbeat datagrams.
type HeartbeatKey [heartbeatKeySize]byte

// String hides the key: it must not reach a log.
func (HeartbeatKey) String() string { return "heartbeat key" }

// Credentials is who we are and whom we believe.
type Credentials struct {
	Identity    Identity
	Certificate tls.Certificate // with Leaf set
	Roots       *x509.CertPool  // our CA alone
	NotAfter    time.Time       // by the wall clock
}

// Sentinels for the ways in which credentials on disk can be unusable. Their
// errors say what to do.
var (
	ErrExpired     = errors.New("expired")
	ErrNotYetValid = errors.New("not yet valid")
	ErrWrongCA     = errors.New("signed by another CA")
	ErrKeyMismatch = errors.New("key does not belong to certificate")
)

// Load reads the credentials in dir, as Issue wrote them, and refuses what could
// not serve: it is better to stop here than at the first connection.
func Load(dir string) (Credentials, error) {
	c, err := loadAt(dir, time.Now())
	if errors.Is(err, os.ErrNotExist) {
		return Credentials{}, fmt.Errorf("load credentials: %w; issue them with sbctl pki issue where the CA is, and copy the files to %s", err, dir)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("load credentials: %w", err)
	}
	return c, nil
}

func loadAt(dir string, now time.Time) (Credentials, error) {
	ca, err := readCert(filepath.Join(dir, CAFile))
	if err != nil {
		return Credentials{}, err
	}
	path := filepath.Join(dir, CertFile)
	cert, err := readCert(path)
	if err != nil {
		return Credentials{}, err
	}
	key, err := readKey(filepath.Join(dir, KeyFile))
	if err != nil {
		return Credentials{}, err
	}
	if !keyFits(key, cert) {
		return Credentials{}, fmt.Errorf("%s and %s: %w: copy both from one sbctl pki issue", path, filepath.Join(dir, KeyFile), ErrKeyMismatch)
	}
	id, err := IdentityOf(cert)
	if err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := timely(filepath.Join(dir, CAFile), ca, now, "make a new CA with sbctl pki init, and issue every certificate anew"); err != nil {
		return Credentials{}, err
	}
	if err := timely(path, cert, now, "renew it with: "+issueCommand(id)); err != nil {
		return Credentials{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return Credentials{}, fmt.Errorf("%s: %w (%q, not %q of %s): copy %s and %s from one sbctl pki issue: %w",
			path, ErrWrongCA, cert.Issuer.CommonName, ca.Subject.CommonName, CAFile, CAFile, CertFile, err)
	}
	return Credentials{
		Identity:    id,
		Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		Roots:       roots,
		NotAfter:    cert.NotAfter,
	}, nil
}

func timely(path string, cert *x509.Certificate, now time.Time, remedy string) error {
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("%s: %w since %s (it is %s here): %s", path, ErrExpired, day(cert.NotAfter), day(now), remedy)
	case now.Before(cert.NotBefore):
		return fmt.Errorf("%s: %w before %s (it is %s here): set this machine's clock", path, ErrNotYetValid, day(cert.NotBefore), day(now))
	}
	return nil
}

// issueCommand is what an operator types to get a certificate for id.
func issueCommand(id Identity) string {
	words := []string{"sbctl pki issue", string(id.Role), id.Name}
	if id.Cluster != "" {
		words = append(words, "--cluster", id.Cluster)
	}
	return strings.Join(words, " ")
}

// LoadHeartbeatKey reads the key that both nodes of a cluster share.
func LoadHeartbeatKey(path string) (HeartbeatKey, error) {
	text, err := readPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		return HeartbeatKey{}, fmt.Errorf("load heartbeat key: %w; sbctl pki issue node writes it beside the certificate", err)
	}
	if err != nil {
		return HeartbeatKey{}, fmt.Errorf("load heartbeat key: %w", err)
	}
	return decodeHeartbeatKey(path, text)
}

func decodeHeartbeatKey(path string, text []byte) (HeartbeatKey, error) {
	var key HeartbeatKey
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return HeartbeatKey{}, fmt.Errorf("load heartbeat key: %s is not %d bytes in hex: copy it again from where the CA is", path, len(key))
	}
	copy(key[:], raw)
	return key, nil
}
