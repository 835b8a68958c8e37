package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"time"

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
	second  map[arbiter.NodeID]string // of r1/0; nil: there is none
	// surprise is what node-b has changed when it is measured for the third time.
	surprise uint64
	measured int
	off      arbiter.NodeID // is not there, until it is measured for the time back
	back     int
	primary  arbiter.NodeID // is written to until it is stopped
	later    int64          // ms since the morning
	restless bool           // node-b goes on writing
	nine     bool           // the driver is DRBD 9
	gone     bool           // nobody does anything any more
	clings   error          // why a recovery is not called off
	request  arbiter.RequestID
}

var forks = map[string]map[arbiter.NodeID]string{
	"split": {
		"node-a": "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	},
	"a ahead": {
		"node-a": "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
		"node-b": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:0:0:0:0",
	},
	"b ahead": {
		"node-a": "2118A6CB62BB9566:0000000000000000:0000000000000000:0000000000000000:1:1:0:0:0:0:0",
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

// turning is one whose policy names the other side by what is measured later.
func turning() scene {
	s := parted("split", 10, 2, recovery.DiscardLeastChanges)()
	s.pair.surprise = 70
	return s
}

// restless is one whose victim has changed more whenever it is measured.
func restless() scene {
	s := parted("split", 10, 2)()
	s.pair.restless = true
	return s
}

// nine is a split on DRBD 9 that was looked at.
func nine() scene {
	s := parted("split", 10, 2)()
	s.pair.nine = true
	s.pair.apply(arbiter.Resolve{Cluster: "nfs1", Group: "nfs", Order: arbiter.RecoveryOrder{By: "bob", DryRun: true}})
	s.pair.turn()
	return s
}

// crossed is a pair of whose two volumes each lags behind the other way.
func crossed() scene {
	s := parted("a ahead", 10, 2)()
	s.pair.second = forks["b ahead"]
	return s
}

var errPastReturn = errors.New("recovery 1.1 of nfs has begun to give node-b's changes up; it can only go on")

// clinging is a scene whose recovery is not called off.
func clinging(s func() scene, why error) func() scene {
	return func() scene {
		s := s()
		s.pair.clings = why
		return s
	}
}

// running is one whose victim is written to until it is stopped.
func running() scene {
	s := surprising()
	s.pair.primary = "node-b"
	return s
}

// withoutB is a split that was looked at once, and whose node-b is off since, until it
// has been asked so many times.
func withoutB(back int) scene {
	s := parted("split", 10, 2)()
	p := s.pair
	p.apply(arbiter.Resolve{Cluster: "nfs1", Group: "nfs", Order: arbiter.RecoveryOrder{By: "bob", DryRun: true}})
	p.turn()
	p.off, p.back = "node-b", back
	s.status.Clusters[0].Groups[0].Split = &sbv1.SplitStatus{
		What: "split brain of nfs, seen by recovery 1.1 (2026-11-22 02:34 UTC) and not known to be resolved; more can be told once node-b is back", Do: "sbctl resolve nfs --dry-run",
	}
	s.status.Clusters[0].Nodes[1].SilentNs = (3 * time.Hour).Nanoseconds()
	return s
}

// wasStale is a split whose node-b was excluded before.
func wasStale() scene {
	s := parted("split", 10, 2)()
	s.pair.group().Excluded = map[arbiter.NodeID]arbiter.Exclusion{"node-b": {Number: 1<<32 | 1, By: "node-a", Epoch: 4}}
	return s
}

// forced is one whose node-b was excluded after that, and is off.
func forced() scene {
	s := withoutB(1 << 20)
	g := s.status.Clusters[0].Groups[0]
	g.Exclusions = []*sbv1.ExclusionStatus{{Node: "node-b", Number: 1, By: "node-a", Epoch: 8, SinceMs: morning + 60_000}}
	s.pair.later = 120_000
	return s
}

// givenUpForGood is a recovery whose node-b has gone while its copy was given up.
func givenUpForGood() scene {
	s := parted("split", 10, 2)()
	p := s.pair
	p.apply(arbiter.Resolve{Cluster: "nfs1", Group: "nfs", Order: arbiter.RecoveryOrder{By: "bob", Discard: "node-b"}})
	p.turn()
	p.apply(arbiter.Approve{Cluster: "nfs1", Group: "nfs", Recovery: p.group().Recovery.ID, Revision: p.group().Recovery.Revision, By: "bob"})
	for p.group().Recovery.Cancellable() {
		p.turn()
	}
	p.gone = true
	return s
}

func (p *judged) caller(n arbiter.NodeID) arbiter.Caller {
	p.request++
	return arbiter.Caller{Cluster: "nfs1", Node: n, Boot: "b", Incarnation: 1, Request: p.request}
}

func (p *judged) apply(cmd arbiter.Command) arbiter.Verdict {
	return p.state.Apply(p.state.Version.Index+1, arbiter.Entry{At: morning + p.later, Command: cmd}).Verdict
}

func (p *judged) group() *arbiter.Group { return p.state.Clusters["nfs1"].Groups["nfs"] }

// turn lets each node do what is wanted of it, once.
func (p *judged) turn() {
	for _, n := range []arbiter.NodeID{"node-a", "node-b"} {
		r := p.group().Recovery
		if r == nil || p.gone {
			return
		}
		switch t := r.TaskOf(n); {
		case t == nil:
		case t.Round != 0 && n == p.off:
			if p.back--; p.back < 0 {
				p.off = ""
			}
			p.apply(arbiter.Unmeasured{Cluster: "nfs1", Group: "nfs", Recovery: r.ID, Round: t.Round, Node: n, Why: "it is not heard"})
		case t.Round != 0:
			p.measured++
			changed := p.changed[n]
			if p.surprise != 0 && p.measured > 4 && n == "node-b" {
				changed = p.surprise
			}
			if p.restless && n == "node-b" {
				p.changed[n]++
			}
			bytes, role := changed<<20, drbd.RoleSecondary
			if n == p.primary && r.Phase != arbiter.Carrying {
				role = drbd.RolePrimary
			}
			var mounted []string
			var written time.Time
			if p.primary != "" {
				written = time.UnixMilli(morning)
			}
			if role == drbd.RolePrimary {
				mounted = []string{"/srv/data"}
			}
			family := drbd.Family84
			if p.nine {
				family = drbd.Family9
			}
			volumes := []recovery.Volume{{Resource: "r0", Size: 256 << 20, Disk: drbd.DiskUpToDate, Generations: p.gi[n], OutOfSync: &bytes, Written: written}}
			if gi := p.second[n]; gi != "" {
				volumes = append(volumes, recovery.Volume{Resource: "r1", Size: 256 << 20, Disk: drbd.DiskUpToDate, Generations: gi, OutOfSync: &bytes})
			}
			p.apply(arbiter.Measured{Caller: p.caller(n), Group: "nfs", Recovery: r.ID, Round: t.Round, Side: recovery.Side{
				Node: recovery.Node(n), Family: family, Role: role, Mounted: mounted,
				Volumes: volumes,
				Tenures: []recovery.Tenure{tenureOf(n)},
			}})
		default:
			p.apply(arbiter.StepDone{Caller: p.caller(n), Group: "nfs", Recovery: t.Recovery, Tries: t.Tries, Attempt: t.Attempt, Step: t.Step})
		}
	}
	if r := p.group().Recovery; r != nil && r.Phase == arbiter.Awaiting && p.off == "" {
		p.apply(arbiter.MeasureAgain{Cluster: "nfs1", Group: "nfs", Recovery: r.ID})
	}
	if r := p.group().Recovery; r != nil && r.Phase == arbiter.Carrying && r.Plan.Steps[r.Step].Kind == recovery.Readmit {
		e := p.group().Excluded[r.Victim()]
		p.apply(arbiter.Readmit{Caller: p.caller("node-a"), Group: "nfs", Node: r.Victim(), Number: e.Number, Evidence: arbiter.Evidence{
			Disks: []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}},
		}})
	}
}

// tenureOf is the last time for which a node was Primary: node-a held the group, and
// node-b was forced, over midnight.
func tenureOf(n arbiter.NodeID) recovery.Tenure {
	at := func(m int64) time.Time { return time.UnixMilli(morning + m*60_000).UTC() }
	if n == "node-a" {
		return recovery.Tenure{Epoch: 8, Leased: true, From: at(-400), Until: at(-2)}
	}
	return recovery.Tenure{Epoch: 8, From: at(-10), Until: at(-1)}
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
		WhenBack: q.GetWhenBack(), AtMost: q.AtMost,
	}})
}

func (f *fake) ApproveRecovery(_ context.Context, q *sbv1.ApproveRecoveryRequest) (*sbv1.Verdict, error) {
	return f.judge("approve", q, arbiter.Approve{
		Cluster: "nfs1", Group: "nfs", Recovery: arbiter.RecoveryID(q.GetRecovery()), Revision: q.GetRevision(), By: "alice", AtMost: q.AtMost,
	})
}

func (f *fake) CancelRecovery(_ context.Context, q *sbv1.CancelRecoveryRequest) (*sbv1.Verdict, error) {
	if p := f.current().pair; p != nil && p.clings != nil {
		if errors.Is(p.clings, errPastReturn) {
			return &sbv1.Verdict{Kind: "refused", Reason: "past_return", Sentence: p.clings.Error()}, nil
		}
		return nil, p.clings
	}
	return f.judge("cancel", q, arbiter.CancelRecovery{
		Cluster: "nfs1", Group: "nfs", Recovery: arbiter.RecoveryID(q.GetRecovery()), By: "alice", Reason: q.GetReason(),
		Abandon: q.GetAbandon(),
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
