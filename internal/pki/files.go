package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

type file struct {
	name string
	data []byte
}

// writeNew writes the files into dir with mode 0600, each whole or not at all. It
// refuses before the first when any of them exists.
func writeNew(dir string, files ...file) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			return taken(dir, f.name)
		}
	}
	for i, f := range files {
		if err := writeOne(dir, f); err != nil {
			for _, done := range files[:i] { // ours, and of no use without the rest
				os.Remove(filepath.Join(dir, done.name))
			}
			return err
		}
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

func writeOne(dir string, f file) error {
	tmp, err := os.CreateTemp(dir, "."+f.name+".*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.Write(f.data); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := tmp.Sync(); err != nil {
		return fmt.Errorf("sync file: %w", err)
	}
	// A link, unlike a rename, never replaces what somebody else has put there.
	err = os.Link(tmp.Name(), filepath.Join(dir, f.name))
	if errors.Is(err, os.ErrExist) {
		return taken(dir, f.name)
	}
	if err != nil {
		return fmt.Errorf("name file: %w", err)
	}
	return nil
}

func taken(dir, name string) error {
	return fmt.Errorf("%s exists and is not overwritten: move it away first, or name another directory (%w)",
		filepath.Join(dir, name), os.ErrExist)
}

// readPrivate reads a file that nobody but its owner may use.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // *PathError says what and where; callers say why
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be used by others than its owner (mode %04o): chmod 600 %s, and issue it anew if others could log in here", path, mode, path)
	}
	return os.ReadFile(path) //nolint:wrapcheck // as above
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func readCert(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("read certificate: %s holds no PEM certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate %s: %w", path, err)
	}
	return cert, nil
}

func readKey(path string) (crypto.Signer, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("read key: %s holds no PEM private key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read key: %s is of a kind that cannot sign", path)
	}
	return signer, nil
}

func keyFits(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}
