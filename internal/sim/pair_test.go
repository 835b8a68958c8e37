package sim_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

const (
	db  = arbiter.GroupID("db")
	web = arbiter.GroupID("web")
)

var stonith, watchdog, tight = sim.Stonith, sim.Watchdog, sim.Tight

// pair is a running world under test.
type pair struct {
	*sim.World
	t *testing.T
}

// up starts a pair and waits until node-a runs the first group and both copies
// are in step. Where node-b came first, as it may by a moment, the group is
// moved.
func up(t *testing.T, o sim.Options) *pair {
	t.Helper()
	p := &pair{sim.New(o), t}
	p.Start()
	t.Cleanup(func() {
		if t.Failed() || testing.Verbose() {
			t.Log("\n" + p.Timeline())
		}
	})
	first := db
	if _, ok := o.Definition.Groups[db]; !ok {
		first = web
	}
	p.RunUntil(20*time.Second, func() bool { _, up := p.Holder(first); return up })
	if now, _ := p.Holder(first); now == sim.B {
		p.quiet(time.Second)
		p.Witness().Order(arbiter.Order{Cluster: o.Definition.Cluster, Group: first, To: "node-a", By: "operator"})
	}
	p.holds(sim.A, first, 20*time.Second)
	p.quiet(3 * time.Second)
	return p
}

// quiet lets time pass in which nothing may break.
func (p *pair) quiet(d time.Duration) {
	p.t.Helper()
	p.Run(p.Now() + d)
	for _, b := range p.Broken() {
		p.t.Fatal(b)
	}
}

// holds waits until a node runs a group for its clients, and returns how long
// that took.
func (p *pair) holds(h sim.Host, g arbiter.GroupID, within time.Duration) time.Duration {
	p.t.Helper()
	from := p.Now()
	at, ok := p.RunUntil(from+within, func() bool { now, up := p.Holder(g); return up && now == h })
	if !ok {
		p.quiet(0)
		p.t.Fatalf("%v does not run %s within %v", h, g, within)
	}
	return at - from
}

// stays lets time pass in which a node runs a group without a break.
func (p *pair) stays(h sim.Host, g arbiter.GroupID, d time.Duration) {
	p.t.Helper()
	at, gone := p.RunUntil(p.Now()+d, func() bool { now, up := p.Holder(g); return !up || now != h })
	if gone {
		p.t.Fatalf("%v does not run %s at %v", h, g, at)
	}
	p.quiet(0)
}

// isolate cuts a node off from everything, or reconnects it.
func (p *pair) isolate(h sim.Host, cut bool) {
	p.Cut(sim.A, sim.B, cut)
	p.CutWitness(h, cut)
	p.CutReplication(cut)
	p.Node(h).Gateway(!cut)
}

// readmitted waits until both copies are in step and nobody is excluded.
func (p *pair) readmitted(within time.Duration) {
	p.t.Helper()
	_, ok := p.RunUntil(p.Now()+within, func() bool {
		return p.InStep(db) && len(p.Witness().State().Groups[db].Excluded) == 0
	})
	if !ok {
		p.quiet(0)
		p.t.Fatalf("not in step and readmitted within %v", within)
	}
}

func (p *pair) nobodyShot() {
	p.t.Helper()
	if p.Said(sim.A, "POWER OFF", 0)+p.Said(sim.B, "POWER OFF", 0) > 0 {
		p.t.Fatal("somebody was shot")
	}
}
