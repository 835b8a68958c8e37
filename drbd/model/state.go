package model

import "sbarbiter/drbd"

// Answer is what the kernel says to a request: a positive number if it was
// carried out, a negative one (SS_...) or one above 100 (ERR_...) if not.
type Answer int

// Answers.
const (
	Done        Answer = 1
	NothingToDo Answer = 2

	TwoPrimaries     Answer = -1
	NeedUpToDate     Answer = -2
	NoLocalDisk      Answer = -4
	NoRemoteDisk     Answer = -5
	ConnectedOutdate Answer = -6
	PeerNotOutdated  Answer = -7
	PeerRefused      Answer = -10
	IsDiskless       Answer = -11
	HeldOpen         Answer = -12
	NeedConnection   Answer = -15
	LowerThanOutdate Answer = -16
	InTransient      Answer = -18
	Concurrent       Answer = -19
	NoQuorum         Answer = -25

	ErrDiscardPrimary Answer = 123
	ErrNetConfigured  Answer = 125
	ErrUnknown        Answer = 158
)

// OK reports whether the request was carried out, or needed nothing.
func (a Answer) OK() bool { return a > 0 && a < 100 }

// State is one node's view of one volume.
type State struct {
	Role, Peer drbd.Role
	// Conn is StandAlone, Connecting or Connected. The kernel's states in
	// between last moments and allow nothing that these do not.
	Conn drbd.ConnState
	// Repl is Off while the handshake runs.
	Repl           drbd.ReplState
	Disk, PeerDisk drbd.DiskState
	// Frozen is the suspension for fencing, NoData the one for want of any
	// good data.
	Frozen, NoData bool
}

// connected reports whether the handshake is through.
func (s State) connected() bool { return s.Conn == drbd.ConnConnected && s.Repl != drbd.ReplOff }

// busy reports whether replication does more than replicate: 8.4's states
// above Connected.
func (s State) busy() bool { return s.connected() && s.Repl != drbd.ReplEstablished }

// diskRange is what a replication state makes of the disk states.
type diskRange struct{ diskMin, diskMax, peerMin, peerMax drbd.DiskState }

var diskRanges = map[drbd.ReplState]diskRange{
	drbd.ReplEstablished:   {drbd.DiskDiskless, drbd.DiskUpToDate, drbd.DiskDiskless, drbd.DiskUpToDate},
	drbd.ReplVerifyS:       {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplVerifyT:       {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplWFBitMapT:     {drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplPausedSyncT:   {drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplStartingSyncT: {drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplWFSyncUUID:    {drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplBehind:        {drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplWFBitMapS:     {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskInconsistent, drbd.DiskConsistent},
	drbd.ReplPausedSyncS:   {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskInconsistent, drbd.DiskConsistent},
	drbd.ReplStartingSyncS: {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskInconsistent, drbd.DiskConsistent},
	drbd.ReplAhead:         {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskInconsistent, drbd.DiskConsistent},
	drbd.ReplSyncTarget:    {drbd.DiskInconsistent, drbd.DiskInconsistent, drbd.DiskUpToDate, drbd.DiskUpToDate},
	drbd.ReplSyncSource:    {drbd.DiskUpToDate, drbd.DiskUpToDate, drbd.DiskInconsistent, drbd.DiskInconsistent},
}

// Sanitize makes a wanted state possible, as the kernel does before it checks
// any: what is not known becomes unknown, and a resync forces the disk states
// that belong to it. Whether I/O freezes depends on the old state as well: it
// does on becoming a Primary whose peer is lost, not for being one.
func Sanitize(old, s State, c Config) State {
	if s.Conn != drbd.ConnConnected {
		s.Repl = drbd.ReplOff
	}
	if !s.connected() {
		s.Peer = drbd.RoleUnknown
		if s.PeerDisk.AtLeast(drbd.DiskUnknown) || !s.PeerDisk.AtLeast(drbd.DiskInconsistent) {
			s.PeerDisk = drbd.DiskUnknown
		}
	}
	if s.busy() && (!s.Disk.AtLeast(drbd.DiskNegotiating) || !s.PeerDisk.AtLeast(drbd.DiskNegotiating)) {
		s.Repl = drbd.ReplEstablished
	}
	if s.connected() {
		s = s.withGoodDisks()
	}
	if c.inForce(old.Disk).Fencing == FencingAndStonith && s.lonely() && !old.lonely() {
		s.Frozen = true
	}
	if c.SuspendNoData && s.withoutData() && !old.withoutData() {
		s.NoData = true
	}
	return s
}

// lonely reports whether s is a Primary that does not know what its peer does.
func (s State) lonely() bool {
	return s.Role == drbd.RolePrimary && !s.connected() && s.PeerDisk.AtLeast(drbd.DiskUnknown)
}

func (s State) withoutData() bool {
	return s.Role == drbd.RolePrimary && s.Disk != drbd.DiskUpToDate && s.PeerDisk != drbd.DiskUpToDate
}

// withGoodDisks takes an agreed connection for proof that a copy is good: what
// was Consistent or Outdated is UpToDate, unless a resync says otherwise.
func (s State) withGoodDisks() State {
	if s.Repl != drbd.ReplAhead && s.Repl != drbd.ReplBehind {
		s.Disk, s.PeerDisk = raised(s.Disk), raised(s.PeerDisk)
	}
	r, ok := diskRanges[s.Repl]
	if !ok {
		return s
	}
	s.Disk = within(s.Disk, r.diskMin, r.diskMax)
	s.PeerDisk = within(s.PeerDisk, r.peerMin, r.peerMax)
	return s
}

func raised(d drbd.DiskState) drbd.DiskState {
	if d == drbd.DiskConsistent || d == drbd.DiskOutdated {
		return drbd.DiskUpToDate
	}
	return d
}

func within(d, lowest, highest drbd.DiskState) drbd.DiskState {
	switch {
	case !d.AtLeast(lowest):
		return lowest
	case !highest.AtLeast(d):
		return highest
	}
	return d
}

// Check says whether a state may exist: Done, or the first reason against it
// in the kernel's order.
func Check(s State, c Config) Answer {
	primary := s.Role == drbd.RolePrimary
	apart := !s.connected()
	good, peerGood := s.Disk == drbd.DiskUpToDate, s.PeerDisk == drbd.DiskUpToDate
	usable, peerUsable := s.Disk.AtLeast(drbd.DiskInconsistent), s.PeerDisk.AtLeast(drbd.DiskInconsistent)
	switch {
	case primary && s.Peer == drbd.RolePrimary && !c.TwoPrimaries:
		return TwoPrimaries
	case primary && apart && !good:
		return NeedUpToDate
	case primary && apart && c.Fencing.asks() && s.PeerDisk.AtLeast(drbd.DiskUnknown):
		return PeerNotOutdated
	case primary && !s.Disk.AtLeast(drbd.DiskOutdated) && !s.PeerDisk.AtLeast(drbd.DiskOutdated):
		return NeedUpToDate
	case s.busy() && !usable:
		return NoLocalDisk
	case s.busy() && !peerUsable:
		return NoRemoteDisk
	case s.busy() && !good && !peerGood:
		return NeedUpToDate
	case s.connected() && s.Repl == drbd.ReplEstablished && s.Disk == drbd.DiskOutdated:
		return ConnectedOutdate
	case primary && !good && !peerGood:
		return NeedUpToDate
	case s.connected() && s.PeerDisk == drbd.DiskUnknown:
		return ConnectedOutdate
	}
	return Done
}

// Change asks for a new state: it returns the state that results and Done or
// NothingToDo, or the old state and the reason against it. A state that is no
// good for the same reason as the old one is let pass. Open says whether the
// device is in use.
func Change(old, want State, c Config, open Use) (State, Answer) {
	next := Sanitize(old, want, c)
	if next == old {
		return old, NothingToDo
	}
	if open == InUse && next.Role == drbd.RoleSecondary && old.Role == drbd.RolePrimary {
		return old, HeldOpen
	}
	if a := permitted(old, next, c); !a.OK() {
		return old, a
	}
	return next, Done
}

// permitted says whether one possible state may follow another by request.
func permitted(old, next State, c Config) Answer {
	c = c.inForce(old.Disk)
	if a := Check(next, c); !a.OK() && Check(old, c) != a {
		return a
	}
	return passage(old, next)
}

// passage says whether one state may follow another by request.
func passage(old, next State) Answer {
	promotes := next.Role == drbd.RolePrimary && old.Role != drbd.RolePrimary
	onPeersData := next.PeerDisk == drbd.DiskUpToDate && next.Disk != drbd.DiskUpToDate && next.Disk != drbd.DiskDiskless
	steady := next.Repl == old.Repl && next.Conn == old.Conn
	switch next.Repl {
	case drbd.ReplOff, drbd.ReplEstablished, drbd.ReplStartingSyncS, drbd.ReplStartingSyncT,
		drbd.ReplWFBitMapS, drbd.ReplWFBitMapT, drbd.ReplWFSyncUUID:
		steady = false
	}
	switch {
	case promotes && onPeersData && !steady:
		return InTransient
	case next.Disk == drbd.DiskOutdated && !old.Disk.AtLeast(drbd.DiskOutdated):
		return LowerThanOutdate
	case old.Disk == drbd.DiskDiskless && next.Disk.AtLeast(drbd.DiskFailed):
		return IsDiskless
	}
	return Done
}

// Use says whether somebody holds a device open.
type Use string

// Uses of a device.
const (
	NotInUse Use = "closed"
	InUse    Use = "open"
)

// lostContact reports whether a change of the peer's disk means that it misses
// what is written from here on.
func lostContact(old, now drbd.DiskState) bool {
	live := old.AtLeast(drbd.DiskInconsistent) && old != drbd.DiskUnknown && old != drbd.DiskOutdated
	gone := !now.AtLeast(drbd.DiskInconsistent) || now == drbd.DiskUnknown || now == drbd.DiskOutdated
	dropped := now == drbd.DiskDiskless || now == drbd.DiskFailed || now == drbd.DiskOutdated
	return live && gone || old == drbd.DiskUnknown && dropped
}
