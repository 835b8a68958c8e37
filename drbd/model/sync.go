package model

import (
	"slices"

	"sbarbiter/drbd"
)

// resync is the source's place in a resync.
type resync struct {
	unsent []Block
}

// beginSource answers the target's record of what differs: from here both have
// the union of the two records.
func (n *Node) beginSource(b bitmap) {
	v := &n.volumes[b.volume]
	if v.repl != drbd.ReplWFBitMapS {
		n.hangUp(drbd.ConnConnecting) // the two ends do not agree
		return
	}
	v.disk.differs.add(b.bits)
	if !n.nine() {
		v.disk.generation = v.disk.generation.sourceBegins(n.draw())
	}
	n.send(syncStart{b.volume, v.disk.generation.Bitmap, slices.Clone(v.disk.differs)})
	for block := range v.disk.blocks() {
		if v.disk.differs.has(Block(block)) {
			v.sync.unsent = append(v.sync.unsent, Block(block))
		}
	}
	n.setRepl(b.volume, drbd.ReplSyncSource)
	n.endSourceIfThrough(b.volume)
}

func (n *Node) setRepl(number VolumeNumber, r drbd.ReplState) {
	n.force(func(i int, s *State) {
		if i == int(number) {
			s.Repl = r
		}
	})
}

// beginTarget takes the source's word: the own generation is forgotten before
// the handler can object.
func (n *Node) beginTarget(b syncStart) {
	v := &n.volumes[b.volume]
	if v.repl != drbd.ReplWFBitMapT {
		n.hangUp(drbd.ConnConnecting)
		return
	}
	if !n.nine() {
		v.disk.generation = v.disk.generation.targetBegins(b.uuid, n.role)
	}
	v.disk.differs = slices.Clone(b.bits)
	if !n.has(drbd.HandlerBeforeResyncTgt) {
		n.startTarget(b.volume)
		return
	}
	n.setRepl(b.volume, drbd.ReplWFSyncUUID)
	n.link.stop, n.link.stopVolume = n.ask(drbd.HandlerBeforeResyncTgt), b.volume
}

// beforeTargetDone goes on, or does not, as the handler said. A refusal keeps
// the data, but not the evidence that they had diverged.
func (n *Node) beforeTargetDone(exit int) {
	n.link.stop = 0
	if exit != 0 {
		n.hangUp(drbd.ConnStandAlone)
		return
	}
	n.startTarget(n.link.stopVolume)
	n.readOn()
}

func (n *Node) startTarget(number VolumeNumber) {
	n.setRepl(number, drbd.ReplSyncTarget)
	n.drain()
	n.endTargetIfThrough(number)
}

// pushSync sends more of the source's data, as they are now.
func (n *Node) pushSync(ev Sync) {
	v := &n.volumes[ev.Volume]
	if v.repl != drbd.ReplSyncSource || len(v.sync.unsent) == 0 {
		return
	}
	count := min(ev.Blocks, len(v.sync.unsent))
	d := syncData{volume: ev.Volume}
	for _, b := range v.sync.unsent[:count] {
		d.blocks = append(d.blocks, content{b, v.disk.read(b)})
	}
	v.sync.unsent = v.sync.unsent[count:]
	n.send(d)
}

func (n *Node) takeSync(d syncData) {
	v := &n.volumes[d.volume]
	if v.repl != drbd.ReplSyncTarget {
		return
	}
	a := syncAck{volume: d.volume}
	for _, c := range d.blocks {
		v.disk.write(c.block, c.stamp)
		v.disk.differs.clear(c.block)
		a.blocks = append(a.blocks, c.block)
	}
	// The target is through before its source hears of it, and what it records
	// about it is true also after a power cut.
	n.endTargetIfThrough(d.volume)
	n.send(a)
}

func (n *Node) syncAcked(a syncAck) {
	v := &n.volumes[a.volume]
	if v.repl != drbd.ReplSyncSource {
		return
	}
	for _, b := range a.blocks {
		v.disk.differs.clear(b)
	}
	n.endSourceIfThrough(a.volume)
}

func (n *Node) endTargetIfThrough(number VolumeNumber) {
	v := &n.volumes[number]
	if v.disk.differs.count() > 0 {
		return
	}
	v.disk.flush()
	v.disk.generation = v.disk.generation.targetEnds(n.config().Family, v.peerSide.Generation, n.role)
	n.force(func(i int, s *State) {
		if i == int(number) {
			s.Repl, s.Disk, s.PeerDisk = drbd.ReplEstablished, drbd.DiskUpToDate, drbd.DiskUpToDate
		}
	})
	n.tell(drbd.HandlerAfterResyncTgt)
}

func (n *Node) endSourceIfThrough(number VolumeNumber) {
	v := &n.volumes[number]
	if v.disk.differs.count() > 0 {
		return
	}
	v.disk.generation = v.disk.generation.sourceEnds(n.config().Family)
	n.force(func(i int, s *State) {
		if i == int(number) {
			s.Repl, s.PeerDisk = drbd.ReplEstablished, drbd.DiskUpToDate
		}
	})
	if n.config().Fencing.asks() && n.inSync() {
		n.tell(drbd.HandlerUnfencePeer)
	}
}

// inSync reports whether both copies of every volume are good.
func (n *Node) inSync() bool {
	for i := range n.volumes {
		v := &n.volumes[i]
		if v.repl != drbd.ReplEstablished || v.state != drbd.DiskUpToDate || v.peer != drbd.DiskUpToDate {
			return false
		}
	}
	return true
}
