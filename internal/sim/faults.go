package sim

import (
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
	{"is cut off from the witness", func(w *World, n *Node) { w.Cut(n.host, W, true) }, func(w *World, n *Node) { w.Cut(n.host, W, false) }},
	{"cannot talk to the witness", func(w *World, n *Node) { w.CutPath(Path{n.host, W, 0}, true) }, func(w *World, n *Node) { w.CutPath(Path{n.host, W, 0}, false) }},
	{"cannot hear the witness", func(w *World, n *Node) { w.CutPath(Path{W, n.host, 0}, true) }, func(w *World, n *Node) { w.CutPath(Path{W, n.host, 0}, false) }},
	{"loses messages to the witness", func(w *World, n *Node) { w.Lose(Path{n.host, W, 0}, 0.4) }, func(w *World, n *Node) { w.Lose(Path{n.host, W, 0}, 0) }},
	{"answers of the witness are slow", func(w *World, n *Node) { w.Slow(Path{W, n.host, 0}, 3*time.Second) }, func(w *World, n *Node) { w.Slow(Path{W, n.host, 0}, 0) }},
	{"messages to the witness are slow", func(w *World, n *Node) { w.Slow(Path{n.host, W, 0}, 3*time.Second) }, func(w *World, n *Node) { w.Slow(Path{n.host, W, 0}, 0) }},
	{"is not heard by its peer", func(w *World, n *Node) { w.mute(n, true) }, func(w *World, n *Node) { w.mute(n, false) }},
	{"heartbeats cut", func(w *World, _ *Node) { w.Cut(A, B, true) }, func(w *World, _ *Node) { w.Cut(A, B, false) }},
	{"replication cut", func(w *World, _ *Node) { w.CutReplication(true) }, func(w *World, _ *Node) { w.CutReplication(false) }},
	{"all links between the nodes cut", func(w *World, _ *Node) { w.Cut(A, B, true); w.CutReplication(true) }, func(w *World, _ *Node) { w.Cut(A, B, false); w.CutReplication(false) }},
	{"witness dies", func(w *World, _ *Node) { w.witness.Crash() }, func(w *World, _ *Node) { w.witness.Restart() }},
	{"witness restarts", func(w *World, _ *Node) { w.witness.Crash(); w.witness.Restart() }, nil},
	{"witness loses its disk", func(w *World, _ *Node) { w.witness.Forget() }, nil},
	{"gateway lost", func(_ *World, n *Node) { n.Gateway(false) }, func(_ *World, n *Node) { n.Gateway(true) }},
	{"power switch dead", func(_ *World, n *Node) { n.BreakSwitch(true) }, func(_ *World, n *Node) { n.BreakSwitch(false) }},
	{"power switch refuses", func(_ *World, n *Node) { n.Refuse(true) }, func(_ *World, n *Node) { n.Refuse(false) }},
	{"starts fail", func(_ *World, n *Node) { n.FailStarts(true) }, func(_ *World, n *Node) { n.FailStarts(false) }},
	{"stops hang", func(_ *World, n *Node) { n.FailStops(true) }, func(_ *World, n *Node) { n.FailStops(false) }},
	{"is to take the group", func(w *World, n *Node) { w.order(n) }, nil},
	{"is put in standby", func(w *World, n *Node) { w.standby(n, true) }, func(w *World, n *Node) { w.standby(n, false) }},
}

func (w *World) isolate(n *Node, cut bool) {
	w.Cut(A, B, cut)
	w.Cut(n.host, W, cut)
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
	for _, s := range schemes {
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
	for _, s := range schemes {
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
	w.witness.Restart()
	for _, n := range w.nodes {
		n.Freeze(false)
		n.PauseAgent(false)
		n.StartAgent()
		n.gateway, n.startFail, n.stopFail = true, false, false
		n.bmc.mend()
		if !n.running {
			n.Plug()
		}
		w.standby(n, false)
	}
}

// schemes are faults one after another, chosen to come at the worst time for
// whoever holds the first group.
var schemes = []struct {
	what string
	does func(w *World, n *Node, end time.Duration)
}{
	{"is cut off and cannot stop, and its agent stops after the last feed", (*World).uptoTheEnd},
	{"loses the witness, lives by promise, and is cut off then", (*World).promised},
	{"is cut off for as long as a shot takes", (*World).blink},
	{"has a replication link that comes and goes", (*World).flap},
	{"loses its peer's heartbeats, and everybody when no promise runs any more", (*World).unpromised},
	{"loses the witness, which restarts, and is cut off then", (*World).restarted},
}

// in does something later, if the end has not come.
func (w *World) in(d, end time.Duration, what string, do func()) {
	if w.now+d < end {
		w.At(w.now+d, what, do)
	}
}

// uptoTheEnd makes a holder live as long as its right lets it.
func (w *World) uptoTheEnd(n *Node, end time.Duration) {
	t := w.Definition.Timing
	w.isolate(n, true)
	n.FailStops(true)
	last := t.TTL - w.Watchdog*101/100 - w.Options.Reset - w.Late
	w.in(last+w.between(-600*time.Millisecond, 2*time.Second), end, string(n.id)+" agent stopped", func() { n.PauseAgent(true) })
}

func (w *World) promised(n *Node, end time.Duration) {
	w.Cut(n.host, W, true)
	t := w.Definition.Timing
	w.in(t.TTL+w.between(0, 2*time.Second), end, "", func() { w.uptoTheEnd(n, end) })
	if w.rng.IntN(3) == 0 {
		w.in(t.TTL+w.between(0, 3*time.Second), end, string(n.peer.id)+" agent restarts", func() { n.peer.KillAgent(); n.peer.StartAgent() })
	}
}

func (w *World) unpromised(n *Node, end time.Duration) {
	w.Cut(A, B, true)
	d := w.Definition.Timing.TTL + 2*time.Second
	w.in(d, end, "", func() { w.uptoTheEnd(n, end) })
	if w.rng.IntN(2) == 0 {
		w.in(d+w.between(0, 3*time.Second), end, "witness restarts", func() { w.witness.Crash(); w.witness.Restart() })
	}
}

func (w *World) blink(n *Node, end time.Duration) {
	w.isolate(n, true)
	d := w.between(time.Second, 4*time.Second)
	w.in(d, end, "the witness is back", func() { w.Cut(n.host, W, false) })
	w.in(d+w.between(0, 3*time.Second), end, "over", func() { w.isolate(n, false) })
}

func (w *World) flap(n *Node, end time.Duration) {
	if w.rng.IntN(2) == 0 {
		w.Slow(Path{n.host, W, 0}, 2*time.Second)
	}
	d := time.Duration(0)
	for i := range 2 * (2 + w.rng.IntN(4)) {
		w.in(d, end, "replication flaps", func() { w.CutReplication(i%2 == 0) })
		d += w.between(time.Second, 4*time.Second)
	}
	w.in(d, end, string(n.id)+" crashes", n.Crash)
}

func (w *World) restarted(n *Node, end time.Duration) {
	w.Cut(n.host, W, true)
	w.in(w.between(time.Second, 8*time.Second), end, "witness restarts", func() { w.witness.Crash(); w.witness.Restart() })
	w.in(w.between(time.Second, 12*time.Second), end, "", func() { w.uptoTheEnd(n, end) })
}
