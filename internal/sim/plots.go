package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// The schemes of this file and the next are aimed at one rule each: at the moment
// at which it alone stands between a pair and a broken guarantee. They happen to
// n, which holds the first group.

// bootsUnheard is the scheme that leaves a moment in which nobody may stop
// anything.
const bootsUnheard = "boots unheard, and goes on by its peer's word"

// lateAnswer lets a holder hear for a while what the witness has said, and nobody
// hear the holder any more.
func (w *World) lateAnswer(n *Node, end time.Duration) {
	w.hear(n, func(y *way) { y.slow = 3 * time.Second })
	w.in(time.Second, end, string(n.id)+" is heard by nobody", func() {
		w.ask(n, func(y *way) { y.cut = true })
		w.Cut(A, B, true)
		w.CutReplication(true)
		w.in(2900*time.Millisecond, end, "", func() { w.uptoTheEnd(n, end) })
	})
}

// lastWord makes a holder live by its peer's promise, as slowly as clocks may run,
// with an answer that came at once, a last feed in the last moment, and everything
// after it as slow as it may be. The peer stands still for a moment, or it would
// give its word a few times more to a node that it hears no longer.
func (w *World) lastWord(n *Node, end time.Duration) {
	t := w.Definition.Timing
	w.CutWitness(n.host, true)
	w.driftApart(n)
	prompt := func() bool {
		r := n.last(w.groups[0])
		return !r.IsZero() && n.clock.now().Sub(r.Add(-t.Promise)) < 40*time.Millisecond
	}
	w.in(t.TTL, end, "", func() {
		w.when(prompt, end, func() {
			w.isolate(n, true)
			n.FailStops(true)
			n.peer.PauseAgent(true)
			w.in(2*t.SuspectAfter, end, "", func() { n.peer.PauseAgent(false) })
			hard := n.clock.until(n.last(w.groups[0]).Add(-w.back()))
			w.in(hard-240*time.Millisecond, end, string(n.id)+" agent stopped", func() { n.PauseAgent(true) })
			w.in(hard-3*time.Millisecond, end, string(n.id)+" agent goes on", func() {
				n.dawdles, n.late = true, 0
				n.PauseAgent(false)
			})
		})
	})
}

// forgotten: a question of the peer's is on its way for very long. Meanwhile its
// agent, its store or its machine is started anew, and is asked for its word.
func (w *World) forgotten(n *Node, end time.Duration) {
	p, t := n.peer, w.Definition.Timing
	restart, back := p.KillAgent, time.Second
	switch w.rng.IntN(3) {
	case 0:
		restart = p.loseStore
	case 1:
		restart, back = func() { p.Reset("somebody pressed the button") }, w.Options.Reset+w.Boot+time.Second
	}
	late := back + arbiter.Guard(t.TTL) + w.between(0, time.Second)
	w.Cut(A, B, true)
	w.in(arbiter.Guard(t.Promise)+w.between(0, time.Second), end, string(n.id)+" is silent", func() {
		w.CutWitness(n.host, true)
		p.snag = &snag{is[leader.Acquire], late, func() {
			restart()
			p.StartAgent()
			w.CutWitness(p.host, true)
			w.CutWitness(n.host, false)
			w.Cut(A, B, false)
			w.in(back, end, string(n.id)+" is cut off from the witness", func() { w.CutWitness(n.host, true) })
			w.in(late+100*time.Millisecond, end, string(n.id)+" is cut off from everybody", func() {
				n.FailStops(true)
				w.isolate(n, true)
				w.CutWitness(p.host, false)
			})
		}}
	})
}

// reinstated: the witness learns that a holder's machine was started anew, and the
// holder does not learn that the witness knows.
func (w *World) reinstated(n *Node, end time.Duration) {
	p := n.peer
	w.steady = false
	w.CutWitness(p.host, true)
	n.Reset("somebody pressed the button")
	cut := w.rng.IntN(2) == 0
	n.snag = &snag{is[leader.Hello], time.Millisecond, func() {
		w.hear(n, func(y *way) { y.cut = true })
		w.when(func() bool { return n.Serves(w.groups[0]) }, end, func() {
			w.CutWitness(p.host, false)
			if cut {
				w.isolate(n, true)
				return
			}
			w.steady = w.quiet && !w.stopping()
			w.hear(n, func(y *way) { y.cut = false })
		})
	}}
}

// lateReceipt: a stop receipt is overtaken by the next life of the agent, which is
// given the group again.
func (w *World) lateReceipt(n *Node, _ time.Duration) {
	n.snag = &snag{is[leader.Release], w.between(300*time.Millisecond, 1500*time.Millisecond), func() {
		n.KillAgent()
		n.StartAgent()
	}}
	w.order(n.peer)
}

// lostGrant: a grant is stored, nobody hears of it, and the disk is lost.
func (w *World) lostGrant(n *Node, end time.Duration) {
	deaf := func(cut bool) {
		for _, o := range w.nodes {
			w.hear(o, func(y *way) { y.cut = cut })
		}
	}
	n.peer.snag = &snag{is[leader.Acquire], time.Millisecond, func() {
		deaf(true)
		w.in(w.between(20*time.Millisecond, 200*time.Millisecond), end, "witness loses its disk", func() {
			w.witness.Forget()
			deaf(false)
		})
	}}
	w.order(n.peer)
}

// shotForgotten: the witness loses its disk while a shot is on its way, and its
// target is heard again.
func (w *World) shotForgotten(n *Node, end time.Duration) {
	n.bmc.flip = 4 * time.Second
	w.isolate(n, true)
	w.when(w.shotBegun, end, func() {
		w.in(w.between(100*time.Millisecond, 500*time.Millisecond), end, "witness loses its disk", func() {
			w.witness.Forget()
			w.CutWitness(n.host, false)
			n.Gateway(true)
		})
	})
}

func (w *World) shotBegun() bool {
	c := w.witness.State()
	return c != nil && c.Mandate != nil && c.Mandate.Phase == arbiter.Begun
}

// rebornTooSoon: a machine is switched on right after it was shot, before its
// executor could report, and the witness restarts when it has heard the news.
func (w *World) rebornTooSoon(n *Node, end time.Duration) {
	p := n.peer
	w.isolate(n, true)
	w.when(func() bool { return n.shot }, end, func() {
		w.CutWitness(p.host, true)
		w.CutWitness(n.host, false)
		n.Gateway(true)
		w.in(w.between(500*time.Millisecond, time.Second), end, string(n.id)+" is switched on", n.Plug)
		w.when(func() bool { return n.entitled(w.groups[0]) }, end, func() {
			w.CutWitness(n.host, true)
			w.witness.Crash()
			w.witness.Restart()
			w.in(2200*time.Millisecond, end, string(p.id)+" reaches the witness", func() { w.CutWitness(p.host, false) })
		})
	})
}

// pretends: a power switch begins to lie, and its node is heard again before the
// news of the shot has arrived.
func (w *World) pretends(n *Node, end time.Duration) {
	p := n.peer
	n.bmc.fakes = true
	n.FailStops(true)
	w.isolate(n, true)
	p.snag = &snag{is[leader.ReportFence], 3500 * time.Millisecond, func() {
		w.CutWitness(p.host, true)
		w.in(4*time.Second, end, string(p.id)+" reaches the witness", func() { w.CutWitness(p.host, false) })
		w.CutWitness(n.host, false)
		n.Gateway(true)
	}}
}

// dud: a power switch has always said off, and does nothing.
func (w *World) dud(n *Node, _ time.Duration) {
	w.alwaysOff(n)
	n.bmc.fakes = n.bmc.lies
	n.FailStops(true)
	w.isolate(n, true)
}

// heardWhileBegun: the witness is slow to write down that a node is to be shot, and
// that node is heard meanwhile.
func (w *World) heardWhileBegun(n *Node, end time.Duration) {
	w.isolate(n, true)
	n.peer.snag = &snag{is[leader.Begin], time.Millisecond, func() {
		w.witness.slow = 3 * time.Second
		w.CutWitness(n.host, false)
		w.in(w.between(time.Second, 3*time.Second), end, "", func() { w.witness.slow = 0 })
	}}
}

// unheard: a node is silent for no longer than the leading witness stands still.
func (w *World) unheard(n *Node, end time.Duration) {
	w.Cut(A, B, true)
	w.CutReplication(true)
	w.in(w.between(1500*time.Millisecond, 3*time.Second), end, "leading witness stands still", func() {
		w.CutWitness(n.host, true)
		w.witness.Pause(true)
		still := w.between(1200*time.Millisecond, 2*time.Second)
		w.in(still, end, "", func() { w.witness.Pause(false) })
		w.in(still+700*time.Millisecond, end, string(n.id)+" reaches the witness", func() { w.CutWitness(n.host, false) })
	})
}
