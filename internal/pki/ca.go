package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// File names in a directory of credentials, and in the CA's own.
const (
	CAFile           = "ca.crt"
	CAKeyFile        = "ca.key" // with the CA only
	CertFile         = "own.crt"
	KeyFile          = "own.key"
	HeartbeatKeyFile = "heartbeat.key" // with nodes only
)

// How long certificates hold where nobody says otherwise.
const (
	DefaultValidity = 825 * 24 * time.Hour
	caValidity      = 10 * 365 * 24 * time.Hour
	// backdate lets a host whose clock is behind believe a new certificate.
	backdate = time.Hour
)

// CA issues certificates. Its key signs whoever holds it into every cluster: keep
// the directory off the nodes and the witnesses.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// Init makes a new CA in dir, which it creates. It refuses where one is already.
func Init(dir string) (*CA, error) {
	return initAt(dir, time.Now())
}

func initAt(dir string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the CA's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The serial in the name tells two CAs of ours apart in errors.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("sbarbiter CA %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caValidity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA's certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a directory with ca.crt has all of it.
	if err := writeNew(dir, file{CAKeyFile, keyPEM}, file{CAFile, encodeCert(der)}); err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	return OpenCA(dir)
}

// OpenCA reads the CA in dir.
func OpenCA(dir string) (*CA, error) {
	cert, err := readCert(filepath.Join(dir, CAFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open CA: %w; make one with: sbctl pki init --dir %s", err, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	key, err := readKey(filepath.Join(dir, CAKeyFile))
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("open CA: %s is no CA certificate", filepath.Join(dir, CAFile))
	}
	if !keyFits(key, cert) {
		return nil, fmt.Errorf("open CA: %s does not belong to %s", filepath.Join(dir, CAKeyFile), filepath.Join(dir, CAFile))
	}
	return &CA{dir: dir, cert: cert, key: key}, nil
}

// Request is what a certificate shall say.
type Request struct {
	Identity  Identity
	DNSNames  []string     // further names, for other tools; ours go by the identity
	Addresses []netip.Addr // likewise
	At        time.Time    // from when it holds; zero: now
	Validity  time.Duration
}

// Issue writes a new certificate, its key, the CA's certificate and, for a node,
// its cluster's heartbeat key into dir, which it creates. It refuses to overwrite
// any of them. It returns when the certificate will expire.
func (ca *CA) Issue(dir string, r Request) (time.Time, error) {
	if err := r.Identity.Check(); err != nil {
		return time.Time{}, fmt.Errorf("issue certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return time.Time{}, fmt.Errorf("generate key for %s: %w", r.Identity, err)
	}
	template, err := ca.template(r)
	if err != nil {
		return time.Time{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return time.Time{}, fmt.Errorf("sign certificate for %s: %w", r.Identity, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return time.Time{}, err
	}
	files := []file{{KeyFile, keyPEM}, {CertFile, encodeCert(der)}, {CAFile, encodeCert(ca.cert.Raw)}}
	if r.Identity.Role == RoleNode {
		secret, err := ca.heartbeatKey(r.Identity.Cluster)
		if err != nil {
			return time.Time{}, err
		}
		files = append(files, file{HeartbeatKeyFile, secret})
	}
	if err := writeNew(dir, files...); err != nil {
		return time.Time{}, fmt.Errorf("issue certificate for %s: %w", r.Identity, err)
	}
	return template.NotAfter, nil
}

func (ca *CA) template(r Request) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	at, validity := r.At, r.Validity
	if at.IsZero() {
		at = time.Now()
	}
	if validity <= 0 {
		validity = DefaultValidity
	}
	until := at.Add(validity)
	if until.After(ca.cert.NotAfter) {
		until = ca.cert.NotAfter // a chain is no longer than its root
	}
	var ips []net.IP
	for _, a := range r.Addresses {
		ips = append(ips, a.AsSlice())
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: r.Identity.Name},
		NotBefore:    at.Add(-backdate),
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		// Both: witnesses also call each other.
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{r.Identity.uri()},
		DNSNames:              r.DNSNames,
		IPAddresses:           ips,
	}, nil
}

// heartbeatKey returns the cluster's key, 32 random bytes in hex with a line end.
// It is made once and kept with the CA, so that both nodes get the same.
func (ca *CA) heartbeatKey(cluster string) ([]byte, error) {
	name := "heartbeat-" + cluster + ".key"
	path := filepath.Join(ca.dir, name)
	text, err := readPrivate(path)
	if err == nil {
		if _, err := decodeHeartbeatKey(path, text); err != nil {
			return nil, err
		}
		return text, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the cluster's heartbeat key: %w", err)
	}
	var secret [heartbeatKeySize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("generate heartbeat key: %w", err)
	}
	text = []byte(hex.EncodeToString(secret[:]) + "\n")
	if err := writeNew(ca.dir, file{name, text}); err != nil {
		return nil, fmt.Errorf("keep heartbeat key of %s: %w", cluster, err)
	}
	return text, nil
}

// newSerial is 127 random bits, never zero.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 126)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return n.Add(n, limit), nil
}
