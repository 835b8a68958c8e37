package bubble

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// seldom is soon for what takes its time: each look costs more than the time between.
func (p *pair) seldom(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(4 * time.Minute); !holds(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not within four minutes: %+v", what, p.recovered().Note)
		}
	}
}

// recovered is the latest recovery that the witness tells of.
func (p *pair) recovered() (out arbiter.Recovery) {
	p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
		a, err := op.Recoveries(ctx, &sbv1.RecoveriesRequest{Cluster: string(cluster), Group: string(data)})
		if err != nil || len(a.GetRecoveries()) == 0 {
			return false
		}
		return json.Unmarshal(a.GetRecoveries()[len(a.GetRecoveries())-1].GetDocument(), &out) == nil
	})
	return out
}

// resolve is what an operator does: look, and agree to what is shown.
func (p *pair) resolve(victim int) {
	p.t.Helper()
	p.seldom("a recovery is opened", func() bool {
		return p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
			v, err := op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: string(cluster), Group: string(data), Discard: string(nodes[victim])})
			return err == nil && v.GetKind() == "done"
		})
	})
}

// agree approves whatever is shown, for as long as there is something to approve.
func (p *pair) agree() {
	if doc := p.recovered(); doc.Phase == arbiter.Decided {
		p.ask(func(ctx context.Context, op sbv1.OperatorClient) bool {
			_, err := op.ApproveRecovery(ctx, &sbv1.ApproveRecoveryRequest{
				Cluster: string(cluster), Group: string(data), Recovery: uint64(doc.ID), Revision: doc.Revision, Typed: string(data),
			})
			return err == nil
		})
	}
}

// deaths are what may happen to whoever carries a step out.
var deaths = map[string]func(p *pair) func(on int){
	"agent": func(p *pair) func(int) {
		return func(on int) { p.nodes[on].end(); time.Sleep(300 * time.Millisecond); p.nodes[on].boot() }
	},
	"node": func(p *pair) func(int) {
		return func(on int) { p.nodes[on].crash(); time.Sleep(3 * time.Second); p.nodes[on].boot() }
	},
	"witness": func(p *pair) func(int) {
		return func(int) { w := p.ws.All()[0]; w.Kill(); time.Sleep(2 * time.Second); w.Start() }
	},
}

// TestRecoveryOutlivesWhoeverDies kills agent, node and witness at every step of a
// recovery, before its effect and between that and the word of it, with the programs'
// own witness, wire and runners.
func TestRecoveryOutlivesWhoeverDies(t *testing.T) {
	steps := []recovery.StepKind{
		recovery.Measure, recovery.StopServices, recovery.Demote, recovery.Disconnect, recovery.DumpMetadata, recovery.Snapshot,
		recovery.Discard, recovery.Connect, recovery.FollowResync,
	}
	for name, death := range deaths {
		t.Run(name, func(t *testing.T) {
			story(t, 1, func(p *pair) {
				for i, k := range steps {
					for _, inside := range []bool{false, true} {
						victim := b
						if i%3 == 2 {
							victim = a
						}
						p.recoverFrom(victim, k, inside, death(p), fmt.Sprintf("%s dies at %s, inside %t", name, k, inside))
					}
				}
			})
		})
	}
}

// recoverFrom splits the pair and brings it together again, whatever comes between.
func (p *pair) recoverFrom(victim int, at recovery.StepKind, inside bool, comes func(int), what string) {
	p.t.Helper()
	before := p.recovered().ID
	r := p.split(victim)
	r.mu.Lock()
	r.step, r.inside, r.comes = at, inside, comes
	r.mu.Unlock()
	time.Sleep(2 * time.Second)
	p.resolve(victim)
	p.seldom(what+": it ends", func() bool {
		p.agree()
		doc := p.recovered()
		return doc.ID > before && doc.Phase == arbiter.Over
	})
	if doc := p.recovered(); doc.Outcome != arbiter.Recovered {
		p.t.Fatalf("%s: %s: %s", what, doc.Outcome, doc.Note)
	}
	p.seldom(what+": the group runs and nobody is excluded", func() bool {
		g := p.seen()
		return len(g.GetExclusions()) == 0 && (p.runsOn(a) != p.runsOn(b))
	})
	for _, n := range p.nodes {
		n.boot()
	}
	r.mu.Lock()
	if !r.came {
		p.t.Errorf("%s: it did not happen", what)
	}
	r.mu.Unlock()
	time.Sleep(5 * time.Second)
}
