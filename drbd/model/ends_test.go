package model

import (
	"fmt"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

// labBlocks is how many blocks a copy has where vectors are carried out.
const labBlocks = 3062

var handshakeHandlers = []drbd.Handler{
	drbd.HandlerInitialSplitBrain, drbd.HandlerSplitBrain, drbd.HandlerPriLost, drbd.HandlerPriLostAfterSB,
}

// Where a vector says how the two nodes end, two whole nodes are brought to
// where it begins and connected, and end like that. The lab does the same with
// the driver, from the same lines.
func TestTwoNodesEndAsInTheKernel84(t *testing.T) {
	carried := 0
	for _, v := range readVectors(t, "testdata/vectors-84.txt", drbd.Family84) {
		if v.endsA == "" && v.endsB == "" {
			continue
		}
		carried++
		t.Run(v.name, func(t *testing.T) {
			r := rigOf(t, v)
			fresh := map[drbd.UUID]string{}
			wantEnd(t, "A", v.endsA, endOf(r.nodes[a], fresh))
			wantEnd(t, "B", v.endsB, endOf(r.nodes[b], fresh))
		})
	}
	t.Logf("%d vectors carried out", carried)
}

func wantEnd(t *testing.T, side, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("%s ends\n%s\nthe kernel's\n%s", side, got, want)
	}
}

// rigOf carries a vector out: both nodes as it says, alone; then they meet.
func rigOf(t *testing.T, v vector) *rig {
	r := &rig{t: t, tie: b, answers: map[CommandID]Answer{}, results: map[RequestID]IODone{}}
	r.nodes = [2]*Node{nodeOf(v.config, v.a, 1, handshakeHandlers...), nodeOf(v.config.Mirror(), v.b, 2, handshakeHandlers...)}
	r.begin(a, v.a, v.tentative)
	r.begin(b, v.b, false)
	r.heal()
	return r
}

// nodeOf is a node that is off, with a side's metadata on its disk.
func nodeOf(c Config, s Side, seed uint64, handlers ...drbd.Handler) *Node {
	if s.Disk == drbd.DiskConsistent {
		c.Fencing = FencingOnly // otherwise a good copy is at once UpToDate
	}
	n := New(Settings{Config: c, Blocks: []int{labBlocks}, Seed: seed, Handlers: handlers})
	d := &n.volumes[0].disk
	d.generation = s.Generation.withRole(drbd.RoleSecondary)
	d.flags = flagsOf(s)
	for block := range s.OutOfSync {
		d.differs.set(Block(block))
	}
	return n
}

func flagsOf(s Side) drbd.GenerationFlags {
	return drbd.GenerationFlags{
		Consistent: s.Disk != drbd.DiskInconsistent, WasUpToDate: s.Disk != drbd.DiskInconsistent && s.Disk != drbd.DiskOutdated,
		CrashedPrimary: s.CrashedPrimary,
	}
}

func (r *rig) begin(i int, s Side, tentative bool) {
	r.start(i)
	if s.Role == drbd.RolePrimary {
		r.must(i, Promote)
	}
	if s.Open {
		r.step(i, Open{})
	}
	r.must(i, Disconnect)
	switch {
	case s.Discard:
		r.must(i, ConnectDiscard)
	case tentative:
		r.must(i, ConnectTentative)
	default:
		r.must(i, Connect)
	}
}

// endOf describes a node as the lab does: the words of /proc/drbd, and
// generations and flags as get-gi prints them. What is no number of the
// vectors' own is named in the order in which it is met.
func endOf(n *Node, fresh map[drbd.UUID]string) string {
	s := n.Volume(0)
	m := n.Metadata(0)
	conn := string(s.Conn)
	switch {
	case s.Repl != drbd.ReplOff && s.Repl != drbd.ReplEstablished:
		conn = string(s.Repl)
	case s.Conn == drbd.ConnConnecting:
		conn = "WFConnection"
	}
	ids := make([]string, 0, 4)
	for _, u := range []drbd.UUID{m.Current, m.Bitmap, m.History[0], m.History[1]} {
		ids = append(ids, nameOf(u, fresh))
	}
	f := m.Flags
	flags := ""
	for _, set := range []bool{f.Consistent, f.WasUpToDate, f.Primary, f.Connected, f.FullSync, f.PeerOutdated, f.CrashedPrimary} {
		flags += fmt.Sprint(number(set))
	}
	return fmt.Sprintf("cs=%s ro=%s/%s ds=%s/%s oos=%d gi=%s flags=%s",
		conn, s.Role, s.Peer, s.Disk, s.PeerDisk, n.volumes[0].disk.differs.count(), strings.Join(ids, ":"), flags)
}

// nameOf is the number itself, or "new1", "new2" for those that were drawn.
// The role's mark is no part of a name.
func nameOf(u drbd.UUID, fresh map[drbd.UUID]string) string {
	const ours = 1 << 49 // vectors use small numbers, and such that the driver makes of them
	if u < ours {
		return fmt.Sprintf("%X", uint64(u))
	}
	id := u &^ primaryBit
	if fresh[id] == "" {
		fresh[id] = fmt.Sprintf("new%d", len(fresh)+1)
	}
	return fresh[id]
}
