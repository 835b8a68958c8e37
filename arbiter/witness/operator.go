package witness

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/pki"
	"sbarbiter/internal/rpc"
	sbv1 "sbarbiter/proto/sb/v1"
)

// AddCluster declares a cluster, or changes its definition.
func (s *Server) AddCluster(ctx context.Context, p *sbv1.AddClusterRequest) (*sbv1.Verdict, error) {
	by, err := operator(ctx)
	if err != nil {
		return nil, err
	}
	cmd, err := wire.FromDefine(p, by)
	if err != nil {
		return s.refuse(arbiter.BadDefinition, "%v", err), nil
	}
	return s.ask(ctx, cmd)
}

// Switchover orders a planned change of holder, or withdraws one.
func (s *Server) Switchover(ctx context.Context, p *sbv1.SwitchoverRequest) (*sbv1.Verdict, error) {
	return fromOperator(ctx, s, func(by string) (arbiter.Order, error) { return wire.FromOrder(p, by) })
}

// Standby keeps grants from a node, or no longer.
func (s *Server) Standby(ctx context.Context, p *sbv1.StandbyRequest) (*sbv1.Verdict, error) {
	return fromOperator(ctx, s, func(by string) (arbiter.Standby, error) { return wire.FromStandby(p, by) })
}

// Maintenance keeps new grants from a cluster, or no longer.
func (s *Server) Maintenance(ctx context.Context, p *sbv1.MaintenanceRequest) (*sbv1.Verdict, error) {
	return fromOperator(ctx, s, func(by string) (arbiter.Maintenance, error) { return wire.FromMaintenance(p, by, time.Now()) })
}

// RehearseFence lets one node switch the other off and on again.
func (s *Server) RehearseFence(ctx context.Context, p *sbv1.RehearseFenceRequest) (*sbv1.Verdict, error) {
	return fromOperator(ctx, s, func(by string) (arbiter.Rehearse, error) { return wire.FromRehearse(p, by) })
}

// ConfirmFence takes an operator's word that a node is off, who has typed the
// node's name.
func (s *Server) ConfirmFence(ctx context.Context, p *sbv1.ConfirmFenceRequest) (*sbv1.Verdict, error) {
	return typedByOperator(ctx, s, "nothing is confirmed", func(by string) (arbiter.Command, string, string, error) {
		cmd, typed, err := wire.FromConfirm(p, by)
		return cmd, string(cmd.Node), typed, err
	})
}

// GiveUp takes an operator's word that a node's copy is given up for the other one's,
// who has typed that node's name.
func (s *Server) GiveUp(ctx context.Context, p *sbv1.GiveUpRequest) (*sbv1.Verdict, error) {
	return typedByOperator(ctx, s, "nothing is given up", func(by string) (arbiter.Command, string, string, error) {
		cmd, typed, err := wire.FromGiveUp(p, by)
		return cmd, string(cmd.Node), typed, err
	})
}

// operator returns the name of the operator who calls.
func operator(ctx context.Context) (string, error) {
	id, ok := rpc.IdentityFrom(ctx)
	if !ok || id.Role != pki.RoleOperator {
		return "", status.Errorf(codes.PermissionDenied, "this needs an operator's certificate, and the one shown is for %s; make one with: sbctl pki issue operator NAME", id)
	}
	return id.Name, nil
}

func fromOperator[C arbiter.Command](ctx context.Context, s *Server, read func(by string) (C, error)) (*sbv1.Verdict, error) {
	by, err := operator(ctx)
	if err != nil {
		return nil, err
	}
	cmd, err := read(by)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "read request: %v", err)
	}
	return s.ask(ctx, cmd)
}

// typedByOperator takes an operator's word that counts only if the name which it is
// about was typed with it.
func typedByOperator(ctx context.Context, s *Server, undone string, read func(by string) (cmd arbiter.Command, name, typed string, err error)) (*sbv1.Verdict, error) {
	by, err := operator(ctx)
	if err != nil {
		return nil, err
	}
	cmd, name, typed, err := read(by)
	switch {
	case err != nil:
		return nil, status.Errorf(codes.InvalidArgument, "read request: %v", err)
	case typed != name:
		return s.refuse(arbiter.NothingToDo, "%q was typed where the name of %s was asked for; %s", typed, name, undone), nil
	}
	return s.ask(ctx, cmd)
}

// Status says what the leader knows, of one cluster or of all.
func (s *Server) Status(ctx context.Context, p *sbv1.StatusRequest) (*sbv1.StatusAnswer, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	seen, err := s.views(ctx, arbiter.ClusterID(p.GetCluster()))
	if err != nil {
		return nil, err
	}
	out := &sbv1.StatusAnswer{Witness: &sbv1.WitnessStatus{
		Name: s.conf.Name, Leader: true, Version: wire.ToVersion(seen.version), LeadingNs: seen.listening.Nanoseconds(),
	}}
	for _, v := range seen.views {
		out.Clusters = append(out.Clusters, clusterStatus(v, seen.listening))
	}
	return out, nil
}

// Why shows the decisions behind what is, and what is being waited for.
func (s *Server) Why(ctx context.Context, p *sbv1.WhyRequest) (*sbv1.WhyAnswer, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	if p.GetCluster() == "" {
		return nil, status.Error(codes.InvalidArgument, "name the cluster")
	}
	seen, err := s.views(ctx, arbiter.ClusterID(p.GetCluster()))
	if err != nil {
		return nil, err
	}
	v, group := seen.views[0], arbiter.GroupID(p.GetGroup())
	if _, ok := v.Cluster.Groups[group]; group != "" && !ok {
		return nil, status.Errorf(codes.NotFound, "cluster %s has no group %s", p.GetCluster(), group)
	}
	records := v.Cluster.Audit
	if index := p.GetIndex(); index != 0 {
		if records, err = s.chain(p.GetCluster(), index); err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
	}
	out := &sbv1.WhyAnswer{Now: waiting(v, group)}
	for _, r := range why(records, group, int(p.GetLimit())) {
		out.Records = append(out.Records, wire.ToRecord(r))
	}
	return out, nil
}

// Timing proves that a cluster's numbers fit together, or says which do not.
func (s *Server) Timing(ctx context.Context, p *sbv1.TimingRequest) (*sbv1.TimingAnswer, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	if p.GetCluster() == "" {
		return nil, status.Error(codes.InvalidArgument, "name the cluster")
	}
	seen, err := s.views(ctx, arbiter.ClusterID(p.GetCluster()))
	if err != nil {
		return nil, err
	}
	v := seen.views[0]
	out := wire.ToTiming(v.Pair())
	for _, id := range v.Cluster.Definition.Nodes {
		if v.Nodes[id].Report == nil {
			out.Missing = append(out.Missing, string(id))
		}
	}
	return out, nil
}

// chain reads the decisions of a cluster up to one from the audit file.
func (s *Server) chain(cluster string, index uint64) ([]arbiter.Record, error) {
	var records []arbiter.Record
	err := s.conf.Audit.read(s.conf.Audit.end(), func(r arbiter.Record) bool {
		if r.Cluster == cluster && r.Index <= index {
			records = append(records, r)
			if len(records) > 2*mostRecords {
				records = append(records[:0], records[mostRecords:]...)
			}
		}
		return r.Index <= index
	})
	return records, err
}

// Events streams the audit log.
func (s *Server) Events(p *sbv1.EventsRequest, stream grpc.ServerStreamingServer[sbv1.Record]) error {
	if _, err := operator(stream.Context()); err != nil {
		return err
	}
	wanted := func(r arbiter.Record) bool {
		return r.Index > p.GetAfter() && (p.GetCluster() == "" || r.Cluster == p.GetCluster())
	}
	end, live := s.conf.Audit.subscribe()
	defer s.conf.Audit.unsubscribe(live)
	var failed error
	err := s.conf.Audit.read(end, func(r arbiter.Record) bool {
		if wanted(r) {
			failed = stream.Send(wire.ToRecord(r))
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	case !p.GetFollow():
		return nil
	}
	return s.follow(stream, live, wanted)
}

func (s *Server) follow(stream grpc.ServerStreamingServer[sbv1.Record], live *reader, wanted func(arbiter.Record) bool) error {
	for {
		select {
		case r, ok := <-live.live:
			if !ok {
				return unavailable("the reader was too slow; ask again from the last event that it has")
			}
			if !wanted(r) {
				continue
			}
			if err := stream.Send(wire.ToRecord(r)); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.stopping:
			return unavailable("this witness is stopping")
		}
	}
}

// seen is what a leadership knew at one moment.
type seen struct {
	version   arbiter.Version
	listening time.Duration
	views     []leader.View
}

// views asks the leadership what it knows, after making sure that it is one.
func (s *Server) views(ctx context.Context, cluster arbiter.ClusterID) (seen, error) {
	if err := s.conf.Engine.VerifyLeader(ctx); err != nil {
		return seen{}, unavailable(s.notLeading())
	}
	var out *seen
	done := make(chan struct{})
	err := s.office.post(ctx, look{done: done, at: func(l *leader.Leader) {
		if l == nil {
			return
		}
		now := s.conf.Now()
		out = &seen{version: l.Version(), listening: l.Listening(now)}
		if cluster == "" {
			out.views = l.Views(now)
		} else {
			out.views = l.Views(now, cluster)
		}
	}})
	if err != nil {
		return seen{}, unavailable(s.notLeading())
	}
	<-done // the office took it, so it will be done
	switch {
	case out == nil:
		return seen{}, unavailable(s.notLeading())
	case cluster != "" && len(out.views) == 0:
		return seen{}, status.Errorf(codes.NotFound, "this witness does not know cluster %s; declare it with sbctl cluster add", cluster)
	}
	return *out, nil
}
