package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
)

// excluding: the exclusion that a holder asks for arrives between a mandate and
// its beginning.
func (w *World) excluding(n *Node, end time.Duration) {
	w.order(n)
	w.in(w.between(3*time.Second, 4*time.Second), end, string(n.id)+" is cut off from everybody", func() {
		n.bmc.slow = 1800 * time.Millisecond
		w.isolate(n, true)
		n.snag = &snag{is[leader.Exclude], w.between(100*time.Millisecond, 400*time.Millisecond), func() {}}
	})
}

// lateExclusion: a holder asks to go on alone, and is heard when its lease has run
// out and nobody has the next one yet.
func (w *World) lateExclusion(n *Node, _ time.Duration) {
	late := arbiter.Guard(w.Definition.Timing.TTL) - w.between(400*time.Millisecond, 1200*time.Millisecond)
	n.snag = &snag{is[leader.Exclude], late, func() {}}
	w.isolate(n, true)
}

// lateReadmission: a readmission is on its way while the two copies part again.
func (w *World) lateReadmission(n *Node, end time.Duration) {
	w.CutReplication(true)
	w.in(w.between(2*time.Second, 3*time.Second), end, "replication is back", func() { w.CutReplication(false) })
	late := w.between(2*time.Second, 4*time.Second)
	n.snag = &snag{is[leader.Readmit], late, func() {
		w.CutReplication(true)
		w.in(late+w.between(time.Second, 2*time.Second), end, string(n.id)+" crashes", n.Crash)
	}}
}

// wordAlone: no witness answers, the peer says that its copy is given up, and its
// DRBD does not do that.
func (w *World) wordAlone(n *Node, end time.Duration) {
	n.peer.obstinate = true
	w.witness.Crash()
	w.in(w.between(0, time.Second), end, "replication cut", func() { w.CutReplication(true) })
	w.in(w.between(4*time.Second, 6*time.Second), end, string(n.id)+" crashes", func() {
		n.Crash()
		w.witness.Restart()
	})
}

// peersDisk: the standby's disk fails, the holder goes on without it and dies, and
// the disk comes back as it was.
func (w *World) peersDisk(n *Node, end time.Duration) {
	p := n.peer
	p.loseDisk()
	w.in(momentFor+w.between(2*time.Second, 3*time.Second), end, string(n.id)+" crashes", func() {
		n.Crash()
		p.Reset("its disk was put back")
	})
}

// cutResync: the target of a resync loses its power, and what its disk's cache had,
// while nobody writes any of that anew; later the two are in step, as far as DRBD
// knows, and the source dies.
func (w *World) cutResync(n *Node, end time.Duration) {
	g, p := w.groups[0], n.peer
	c := p.replica(g)
	if c == nil {
		return
	}
	w.CutReplication(true)
	w.in(w.between(3*time.Second, 6*time.Second), end, "replication is back", func() { w.CutReplication(false) })
	w.when(func() bool { return c.state().Repl == drbd.ReplSyncTarget }, end, func() {
		w.in(w.between(100*time.Millisecond, 900*time.Millisecond), end, string(p.id)+" is unplugged", func() {
			w.idle = true
			p.Unplug()
			w.in(time.Second, end, string(p.id)+" is plugged in", p.Plug)
			w.when(func() bool { return p.Up() && w.InStep(g) && !w.excludes(g, p.id) }, end, n.Crash)
		})
	})
}

// lastGoodCopy: the disk of a holder fails while it waits to be allowed to go on
// alone, and then its question arrives.
func (w *World) lastGoodCopy(n *Node, end time.Duration) {
	g, p := w.groups[0], n.peer
	if w.disks[w.index(g)] == nil || !w.InStep(g) {
		return // with the last copy everybody's data would be gone
	}
	w.CutWitness(n.host, true)
	w.Cut(A, B, true)
	w.CutReplication(true)
	w.in(w.between(1600*time.Millisecond, 2*time.Second), end, string(n.id)+" disk fails", func() {
		if !w.excludes(g, p.id) && !p.remembersLoss(g) {
			n.FailDisk(g)
		}
	})
	w.in(w.between(2100*time.Millisecond, 2500*time.Millisecond), end, string(n.id)+" reaches the witness", func() { w.CutWitness(n.host, false) })
}

// staleBackup: a witness goes on with a copy of its disk that is older than an
// exclusion.
func (w *World) staleBackup(n *Node, end time.Duration) {
	w.witness.Backup()
	w.CutReplication(true)
	back := w.between(3*time.Second, 5*time.Second)
	w.in(back, end, "witness is restored from a backup", w.witness.Restore)
	w.in(back+2*oldFor+w.between(0, 5*time.Second), end, string(n.id)+" crashes", n.Crash)
}

// unrecorded: an exclusion is known to a holder and the witness alone. The holder's
// agent dies when it stores that, or later, and the witness loses its disk.
func (w *World) unrecorded(n *Node, end time.Duration) {
	p, disks := n.peer, w.witness.disks
	w.CutWitness(p.host, true)
	w.CutReplication(true)
	patient := w.rng.IntN(2) == 0
	n.snag = &snag{is[leader.Exclude], time.Millisecond, func() {
		n.fatal = !patient
		w.in(100*time.Millisecond, end, string(n.id)+" is cut off from the witness", func() {
			w.CutWitness(n.host, true)
			n.KillAgent()
			n.StartAgent()
		})
		w.in(w.between(time.Second, 2*time.Second), end, "witness loses its disk", func() {
			w.witness.Forget()
			w.CutWitness(n.host, false)
			w.CutWitness(p.host, false)
		})
	}}
	learnt := func() bool {
		c := w.witness.State()
		return w.witness.disks > disks && c != nil && !c.Learning
	}
	w.when(learnt, end, func() {
		after := time.Duration(0)
		if patient {
			after = w.between(2*time.Second, 3*time.Second)
		}
		w.in(after, end, string(n.id)+" crashes", n.Crash)
	})
}

// dieSaving ends the agent's process while it stores something: what it was to
// store is lost.
func (n *Node) dieSaving() {
	n.fatal, n.saving = false, nil
	n.w.after(0, func() {
		n.w.line("fault", "", string(n.id)+" agent dies", "while it stores something")
		n.KillAgent()
		n.w.after(50*time.Millisecond, n.StartAgent)
	})
}

// loseStore ends the agent's process and removes its store.
func (n *Node) loseStore() {
	n.KillAgent()
	n.memory, n.incarnation = nil, 0
	n.w.storeLost = true
	n.w.line("fault", "", string(n.id)+" loses its agent's store", "")
}
