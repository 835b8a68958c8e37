package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sbarbiter/internal/pki"
)

var (
	witness = pki.Identity{Role: pki.RoleWitness, Name: "w1"}
	nodeA   = pki.Identity{Role: pki.RoleNode, Cluster: "nfs1", Name: "node-a"}
	alice   = pki.Identity{Role: pki.RoleOperator, Name: "alice"}
)

// logged is what a logger wrote.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

var quiet = slog.New(slog.DiscardHandler)

// world is a CA and what it issued.
type world struct {
	t   *testing.T
	ca  *pki.CA
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := pki.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, ca, dir}
}

func (w *world) issue(r pki.Request) (dir string) {
	w.t.Helper()
	dir = filepath.Join(w.t.TempDir(), "out")
	if _, err := w.ca.Issue(dir, r); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

func (w *world) source(id pki.Identity) *pki.Source {
	w.t.Helper()
	src, err := pki.Open(w.issue(pki.Request{Identity: id}))
	if err != nil {
		w.t.Fatal(err)
	}
	return src
}

// unchecked reads credentials that pki would refuse.
func (w *world) unchecked(dir string) *pki.Source {
	w.t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, pki.CertFile), filepath.Join(dir, pki.KeyFile))
	if err != nil {
		w.t.Fatal(err)
	}
	return pki.Static(pki.Credentials{Certificate: cert, Roots: w.roots()})
}

func (w *world) roots() *x509.CertPool {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, pki.CAFile))
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		w.t.Fatal("no CA certificate")
	}
	return pool
}

func (w *world) expired(id pki.Identity) *pki.Source {
	return w.unchecked(w.issue(pki.Request{Identity: id, At: time.Now().Add(-48 * time.Hour), Validity: 24 * time.Hour}))
}

// echo is a service that answers with whose call it was; the request text is what
// the caller claims.
var echo = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Who", Handler: who}},
	Streams:     []grpc.StreamDesc{{StreamName: "WhoStream", Handler: whoStream, ServerStreams: true, ClientStreams: true}},
}

//nolint:revive // the order of gRPC's MethodDesc
func who(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if intercept == nil { // a server without our options
		return answer(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/test.Echo/Who"}, answer)
}

func answer(ctx context.Context, req any) (any, error) {
	id, ok := IdentityFrom(ctx)
	if !ok {
		return wrapperspb.String("nobody"), nil
	}
	return wrapperspb.String(id.String() + " claims " + req.(*wrapperspb.StringValue).GetValue()), nil
}

func whoStream(_ any, stream grpc.ServerStream) error {
	for {
		in := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(in); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		out, err := answer(stream.Context(), in)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(out); err != nil {
			return err
		}
	}
}

// serve runs the echo service on the listener until the test ends.
func serve(t *testing.T, l net.Listener, options ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(options...)
	server.RegisterService(&echo, struct{}{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) serve(src *pki.Source) (addr string) {
	w.t.Helper()
	l := loopback(w.t)
	serve(w.t, l, ServerOptions(src, quiet)...)
	return l.Addr().String()
}

func (w *world) dial(addr string, src *pki.Source, more ...grpc.DialOption) *grpc.ClientConn {
	w.t.Helper()
	conn, err := Dial(addr, src, pki.RoleWitness, quiet, more...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// ask calls the echo service once, with a claim.
func ask(t *testing.T, conn *grpc.ClientConn, claim string, options ...grpc.CallOption) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, "/test.Echo/Who", wrapperspb.String(claim), out, options...)
	return out.GetValue(), err
}
