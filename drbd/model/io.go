package model

import (
	"fmt"
	"slices"

	"sbarbiter/drbd"
)

// epochWrites is how many writes the peer may hold in its disk's cache before
// it is told to flush them.
const epochWrites = 8

// ioState are requests on their way.
type ioState struct {
	queue []Event // wait while I/O is suspended, in order
	// flight are writes that the peer has been sent and may still lose: they
	// stay until its cache is flushed, so that a lost peer is known to lack
	// them.
	flight  []flight
	reads   []Read // asked of the peer
	barrier uint64 // number of the last barrier sent
}

// flight is a write that is not known to be safe on the peer.
type flight struct {
	write Write
	local bool // it is on the own disk
	over  bool // the peer has it, or has been given up
	done  bool // the application was told
	epoch uint64
}

func (s ioState) clone() ioState {
	s.queue, s.flight, s.reads = slices.Clone(s.queue), slices.Clone(s.flight), slices.Clone(s.reads)
	return s
}

// busy reports whether the application waits for something.
func (s ioState) busy() bool {
	return len(s.queue) > 0 || len(s.reads) > 0 || slices.ContainsFunc(s.flight, func(f flight) bool { return !f.done })
}

// request takes I/O from above.
func (n *Node) request(ev Event) {
	if !n.up || !n.primary() {
		n.emit(IODone{ID: requestID(ev), Result: IORefused})
		return
	}
	if n.suspended() || n.unstable() {
		n.io.queue = append(n.io.queue, ev)
		return
	}
	if n.nine() {
		n.newDue()
	}
	switch ev := ev.(type) {
	case Write:
		n.write(ev)
	case Read:
		n.read(ev)
	case Flush:
		n.flush(ev)
	}
}

func requestID(ev Event) RequestID {
	switch ev := ev.(type) {
	case Write:
		return ev.ID
	case Read:
		return ev.ID
	case Flush:
		return ev.ID
	}
	panic(fmt.Sprintf("model: %T is no request", ev))
}

// unstable: 8.4 lets no new I/O begin while a handshake runs or a target waits.
func (n *Node) unstable() bool {
	if n.nine() || n.conn != drbd.ConnConnected {
		return false
	}
	return slices.ContainsFunc(n.volumes, func(v volume) bool {
		return v.repl == drbd.ReplOff || v.repl == drbd.ReplWFBitMapT || v.repl == drbd.ReplWFSyncUUID
	})
}

// replicates reports whether the peer is sent what is written here.
func (n *Node) replicates(v *volume) bool {
	s := n.stateOf(v)
	switch {
	case !s.connected():
		return false
	case s.PeerDisk == drbd.DiskUpToDate:
		return true
	}
	return s.PeerDisk.AtLeast(drbd.DiskInconsistent) && s.busy() && s.Repl != drbd.ReplWFBitMapS
}

func (n *Node) write(w Write) {
	v := &n.volumes[w.At.Volume]
	local, remote := v.state.AtLeast(drbd.DiskInconsistent), n.replicates(v)
	if v.state != drbd.DiskUpToDate && (!remote || v.peer != drbd.DiskUpToDate) {
		n.emit(IODone{ID: w.ID, Result: IOFailed})
		return
	}
	if local {
		n.warm(v, w.At)
		v.disk.write(w.At.Block, w.Stamp)
		if w.Durable {
			v.disk.flush()
		}
	}
	if !remote {
		v.disk.differs.set(w.At.Block)
		n.emit(IODone{ID: w.ID, Result: IODoneOK})
		return
	}
	f := flight{write: w, local: local, epoch: n.io.barrier + 1}
	n.send(data{w.ID, w.At, w.Stamp, w.Durable})
	if n.config().protocol() == ProtocolA && local {
		f.done = true
		n.emit(IODone{ID: w.ID, Result: IODoneOK})
	}
	n.io.flight = append(n.io.flight, f)
	if len(n.io.flight)%epochWrites == 0 {
		n.sendBarrier()
	}
}

// warm keeps the extents of writes that the peer may lose in the activity log.
func (n *Node) warm(v *volume, at Place) {
	v.disk.warm(at.Block, n.settings.HotExtents, func(extent int) bool {
		return slices.ContainsFunc(n.io.flight, func(f flight) bool {
			return f.write.At.Volume == at.Volume && extentOf(f.write.At.Block) == extent
		})
	})
}

func (n *Node) sendBarrier() {
	n.io.barrier++
	n.send(barrier{n.io.barrier})
}

func (n *Node) read(r Read) {
	v := &n.volumes[r.At.Volume]
	good := v.state == drbd.DiskUpToDate ||
		v.state == drbd.DiskInconsistent && n.allConnected() && !v.disk.differs.has(r.At.Block)
	switch {
	case good:
		n.emit(IODone{ID: r.ID, Result: IODoneOK, Stamp: v.disk.read(r.At.Block)})
	case n.allConnected() && v.peer == drbd.DiskUpToDate:
		n.io.reads = append(n.io.reads, r)
		n.send(readAsk{r.ID, r.At})
	default:
		n.emit(IODone{ID: r.ID, Result: IOFailed})
	}
}

// flush makes the own disk's cache safe, and ends the epoch on the peer. It
// does not wait for the peer: should that one lose what it was sent, this end
// knows which blocks those are.
func (n *Node) flush(f Flush) {
	v := &n.volumes[f.Volume]
	if v.state.AtLeast(drbd.DiskInconsistent) {
		v.disk.flush()
	}
	if n.replicates(v) {
		n.sendBarrier()
	}
	n.emit(IODone{ID: f.ID, Result: IODoneOK})
}

func (n *Node) flushAll() {
	for i := range n.volumes {
		if v := &n.volumes[i]; v.state.AtLeast(drbd.DiskInconsistent) {
			v.disk.flush()
		}
	}
	if n.allConnected() {
		n.sendBarrier()
	}
}

// hearIO takes the peer's part of replication in.
func (n *Node) hearIO(b Body) {
	switch b := b.(type) {
	case data:
		n.peerWrites(b)
	case ack:
		n.acked(b)
	case barrier:
		for i := range n.volumes {
			n.volumes[i].disk.flush()
		}
		n.send(barrierAck(b))
	case barrierAck:
		n.io.flight = slices.DeleteFunc(n.io.flight, func(f flight) bool { return f.done && f.over && f.epoch <= b.number })
	case readAsk:
		v := &n.volumes[b.at.Volume]
		n.send(readReply{id: b.id, stamp: v.disk.read(b.at.Block), failed: v.state != drbd.DiskUpToDate})
	case readReply:
		n.readDone(b)
	default:
		panic(fmt.Sprintf("model: unknown message %T", b))
	}
}

// peerWrites stores a write of the peer. Who has the only disk also keeps the
// books for the peer.
func (n *Node) peerWrites(d data) {
	v := &n.volumes[d.at.Volume]
	if !v.state.AtLeast(drbd.DiskInconsistent) {
		n.send(ack{d.id, true})
		return
	}
	if !v.peer.AtLeast(drbd.DiskInconsistent) {
		n.warm(v, d.at)
		v.disk.differs.set(d.at.Block)
	}
	v.disk.write(d.at.Block, d.stamp)
	if d.durable {
		v.disk.flush()
	}
	n.send(ack{d.id, false})
}

func (n *Node) acked(a ack) {
	for i := range n.io.flight {
		f := &n.io.flight[i]
		if f.write.ID != a.id {
			continue
		}
		f.over = true
		if a.failed {
			n.volumes[f.write.At.Volume].disk.differs.set(f.write.At.Block)
		}
	}
	n.completeWrites()
}

// completeWrites tells the application of every write that is as safe as the
// protocol wants, unless I/O is suspended.
func (n *Node) completeWrites() {
	if n.suspended() {
		return
	}
	for i := range n.io.flight {
		f := &n.io.flight[i]
		if !f.over || f.done {
			continue
		}
		f.done = true
		n.emit(IODone{ID: f.write.ID, Result: IODoneOK})
	}
}

func (n *Node) readDone(r readReply) {
	i := slices.IndexFunc(n.io.reads, func(q Read) bool { return q.ID == r.id })
	if i < 0 {
		return
	}
	n.io.reads = slices.Delete(n.io.reads, i, i+1)
	result := IODoneOK
	if r.failed {
		result = IOFailed
	}
	n.emit(IODone{ID: r.id, Result: result, Stamp: r.stamp})
}

// thaw is what becomes of writes on their way when I/O goes on.
type thaw int

const (
	resend     thaw = iota // the peer is there again, as it was
	giveUpPeer             // it is not: what it lacks is noted, the rest is done
)

// partIO is what becomes of requests when the link breaks. Frozen, everything
// stays as it is.
func (n *Node) partIO() {
	reads := n.io.reads
	n.io.reads = nil
	if !n.frozen {
		n.giveUp()
		n.completeAndForget()
	}
	for _, r := range reads {
		n.request(r)
	}
	n.drain()
}

// giveUp notes for every write on its way that the peer lacks it.
func (n *Node) giveUp() {
	for i := range n.io.flight {
		f := &n.io.flight[i]
		f.over = true
		if f.local {
			n.volumes[f.write.At.Volume].disk.differs.set(f.write.At.Block)
		}
	}
}

// completeAndForget ends the writes that were given up. One that is on no disk
// of this node failed.
func (n *Node) completeAndForget() {
	if n.suspended() {
		return
	}
	for _, f := range n.io.flight {
		if f.done {
			continue
		}
		result := IODoneOK
		if !f.local {
			result = IOFailed
		}
		n.emit(IODone{ID: f.write.ID, Result: result})
	}
	n.io.flight = nil
}

// giveUpFrozen is the end of a freeze's hope that nothing has happened: the
// peer comes back, but restarted.
func (n *Node) giveUpFrozen() {
	n.newDue()
	n.giveUp()
}

// resume lets I/O go on.
func (n *Node) resume(how thaw) {
	if how == giveUpPeer {
		n.giveUp()
		n.completeAndForget()
	} else {
		n.sendAgain()
	}
	n.completeWrites()
	n.drain()
}

// drain starts the requests that waited.
func (n *Node) drain() {
	for len(n.io.queue) > 0 && !n.suspended() && !n.unstable() {
		next := n.io.queue[0]
		n.io.queue = n.io.queue[1:]
		n.request(next)
	}
}

// sendAgain repeats to the peer what it did not acknowledge. Of what it did,
// only the flush was missing, and it was not restarted.
func (n *Node) sendAgain() {
	again := n.io.flight
	n.io.flight = nil
	for _, f := range again {
		v := &n.volumes[f.write.At.Volume]
		if !f.over && n.replicates(v) {
			f.epoch = n.io.barrier + 1
			n.send(data{f.write.ID, f.write.At, f.write.Stamp, f.write.Durable})
			n.io.flight = append(n.io.flight, f)
			continue
		}
		if !f.over && f.local {
			v.disk.differs.set(f.write.At.Block)
		}
		f.over = true
		if !f.done {
			n.io.flight = append(n.io.flight, f)
		}
	}
}

// diskFails takes the disk beneath a volume away. Its metadata stay as they
// were: nothing can be written to them any more.
func (n *Node) diskFails(number VolumeNumber) {
	if !n.up {
		return
	}
	n.tell(drbd.HandlerLocalIOError)
	n.force(func(i int, s *State) {
		if i == int(number) {
			s.Disk = drbd.DiskDiskless
		}
	})
}
