package sim

import "time"

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
	{"loses the leading witness while it is shot", (*World).shotWithoutLeader},
	{"loses its disk while its links come and go", (*World).flapDiskless},
	{"is asked to hand over while its peer dies", (*World).handOver},
	{"has a peer that dies and comes back to a witness that learns", (*World).learning},
	{"freezes just before its last feed and goes on", (*World).lateThaw},
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
	w.CutWitness(n.host, true)
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
	w.in(d, end, "the witness is back", func() { w.CutWitness(n.host, false) })
	w.in(d+w.between(0, 3*time.Second), end, "over", func() { w.isolate(n, false) })
}

func (w *World) flap(n *Node, end time.Duration) {
	if w.rng.IntN(2) == 0 {
		w.ask(n, func(y *way) { y.slow = 2 * time.Second })
	}
	d := time.Duration(0)
	for i := range 2 * (2 + w.rng.IntN(4)) {
		w.in(d, end, "replication flaps", func() { w.CutReplication(i%2 == 0) })
		d += w.between(time.Second, 4*time.Second)
	}
	w.in(d, end, string(n.id)+" crashes", n.Crash)
}

func (w *World) restarted(n *Node, end time.Duration) {
	w.CutWitness(n.host, true)
	w.in(w.between(time.Second, 8*time.Second), end, "witness restarts", func() { w.witness.Crash(); w.witness.Restart() })
	w.in(w.between(time.Second, 12*time.Second), end, "", func() { w.uptoTheEnd(n, end) })
}

// shotWithoutLeader: the shot is on its way when nobody leads.
func (w *World) shotWithoutLeader(n *Node, end time.Duration) {
	w.isolate(n, true)
	d := w.Definition.Timing.SuspectAfter + w.between(0, 3*time.Second)
	w.in(d, end, "leading witness dies", w.witness.CrashLeader)
	w.in(d+w.between(0, 5*time.Second), end, "witnesses restart", w.witness.Restart)
	w.in(d+w.between(0, 8*time.Second), end, string(n.id)+" is reached again", func() { w.isolate(n, false) })
}

func (w *World) flapDiskless(n *Node, end time.Duration) {
	n.loseDisk()
	d := time.Duration(0)
	for i := range 2 + w.rng.IntN(4) {
		d += w.between(0, 2*time.Second)
		w.in(d, end, "replication flaps", func() { w.CutReplication(i%2 == 0) })
	}
	switch w.rng.IntN(3) {
	case 0:
		w.in(d, end, string(n.peer.id)+" crashes", n.peer.Crash)
	case 1:
		w.in(d, end, string(n.id)+" crashes", n.Crash)
	}
}

func (w *World) handOver(n *Node, end time.Duration) {
	w.order(n.peer)
	w.in(w.between(0, 1500*time.Millisecond), end, string(n.peer.id)+" crashes", n.peer.Crash)
	if w.rng.IntN(2) == 0 {
		w.in(w.between(0, 3*time.Second), end, "replication cut", func() { w.CutReplication(true) })
	}
	w.in(w.between(2*time.Second, 9*time.Second), end, string(n.peer.id)+" is started", n.peer.Plug)
}

// learning: the peer's machine comes back while the holder's writes are frozen
// and no witness can exclude anybody.
func (w *World) learning(n *Node, end time.Duration) {
	n.peer.Crash()
	w.in(w.between(0, time.Second), end, "witness loses its disk", w.witness.Forget)
	w.in(w.between(0, 500*time.Millisecond), end, string(n.peer.id)+" is started", n.peer.Plug)
	if w.rng.IntN(2) == 0 {
		w.Cut(A, B, true)
	}
	w.in(w.Boot+w.between(0, 8*time.Second), end, string(n.id)+" crashes", n.Crash)
}

// lateThaw: the machine stands still until about the time its watchdog bites.
func (w *World) lateThaw(n *Node, end time.Duration) {
	w.isolate(n, true)
	t := w.Definition.Timing
	last := t.TTL - w.Watchdog*101/100 - w.Options.Reset - w.Late
	d := last - w.between(0, 3*time.Second)
	w.in(d, end, string(n.id)+" stands still", func() { n.Freeze(true) })
	w.in(d+w.between(0, w.Watchdog), end, string(n.id)+" goes on", func() { n.Freeze(false) })
}

// LiveToTheEnd makes the holder of the first group live as long as its right
// lets it, and a little longer.
func (w *World) LiveToTheEnd() { w.uptoTheEnd(w.target(""), never) }
