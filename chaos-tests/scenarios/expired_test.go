package scenarios

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"
)

// expire replaces the certificate of a directory by one that is the same and
// ended yesterday, signed by the same CA: sbctl issues none that is over.
func (s *site) expire(dir string) {
	s.t.Helper()
	ca, err := tls.LoadX509KeyPair(s.path("ca/ca.crt"), s.path("ca/ca.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(s.path(dir+"/own.crt"), s.path(dir+"/own.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	over := *own.Leaf
	over.NotBefore, over.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &over, ca.Leaf, own.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	os.Remove(s.path(dir + "/own.crt"))
	s.write(dir+"/own.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o600)
}
