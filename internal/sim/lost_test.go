package sim_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/internal/sim"
)

// alone has node-a run the group on the only good copy, and its machine burn down.
func alone(t *testing.T, o sim.Options) *pair {
	t.Helper()
	p := up(t, o)
	p.CutReplication(true)
	p.until(10*time.Second, "node-b's copy is excluded", func() bool { return len(p.group().Excluded) > 0 })
	p.quiet(5 * time.Second)
	p.Node(sim.A).Unplug()
	p.CutReplication(false)
	p.quiet(30 * time.Second)
	if _, runs := p.Holder(db); runs || p.group().Lease == nil {
		t.Fatal("a stale copy was promoted")
	}
	p.Witness().Order(arbiter.Confirm{
		Cluster: p.Definition.Cluster, Node: "node-a", Epochs: []arbiter.Epoch{p.group().Lease.Epoch}, By: "alice", Reason: "burnt down",
	})
	p.until(10*time.Second, "its lease is over", func() bool { return p.group().Lease == nil })
	p.quiet(30 * time.Second)
	if _, runs := p.Holder(db); runs {
		t.Fatal("a stale copy was promoted")
	}
	return p
}

func (p *pair) lost(node arbiter.NodeID) {
	p.Witness().Order(arbiter.GiveUp{Cluster: p.Definition.Cluster, Group: db, Node: node, By: "alice", Reason: "burnt down", Lost: true})
}

func (p *pair) runsOn(h sim.Host) bool {
	is, runs := p.Holder(db)
	return runs && is == h
}

// Both drivers, and a copy that DRBD has recorded as outdated.
func TestStaleCopyStandsInForOneThatIsLost(t *testing.T) {
	for seed := range uint64(2) {
		for _, outdated := range []bool{false, true} {
			p := alone(t, stonith(seed))
			if outdated {
				p.Node(sim.B).Outdate(db)
				p.quiet(5 * time.Second)
				if d := p.Node(sim.B).Disk(db); d != drbd.DiskOutdated {
					t.Fatalf("it is %s", d)
				}
			}
			p.lost("node-a")
			p.until(30*time.Second, "node-b runs the group", func() bool { return p.runsOn(sim.B) })
			p.quiet(10 * time.Second)

			// The machine turns up after all: what only it has is there still, until an
			// operator has decided.
			p.Node(sim.A).Plug()
			p.until(2*time.Minute, "DRBD finds that the two have split", func() bool { return p.Alarmed(db) })
			p.quiet(time.Minute)
			if p.Alike(db) || !p.runsOn(sim.B) {
				t.Fatal("what only node-a has was overwritten unasked")
			}
			p.resolve("node-a", nothing)
			p.together()
		}
	}
}

// The machine turns up before node-b was granted anything by that word.
func TestWordThatAMachineIsLostFallsWhenItIsHeard(t *testing.T) {
	p := alone(t, stonith(2))
	p.Witness().Order(arbiter.Maintenance{Cluster: p.Definition.Cluster, On: true, By: "alice"})
	p.quiet(2 * time.Second)
	p.lost("node-a")
	p.until(10*time.Second, "the witness knows", func() bool { return p.group().StandIn != nil })
	p.Node(sim.A).Plug()
	p.until(2*time.Minute, "the word falls", func() bool { return p.group().StandIn == nil })
	p.Witness().Order(arbiter.Maintenance{Cluster: p.Definition.Cluster, By: "alice"})
	p.until(2*time.Minute, "node-a runs the group", func() bool { return p.runsOn(sim.A) })
	p.together()
}

// The operator takes it back before node-b was granted anything: it stays stale, whoever
// is silent, and the machine that was not lost runs the group when it is back.
func TestWordThatAMachineIsLostIsTakenBack(t *testing.T) {
	p := alone(t, stonith(3))
	p.Witness().Order(arbiter.Maintenance{Cluster: p.Definition.Cluster, On: true, By: "alice"})
	p.quiet(2 * time.Second)
	p.lost("node-a")
	p.until(10*time.Second, "the witness knows", func() bool { return p.group().StandIn != nil })
	p.Witness().Order(arbiter.GiveUp{Cluster: p.Definition.Cluster, Group: db, By: "alice", Cancel: true})
	p.until(10*time.Second, "the word is gone", func() bool { return p.group().StandIn == nil })
	p.Witness().Order(arbiter.Maintenance{Cluster: p.Definition.Cluster, By: "alice"})
	p.quiet(time.Minute)
	if _, runs := p.Holder(db); runs {
		t.Fatal("a stale copy was promoted")
	}
	p.Node(sim.A).Plug()
	p.until(2*time.Minute, "node-a runs the group", func() bool { return p.runsOn(sim.A) })
	p.together()
}
