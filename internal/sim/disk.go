package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
)

// The disk states that arbitration meets besides UpToDate and Consistent.
const (
	outdated     arbiter.DiskState = "Outdated"
	inconsistent arbiter.DiskState = "Inconsistent"
	diskless     arbiter.DiskState = "Diskless"
	unknownDisk  arbiter.DiskState = "DUnknown"
)

// volume is the one DRBD volume of a group, on both nodes.
type volume struct {
	w      *World
	group  arbiter.GroupID
	copies [2]*replica
	links  int           // connections made so far
	acked  []int         // writes the application was told are safe
	writes int           // made so far
	syncAt time.Duration // a resync is done at
}

// replica is one node's copy. What is not on the disk ends with the boot.
type replica struct {
	v    *volume
	n    *Node
	has  map[int]bool // writes in it
	disk arbiter.DiskState
	// generation and ancestors are DRBD's data generations: one more begins
	// where a primary goes on alone.
	generation int
	ancestors  []int
	recorded   bool // the metadata has the peer's disk as outdated
	crashed    bool // was primary when the machine died

	primary  bool
	link     int // number of the connection; 0: none
	frozen   bool
	pending  []int // written, and not acknowledged
	peerDisk arbiter.DiskState
	lostAt   time.Duration
	target   bool // of a resync
}

func resource(g arbiter.GroupID) string { return "r-" + string(g) }

func newVolume(w *World, g arbiter.GroupID) *volume {
	v := &volume{w: w, group: g}
	for i, n := range w.nodes {
		v.copies[i] = &replica{v: v, n: n, has: map[int]bool{}, disk: arbiter.Consistent, generation: 1}
	}
	v.poll()
	return v
}

func (c *replica) other() *replica { return c.v.copies[1-c.n.host] }

// attach brings the copies up after a boot: without its peer's word a copy is
// Consistent at best.
func (n *Node) attach() {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil && (c.disk == arbiter.UpToDate && !c.recorded || c.disk == diskless) {
			c.disk = arbiter.Consistent // metadata of a disk that failed says so too, and lies
		}
	}
}

func (n *Node) detach() {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil {
			c.crashed = c.crashed || c.primary
			c.primary, c.link, c.frozen, c.pending, c.target = false, 0, false, nil, false
		}
	}
}

func (n *Node) replica(g arbiter.GroupID) *replica {
	if v := n.w.disks[g]; v != nil {
		return v.copies[n.host]
	}
	return nil
}

func (n *Node) answers() bool { return n.running && !n.frozen }

// poll lets DRBD notice, connect and resynchronise.
func (v *volume) poll() {
	v.w.after(50*time.Millisecond, v.poll)
	a, b := v.copies[A], v.copies[B]
	reach := v.w.wire && a.n.answers() && b.n.answers()
	for _, c := range v.copies {
		if c.link == 0 || !c.n.answers() {
			continue
		}
		if reach && c.other().link == c.link {
			c.lostAt = 0
			c.setPeer(c.other().disk)
			c.flush()
			continue
		}
		if c.lostAt == 0 {
			c.lostAt = v.w.now + v.w.between(time.Second, 1500*time.Millisecond)
		}
		if reach || v.w.now >= c.lostAt {
			c.drop()
		}
	}
	if reach && a.link == 0 && b.link == 0 {
		v.connect(a, b)
	}
	if v.syncAt != 0 && v.w.now >= v.syncAt && reach {
		v.synced()
	}
}

func (c *replica) setPeer(d arbiter.DiskState) {
	if c.peerDisk != d {
		c.peerDisk = d
		c.n.tellStorage(c.v.group)
	}
}

// flush replicates what a stalled connection has kept.
func (c *replica) flush() {
	if c.frozen || !c.primary {
		return
	}
	for _, id := range c.pending {
		c.other().has[id] = true
	}
	c.ackAll()
}

func (c *replica) ackAll() {
	c.v.acked = append(c.v.acked, c.pending...)
	c.pending = nil
}

// drop ends the connection on this side. A primary freezes in the same step and
// asks whether to go on alone.
func (c *replica) drop() {
	c.link, c.lostAt, c.v.syncAt = 0, 0, 0
	c.target = false
	if c.primary {
		c.frozen = true
		c.n.fencePeer(c)
	}
	c.n.tellStorage(c.v.group)
}

// connect compares the generations and begins a resync where they differ.
func (v *volume) connect(a, b *replica) {
	if a.disk == diskless || b.disk == diskless || a.primary && b.primary {
		return
	}
	var source *replica
	switch {
	case slices.Contains(a.ancestors, b.generation):
		source = a
	case slices.Contains(b.ancestors, a.generation):
		source = b
	case a.generation != b.generation:
		v.w.breaks("split brain: both copies of %s have writes of their own", v.group)
		return
	case a.disk == inconsistent || b.primary && a.disk != inconsistent || b.crashed && !a.primary:
		source = b
	default:
		source = a
	}
	if source.disk == inconsistent || source.other().primary {
		return
	}
	v.establish(source)
}

func (v *volume) establish(source *replica) {
	target := source.other()
	equal := source.generation == target.generation && target.disk != inconsistent && !source.crashed && !target.crashed
	v.links++
	for _, c := range v.copies {
		c.link, c.lostAt, c.recorded, c.crashed = v.links, 0, false, false
	}
	source.disk, target.disk = arbiter.UpToDate, arbiter.UpToDate
	if !equal {
		target.disk, target.target = inconsistent, true
		v.syncAt = v.w.now + v.w.between(500*time.Millisecond, 3*time.Second)
	}
	for _, c := range v.copies {
		c.frozen = false
		c.peerDisk = c.other().disk
		c.flush()
		c.n.tellStorage(v.group)
	}
}

func (v *volume) synced() {
	v.syncAt = 0
	for _, c := range v.copies {
		if !c.target {
			continue
		}
		from := c.other()
		c.target, c.disk, c.generation = false, arbiter.UpToDate, from.generation
		c.ancestors = slices.Clone(from.ancestors)
		c.has = map[int]bool{}
		for id := range from.has {
			c.has[id] = true
		}
		c.setPeer(from.disk)
		from.setPeer(c.disk)
		c.n.tellStorage(v.group)
	}
}

// alone begins a generation of this copy's own.
func (c *replica) alone() {
	c.ancestors = append(c.ancestors, c.generation)
	c.v.links++
	c.generation = 1000*c.v.links + int(c.n.host)
	c.recorded, c.frozen = true, false
	c.ackAll()
	c.n.tellStorage(c.v.group)
}

// write is one write of the application.
func (c *replica) write() {
	c.v.writes++
	id := c.v.writes
	c.has[id] = true
	p := c.other()
	switch {
	case c.frozen:
		c.pending = append(c.pending, id)
	case c.link == 0 || c.peerDisk == diskless:
		c.v.acked = append(c.v.acked, id)
	case p.link == c.link && c.v.w.wire && p.n.answers():
		p.has[id] = true
		c.v.acked = append(c.v.acked, id)
	default:
		c.pending = append(c.pending, id)
	}
}

// applications writes a record in every group that is up, ten times a second.
func (w *World) applications() {
	w.after(100*time.Millisecond, w.applications)
	for _, id := range w.groups {
		for _, n := range w.nodes {
			if c := n.replica(id); c != nil && c.primary && n.Runs(id) && !n.frozen {
				c.write()
			}
		}
	}
}

// FailDisk makes a node's disk of a group fail while DRBD runs on it.
func (n *Node) FailDisk(g arbiter.GroupID) {
	c := n.replica(g)
	if !n.running || c.disk == diskless {
		return
	}
	c.disk, c.target = diskless, false
	n.give(agent.DiskFailed{Resource: resource(g)})
	n.tellStorage(g)
}

// Primary reports whether DRBD is Primary for a group.
func (n *Node) Primary(g arbiter.GroupID) bool { c := n.replica(g); return c != nil && c.primary }

// InStep reports whether both copies are connected and UpToDate.
func (w *World) InStep(g arbiter.GroupID) bool {
	a, b := w.disks[g].copies[A], w.disks[g].copies[B]
	return a.link != 0 && a.link == b.link && a.disk == arbiter.UpToDate && b.disk == arbiter.UpToDate
}

// Acked returns how many writes the application was told are safe.
func (w *World) Acked(g arbiter.GroupID) int { return len(w.disks[g].acked) }

// tellStorage reports a copy's state to the agent, a little late.
func (n *Node) tellStorage(g arbiter.GroupID) {
	c := n.replica(g)
	if c == nil {
		return
	}
	n.local(n.w.between(5*time.Millisecond, 30*time.Millisecond), func() {
		peer := unknownDisk
		if c.link != 0 {
			peer = c.peerDisk
		} else if c.recorded {
			peer = outdated
		}
		n.give(agent.Storage{
			Resource: resource(g), Known: true, Primary: c.primary, Frozen: c.frozen,
			Disks:    []arbiter.Disk{{Volume: resource(g) + "/0", Own: c.disk, Peer: peer, Connected: c.link != 0}},
			Recorded: c.link == 0 && c.recorded || c.link != 0 && peer == diskless,
		})
	})
}

// fencePeer calls the handler of a primary that has lost its peer.
func (n *Node) fencePeer(c *replica) {
	links := c.v.links
	n.handle(resource(c.v.group), func(code int) {
		if code == 4 && c.link == 0 && c.frozen && c.v.links == links {
			c.alone()
		}
	})
}

// handle runs a fence-peer handler until the agent, or the next one, says how
// it ends.
func (n *Node) handle(resource string, done func(code int)) {
	n.call++
	h := &handler{n.call, resource, done}
	n.handlers = append(n.handlers, h)
	n.give(agent.FencePeer{Call: h.call, Resource: resource})
	n.local(handlerEnds, func() { n.exit(agent.Exit{Call: h.call, Code: 1}) })
}

func (n *Node) exit(a agent.Exit) {
	i := slices.IndexFunc(n.handlers, func(h *handler) bool { return h.call == a.Call })
	if i < 0 {
		return
	}
	h := n.handlers[i]
	n.handlers = slices.Delete(n.handlers, i, i+1)
	n.w.line(n.host.String(), "", fmt.Sprintf("handler exits %d", a.Code), a.Why)
	h.done(a.Code)
}

var errNotPromoted = errors.New("DRBD refuses to promote")

// promote makes the copy Primary, asking the handler where DRBD would.
func (c *replica) promote(done func(error)) {
	refuse := func(why string) { done(fmt.Errorf("%w: %s", errNotPromoted, why)) }
	usable := c.disk == arbiter.UpToDate || c.disk == arbiter.Consistent
	switch {
	case c.link != 0 && c.other().primary && c.other().n.answers():
		refuse("the peer is Primary")
	case c.link != 0 && c.disk == arbiter.UpToDate, c.link == 0 && c.disk == arbiter.UpToDate && c.recorded:
		c.promoted()
		done(nil)
	case c.link == 0 && usable:
		c.n.handle(resource(c.v.group), func(code int) {
			switch {
			case code != 4:
				refuse(fmt.Sprintf("the handler ended with %d", code))
			case c.link == 0:
				c.recorded, c.disk = true, arbiter.UpToDate
				c.promoted()
				done(nil)
			default:
				c.promote(done)
			}
		})
	default:
		refuse("the disk is " + string(c.disk))
	}
}

func (c *replica) promoted() {
	c.v.w.checkPromotion(c)
	c.primary = true
	if c.link == 0 {
		c.alone()
	}
	c.n.tellStorage(c.v.group)
}

func (n *Node) demoteStray(r string) {
	for _, id := range n.w.groups {
		if c := n.replica(id); c != nil && resource(id) == r && c.primary && !c.frozen && !n.services[id].up {
			c.primary = false
			n.tellStorage(id)
		}
	}
}

func (n *Node) outdate(g arbiter.GroupID) {
	n.local(20*time.Millisecond, func() {
		c := n.replica(g)
		var err error
		switch {
		case c.primary || c.link != 0:
			err = errors.New("DRBD did not outdate the disk")
		case c.disk == arbiter.UpToDate || c.disk == arbiter.Consistent:
			c.disk = outdated
			n.tellStorage(g)
		}
		n.give(agent.OutdateDone{Group: g, Err: err})
	})
}
