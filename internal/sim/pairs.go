package sim

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
)

// The groups that a pair may have: two with DRBD, at home on different nodes,
// and one without.
const (
	db   = arbiter.GroupID("db")
	mail = arbiter.GroupID("mail")
	web  = arbiter.GroupID("web")
)

var pairs = map[string]func(seed uint64) Options{"stonith": Stonith, "watchdog": Watchdog, "tight": Tight, "three": Three}

// Pairs returns the kinds of pairs that a schedule may be about.
func Pairs() []string { return slices.Sorted(maps.Keys(pairs)) }

// Stonith is a pair with power switches and the default timing for them.
func Stonith(seed uint64) Options {
	return Options{
		Seed: seed, Stop: 10 * time.Second, Reset: 2 * time.Second, Late: 500 * time.Millisecond,
		Watchdog: 5 * time.Second, Boot: 6 * time.Second,
		Definition: arbiter.Definition{
			Cluster: "pair", Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Stonith: true, Watchdog: true,
			Groups: map[arbiter.GroupID]arbiter.GroupDefinition{db: {DRBD: true, Preferred: "node-a"}},
			Timing: arbiter.Timing{
				TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
				SuspectAfter: time.Second, FenceTimeout: 10 * time.Second, StartGate: 5 * time.Second,
			},
		},
	}
}

// Watchdog is a pair without power switches.
func Watchdog(seed uint64) Options {
	o := Stonith(seed)
	o.Stop, o.Watchdog = 5*time.Second, 4*time.Second
	o.Definition.Timing.TTL, o.Definition.Timing.Promise = 15*time.Second, 15*time.Second
	o.Definition.Stonith = false
	return o
}

// Tight is a pair without power switches that gives services little time.
func Tight(seed uint64) Options {
	o := Watchdog(seed)
	o.Stop, o.Watchdog, o.Reset, o.Late = 3*time.Second, 2*time.Second, time.Second, 250*time.Millisecond
	o.Definition.Timing.TTL, o.Definition.Timing.Promise = 8*time.Second, 8*time.Second
	return o
}

// moveAfter is short: the gateway is back soon.
const moveAfter = 2 * time.Second

// Three is a pair with power switches and a witness of three voters.
func Three(seed uint64) Options {
	o := Stonith(seed)
	o.Voters = 3
	return o
}

// options returns what a schedule's run starts from.
func (s *Schedule) options() Options {
	o := pairs[s.Pair](s.Seed)
	all := map[arbiter.GroupID]arbiter.GroupDefinition{
		db:   o.Definition.Groups[db],
		mail: {DRBD: true, Preferred: "node-b"},
		web:  {Preferred: "node-b", MoveAfter: moveAfter}, // gives way where its holder is isolated
	}
	o.Definition.Groups = map[arbiter.GroupID]arbiter.GroupDefinition{}
	for _, id := range s.Groups {
		o.Definition.Groups[id] = all[id]
	}
	return o
}
