// Package rpc answers "how do we talk": gRPC over mutual TLS 1.3, and no other
// way. Both ends prove by certificate who they are; a server's calls carry the
// caller's identity in their context ([IdentityFrom]), a client insists on the
// role that it dials. Which caller may ask what is left to the services.
package rpc

import (
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"sbarbiter/internal/pki"
)

const (
	// maxMessage bounds what one message may make the other side hold.
	maxMessage = 1 << 20
	// buffer is small on purpose: our messages are, and an agent shares its
	// machine's memory with the service that it is there for.
	buffer = 4 << 10
	// window is HTTP/2's own default. Fixing it stops gRPC from measuring the line
	// with a ping after every message, which would double an idle pair's packets.
	window = 1<<16 - 1

	// pingEvery is the shortest that gRPC clients allow themselves.
	pingEvery = 10 * time.Second
	// pingTimeout also becomes TCP_USER_TIMEOUT: unacknowledged data ends the
	// connection after it, and a new one is tried.
	pingTimeout = 3 * time.Second
	// pingFloor is half of pingEvery, so that no client of ours is ever sent away
	// for pinging a little early.
	pingFloor = 5 * time.Second

	handshakeTimeout = 3 * time.Second
	// A witness that is back must be found within a fraction of a lease.
	redialAfter, redialAtMost = 100 * time.Millisecond, time.Second
	maxStreams                = 64
)

// ServerOptions are the options of a server that speaks with the given
// credentials and lets in who has a certificate of the same CA and an identity.
func ServerOptions(src *pki.Source, log *slog.Logger) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(audited{credentials.NewTLS(serverTLS(src, log)), log}),
		grpc.ChainUnaryInterceptor(unaryIdentity),
		grpc.ChainStreamInterceptor(streamIdentity),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingFloor, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.ReadBufferSize(buffer),
		grpc.WriteBufferSize(buffer),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
	}
}

// Dial makes a client of the server at addr (host:port), which must prove to have
// the role, whatever its host is called. It connects when it is first used and
// again whenever the connection is lost; calls fail at once while there is none
// unless they ask to wait. More options of the caller's come last.
func Dial(addr string, src *pki.Source, role pki.Role, log *slog.Logger, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(clientTLS(src, role, log))),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: redialAfter, Multiplier: 1.6, Jitter: 0.2, MaxDelay: redialAtMost},
			MinConnectTimeout: handshakeTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithReadBufferSize(buffer),
		grpc.WithWriteBufferSize(buffer),
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithIdleTimeout(0),         // the connection is kept for the moment that it is needed
		grpc.WithNoProxy(),              // an environment variable must not come between
		grpc.WithDisableServiceConfig(), // nor a DNS record
		grpc.WithUserAgent("sbarbiter"),
	}
	// passthrough: the address is dialled as written, without gRPC's own look-ups.
	conn, err := grpc.NewClient("passthrough:///"+addr, append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return conn, nil
}
