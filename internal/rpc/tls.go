package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"sbarbiter/internal/pki"
)

// ErrWrongRole is a peer with a good certificate of the wrong kind.
var ErrWrongRole = errors.New("wrong role")

// serverTLS asks every client for a certificate of our CA with an identity. Each
// handshake uses what is on disk then.
func serverTLS(src *pki.Source, log *slog.Logger) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			own := current(src, log)
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				Certificates: []tls.Certificate{own.Certificate},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    own.Roots,
				// Tickets would outlive a certificate taken away; full handshakes are
				// rare and cheap here.
				SessionTicketsDisabled: true,
				VerifyConnection: func(state tls.ConnectionState) error {
					_, err := identityOf(state)
					return err
				},
			}, nil
		},
	}
}

// audited is credentials that log which clients were refused and why. The client
// itself often learns no more than that the connection broke: in TLS 1.3 it has
// sent its first request before the server has looked at its certificate.
type audited struct {
	credentials.TransportCredentials
	log *slog.Logger
}

// ServerHandshake is that of the credentials, and logs its failure.
func (a audited) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := a.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		a.log.Warn("client refused", "from", raw.RemoteAddr(), "reason", err)
		return nil, nil, fmt.Errorf("receive client %v: %w", raw.RemoteAddr(), err)
	}
	return conn, info, nil
}

// Clone keeps the log.
func (a audited) Clone() credentials.TransportCredentials {
	return audited{a.TransportCredentials.Clone(), a.log}
}

// clientTLS accepts a server of our CA in the given role. Servers are known by
// identity, not by host name: witnesses move, and names need DNS.
func clientTLS(src *pki.Source, role pki.Role, log *slog.Logger) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			own := current(src, log)
			return &own.Certificate, nil
		},
		// This turns off the check by host name, and with it the check of the chain,
		// which VerifyConnection below does for every connection.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyServer(state, current(src, log).Roots, role)
		},
	}
}

func verifyServer(state tls.ConnectionState, roots *x509.CertPool, role pki.Role) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("verify server: it showed no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return fmt.Errorf("verify server: %w", err)
	}
	id, err := identityOf(state)
	if err != nil {
		return fmt.Errorf("verify server: %w", err)
	}
	if id.Role != role {
		return fmt.Errorf("verify server: %w: it is %s, and a %s was dialled", ErrWrongRole, id, role)
	}
	return nil
}

// identityOf reads the identity of the other end of a verified connection.
func identityOf(state tls.ConnectionState) (pki.Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return pki.Identity{}, errors.New("no certificate was shown")
	}
	return pki.IdentityOf(state.PeerCertificates[0])
}

// current takes the credentials on disk, or those from before if the new ones
// cannot be used.
func current(src *pki.Source, log *slog.Logger) pki.Credentials {
	own, err := src.Current()
	if err != nil {
		log.Warn("changed credentials not used", "identity", own.Identity, "error", err)
	}
	if !own.NotAfter.IsZero() && time.Now().After(own.NotAfter) {
		log.Warn("own certificate expired, others will refuse it", "identity", own.Identity, "since", own.NotAfter)
	}
	return own
}
