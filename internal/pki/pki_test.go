package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var nodeA = Identity{RoleNode, "nfs1", "node-a"}

func newCA(t *testing.T) (*CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

func issue(t *testing.T, ca *CA, r Request) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := ca.Issue(dir, r); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestIssuedCredentialsLoad(t *testing.T) {
	ca, _ := newCA(t)
	for _, id := range []Identity{nodeA, {RoleWitness, "", "w1.example.org"}, {RoleOperator, "", "alice"}} {
		c, err := Load(issue(t, ca, Request{Identity: id}))
		if err != nil {
			t.Fatal(err)
		}
		if c.Identity != id {
			t.Errorf("issued for %v, loaded as %v", id, c.Identity)
		}
	}
}

func TestCertificateSaysWhatWasAsked(t *testing.T) {
	ca, _ := newCA(t)
	dir := issue(t, ca, Request{
		Identity: Identity{RoleWitness, "", "w1"}, DNSNames: []string{"w1.example.org"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.90.0.250"), netip.MustParseAddr("fd91::250")},
	})
	cert, err := readCert(filepath.Join(dir, CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T", cert.PublicKey)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "sbarbiter:///witness/w1" {
		t.Errorf("names %v", cert.URIs)
	}
	if len(cert.DNSNames) != 1 || len(cert.IPAddresses) != 2 || !cert.IPAddresses[1].Equal(netip.MustParseAddr("fd91::250").AsSlice()) {
		t.Errorf("further names %v %v", cert.DNSNames, cert.IPAddresses)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots(ca), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
	if days := time.Until(cert.NotAfter).Hours() / 24; days < 824 || days > 825 {
		t.Errorf("holds %v days", days)
	}
	if cert.IsCA || cert.SerialNumber.BitLen() < 120 {
		t.Errorf("CA %v, serial %v", cert.IsCA, cert.SerialNumber)
	}
}

func roots(ca *CA) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func TestFilesArePrivateAndNeverOverwritten(t *testing.T) {
	ca, caDir := newCA(t)
	dir := issue(t, ca, Request{Identity: nodeA})
	for _, d := range []string{dir, caDir} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
			}
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s was left behind", e.Name())
			}
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(dir, Request{Identity: nodeA}); !errors.Is(err, os.ErrExist) {
		t.Errorf("issued over it: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, KeyFile)); err != nil || !bytes.Equal(before, after) {
		t.Error("the key was touched")
	}
	if _, err := Init(caDir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second CA in its place: %v", err)
	}
}

func TestAHalfTakenDirectoryIsLeftAsItWas(t *testing.T) {
	ca, _ := newCA(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, HeartbeatKeyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(dir, Request{Identity: nodeA}); !errors.Is(err, os.ErrExist) {
		t.Fatalf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("now holds %v (%v)", entries, err)
	}
}

func TestBothNodesGetTheirClustersHeartbeatKey(t *testing.T) {
	ca, caDir := newCA(t)
	a := issue(t, ca, Request{Identity: nodeA})
	reopened, err := OpenCA(caDir)
	if err != nil {
		t.Fatal(err)
	}
	b := issue(t, reopened, Request{Identity: Identity{RoleNode, "nfs1", "node-b"}})
	other := issue(t, ca, Request{Identity: Identity{RoleNode, "nfs2", "node-a"}})
	load := func(dir string) HeartbeatKey {
		key, err := LoadHeartbeatKey(filepath.Join(dir, HeartbeatKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	if load(a) != load(b) || load(a) == load(other) || load(a) == (HeartbeatKey{}) {
		t.Error("one key a cluster is wanted")
	}
	witness := issue(t, ca, Request{Identity: Identity{RoleWitness, "", "w1"}})
	if _, err := LoadHeartbeatKey(filepath.Join(witness, HeartbeatKeyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a witness has one: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	ca, _ := newCA(t)
	stranger, _ := newCA(t)
	now := time.Now()
	for name, c := range map[string]struct {
		request Request
		spoil   func(dir string) error
		is      error
		says    []string
	}{
		"missing":       {spoil: os.RemoveAll, is: os.ErrNotExist, says: []string{"sbctl pki issue", "copy the files to"}},
		"expired":       {request: Request{At: now.Add(-48 * time.Hour), Validity: 24 * time.Hour}, is: ErrExpired, says: []string{now.Add(-24 * time.Hour).UTC().Format("2006-01-02"), "sbctl pki issue node node-a --cluster nfs1"}},
		"not yet valid": {request: Request{At: now.Add(48 * time.Hour)}, is: ErrNotYetValid, says: []string{"clock"}},
		"wrong CA":      {spoil: func(dir string) error { return replace(dir, CAFile, encodeCert(stranger.cert.Raw)) }, is: ErrWrongCA, says: []string{stranger.cert.Subject.CommonName, ca.cert.Subject.CommonName}},
		"key mismatch": {spoil: func(dir string) error {
			data, err := os.ReadFile(filepath.Join(issue(t, ca, Request{Identity: nodeA}), KeyFile))
			return errors.Join(err, replace(dir, KeyFile, data))
		}, is: ErrKeyMismatch, says: []string{"own.key", "one sbctl pki issue"}},
		"key readable by others": {spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, KeyFile), 0o640) }, says: []string{"mode 0640", "chmod 600"}},
		"no certificate":         {spoil: func(dir string) error { return replace(dir, CertFile, []byte("hello")) }, says: []string{"no PEM certificate"}},
		"cut certificate":        {spoil: func(dir string) error { return os.Truncate(filepath.Join(dir, CertFile), 200) }, says: []string{"no PEM certificate"}},
		"no identity":            {spoil: func(dir string) error { return replaceWithCA(dir, stranger) }, says: []string{"0 sbarbiter names"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.request.Identity = nodeA
			dir := issue(t, ca, c.request)
			if c.spoil != nil {
				if err := c.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(dir)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
		})
	}
}

func replace(dir, name string, data []byte) error {
	return os.WriteFile(filepath.Join(dir, name), data, 0o600)
}

func replaceWithCA(dir string, ca *CA) error {
	key, err := encodeKey(ca.key)
	return errors.Join(err, replace(dir, KeyFile, key), replace(dir, CertFile, encodeCert(ca.cert.Raw)))
}

func TestHeartbeatKeyIsCheckedBeforeUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), HeartbeatKeyFile)
	if _, err := LoadHeartbeatKey(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for text, says := range map[string]string{"abcd\n": "not 32 bytes in hex", strings.Repeat("zz", 32): "not 32 bytes in hex"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadHeartbeatKey(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadHeartbeatKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
}

func TestIdentityIsReadOnlyInTheFormWeIssue(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  Identity
	}{
		{[]string{"sbarbiter://nfs1/node/node-a"}, nodeA},
		{[]string{"https://example.org", "sbarbiter:///operator/alice"}, Identity{RoleOperator, "", "alice"}},
		{[]string{"sbarbiter://nfs1/node/node-a", "sbarbiter://nfs1/node/node-b"}, Identity{}},
		{[]string{"sbarbiter:///node/node-a"}, Identity{}},
		{[]string{"sbarbiter://nfs1/witness/w1"}, Identity{}},
		{[]string{"sbarbiter://nfs1/node/node-a/witness/w1"}, Identity{}},
		{[]string{"sbarbiter://nfs1/node/"}, Identity{}},
		{[]string{"sbarbiter://nfs1/root/node-a"}, Identity{}},
		{[]string{"sbarbiter://nfs1/node/node-a?x=1"}, Identity{}},
		{[]string{"sbarbiter://nfs1/node/node-a#x"}, Identity{}},
		{[]string{"sbarbiter://nfs1:80/node/node-a"}, Identity{}},
		{[]string{"sbarbiter://me@nfs1/node/node-a"}, Identity{}},
		{[]string{"sbarbiter://nfs1//node/node-a"}, Identity{}},
		{[]string{"sbarbiter://nfs1/node/node%2Da"}, Identity{}},
		{[]string{"sbarbiter:witness/w1"}, Identity{}},
		{nil, Identity{}},
	} {
		cert := &x509.Certificate{}
		for _, name := range c.names {
			u, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		got, err := IdentityOf(cert)
		if got != c.want || (err == nil) != (c.want != Identity{}) {
			t.Errorf("%v: %v, %v", c.names, got, err)
		}
	}
}

func TestNobodyGetsACertificateForANameOutsideTheRules(t *testing.T) {
	ca, _ := newCA(t)
	for _, id := range []Identity{
		{RoleNode, "", "node-a"},
		{RoleNode, "nfs1", "a/b"},
		{RoleNode, "nfs1/node", "a"},
		{RoleWitness, "nfs1", "w"},
		{"king", "", "a"},
		{RoleOperator, "", ""},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		if _, err := ca.Issue(dir, Request{Identity: id}); err == nil {
			t.Errorf("issued for %+v", id)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("something was written for %+v", id)
		}
	}
}

func TestACertificateEndsWithItsCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := initAt(dir, time.Now().Add(-9*365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	until, err := ca.Issue(filepath.Join(t.TempDir(), "out"), Request{Identity: nodeA})
	if err != nil || !until.Equal(ca.cert.NotAfter) {
		t.Errorf("until %v, CA until %v (%v)", until, ca.cert.NotAfter, err)
	}
	if _, err := OpenCA(t.TempDir()); err == nil || !strings.Contains(err.Error(), "sbctl pki init") {
		t.Errorf("no CA there: %v", err)
	}
}

func TestSourceFollowsTheFiles(t *testing.T) {
	ca, _ := newCA(t)
	dir := issue(t, ca, Request{Identity: nodeA})
	src, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		c, err := src.Current()
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificate.Leaf.SerialNumber.String()
	}
	first := serial()
	renewed := issue(t, ca, Request{Identity: nodeA, Validity: 24 * time.Hour})
	copyFile(t, renewed, dir, CertFile)
	c, err := src.Current()
	if !errors.Is(err, ErrKeyMismatch) || c.Certificate.Leaf.SerialNumber.String() != first {
		t.Errorf("half copied: %v, %v", c.Identity, err)
	}
	copyFile(t, renewed, dir, KeyFile)
	if serial() == first {
		t.Error("the renewed certificate is not used")
	}
}

func copyFile(t *testing.T, from, to, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// The file system's clock is coarse; a second write within its tick must be seen.
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}
