package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"sbarbiter/internal/pki"
)

type identityKey struct{}

// WithIdentity returns a context that carries the caller's identity, as a
// server's calls have it.
func WithIdentity(ctx context.Context, id pki.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// IdentityFrom returns whose call this is, by the certificate that the caller
// showed. It is false for a context that is no call's.
func IdentityFrom(ctx context.Context) (pki.Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(pki.Identity)
	return id, ok
}

func unaryIdentity(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := identified(ctx)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func streamIdentity(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := identified(stream.Context())
	if err != nil {
		return err
	}
	return handle(srv, identifiedStream{stream, ctx})
}

type identifiedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // the interface hands its context out
}

// Context is the stream's, with the caller's identity.
func (s identifiedStream) Context() context.Context { return s.ctx }

// identified puts the identity of the connection into the call's context. The
// handshake refused those without one; here a second look costs nothing.
func identified(ctx context.Context) (context.Context, error) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the call has no connection")
	}
	tls, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection is not TLS")
	}
	id, err := identityOf(tls.State)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return WithIdentity(ctx, id), nil
}
