package witness

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/doctor"
	sbv1 "sbarbiter/proto/sb/v1"
)

// Doctor says what the nodes have found on themselves, and what is wrong between
// them.
func (s *Server) Doctor(ctx context.Context, p *sbv1.DoctorRequest) (*sbv1.DoctorAnswer, error) {
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
	out := &sbv1.DoctorAnswer{}
	for _, f := range examined(v, time.Now()) {
		out.Findings = append(out.Findings, wire.ToFinding(f))
	}
	for _, id := range v.Cluster.Definition.Nodes {
		n := v.Cluster.Nodes[id]
		for _, device := range slices.Sorted(maps.Keys(n.Proven)) {
			out.Proofs = append(out.Proofs, &sbv1.FenceProof{Node: string(id), Device: device, AtMs: n.Proven[device]})
		}
	}
	return out, nil
}

// examined are all findings about a cluster, the worst first.
func examined(v leader.View, wall time.Time) []doctor.Finding {
	p := doctor.Pair{STONITH: doctor.Watched(v.Cluster.Definition.Stonith), Timing: v.Pair(), Groups: map[string]doctor.Copies{}}
	for id, g := range v.Cluster.Definition.Groups {
		p.Groups[string(id)] = doctor.Copies(g.DRBD)
	}
	var found []doctor.Finding
	for i, id := range v.Cluster.Definition.Nodes {
		p.Members[i] = member(v, id, wall)
		if r := v.Nodes[id].Report; r != nil {
			for _, f := range r.Findings {
				f.Node = string(id)
				found = append(found, f)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.Cluster.Groups)) {
		if split := splitOf(v, id); split != nil {
			found = append(found, doctor.Finding{
				Severity: doctor.Warning, Subject: string(id), What: split.GetWhat(),
				Why: "what either copy alone has is nowhere else, and the group has no second node to go on with", Fix: split.GetDo(),
			})
		}
	}
	return doctor.Sorted(append(p.Examine(), found...))
}

func member(v leader.View, id arbiter.NodeID, wall time.Time) doctor.Member {
	m := doctor.Member{Name: string(id), Heard: doctor.Watched(!v.Suspects(id)), Proven: map[string]time.Duration{}}
	if r := v.Nodes[id].Report; r != nil {
		m.Reported, m.Examined, m.ConfigHash = true, doctor.Watched(r.Examined), r.ConfigHash
		m.Machine, m.Switches = r.Machine, r.Switches
	}
	if b := v.Nodes[id].Beat; b.Number > 0 {
		m.Groups = map[string]doctor.Copies{}
		for _, g := range b.Groups {
			m.Groups[string(g.Group)] = len(g.Evidence.Disks) > 0
		}
	}
	for device, at := range v.Cluster.Nodes[id].Proven {
		m.Proven[device] = wall.Sub(time.UnixMilli(at))
	}
	return m
}
