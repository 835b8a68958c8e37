package bubble

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// trouble begins, and is over when the function that it returns has ended.
type trouble struct {
	name  string
	begin func(p *pair) (end func())
}

func anyone(p *pair) *node { return p.nodes[rand.N(2)] }

func anyWitness(p *pair) *Witness { return p.ws.All()[rand.N(len(p.ws.All()))] }

var allTrouble = []trouble{
	{"witness killed", func(p *pair) func() { w := anyWitness(p); w.Kill(); return w.Start }},
	{"witness stopped", func(p *pair) func() { w := anyWitness(p); _ = w.Stop(); return w.Start }},
	{"witness paused", func(p *pair) func() {
		return anyWitness(p).Pause(string(nodes[a]), string(nodes[b]), "alice")
	}},
	{"witness cut off", func(p *pair) func() { w := anyWitness(p); w.Cut(); return w.Join }},
	{"witness's disk full", func(p *pair) func() {
		w := anyWitness(p)
		w.Disk.Fail(syscall.ENOSPC)
		return func() { w.Disk.Fail(nil) }
	}},
	{"a node cut off from the witnesses", func(p *pair) func() {
		n := anyone(p)
		for _, addr := range p.ws.Addresses() {
			p.ws.Net.Hold(string(nodes[n.i]), addr)
		}
		return func() {
			for _, addr := range p.ws.Addresses() {
				p.ws.Net.Free(string(nodes[n.i]), addr)
			}
		}
	}},
	{"heartbeats cut", func(p *pair) func() { p.cable.set(true); return func() { p.cable.set(false) } }},
	{"agent's disk full", func(p *pair) func() {
		n := anyone(p)
		n.store.fail(syscall.ENOSPC, rand.N(2) == 0)
		return func() { n.store.fail(nil, false) }
	}},
	{"agent restarted", func(p *pair) func() {
		n := anyone(p)
		if !n.isUp() {
			return func() {}
		}
		n.end()
		time.Sleep(rand.N(2 * time.Second))
		return n.boot
	}},
	{"power cut", func(p *pair) func() { n := anyone(p); n.crash(); return n.boot }},
	{"switchover", func(p *pair) func() { p.order(rand.N(2)); return func() {} }},
}

// Whatever comes together: never two nodes, and once all of it is over the group
// runs on one of them, though it may take an operator's word for a node whose
// power nobody has seen going.
func TestTroubleEndsWithOneNodeRunning(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d witnesses", n), func(t *testing.T) {
			story(t, n, func(p *pair) {
				for round := range *rounds {
					p.round(round)
				}
			})
		})
	}
}

func (p *pair) round(number int) {
	var names []string
	var ends []func()
	for range 1 + rand.N(3) {
		one := allTrouble[rand.N(len(allTrouble))]
		names = append(names, one.name)
		ends = append(ends, one.begin(p))
		time.Sleep(rand.N(20 * time.Second))
	}
	p.t.Logf("round %d: %v", number, names)
	for _, end := range ends {
		end()
		time.Sleep(rand.N(5 * time.Second))
	}
	for _, w := range p.ws.All() {
		if !w.Runs() {
			p.t.Fatalf("%v: %s has ended with %v", names, w.Name, w.Ended())
		}
	}
	for _, n := range p.nodes {
		n.boot()
	}
	p.soon(fmt.Sprint("one node runs the group after ", names), func() bool { return p.runsOn(a) != p.runsOn(b) })
	p.t.Logf("round %d: starts, stops, resets and shots are %v", number, p.moves())
	time.Sleep(settled)
}
