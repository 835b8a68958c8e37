package model

import (
	"fmt"
	"slices"

	"sbarbiter/drbd"
)

// Settings are what a node is made from.
type Settings struct {
	Config Config
	// Blocks is the size of each volume.
	Blocks []int
	// HotExtents is how many extents the activity log holds; 0 means 4.
	HotExtents int
	// Handlers are those that are configured. A handler that is not is never
	// called: fence-peer then counts as broken, any other as content.
	Handlers []drbd.Handler
	// Seed is where this node's generations come from. Two nodes need two.
	Seed uint64
}

// Node is one end of a resource. It is a value to its caller: Clone copies it,
// and the same events in the same order make the same node.
//
// The role is kept for the resource: the caller of 8.4 promotes all volumes or
// none.
type Node struct {
	settings Settings
	draws    uint64

	on, up         bool
	role, peerRole drbd.Role
	conn           drbd.ConnState
	users          int
	volumes        []volume

	frozen, noData, held bool // why I/O waits: fencing, no good data, suspend-io

	link      link
	discard   bool // connect with --discard-my-data, until a handshake
	tentative bool
	connects  int  // handshakes begun since Up
	reconnect bool // 9: was connected before, since Up

	tokens    Token
	fence     fenceCall
	promotion promotion
	leave     CommandID // a disconnect that waits for the peer, 0 for none

	io    ioState
	out   []Effect
	spare []Effect // room for the next out
}

// volume is one volume as the driver holds it in memory, on its disk.
type volume struct {
	disk     disk
	state    drbd.DiskState
	peer     drbd.DiskState
	repl     drbd.ReplState
	crashed  bool // was Primary when it crashed, not in sync with the peer since
	dueNew   bool // a new generation is due when I/O goes on
	sent     Side // as announced in this handshake
	peerSide Side
	sync     resync
}

// New returns a node that is off, with fresh metadata on every volume.
func New(s Settings) *Node {
	n := &Node{settings: s}
	if n.settings.HotExtents == 0 {
		n.settings.HotExtents = 4
	}
	for _, blocks := range s.Blocks {
		n.volumes = append(n.volumes, volume{disk: newDisk(blocks)})
	}
	n.forget()
	return n
}

// Pair returns two nodes that are off and whose copies are in sync, as after
// the initial resync of empty disks. The second differs by its seed.
func Pair(s Settings) (a, b *Node) {
	a = New(s)
	s.Config, s.Seed = s.Config.Mirror(), ^s.Seed
	b = New(s)
	for i := range a.volumes {
		g := Generation{Current: a.draw()}
		for _, n := range []*Node{a, b} {
			d := &n.volumes[i].disk
			d.generation = g
			d.flags = drbd.GenerationFlags{Consistent: true, WasUpToDate: true}
		}
	}
	return a, b
}

// Clone returns a copy that shares nothing that changes.
func (n *Node) Clone() *Node {
	c := *n
	c.volumes = slices.Clone(n.volumes)
	for i := range c.volumes {
		c.volumes[i].disk = n.volumes[i].disk.clone()
		c.volumes[i].sync.unsent = slices.Clone(n.volumes[i].sync.unsent)
	}
	c.io = n.io.clone()
	c.link.waiting = slices.Clone(n.link.waiting)
	c.out, c.spare = nil, nil
	return &c
}

// Step takes one event and returns what the node does about it, in order. A
// machine that is off hears nothing but Boot. It panics on an event that no
// caller may send, such as I/O beyond a volume's end.
func (n *Node) Step(ev Event) []Effect {
	n.out, n.spare = n.spare, nil
	if _, boot := ev.(Boot); boot || n.on {
		n.step(ev)
	}
	out := n.out
	n.out = nil
	return out
}

// Reuse takes back what Step has returned, from a caller that has done all of it.
func (n *Node) Reuse(effects []Effect) {
	clear(effects)
	n.spare = effects[:0]
}

func (n *Node) step(ev Event) {
	switch ev := ev.(type) {
	case Boot:
		n.on = true
	case Crash:
		n.crash(ev)
	case Command:
		n.command(ev)
	case Open:
		n.users++
	case Close:
		n.users--
	case Write, Read, Flush:
		n.request(ev)
	case Destage:
		n.volumes[ev.At.Volume].disk.destage(ev.At.Block)
	case DiskFail:
		n.diskFails(ev.Volume)
	case LinkUp:
		n.linkUp(ev)
	case LinkDown:
		n.linkDown(ev)
	case Receive:
		n.receive(ev.Message)
	case HandlerDone:
		n.handlerDone(ev)
	case Sync:
		n.pushSync(ev)
	default:
		panic(fmt.Sprintf("model: unknown event %T", ev))
	}
}

func (n *Node) emit(e Effect) { n.out = append(n.out, e) }

func (n *Node) answer(id CommandID, a Answer) { n.emit(Answered{ID: id, Answer: a}) }

func (n *Node) has(h drbd.Handler) bool { return slices.Contains(n.settings.Handlers, h) }

// tell calls a handler whose answer does not matter.
func (n *Node) tell(h drbd.Handler) {
	if n.has(h) {
		n.emit(Called{Handler: h})
	}
}

// ask calls a handler that something waits for.
func (n *Node) ask(h drbd.Handler) Token {
	n.tokens++
	n.emit(Called{Handler: h, Token: n.tokens})
	return n.tokens
}

// draw returns a UUID that this node never drew before. The mixing function is
// a bijection, so that different draws give different results.
func (n *Node) draw() drbd.UUID {
	for {
		n.draws++
		z := n.settings.Seed + n.draws*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		if u := drbd.UUID(z^z>>31) &^ primaryBit; u >= 8 {
			return u
		}
	}
}

func (n *Node) primary() bool { return n.role == drbd.RolePrimary }

func (n *Node) suspended() bool { return n.frozen || n.noData || n.held }

func (n *Node) config() Config { return n.settings.Config }

func (n *Node) nine() bool { return n.config().Family == drbd.Family9 }

// forget drops all that a machine holds in memory, its own counters apart.
func (n *Node) forget() {
	n.up = false
	n.role, n.peerRole, n.conn = drbd.RoleSecondary, drbd.RoleUnknown, drbd.ConnStandAlone
	n.users = 0
	n.frozen, n.noData, n.held = false, false, false
	n.discard, n.tentative, n.reconnect, n.connects = false, false, false, 0
	n.link, n.fence, n.promotion, n.leave, n.io = link{}, fenceCall{}, promotion{}, 0, ioState{}
	for i := range n.volumes {
		d := n.volumes[i].disk
		n.volumes[i] = volume{disk: d, state: drbd.DiskDiskless, peer: drbd.DiskUnknown, repl: drbd.ReplOff}
	}
}

// crash loses what was in memory and what the cache did not save.
func (n *Node) crash(ev Crash) {
	for i := range n.volumes {
		d := &n.volumes[i].disk
		d.cache = slices.DeleteFunc(d.cache, func(c content) bool {
			return slices.Contains(ev.Lost, Place{VolumeNumber(i), c.block})
		})
		d.flush()
	}
	n.forget()
	n.on = false
}

// attach reads the metadata of every volume. What the activity log still covers
// since the last clean end is marked as differing, and the mark of a Primary is
// taken off.
func (n *Node) attach() {
	for i := range n.volumes {
		v := &n.volumes[i]
		d := &v.disk
		v.state, v.peer = d.stateAtAttach(n.config()), drbd.DiskUnknown
		if d.flags.PeerOutdated {
			v.peer = drbd.DiskOutdated
		}
		if d.flags.Primary || d.flags.CrashedPrimary {
			v.crashed = true
		}
		d.applyLog()
		d.generation = d.generation.withRole(drbd.RoleSecondary)
	}
	n.up = true
	n.conn = drbd.ConnConnecting
	n.recordAll()
}
