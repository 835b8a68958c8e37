package sim

import (
	"slices"
	"time"

	"sbarbiter/arbiter"
)

// fault is something that goes wrong, and what ends it.
type fault struct {
	what string
	does func(w *World, n *Node)
	ends func(w *World, n *Node) // nil: over at once
}

// faults is what a seed chooses from.
var faults = []fault{
	{"crashes", func(_ *World, n *Node) { n.Crash() }, func(_ *World, n *Node) { n.Plug() }},
	{"is unplugged", func(_ *World, n *Node) { n.Unplug() }, func(_ *World, n *Node) { n.Plug() }},
	{"is reset", func(_ *World, n *Node) { n.Reset("somebody pressed the button") }, nil},
	{"is stopped from outside", func(_ *World, n *Node) { n.Freeze(true) }, func(_ *World, n *Node) { n.Freeze(false) }},
	{"agent stopped", func(_ *World, n *Node) { n.PauseAgent(true) }, func(_ *World, n *Node) { n.PauseAgent(false) }},
	{"agent killed", func(_ *World, n *Node) { n.KillAgent() }, func(_ *World, n *Node) { n.StartAgent() }},
	{"is cut off from everybody", func(w *World, n *Node) { w.isolate(n, true) }, func(w *World, n *Node) { w.isolate(n, false) }},
	{"is cut off from the witness", func(w *World, n *Node) { w.CutWitness(n.host, true) }, func(w *World, n *Node) { w.CutWitness(n.host, false) }},
	{"cannot talk to the witness", func(w *World, n *Node) { w.ask(n, func(y *way) { y.cut = true }) }, func(w *World, n *Node) { w.ask(n, func(y *way) { y.cut = false }) }},
	{"cannot hear the witness", func(w *World, n *Node) { w.hear(n, func(y *way) { y.cut = true }) }, func(w *World, n *Node) { w.hear(n, func(y *way) { y.cut = false }) }},
	{"loses messages to the witness", func(w *World, n *Node) { w.ask(n, func(y *way) { y.loss = 0.4 }) }, func(w *World, n *Node) { w.ask(n, func(y *way) { y.loss = 0 }) }},
	{"answers of the witness are slow", func(w *World, n *Node) { w.hear(n, func(y *way) { y.slow = 3 * time.Second }) }, func(w *World, n *Node) { w.hear(n, func(y *way) { y.slow = 0 }) }},
	{"messages to the witness are slow", func(w *World, n *Node) { w.ask(n, func(y *way) { y.slow = 3 * time.Second }) }, func(w *World, n *Node) { w.ask(n, func(y *way) { y.slow = 0 }) }},
	{"is not heard by its peer", func(w *World, n *Node) { w.mute(n, true) }, func(w *World, n *Node) { w.mute(n, false) }},
	{"heartbeats cut", func(w *World, _ *Node) { w.Cut(A, B, true) }, func(w *World, _ *Node) { w.Cut(A, B, false) }},
	{"replication cut", func(w *World, _ *Node) { w.CutReplication(true) }, func(w *World, _ *Node) { w.CutReplication(false) }},
	{"all links between the nodes cut", func(w *World, _ *Node) { w.Cut(A, B, true); w.CutReplication(true) }, func(w *World, _ *Node) { w.Cut(A, B, false); w.CutReplication(false) }},
	{"witness dies", func(w *World, _ *Node) { w.witness.Crash() }, func(w *World, _ *Node) { w.witness.Restart() }},
	{"witness restarts", func(w *World, _ *Node) { w.witness.Crash(); w.witness.Restart() }, nil},
	{"witness loses its disk", func(w *World, _ *Node) { w.witness.Forget() }, nil},
	{"witness's disk is slow", func(w *World, _ *Node) { w.witness.slow = 3 * time.Second }, func(w *World, _ *Node) { w.witness.slow = 0 }},
	{"boots without its watchdog", func(_ *World, n *Node) { n.dogless = true; n.Reset("its watchdog is taken out") }, func(_ *World, n *Node) { n.dogless = false }},
	{"gateway lost", func(_ *World, n *Node) { n.Gateway(false) }, func(_ *World, n *Node) { n.Gateway(true) }},
	{"power switch dead", func(_ *World, n *Node) { n.BreakSwitch(true) }, func(_ *World, n *Node) { n.BreakSwitch(false) }},
	{"power switch refuses", func(_ *World, n *Node) { n.Refuse(true) }, func(_ *World, n *Node) { n.Refuse(false) }},
	{"starts fail", func(_ *World, n *Node) { n.FailStarts(true) }, func(_ *World, n *Node) { n.FailStarts(false) }},
	{"stops hang", func(_ *World, n *Node) { n.FailStops(true) }, func(_ *World, n *Node) { n.FailStops(false) }},
	{"is to take the group", func(w *World, n *Node) { w.order(n) }, nil},
	{"is put in standby", func(w *World, n *Node) { w.standby(n, true) }, func(w *World, n *Node) { w.standby(n, false) }},

	{"is stopped, its clock too", (*World).stopClock, (*World).startClock},
	{"boots slowly", func(_ *World, n *Node) { n.slowBoot = slowBoot }, func(_ *World, n *Node) { n.slowBoot = 0 }},
	{"hears of DRBD late", func(_ *World, n *Node) { n.newsLate = 2 * time.Second }, func(_ *World, n *Node) { n.newsLate = 0 }},
	{"disk fails", func(w *World, n *Node) { n.loseDisk() }, func(_ *World, n *Node) { n.changeDisk() }},
	{"one heartbeat link cut", func(w *World, n *Node) { w.cutLink(n, true) }, func(w *World, n *Node) { w.cutLink(n, false) }},
	{"heartbeats lost now and then", func(w *World, n *Node) { w.lossy(n, 0.6) }, func(w *World, n *Node) { w.lossy(n, 0) }},
	{"heartbeats late and out of order", func(w *World, n *Node) { w.late(n, 1500*time.Millisecond) }, func(w *World, n *Node) { w.late(n, 0) }},
	{"messages come twice", func(w *World, n *Node) { w.twice(n, 0.5) }, func(w *World, n *Node) { w.twice(n, 0) }},
	{"what it replicates does not arrive", func(w *World, n *Node) { w.CutReplicationFrom(n.host, true) }, func(w *World, n *Node) { w.CutReplicationFrom(n.host, false) }},
	{"leading witness dies", func(w *World, _ *Node) { w.witness.CrashLeader() }, func(w *World, _ *Node) { w.witness.Restart() }},
	{"leading witness is cut off from the others", func(w *World, _ *Node) { w.witness.Part(true) }, func(w *World, _ *Node) { w.witness.Part(false) }},
	{"witness stands still", func(w *World, _ *Node) { w.witness.Pause(true) }, func(w *World, _ *Node) { w.witness.Pause(false) }},
	{"witness's disk is full", func(w *World, _ *Node) { w.witness.Fill(true) }, func(w *World, _ *Node) { w.witness.Fill(false) }},
	{"witness is restored from a backup", func(w *World, _ *Node) { w.witness.Backup() }, func(w *World, _ *Node) { w.witness.Restore() }},
	{"power switch hangs", func(_ *World, n *Node) { n.bmc.hang = true }, func(_ *World, n *Node) { n.bmc.hang = false }},
	{"power switch is slow", func(_ *World, n *Node) { n.bmc.slow = 2 * time.Second }, func(_ *World, n *Node) { n.bmc.slow = 0 }},
	{"power switch is very slow", func(_ *World, n *Node) { n.bmc.slow = 10 * time.Second }, func(_ *World, n *Node) { n.bmc.slow = 0 }},
	{"power switch obeys late", func(_ *World, n *Node) { n.bmc.flip = 4 * time.Second }, func(_ *World, n *Node) { n.bmc.flip = 0 }},
	{"power switch always says on", func(_ *World, n *Node) { n.bmc.stuck = true }, func(_ *World, n *Node) { n.bmc.stuck = false }},
	{"power switch has always said off", func(w *World, n *Node) { w.alwaysOff(n) }, func(_ *World, n *Node) { n.bmc.lies = false }},
	{"is promoted by hand", func(_ *World, n *Node) { n.promoteByHand() }, nil},
	{"is confirmed off, if it is", func(w *World, n *Node) { w.confirm(n) }, nil},
	{"is confirmed off without a look", func(w *World, n *Node) { w.confirmFalsely(n) }, nil},
	{"maintenance", func(w *World, _ *Node) { w.maintain(true) }, func(w *World, _ *Node) { w.maintain(false) }},
	{"cluster is declared with a longer ttl", func(w *World, _ *Node) { w.redefine(10 * time.Second) }, func(w *World, _ *Node) { w.redefine(0) }},
	{"cluster is declared with a shorter ttl", func(w *World, _ *Node) { w.redefine(-700 * time.Millisecond) }, func(w *World, _ *Node) { w.redefine(0) }},
}

func (w *World) isolate(n *Node, cut bool) {
	w.Cut(A, B, cut)
	w.CutWitness(n.host, cut)
	w.CutReplication(cut)
	n.Gateway(!cut)
}

func (w *World) mute(n *Node, cut bool) {
	for link := range 2 {
		w.CutPath(Path{n.host, n.peer.host, link}, cut)
	}
}

func (w *World) order(n *Node) {
	for _, id := range w.groups {
		w.witness.Order(arbiter.Order{Cluster: w.Definition.Cluster, Group: id, To: n.id, By: "operator"})
	}
}

func (w *World) standby(n *Node, on bool) {
	if c := w.witness.State(); !on && (c == nil || !c.Nodes[n.id].Standby) {
		return
	}
	w.witness.Order(arbiter.Standby{Cluster: w.Definition.Cluster, Node: n.id, On: on, By: "operator"})
}

// kind is what a schedule's fault may be.
type kind struct {
	fault
	scheme func(w *World, n *Node, end time.Duration)
}

func kindOf(what string) *kind {
	for _, f := range faults {
		if f.what == what {
			return &kind{fault: f}
		}
	}
	for _, s := range slices.Concat(schemes, unwise) {
		if s.what == what {
			return &kind{fault{what: s.what}, s.does}
		}
	}
	return nil
}

// Kinds returns all faults that a schedule may hold.
func Kinds() []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.what)
	}
	for _, s := range slices.Concat(schemes, unwise) {
		out = append(out, s.what)
	}
	return out
}

// holders reports whether it is aimed at whoever runs the first group then.
func (k *kind) holders() bool { return k.scheme != nil }

func (k *kind) begin(w *World, n *Node, end time.Duration) {
	if k.scheme != nil {
		k.scheme(w, n, end)
	} else {
		k.does(w, n)
	}
}

func (w *World) mend() {
	w.mendWays()
	w.witness.mend()
	w.undo(0)
	w.idle = false
	for _, n := range w.nodes {
		n.dawdles, n.dogless, n.fatal, n.obstinate, n.snag = false, false, false, false, nil
		w.startClock(n)
		n.PauseAgent(false)
		n.StartAgent()
		n.gateway, n.startFail, n.stopFail = true, false, false
		n.slowBoot, n.newsLate = 0, 0
		n.bmc.mend()
		n.changeDisk()
		if !n.running {
			n.Plug()
		}
	}
}
