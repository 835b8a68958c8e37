package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"sbarbiter/internal/pki"
)

// DialTold is [Dial] for a client that a person waits for: tell is called with why the
// connection could not be made, or has ended. gRPC itself passes that on as text only,
// wrapped in words of its own.
func DialTold(addr string, src *pki.Source, role pki.Role, log *slog.Logger, tell func(error)) (*grpc.ClientConn, error) {
	return Dial(addr, src, role, log,
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				tell(err)
				return nil, err //nolint:wrapcheck // gRPC adds its own words
			}
			return conn, nil
		}),
		grpc.WithTransportCredentials(told{credentials.NewTLS(clientTLS(src, role, log)), tell}),
	)
}

// told is credentials that tell why no secure connection came about.
type told struct {
	credentials.TransportCredentials
	tell func(error)
}

// ClientHandshake is that of the credentials, and tells of its failure. In TLS 1.3 the
// server refuses only after it: that is the first thing which is read.
func (t told) ClientHandshake(ctx context.Context, name string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ClientHandshake(ctx, name, raw)
	if err != nil {
		t.tell(err)
		return nil, nil, fmt.Errorf("greet server: %w", err)
	}
	return toldConn{conn, t.tell}, info, nil
}

// Clone keeps whom to tell.
func (t told) Clone() credentials.TransportCredentials {
	return told{t.TransportCredentials.Clone(), t.tell}
}

type toldConn struct {
	net.Conn
	tell func(error)
}

// Read is the connection's, and tells of its end.
func (c toldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.ended(err)
	return n, err //nolint:wrapcheck // the caller looks for io.EOF
}

// Write is the connection's, and tells of its end.
func (c toldConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.ended(err)
	return n, err //nolint:wrapcheck // as above
}

func (c toldConn) ended(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) { // else gRPC has closed it, for a reason that was told
		c.tell(err)
	}
}
