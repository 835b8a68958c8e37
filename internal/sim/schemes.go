package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

type scheme struct {
	what string
	does func(w *World, n *Node, end time.Duration)
}

// schemes are faults one after another, chosen to come at the worst time for
// whoever holds the first group.
var schemes = []scheme{
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
	{"has ways that come and go", (*World).flapWays},
	{"freezes just before its last feed and goes on", (*World).lateThaw},
	{"hears the witness late, and is cut off then", (*World).lateAnswers},
	{"hears its peer late, loses the witness, and is cut off when its lease is over", (*World).lateWord},
	{"is relieved by a node that hears of it late, and is cut off then", (*World).lateGrant},
	{"has a witness that does not know that another one leads", (*World).twoLeaders},
	{"loses its watchdog, and cannot stop when it is cut off", (*World).unguarded},
	{"hears the witness late, while nobody hears it", (*World).lateAnswer},
	{"lives by its peer's last word to the very end", (*World).lastWord},
	{"lives by the word of a peer that has forgotten what it asked for", (*World).forgotten},
	{bootsUnheard, (*World).reinstated},
	{"gives back, and its agent is started anew before that is heard", (*World).lateReceipt},
	{"is given a group that nobody hears of, by a witness that loses its disk", (*World).lostGrant},
	{"is shot by order of a witness that loses its disk", (*World).shotForgotten},
	{"comes back from a shot before it is reported", (*World).rebornTooSoon},
	{"is heard while the witness writes down that it is to be shot", (*World).heardWhileBegun},
	{"is silent while the leading witness stands still", (*World).unheard},
	{"has a power switch that has always said off, and does nothing", (*World).dud},
	{"is not switched off, and its power switch says so", (*World).pretends},
	{"excludes its peer while it is about to be shot", (*World).excluding},
	{"asks to go on alone, and is heard when its lease has run out", (*World).lateExclusion},
	{"is in step with its peer again, which is heard when it is so no more", (*World).lateReadmission},
	{"goes on by the word of a peer that cannot outdate its disk", (*World).wordAlone},
	{"has a peer whose failed disk comes back as it was", (*World).peersDisk},
	{"has a peer that loses its power in the middle of a resync", (*World).cutResync},
	{"loses its disk while it asks to go on alone", (*World).lastGoodCopy},
	{"has a witness with an old copy of its disk that knows of no exclusion", (*World).staleBackup},
	{"excludes its peer, and all forget it", (*World).unrecorded},
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
	if w.rng.IntN(2) == 0 {
		n.dawdles = true
		w.driftApart(n)
		return
	}
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

// flapWays cuts and mends each of a node's ways by itself.
func (w *World) flapWays(n *Node, end time.Duration) {
	ways := []func(cut bool){
		func(cut bool) { w.CutWitness(n.host, cut) },
		func(cut bool) { w.ask(n, func(y *way) { y.cut = cut }) },
		func(cut bool) { w.cutLink(n, cut) },
		func(cut bool) { w.mute(n, cut) },
		func(cut bool) { w.mute(n.peer, cut) },
		func(cut bool) { w.CutReplicationFrom(n.host, cut) },
		w.CutReplication,
		func(cut bool) { n.Gateway(!cut) },
	}
	for _, flap := range ways {
		if w.rng.IntN(2) == 0 {
			continue
		}
		d := w.between(0, 2*time.Second)
		for i := range 2 * (1 + w.rng.IntN(4)) {
			w.in(d, end, "", func() { flap(i%2 == 0) })
			d += w.between(100*time.Millisecond, 3*time.Second)
		}
	}
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

// lateAnswers makes a holder count on what it heard long after it was said.
func (w *World) lateAnswers(n *Node, end time.Duration) {
	w.hear(n, func(y *way) { y.slow = 3 * time.Second })
	w.in(w.between(time.Second, 8*time.Second), end, "", func() { w.uptoTheEnd(n, end) })
}

// lateWord does the same with its peer's promise.
func (w *World) lateWord(n *Node, end time.Duration) {
	for link := range links {
		w.Slow(Path{n.peer.host, n.host, link}, 900*time.Millisecond)
	}
	w.promised(n, end)
}

// lateGrant lets a grant reach the node that it was given to when its time is
// nearly over, and nothing else.
func (w *World) lateGrant(n *Node, end time.Duration) {
	p, t := n.peer, w.Definition.Timing
	w.hear(p, func(y *way) { y.slow = 3 * time.Second }) // every answer comes too late
	w.order(p)
	w.in(t.TTL+w.between(0, 5*time.Second), end, string(p.id)+" hears the witness for a moment", func() {
		w.hear(p, func(y *way) { y.slow = 0 })
		w.ask(p, func(y *way) { y.loss = 0.5 })
		w.in(w.between(50*time.Millisecond, 400*time.Millisecond), end, "", func() {
			w.ask(p, func(y *way) { y.loss = 0 })
			w.uptoTheEnd(p, end)
		})
	})
}

// twoLeaders leaves a holder with a witness that does not know yet that another
// one leads, and lets its peer find that one.
func (w *World) twoLeaders(n *Node, end time.Duration) {
	p := n.peer
	w.Cut(A, B, true)
	w.CutReplication(true)
	w.CutWitness(p.host, true)
	w.in(w.between(1500*time.Millisecond, 2500*time.Millisecond), end, "leading witness is cut off from the others", func() {
		old := w.witness.leader()
		w.witness.Part(true)
		w.in(w.between(400*time.Millisecond, 1500*time.Millisecond), end, string(p.id)+" reaches the others", func() {
			w.CutWitness(p.host, false)
			w.Cut(p.host, old.host, true)
		})
	})
}

// unguarded boots a node without its watchdog, lets it have the groups, and takes
// everything else away that could stop it. A guard lets no agent start that wants
// another watchdog than the one it has open, so that none is lost under a group.
func (w *World) unguarded(n *Node, end time.Duration) {
	n.dogless = true
	n.Reset("its watchdog is taken out")
	up := w.Options.Reset + w.Boot + w.between(3*time.Second, 10*time.Second)
	w.in(up, end, string(n.id)+" is to take the group", func() { w.order(n) })
	w.in(up+w.between(time.Second, 5*time.Second), end, "", func() {
		w.isolate(n, true)
		n.FailStops(true)
		w.in(w.between(0, 2*time.Second), end, string(n.id)+" agent stopped", func() { n.PauseAgent(true) })
	})
}

// lastFeed reports whether a feed now is the last one that a right allows.
func (n *Node) lastFeed(now boottime.Instant) bool {
	if n.bootMem == nil {
		return false
	}
	for _, r := range n.bootMem.Groups {
		if max(r.Lease, r.Promise).Add(-n.w.back()).Sub(now) <= n.w.Definition.Timing.Renew {
			return true
		}
	}
	return false
}

// back is how long before the end of a right the watchdog is fed for the last
// time.
func (w *World) back() time.Duration { return w.Watchdog*101/100 + w.Options.Reset + w.Late }

// last returns when a node's right to a group runs out, on its clock.
func (n *Node) last(g arbiter.GroupID) boottime.Instant {
	if n.bootMem == nil {
		return 0
	}
	r := n.bootMem.Groups[g]
	return max(r.Lease, r.Promise)
}

// dawdle makes the feeder as late as it may be, or later, and lets it do nothing
// more: its watchdog runs slow, and its machine takes its time to reset. Late
// before its first look it must reset; late between its two looks, by no more
// than is provided for, it may feed.
func (n *Node) dawdle(before boottime.Instant) {
	w := n.w
	n.dawdles, n.dawdled = false, true
	n.PauseAgent(true)
	w.line("fault", "", string(n.id)+" feeder stands still", "")
	slowest := w.Watchdog + w.Watchdog*9/1000
	if w.rng.IntN(2) == 0 {
		n.bite.set(n.clock.until(n.clock.now().Add(w.Late + slowest)))
		return
	}
	n.local(w.between(0, 3*time.Second), func() {
		if n.clock.now() >= before {
			n.Reset("the feeder of the watchdog was late")
			return
		}
		n.bite.set(n.clock.until(n.clock.now().Add(slowest)))
	})
}
