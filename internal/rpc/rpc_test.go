package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sbarbiter/internal/faketime"
	"sbarbiter/internal/pki"
)

func TestTheServerKnowsWhoCalls(t *testing.T) {
	w := newWorld(t)
	addr := w.serve(w.source(witness))
	for _, id := range []pki.Identity{nodeA, alice, {Role: pki.RoleWitness, Name: "w2"}} {
		got, err := ask(t, w.dial(addr, w.source(id)), "nothing")
		if err != nil || got != id.String()+" claims nothing" {
			t.Errorf("%v: %q, %v", id, got, err)
		}
	}
}

// Who is waited for is told why there is no connection, also where the server refuses
// after the client's own handshake.
func TestTheClientIsToldWhyThereIsNoConnection(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	own, err := w.expired(nodeA).Current()
	if err != nil {
		t.Fatal(err)
	}
	gone := loopback(t)
	gone.Close()
	for name, c := range map[string]struct {
		addr string
		src  *pki.Source
		is   func(error) bool
	}{
		"nobody listens": {gone.Addr().String(), w.source(nodeA), func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		"another CA's":   {stranger.serve(stranger.source(witness)), w.source(nodeA), func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
		"refuses the client": {w.serve(w.source(witness)), pki.Static(own), func(err error) bool {
			return errors.As(err, new(*net.OpError)) && strings.Contains(err.Error(), "certificate")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var said atomic.Pointer[error]
			conn, err := DialTold(c.addr, c.src, pki.RoleWitness, slog.New(slog.DiscardHandler), func(err error) { said.Store(&err) })
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// A refusal may be overtaken by what the client's next write meets.
			why := errors.New("nothing")
			for end := time.Now().Add(10 * time.Second); !c.is(why) && time.Now().Before(end); time.Sleep(time.Millisecond) {
				if _, err := ask(t, conn, "me"); err == nil {
					t.Fatal("it was answered")
				}
				if last := said.Load(); last != nil {
					why = *last
				}
			}
			if !c.is(why) {
				t.Errorf("told %v", why)
			}
		})
	}
}

func TestAClaimDoesNotChangeTheIdentity(t *testing.T) {
	w := newWorld(t)
	got, err := ask(t, w.dial(w.serve(w.source(witness)), w.source(nodeA)), "node nfs1/node-b")
	if err != nil || got != "node nfs1/node-a claims node nfs1/node-b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStreamsCarryTheIdentity(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(w.serve(w.source(witness)), w.source(nodeA))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &echo.Streams[0], "/test.Echo/WhoStream")
	if err != nil {
		t.Fatal(err)
	}
	out := new(wrapperspb.StringValue)
	if err := stream.SendMsg(wrapperspb.String("beat 1")); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(out); err != nil || out.GetValue() != "node nfs1/node-a claims beat 1" {
		t.Errorf("%q, %v", out.GetValue(), err)
	}
}

func TestTheServerRefusesAndLogsWhy(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	for name, c := range map[string]struct {
		client *pki.Source
		says   string
	}{
		"an expired certificate":         {w.expired(nodeA), "certificate has expired"},
		"a certificate of another CA":    {stranger.unchecked(stranger.issue(pki.Request{Identity: nodeA})), "unknown authority"},
		"a certificate without identity": {w.nameless(), "0 sbarbiter names"},
		"no certificate":                 {pki.Static(pki.Credentials{}), "didn't provide a certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logged{}
			l := loopback(t)
			serve(t, l, ServerOptions(w.source(witness), log.logger())...)
			// The client believes the server, so that only the server can refuse.
			own, err := c.client.Current()
			if err != nil {
				t.Fatal(err)
			}
			own.Roots = w.roots()
			refused(t, w.dial(l.Addr().String(), pki.Static(own)), "")
			eventually(t, func() bool {
				return strings.Contains(log.String(), "client refused") && strings.Contains(log.String(), c.says)
			}, log)
			if got, err := ask(t, w.dial(l.Addr().String(), w.source(nodeA)), "me"); err != nil {
				t.Errorf("a good client afterwards: %q, %v", got, err)
			}
		})
	}
}

// eventually waits until the log says so; the server may be a moment behind.
func eventually(t *testing.T, done func() bool, log *logged) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has only:\n%s", log)
		}
	}
}

func TestTheClientRefuses(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	for name, c := range map[string]struct {
		server *pki.Source
		says   string
	}{
		"an expired certificate":         {w.expired(witness), "expired"},
		"a certificate of another CA":    {stranger.source(witness), "unknown authority"},
		"a node in the witness's place":  {w.source(nodeA), "it is node nfs1/node-a, and a witness was dialled"},
		"an operator in its place":       {w.source(alice), "wrong role"},
		"a certificate without identity": {w.nameless(), "0 sbarbiter names"},
	} {
		t.Run(name, func(t *testing.T) {
			l := loopback(t)
			serve(t, l, ServerOptions(c.server, quiet)...)
			refused(t, w.dial(l.Addr().String(), w.source(nodeA)), c.says)
		})
	}
}

func TestPlainTextIsRefusedByBothSides(t *testing.T) {
	w := newWorld(t)
	plain, err := grpc.NewClient("passthrough:///"+w.serve(w.source(witness)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	refused(t, plain, "")

	l := loopback(t)
	serve(t, l)
	refused(t, w.dial(l.Addr().String(), w.source(nodeA)), "tls")
}

func TestTLS12IsRefusedByBothSides(t *testing.T) {
	w := newWorld(t)
	own, err := w.source(nodeA).Current()
	if err != nil {
		t.Fatal(err)
	}
	old := &tls.Config{
		MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own.Certificate},
		InsecureSkipVerify: true, NextProtos: []string{"h2"},
	}
	conn, err := tls.Dial("tcp", w.serve(w.source(witness)), old)
	if err == nil {
		conn.Close()
		t.Error("the server speaks TLS 1.2")
	} else if !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("refused for another reason: %v", err)
	}

	server, err := w.source(witness).Current()
	if err != nil {
		t.Fatal(err)
	}
	l := loopback(t)
	serve(t, l, grpc.Creds(credentials.NewTLS(&tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server.Certificate}})))
	refused(t, w.dial(l.Addr().String(), w.source(nodeA)), "protocol version")
}

// refused expects that no call gets through, and that the error says why.
func refused(t *testing.T, conn *grpc.ClientConn, says string) {
	t.Helper()
	got, err := ask(t, conn, "let me in")
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("got %q, %v", got, err)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("no %q in: %v", says, err)
	}
}

func TestARenewedCertificateServesTheNextHandshake(t *testing.T) {
	w := newWorld(t)
	dir := w.issue(pki.Request{Identity: witness})
	src, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	addr := w.serve(src)
	first, second := w.serial(addr), w.serial(addr)
	if first != second {
		t.Fatal("the certificate changes by itself")
	}
	renewed := w.issue(pki.Request{Identity: witness})
	for _, name := range []string{pki.CertFile, pki.KeyFile} {
		data, err := os.ReadFile(filepath.Join(renewed, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Second) // whatever the file system's tick
		if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	if w.serial(addr) == first {
		t.Error("the old certificate is still shown")
	}
}

// serial is that of the certificate which the server shows.
func (w *world) serial(addr string) string {
	w.t.Helper()
	config := clientTLS(w.source(nodeA), pki.RoleWitness, quiet)
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestAMessageTooLargeIsRefused(t *testing.T) {
	w := newWorld(t)
	conn := w.dial(w.serve(w.source(witness)), w.source(nodeA), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(8<<20)))
	if _, err := ask(t, conn, strings.Repeat("x", 2<<20)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

func TestTheClientFindsARestartedServer(t *testing.T) {
	w := newWorld(t)
	l := loopback(t)
	addr := l.Addr().String()
	server := grpc.NewServer(ServerOptions(w.source(witness), quiet)...)
	server.RegisterService(&echo, struct{}{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn := w.dial(addr, w.source(nodeA))
	if _, err := ask(t, conn, "before"); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	<-done
	if _, err := ask(t, conn, "between"); status.Code(err) != codes.Unavailable {
		t.Fatalf("while it is down: %v", err)
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, again, ServerOptions(w.source(witness), quiet)...)
	if _, err := ask(t, conn, "after", grpc.WaitForReady(true)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A server of ours must never send a client of ours away for its pings, and an
// idle client must stay connected.
func TestAnIdleConnectionLasts(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := bufconn.Listen(64 << 10)
		serve(t, l, ServerOptions(w.source(witness), quiet)...)
		var dials atomic.Int32
		conn := w.dial("witness", w.source(nodeA), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			dials.Add(1)
			return l.DialContext(ctx)
		}))
		for range 3 {
			if got, err := ask(t, conn, "here"); err != nil || got != "node nfs1/node-a claims here" {
				t.Fatalf("%q, %v", got, err)
			}
			time.Sleep(time.Hour)
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("connected %d times", n)
		}
	})
}

func TestOutsideACallThereIsNoIdentity(t *testing.T) {
	if id, ok := IdentityFrom(t.Context()); ok {
		t.Errorf("it is %v", id)
	}
	if _, err := identified(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	if id, ok := IdentityFrom(WithIdentity(t.Context(), alice)); !ok || id != alice {
		t.Errorf("got %v, %v", id, ok)
	}
}

// nameless is a certificate that our CA signed for something else.
func (w *world) nameless() *pki.Source {
	w.t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(w.dir, pki.CAFile), filepath.Join(w.dir, pki.CAKeyFile))
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: []string{"web.example.org"},
	}, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		w.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		w.t.Fatal(err)
	}
	return pki.Static(pki.Credentials{Certificate: cert, Roots: w.roots()})
}
