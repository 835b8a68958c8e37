package sim_test

import (
	"fmt"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/sim"
)

// split has a person write to node-b's copy beside the holder, node-a, while the two
// cannot see each other, and lets them meet again.
func split(t *testing.T, o sim.Options) *pair {
	t.Helper()
	p := forced(t, o)
	p.CutReplication(false)
	p.quiet(3 * time.Second)
	return p
}

// forced does the same, and does not let them meet.
func forced(t *testing.T, o sim.Options) *pair {
	t.Helper()
	p := up(t, o)
	p.CutReplication(true)
	p.until(10*time.Second, "node-b's copy is excluded", func() bool { return len(p.group().Excluded) > 0 })
	p.quiet(5 * time.Second) // until node-b has noticed, too
	p.Node(sim.B).Force(db)
	p.quiet(2 * time.Second)
	return p
}

func (p *pair) group() *arbiter.Group { return p.Witness().State().Groups[db] }

func (p *pair) until(within time.Duration, what string, is func() bool) {
	p.t.Helper()
	if _, ok := p.RunUntil(p.Now()+within, func() bool { return p.Witness().State() != nil && is() }); !ok {
		p.t.Fatalf("%s: not within %v", what, within)
	}
	for _, b := range p.Broken() {
		p.t.Fatal(b)
	}
}

// resolve is an operator who gives a node's copy up, agrees to what is shown, and
// waits for the end. at is told of each step.
func (p *pair) resolve(victim arbiter.NodeID, at func(step int)) {
	p.t.Helper()
	before := len(p.group().Recovered)
	seen, agreed := -1, uint64(0)
	p.Witness().Order(arbiter.Resolve{Cluster: p.Definition.Cluster, Group: db, Order: arbiter.RecoveryOrder{By: "alice", Discard: victim}})
	p.until(5*time.Minute, "the recovery ends", func() bool {
		g := p.group()
		switch r := g.Recovery; {
		case r == nil:
		case r.Phase == arbiter.Decided && r.Revision != agreed:
			agreed = r.Revision
			p.Witness().Order(arbiter.Approve{Cluster: p.Definition.Cluster, Group: db, Recovery: r.ID, Revision: r.Revision, By: "alice"})
		case r.Phase == arbiter.Carrying && r.Step > seen:
			seen = r.Step
			at(seen)
		}
		return len(g.Recovered) > before
	})
	if r := p.group().Recovered[len(p.group().Recovered)-1]; r.Outcome != arbiter.Recovered {
		p.t.Fatalf("%s: %s", r.Outcome, r.Note)
	}
}

func nothing(int) {}

// together waits for the pair to be as it was, but for what was given up.
func (p *pair) together() {
	p.t.Helper()
	p.until(2*time.Minute, "both copies are in step and the group runs", func() bool {
		_, runs := p.Holder(db)
		return runs && p.InStep(db) && len(p.group().Excluded) == 0
	})
	p.quiet(10 * time.Second)
	if !p.Alike(db) {
		p.t.Error("the copies differ")
	}
}

// Both drivers: an even seed is a pair of DRBD 8.4, an odd one of 9.
func TestOperatorResolvesASplitBrain(t *testing.T) {
	for seed := range uint64(4) {
		for _, victim := range []arbiter.NodeID{"node-b", "node-a"} {
			t.Run(fmt.Sprintf("%d/discard %s", seed, victim), func(t *testing.T) {
				p := split(t, stonith(seed))
				p.resolve(victim, nothing)
				p.together()
				if holder, _ := p.Holder(db); victim == "node-a" && holder != sim.B {
					t.Error("whose copy was given up runs the group")
				}
			})
		}
	}
}

// TestRecoveryGoesOnWhateverDies has an agent, a machine or the witness die at each
// step of a recovery, soon after it was begun.
func TestRecoveryGoesOnWhateverDies(t *testing.T) {
	deaths := map[string]func(p *pair, n sim.Host){
		"agent":   func(p *pair, n sim.Host) { p.Node(n).KillAgent(); p.Node(n).StartAgent() },
		"machine": func(p *pair, n sim.Host) { p.Node(n).Crash(); p.Run(p.Now() + 3*time.Second); p.Node(n).Plug() },
		"witness": func(p *pair, _ sim.Host) {
			p.Witness().Crash()
			p.Run(p.Now() + time.Second)
			p.Witness().Restart()
		},
	}
	for name, dies := range deaths {
		for step := range 10 {
			for i := range 4 {
				host, victim := [2]sim.Host{sim.A, sim.B}[i%2], [2]arbiter.NodeID{"node-a", "node-b"}[i/2]
				t.Run(fmt.Sprintf("%s of %v at step %d, %s is discarded", name, host, step+1, victim), func(t *testing.T) {
					p, died := split(t, stonith(uint64(step))), false
					p.resolve(victim, func(s int) {
						if s == step && !died {
							died = true
							p.Run(p.Now() + time.Duration(step*7%5)*10*time.Millisecond)
							dies(p, host)
						}
					})
					p.together()
					if !died {
						t.Error("nobody died")
					}
				})
			}
		}
	}
}

// The disk of the copy that a person has written to fails once, and its machine is started
// anew: what DRBD's data say of that copy is not to be believed, and it may not be made anew
// unasked all the same.
func TestCopyThatAPersonHasWrittenToIsForARecoveryThoughItsDiskHasFailed(t *testing.T) {
	for seed := range uint64(2) {
		for _, victim := range []arbiter.NodeID{"node-b", "node-a"} {
			t.Run(fmt.Sprintf("%d/discard %s", seed, victim), func(t *testing.T) {
				p := forced(t, stonith(seed))
				p.Node(sim.B).FailDisk(db)
				p.quiet(2 * time.Second)
				p.Node(sim.B).Reset("its disk was put back")
				p.CutReplication(false)
				p.until(time.Minute, "an operator is told", func() bool { return p.Alarmed(db) })
				p.quiet(time.Minute)
				if p.Alike(db) || !p.runsOn(sim.A) {
					t.Fatal("what only node-b has was thrown away unasked")
				}
				p.resolve(victim, nothing)
				p.together()
			})
		}
	}
}
