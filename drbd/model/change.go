package model

import "sbarbiter/drbd"

// stateOf returns the view of one volume.
func (n *Node) stateOf(v *volume) State {
	return State{
		Role: n.role, Peer: n.peerRole, Conn: n.conn, Repl: v.repl, Disk: v.state, PeerDisk: v.peer,
		Frozen: n.frozen, NoData: n.noData,
	}
}

// wish asks for a change of every volume. Nothing changes unless all agree.
func (n *Node) wish(change func(*State)) Answer {
	next, a := n.tryWish(change)
	if a == Done {
		n.enter(next)
	}
	return a
}

// tryWish says what a change would lead to. While a handshake runs nothing can
// be wished for: the kernel lets commands wait, the caller here tries again.
func (n *Node) tryWish(change func(*State)) ([]State, Answer) {
	if n.conn == drbd.ConnConnected && !n.allConnected() {
		return nil, InTransient
	}
	use := NotInUse
	if n.users > 0 || n.io.busy() {
		use = InUse
	}
	next := make([]State, len(n.volumes))
	sum := NothingToDo
	for i := range n.volumes {
		old := n.stateOf(&n.volumes[i])
		want := old
		change(&want)
		s, a := Change(old, want, n.config(), use)
		if !a.OK() {
			return nil, a
		}
		if a == Done {
			sum = Done
		}
		next[i] = s
	}
	return next, sum
}

// force changes every volume without asking whether the result is valid: that
// is how facts come in.
func (n *Node) force(change func(i int, s *State)) {
	next := make([]State, len(n.volumes))
	for i := range n.volumes {
		old := n.stateOf(&n.volumes[i])
		want := old
		change(i, &want)
		next[i] = Sanitize(old, want, n.config())
	}
	n.enter(next)
}

// enter makes a change happen on all volumes at once, and then what follows
// from it: a freeze is part of the very change that loses the peer.
func (n *Node) enter(next []State) {
	old := make([]State, len(next))
	for i := range next {
		old[i] = n.stateOf(&n.volumes[i])
	}
	for i, s := range next {
		v := &n.volumes[i]
		v.state, v.peer, v.repl = s.Disk, s.PeerDisk, s.Repl
		n.role, n.conn, n.peerRole = s.Role, s.Conn, s.Peer
		n.frozen, n.noData = n.frozen || s.Frozen, n.noData || s.NoData
	}
	for i := range next {
		n.follow(&n.volumes[i], old[i], next[i])
	}
	n.recordAll()
	n.forgetCrashes()
	n.endFreeze()
	n.publish(old, next)
}

// forgetCrashes is what being in sync again does. The record of this change
// still has the mark; it goes with the next one.
func (n *Node) forgetCrashes() {
	for i := range n.volumes {
		if v := &n.volumes[i]; v.state == drbd.DiskUpToDate && v.peer == drbd.DiskUpToDate {
			v.crashed = false
		}
	}
}

// follow is what comes after a change of one volume.
func (n *Node) follow(v *volume, old, now State) {
	somePrimary := now.Role == drbd.RolePrimary || now.Peer == drbd.RolePrimary
	if somePrimary && now.Disk == drbd.DiskUpToDate && v.disk.generation.Bitmap == 0 && n.parted(old, now) {
		n.renew(v, now)
	}
	if now.withoutData() && !old.withoutData() {
		n.tell(drbd.HandlerPriOnInconDegr)
	}
}

// parted reports whether from here on the peer misses writes: its data went
// away, or it has no disk and becomes Primary.
func (n *Node) parted(old, now State) bool {
	diskless := !now.PeerDisk.AtLeast(drbd.DiskInconsistent)
	return lostContact(old.PeerDisk, now.PeerDisk) ||
		diskless && now.connected() && old.Peer != drbd.RolePrimary && now.Peer == drbd.RolePrimary
}

// renew starts a new generation, or notes that one is due: 8.4 waits only
// while I/O is suspended, 9 until something is really read or written, unless
// the peer lives and lost just its disk.
func (n *Node) renew(v *volume, now State) {
	if n.suspended() || n.nine() && !now.connected() {
		v.dueNew = true
		return
	}
	n.newGeneration(v)
}

func (n *Node) newGeneration(v *volume) {
	v.dueNew = false
	v.disk.generation = v.disk.generation.begin(n.config().Family, n.draw(), n.role)
}

// newDue starts the generations that are due.
func (n *Node) newDue() {
	for i := range n.volumes {
		if v := &n.volumes[i]; v.dueNew && v.state.AtLeast(drbd.DiskInconsistent) {
			n.newGeneration(v)
		}
	}
}

// recordAll writes what the metadata flags say about the present state. A disk
// that is gone cannot be told that it is. Writing metadata flushes the disk's
// cache first (the driver asks for that, and they are on the same disk).
func (n *Node) recordAll() {
	for i := range n.volumes {
		v := &n.volumes[i]
		if !v.state.AtLeast(drbd.DiskInconsistent) {
			continue
		}
		before := v.disk.flags
		f := &v.disk.flags
		f.Consistent = v.state.AtLeast(drbd.DiskOutdated)
		f.WasUpToDate = v.state.AtLeast(drbd.DiskConsistent)
		f.Primary = n.primary() || n.peerRole == drbd.RolePrimary && v.peer == drbd.DiskDiskless
		f.Connected = v.repl != drbd.ReplOff
		f.PeerOutdated = v.peer == drbd.DiskInconsistent || v.peer == drbd.DiskOutdated
		f.CrashedPrimary = v.crashed
		if *f != before {
			v.disk.flush()
		}
	}
}

// endFreeze lets I/O go on where its reason is gone.
func (n *Node) endFreeze() {
	if n.frozen && n.allConnected() {
		// The very same peer is back, with the very same data: what it missed
		// is sent again, and nothing has happened.
		n.frozen = false
		n.dropDue()
		n.resume(resend)
		return
	}
	if n.frozen && n.peerExcluded() {
		n.newDue()
		n.frozen = false
		n.resume(giveUpPeer)
	}
	if n.noData && !n.anyWithoutData() {
		n.noData = false
		n.resume(resend)
	}
}

func (n *Node) dropDue() {
	for i := range n.volumes {
		n.volumes[i].dueNew = false
	}
}

func (n *Node) anyWithoutData() bool {
	for i := range n.volumes {
		if n.stateOf(&n.volumes[i]).withoutData() {
			return true
		}
	}
	return false
}

func (n *Node) allConnected() bool {
	for i := range n.volumes {
		if n.volumes[i].repl == drbd.ReplOff {
			return false
		}
	}
	return n.conn == drbd.ConnConnected
}

// peerExcluded reports whether no volume of the peer can be taken for good.
func (n *Node) peerExcluded() bool {
	for i := range n.volumes {
		if n.volumes[i].peer.AtLeast(drbd.DiskUnknown) {
			return false
		}
	}
	return true
}

// publish tells a connected peer what it should know.
func (n *Node) publish(old, now []State) {
	changed := false
	for i := range now {
		changed = changed || old[i].Role != now[i].Role || old[i].Disk != now[i].Disk
	}
	if !changed || !n.allConnected() || !old[0].connected() {
		return
	}
	n.sendState()
}

func (n *Node) sendState() {
	news := stateNews{role: n.role}
	for i := range n.volumes {
		news.disks = append(news.disks, n.volumes[i].state)
	}
	n.send(news)
}

// hear takes the peer's news in.
func (n *Node) hear(news stateNews) {
	n.force(func(i int, s *State) {
		s.Peer = news.role
		if !s.Repl.ResyncRuns() || !news.disks[i].AtLeast(drbd.DiskInconsistent) {
			s.PeerDisk = news.disks[i]
		}
	})
}
