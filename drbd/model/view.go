package model

import "sbarbiter/drbd"

// kibPerBlock is the size of a block.
const kibPerBlock = 4

// On reports whether the machine runs.
func (n *Node) On() bool { return n.on }

// Role returns the node's role.
func (n *Node) Role() drbd.Role { return n.role }

// Conn returns the state of the connection.
func (n *Node) Conn() drbd.ConnState { return n.conn }

// Session returns the session that this end is in, 0 for none.
func (n *Node) Session() Session { return n.link.session }

// Volume returns this node's view of a volume.
func (n *Node) Volume(v VolumeNumber) State { return n.stateOf(&n.volumes[v]) }

// Frozen reports whether I/O is held back because the peer was lost.
func (n *Node) Frozen() bool { return n.frozen }

// Suspended reports whether I/O is held back for whatever reason.
func (n *Node) Suspended() bool { return n.suspended() }

// Generation returns a volume's generation identifiers.
func (n *Node) Generation(v VolumeNumber) Generation { return n.volumes[v].disk.generation }

// Side returns what the node would announce about a volume now: the evidence
// for a prediction by Judge.
func (n *Node) Side(v VolumeNumber) Side { return n.sideOf(&n.volumes[v]) }

// OutOfSync returns the blocks that are marked as differing from the peer.
func (n *Node) OutOfSync(v VolumeNumber) []Block {
	var list []Block
	d := &n.volumes[v].disk
	for b := range d.blocks() {
		if d.differs.has(Block(b)) {
			list = append(list, Block(b))
		}
	}
	return list
}

// Content returns what the node's disk holds, cache included.
func (n *Node) Content(at Place) Stamp { return n.volumes[at.Volume].disk.read(at.Block) }

// Cached returns the blocks that a power cut may lose.
func (n *Node) Cached() []Place {
	var list []Place
	for i := range n.volumes {
		for _, c := range n.volumes[i].disk.cache {
			list = append(list, Place{VolumeNumber(i), c.block})
		}
	}
	return list
}

// Unsynced returns how many blocks a resync's source has still to send.
func (n *Node) Unsynced(v VolumeNumber) int { return len(n.volumes[v].sync.unsent) }

// Waiting returns how many requests the application waits for.
func (n *Node) Waiting() int {
	count := len(n.io.queue) + len(n.io.reads)
	for _, f := range n.io.flight {
		if !f.done {
			count++
		}
	}
	return count
}

// Discarding reports whether the next handshake gives this node's data up.
func (n *Node) Discarding() bool { return n.discard }

// Metadata returns what "get-gi" would print of a volume.
func (n *Node) Metadata(v VolumeNumber) drbd.Generations {
	d := &n.volumes[v].disk
	return drbd.Generations{
		Current: d.generation.Current, Bitmap: d.generation.Bitmap,
		History: [2]drbd.UUID{d.generation.ancestor(0), d.generation.ancestor(1)},
		Flags:   d.flags,
	}
}

// Observe returns what DRBD's tools would say about the resource, as the
// parsers of package drbd give it; nil while it is not configured.
func (n *Node) Observe(resource string) *drbd.Resource {
	if !n.up {
		return nil
	}
	r := &drbd.Resource{
		Name: resource, Role: n.role,
		Suspended: drbd.Suspended{User: n.held, NoData: n.noData, Fencing: n.frozen},
	}
	if n.nine() || n.conn != drbd.ConnStandAlone {
		r.Peer = &drbd.Connection{Name: "peer", NodeID: drbd.NoNodeID, State: n.conn, PeerRole: n.peerRole}
	}
	for i := range n.volumes {
		v := &n.volumes[i]
		differs := v.disk.differs.count() * kibPerBlock
		r.Volumes = append(r.Volumes, drbd.Volume{
			Number: i, Minor: drbd.Minor(i), Disk: v.state, SizeKiB: uint64(v.disk.blocks()) * kibPerBlock,
			OutOfSyncKiB: differs,
		})
		if r.Peer != nil {
			r.Peer.Volumes = append(r.Peer.Volumes, drbd.PeerVolume{
				Number: i, Replication: v.repl, PeerDisk: v.peer, OutOfSyncKiB: differs,
			})
		}
	}
	return r
}
