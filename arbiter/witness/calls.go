package witness

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// Acquire answers a node that asks for a group.
func (s *Server) Acquire(ctx context.Context, p *sbv1.AcquireRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromAcquire(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// Release takes a stop receipt.
func (s *Server) Release(ctx context.Context, p *sbv1.ReleaseRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromRelease(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// Exclude answers a holder that wants its peer's copy excluded.
func (s *Server) Exclude(ctx context.Context, p *sbv1.ExcludeRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromExclude(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// Readmit clears an exclusion.
func (s *Server) Readmit(ctx context.Context, p *sbv1.ReadmitRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromReadmit(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// Begin is the question before a shot.
func (s *Server) Begin(ctx context.Context, p *sbv1.BeginRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromBegin(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// ReportFence takes the result of a shot.
func (s *Server) ReportFence(ctx context.Context, p *sbv1.ReportFenceRequest) (*sbv1.Verdict, error) {
	m, err := wire.FromReportFence(p)
	return s.fromNode(ctx, m, m.Caller, err)
}

// fromNode asks the leadership, for a node that is who it says it is.
func (s *Server) fromNode(ctx context.Context, m leader.Message, caller arbiter.Caller, err error) (*sbv1.Verdict, error) {
	id, _ := rpc.IdentityFrom(ctx)
	claimed := pki.Identity{Role: pki.RoleNode, Cluster: string(caller.Cluster), Name: string(caller.Node)}
	switch {
	case err != nil:
		return nil, status.Errorf(codes.InvalidArgument, "read %T: %v", m, err)
	case id != claimed:
		return s.refuse(arbiter.WrongIdentity, "the certificate is for %s, which cannot speak for %s", id, claimed), nil
	}
	return s.ask(ctx, m)
}

// ask waits for the leadership's verdict. An error says that nothing is known.
func (s *Server) ask(ctx context.Context, m leader.Message) (*sbv1.Verdict, error) {
	answered := make(chan leader.Answer, 1)
	if err := s.office.post(ctx, request{m, func(a leader.Answer) { answered <- a }}); err != nil {
		return nil, unavailable(s.notLeading())
	}
	select {
	case a := <-answered:
		if a.Verdict == nil {
			return nil, unavailable(s.notLeading())
		}
		return wire.ToVerdict(*a.Verdict, a.Version), nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (s *Server) refuse(reason arbiter.Reason, format string, a ...any) *sbv1.Verdict {
	return wire.ToVerdict(arbiter.Verdict{Kind: arbiter.Refused, Reason: reason, Sentence: fmt.Sprintf(format, a...)}, arbiter.Version{})
}

// notLeading says where to ask instead.
func (s *Server) notLeading() string {
	name, addr := s.conf.Engine.Leader()
	switch {
	case name == s.conf.Name:
		return fmt.Sprintf("witness %s cannot answer for certain at this moment; ask again", s.conf.Name)
	case name == "":
		return fmt.Sprintf("witness %s knows of no leader; its log says why", s.conf.Name)
	}
	return fmt.Sprintf("witness %s does not lead; %s does (%s)", s.conf.Name, name, addr)
}
