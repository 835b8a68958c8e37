package ctl

import (
	"context"
	"encoding/json"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// judged is a witness's memory of the scenes' pair, with the arbiter's own rules,
// and what its nodes measure. Each look at a recovery lets the nodes do one thing.
type judged struct {
	state   *arbiter.State
	changed map[arbiter.NodeID]uint64 // MiB
	gi      map[arbiter.NodeID]string
	// surprise is what node-b has changed when it is measured for the third time.
	surprise uint64
	measured int
	request  arbiter.RequestID
}

var forks = map[string]map[arbiter.NodeID]string{
	"split": {
		"node-a": "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	},
	"in step": {
		"node-a": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0",
		"node-b": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0",
	},
}

// parted is the healthy pair after a split brain of that kind.
func parted(kind string, a, b uint64, policies ...recovery.PolicyName) func() scene {
	return func() scene {
		s := healthy()
		p := &judged{state: arbiter.NewState(), gi: forks[kind], changed: map[arbiter.NodeID]uint64{"node-a": a, "node-b": b}}
		def := arbiter.Definition{Cluster: "nfs1", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: arbiter.Timing{
			TTL: 20e9, Promise: 20e9, Renew: 25e7, RPCTimeout: 25e7, SuspectAfter: 1e9, FenceTimeout: 15e9,
		}}
		g := arbiter.GroupDefinition{DRBD: true}
		for _, n := range policies {
			g.Recovery = append(g.Recovery, recovery.Policy{Name: n})
		}
		def.Groups = map[arbiter.GroupID]arbiter.GroupDefinition{"nfs": g}
		p.apply(arbiter.Define{Definition: def, By: "ops"})
		for _, n := range def.Nodes {
			p.apply(arbiter.NodeUp{Caller: p.caller(n)})
		}
		s.pair = p
		return s
	}
}

// surprising is a split whose victim turns out to have changed more.
func surprising() scene {
	s := parted("split", 10, 2)()
	s.pair.surprise = 7
	return s
}

func (p *judged) caller(n arbiter.NodeID) arbiter.Caller {
	p.request++
	return arbiter.Caller{Cluster: "nfs1", Node: n, Boot: "b", Incarnation: 1, Request: p.request}
}

func (p *judged) apply(cmd arbiter.Command) arbiter.Verdict {
	return p.state.Apply(p.state.Version.Index+1, arbiter.Entry{At: morning, Command: cmd}).Verdict
}

func (p *judged) group() *arbiter.Group { return p.state.Clusters["nfs1"].Groups["nfs"] }

// turn lets each node do what is wanted of it, once.
func (p *judged) turn() {
	for _, n := range []arbiter.NodeID{"node-a", "node-b"} {
		r := p.group().Recovery
		if r == nil {
			return
		}
		switch t := r.TaskOf(n); {
		case t == nil:
		case t.Round != 0:
			p.measured++
			changed := p.changed[n]
			if p.surprise != 0 && p.measured > 4 && n == "node-b" {
				changed = p.surprise
			}
			bytes := changed << 20
			p.apply(arbiter.Measured{Caller: p.caller(n), Group: "nfs", Recovery: r.ID, Round: t.Round, Side: recovery.Side{
				Node: recovery.Node(n), Family: drbd.Family84, Role: drbd.RoleSecondary,
				Volumes: []recovery.Volume{{Resource: "r0", Size: 256 << 20, Disk: drbd.DiskUpToDate, Generations: p.gi[n], OutOfSync: &bytes}},
				Tenures: []recovery.Tenure{{Epoch: 8, Leased: n == "node-a"}},
			}})
		default:
			p.apply(arbiter.StepDone{Caller: p.caller(n), Group: "nfs", Recovery: t.Recovery, Tries: t.Tries, Attempt: t.Attempt, Step: t.Step})
		}
	}
	if r := p.group().Recovery; r != nil && r.Phase == arbiter.Carrying && r.Plan.Steps[r.Step].Kind == recovery.Readmit {
		e := p.group().Excluded[r.Victim()]
		p.apply(arbiter.Readmit{Caller: p.caller("node-a"), Group: "nfs", Node: r.Victim(), Number: e.Number, Evidence: arbiter.Evidence{
			Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}},
		}})
	}
}

// judge notes the question, and lets the pair's witness answer it.
func (f *fake) judge(name string, question any, cmd arbiter.Command) (*sbv1.Verdict, error) {
	v, err := f.answer(name, question, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || v.GetKind() == "refused" || f.scene.pair == nil {
		return v, err
	}
	is := f.scene.pair.apply(cmd)
	return &sbv1.Verdict{Kind: string(is.Kind), Reason: string(is.Reason), Sentence: is.Sentence, Recovery: uint64(is.Recovery)}, nil
}

func (f *fake) Resolve(_ context.Context, q *sbv1.ResolveRequest) (*sbv1.Verdict, error) {
	return f.judge("resolve", q, arbiter.Resolve{Cluster: "nfs1", Group: "nfs", Order: arbiter.RecoveryOrder{
		By: "alice", Reason: q.GetReason(), Discard: arbiter.NodeID(q.GetDiscard()), Policy: recovery.PolicyName(q.GetPolicy()), DryRun: q.GetDryRun(),
	}})
}

func (f *fake) ApproveRecovery(_ context.Context, q *sbv1.ApproveRecoveryRequest) (*sbv1.Verdict, error) {
	return f.judge("approve", q, arbiter.Approve{
		Cluster: "nfs1", Group: "nfs", Recovery: arbiter.RecoveryID(q.GetRecovery()), Revision: q.GetRevision(), By: "alice",
	})
}

func (f *fake) CancelRecovery(_ context.Context, q *sbv1.CancelRecoveryRequest) (*sbv1.Verdict, error) {
	return f.judge("cancel", q, arbiter.CancelRecovery{
		Cluster: "nfs1", Group: "nfs", Recovery: arbiter.RecoveryID(q.GetRecovery()), By: "alice", Reason: q.GetReason(),
	})
}

func (f *fake) Recoveries(context.Context, *sbv1.RecoveriesRequest) (*sbv1.RecoveriesAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &sbv1.RecoveriesAnswer{}
	p := f.scene.pair
	if p == nil {
		return out, nil
	}
	for range 4 { // nobody waits for nodes that only play
		p.turn()
		if r := p.group().Recovery; r == nil || r.Phase != arbiter.Carrying || r.Plan.Steps[r.Step].Kind == recovery.FollowResync {
			break
		}
	}
	g := p.group()
	for i := range g.Recovered {
		out.Recoveries = append(out.Recoveries, told(&g.Recovered[i]))
	}
	if g.Recovery != nil {
		out.Recoveries = append(out.Recoveries, told(g.Recovery))
	}
	return out, nil
}

func told(r *arbiter.Recovery) *sbv1.RecoveryDocument {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	d := &sbv1.RecoveryDocument{Document: b}
	if r.Phase == arbiter.Carrying && r.Plan.Steps[r.Step].Kind == recovery.FollowResync {
		d.Carrying = []*sbv1.Carrying{{Recovery: uint64(r.ID), Step: uint32(r.Step), Left: 3 << 20, Total: 12 << 20}}
	}
	return d
}
