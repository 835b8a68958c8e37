package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
	"sbarbiter/fencing"
)

// stopClock stops a machine from outside, its clock with it: a virtual machine
// that is paused finds no gap when it goes on. Its watchdog is a device of its
// own and does not stop.
func (w *World) stopClock(n *Node) {
	if n.running && !n.frozen {
		n.stoppedAt = n.clock.now()
		n.Freeze(true)
	}
}

func (w *World) startClock(n *Node) {
	if n.running && n.frozen && n.stoppedAt != 0 {
		n.clock.reset(n.stoppedAt)
		n.stood = n.boots
	}
	n.stoppedAt = 0
	n.Freeze(false)
}

// loseDisk makes the node's disk of the first group fail, if both copies are
// good: with the last one everybody's data would be gone.
func (n *Node) loseDisk() {
	g := n.w.groups[0]
	if n.w.disks[n.w.index(g)] != nil && n.w.InStep(g) {
		n.FailDisk(g)
	}
}

// changeDisk is what a person does about a failed disk: the machine is started
// anew with it in its place.
func (n *Node) changeDisk() {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil && n.running && c.state().Disk == drbd.DiskDiskless {
			n.Reset("its disk was seen to")
		}
	}
}

func (w *World) cutLink(n *Node, cut bool) {
	w.CutPath(Path{n.host, n.peer.host, 0}, cut)
	w.CutPath(Path{n.peer.host, n.host, 0}, cut)
}

func (w *World) lossy(n *Node, share float64) {
	for link := range links {
		w.Lose(Path{n.host, n.peer.host, link}, share)
	}
}

func (w *World) late(n *Node, d time.Duration) {
	for link := range links {
		w.Slow(Path{n.host, n.peer.host, link}, d)
	}
}

func (w *World) twice(n *Node, share float64) {
	for link := range links {
		w.way(Path{n.host, n.peer.host, link}).twice = share
	}
}

// alwaysOff makes a node's power switch one that says off whatever is so. It has
// always done that, as far as its peer remembers, so it must never prove
// anything. One that begins to lie between two readings is beyond any proof.
func (w *World) alwaysOff(n *Node) {
	if n.peer.shooting != nil || w.underMandate() {
		return
	}
	n.bmc.lies, n.peer.track = true, fencing.Track{}
}

func (w *World) underMandate() bool {
	c := w.witness.State()
	return c != nil && c.Mandate != nil
}

// promoteByHand is a person who makes DRBD Primary where nobody has the right.
func (n *Node) promoteByHand() {
	for _, id := range n.w.groups {
		c := n.replica(id)
		if c == nil || !n.running || n.frozen || n.Primary(id) {
			continue
		}
		c.byHand = true
		c.command(model.Promote, func(a model.Answer) {
			c.byHand, c.stray = false, a.OK()
			if a.OK() && c.state().Conn != drbd.ConnConnected {
				n.w.except("a person promoted a copy alone")
			}
		})
	}
}

// confirm is an operator who has seen that a machine is off, and says so.
func (w *World) confirm(n *Node) {
	if !n.power && !n.running {
		w.say(n, "seen off")
	}
}

// unseen is what an operator says who has not looked.
const unseen = "it must be off"

// confirmFalsely is an operator who has not looked. See [World.applied] for whether
// that is believed.
func (w *World) confirmFalsely(n *Node) {
	if n.running {
		w.say(n, unseen)
	}
}

// say says that a node is off.
func (w *World) say(n *Node, why string) {
	c := w.witness.State()
	if c == nil {
		return
	}
	var epochs []arbiter.Epoch
	for _, id := range w.groups {
		if g := c.Groups[id]; g != nil && g.Lease != nil && g.Lease.Holder == n.id {
			epochs = append(epochs, g.Lease.Epoch)
		}
	}
	w.witness.Order(arbiter.Confirm{Cluster: w.Definition.Cluster, Node: n.id, Epochs: epochs, By: "operator", Reason: why})
}

func (w *World) maintain(on bool) {
	if c := w.witness.State(); c != nil && (on || c.Maintenance) {
		w.witness.Order(arbiter.Maintenance{Cluster: w.Definition.Cluster, On: on, By: "operator"})
	}
}

// redefine declares the cluster with another ttl than the nodes' files have.
func (w *World) redefine(by time.Duration) {
	def := w.Definition
	def.Timing.TTL += by
	if c := w.witness.State(); c != nil && c.Definition.Timing != def.Timing {
		w.witness.Order(arbiter.Define{Definition: def, By: "operator"})
	}
}

// undo takes back what operators have ordered, as soon as a witness answers, and
// looks again for what was on its way.
func (w *World) undo(tries int) {
	if w.witness.leading() != nil {
		w.maintain(false)
		w.redefine(0)
		for _, n := range w.nodes {
			w.standby(n, false)
		}
	}
	if tries < 4 {
		w.after(time.Second, func() { w.undo(tries + 1) })
	}
}

// except ends a run that has come to something that the guarantees except.
func (w *World) except(why string) {
	if w.excepted == "" {
		w.excepted = why
		w.line("EXCEPTED", "", why, "")
	}
}

// Excepted says what ended the run that the guarantees except, if anything did.
func (w *World) Excepted() string { return w.excepted }
