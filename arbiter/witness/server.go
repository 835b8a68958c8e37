package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"sbarbiter/arbiter/engine"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// drainLimit bounds how long calls under way are waited for at the end.
const drainLimit = 2 * time.Second

// Engine is the log that orders the commands. An error of Apply is
// engine.ErrNotLeader (it has no effect, ever) or engine.ErrUnknown (only a
// Barrier that succeeds settles it).
type Engine interface {
	Run(ctx context.Context) error
	Apply(ctx context.Context, cmd []byte) (outcome []byte, index uint64, err error)
	Barrier(ctx context.Context) error
	VerifyLeader(ctx context.Context) error
	Leadership() <-chan engine.Leadership
	Leader() (name, addr string)
}

// Config is what a server is made of.
type Config struct {
	Name     string // of this witness
	Engine   Engine // opened with Machine, not yet running
	Machine  *Machine
	Audit    *Audit // where the machine's decisions go
	Listener net.Listener
	Creds    *pki.Source
	Log      *slog.Logger
	// Power shoots nodes that their peers could not shoot. May be nil.
	Power Power

	// Ready is called once, when calls are being answered. May be nil.
	Ready func()

	// Now reads the boot-time clock; nil is boottime.Now.
	Now func() boottime.Instant
}

// Server is one witness.
type Server struct {
	sbv1.UnimplementedArbiterServer
	sbv1.UnimplementedOperatorServer

	conf     Config
	log      *slog.Logger
	office   *office
	stopping chan struct{}  // closed when streams have to end
	streams  sync.WaitGroup // what reads and writes sessions
}

// New makes a server; nothing runs before [Server.Run].
func New(conf Config) *Server {
	if conf.Now == nil {
		conf.Now = boottime.Now
	}
	conf.Machine.audit = conf.Audit
	return &Server{conf: conf, log: conf.Log, office: newOffice(conf), stopping: make(chan struct{})}
}

// Run serves until ctx ends (then it returns nil) or until the engine, the audit
// log or the listener cannot go on. Everything that it was given is closed when
// it returns. It can be called once.
func (s *Server) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	officeCtx, stopOffice := context.WithCancel(base)
	engineCtx, stopEngine := context.WithCancel(base)
	auditCtx, stopAudit := context.WithCancel(base)
	g, ctx := errgroup.WithContext(ctx)
	// Each stage ends the next one behind it, so they close in this order.
	g.Go(func() error { defer stopOffice(); return s.serve(ctx) })
	g.Go(func() error { defer stopEngine(); s.office.run(officeCtx); return nil })
	g.Go(func() error { defer stopAudit(); return s.conf.Engine.Run(engineCtx) })
	g.Go(func() error { return s.conf.Audit.run(auditCtx) })
	return g.Wait()
}

// serve answers calls until ctx ends, and then drains.
func (s *Server) serve(ctx context.Context) error {
	server := grpc.NewServer(rpc.ServerOptions(s.conf.Creds, s.log)...)
	sbv1.RegisterArbiterServer(server, s)
	sbv1.RegisterOperatorServer(server, s)
	served, failed := make(chan struct{}), error(nil)
	go func() {
		defer close(served)
		failed = server.Serve(s.conf.Listener)
	}()
	if s.conf.Ready != nil {
		s.conf.Ready()
	}
	select {
	case <-served:
	case <-ctx.Done():
	}
	close(s.stopping)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		server.GracefulStop()
	}()
	select {
	case <-drained:
	case <-time.After(drainLimit):
		s.log.Warn("calls still under way are cut off", "after", drainLimit)
		server.Stop()
		<-drained
	}
	<-served
	s.streams.Wait()
	if failed != nil && !errors.Is(failed, grpc.ErrServerStopped) { // that was us
		return fmt.Errorf("serve %v: %w", s.conf.Listener.Addr(), failed)
	}
	return nil
}
