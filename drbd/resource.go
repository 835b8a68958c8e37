package drbd

import "errors"

// Minor is a device's minor number; NoMinor where a text did not say.
type Minor int

// NoMinor marks a volume whose minor number is not known.
const NoMinor Minor = -1

// NodeID is DRBD 9's number of a node in a resource. DRBD 8.4 has none; its
// tools print 0 for the peer.
type NodeID int

// NoNodeID marks a connection whose peer has no known number.
const NoNodeID NodeID = -1

// ErrManyPeers is what a parser says about a resource of more than two nodes:
// arbitration between two would be wrong about the third.
var ErrManyPeers = errors.New("resource has more than one peer")

// Resource is one node's view of one replicated resource.
type Resource struct {
	Name string
	// Role is the highest role of the volumes on 8.4, the one role on 9.
	Role      Role
	Suspended Suspended
	Volumes   []Volume
	// Peer is nil where DRBD shows no connection at all, as 8.4's status does
	// while StandAlone.
	Peer *Connection
}

// Suspended says why I/O waits.
type Suspended struct {
	User    bool // an administrator's suspend-io
	NoData  bool // no up-to-date data can be reached
	Fencing bool // the peer was lost and has not been fenced yet
	Quorum  bool // DRBD 9 only
	// Unrecognised is a reason that this package does not know.
	Unrecognised bool
}

// Any reports whether I/O waits for whatever reason.
func (s Suspended) Any() bool { return s != Suspended{} }

// Volume is one device of a resource on this node. Sizes are in KiB.
type Volume struct {
	Number int
	Minor  Minor
	Disk   DiskState
	// Role is this minor's own role where it was read (8.4's /proc/drbd), else
	// empty: 8.4 can promote one volume and refuse the next.
	Role         Role
	SizeKiB      uint64
	ReadKiB      uint64
	WrittenKiB   uint64
	UpperPending uint64 // requests from above that are not finished
	LowerPending uint64 // requests to the disk that are not finished
	Blocked      string // "no", "upper", "lower" or "upper,lower"; empty if not said
	// OutOfSyncKiB is what differs from the peer, from /proc/drbd of 8.4: the
	// only source that also answers while StandAlone.
	OutOfSyncKiB uint64
}

// Connection is the link to the peer.
type Connection struct {
	// Name is the peer's host name on 9, always "peer" on 8.4, and empty for
	// 8.4's StandAlone.
	Name     string
	NodeID   NodeID
	State    ConnState
	PeerRole Role
	Volumes  []PeerVolume
}

// PeerVolume is what this node knows of one volume on the peer.
type PeerVolume struct {
	Number      int
	Replication ReplState
	// PeerDisk is live while connected, and what this node has recorded about
	// the peer while not.
	PeerDisk     DiskState
	OutOfSyncKiB uint64
	DonePercent  float64 // progress of a resync or verification; 0 if none runs
	ReceivedKiB  uint64
	SentKiB      uint64
}

// ConnState returns the state of the link; no connection is StandAlone.
func (r Resource) ConnState() ConnState {
	if r.Peer == nil {
		return ConnStandAlone
	}
	return r.Peer.State
}

// PeerRole returns the peer's role, RoleUnknown without a connection.
func (r Resource) PeerRole() Role {
	if r.Peer == nil {
		return RoleUnknown
	}
	return r.Peer.PeerRole
}

// Connected reports whether the link is up. A handshake may still be running:
// replication tells.
func (r Resource) Connected() bool { return r.ConnState() == ConnConnected }

// WorstDisk returns the worst disk state of this node's volumes;
// DiskUnrecognised without any volume, or if one is not known.
func (r Resource) WorstDisk() DiskState {
	if len(r.Volumes) == 0 {
		return DiskUnrecognised
	}
	worst := DiskUpToDate
	for _, v := range r.Volumes {
		worst = worst.worse(v.Disk)
	}
	return known(worst)
}

// PeerWorstDisk returns the worst disk state of the peer's volumes; DiskUnknown
// without a connection, DiskUnrecognised if one of this node's volumes has no
// counterpart.
func (r Resource) PeerWorstDisk() DiskState {
	if r.Peer == nil {
		return DiskUnknown
	}
	if !r.peerVolumesMatch() {
		return DiskUnrecognised
	}
	worst := DiskUpToDate
	for _, v := range r.Peer.Volumes {
		worst = worst.worse(v.PeerDisk)
	}
	return known(worst)
}

func known(d DiskState) DiskState {
	if d.rank() < 0 {
		return DiskUnrecognised
	}
	return d
}

// AllUpToDate reports whether this node has volumes and every disk of them is
// UpToDate.
func (r Resource) AllUpToDate() bool { return r.WorstDisk() == DiskUpToDate }

// PeerConnectedUpToDate reports whether both copies are good and stay so: the
// link is up, every volume replicates (Established), and every disk on both
// sides is UpToDate.
func (r Resource) PeerConnectedUpToDate() bool {
	if !r.Connected() || !r.AllUpToDate() || r.PeerWorstDisk() != DiskUpToDate {
		return false
	}
	for _, v := range r.Peer.Volumes {
		if v.Replication != ReplEstablished {
			return false
		}
	}
	return true
}

// PeerRecordedOutdated reports whether DRBD takes every volume of the peer as
// Outdated or Inconsistent. For such a peer the kernel calls no fence-peer
// handler: neither when the link is lost nor at a promotion.
func (r Resource) PeerRecordedOutdated() bool {
	if r.Peer == nil || !r.peerVolumesMatch() {
		return false
	}
	for _, v := range r.Peer.Volumes {
		if v.PeerDisk != DiskOutdated && v.PeerDisk != DiskInconsistent {
			return false
		}
	}
	return true
}

// Frozen reports whether the kernel holds all I/O back because the peer was
// lost and is not fenced.
func (r Resource) Frozen() bool { return r.Suspended.Fencing }

// AllVolumes reports whether every volume is known to have the role. On 8.4
// the resource's role is only the highest of the volumes; where volumes carry
// their own role, those decide.
func (r Resource) AllVolumes(role Role) bool {
	for _, v := range r.Volumes {
		if v.Role != "" && v.Role != role {
			return false
		}
	}
	return r.Role == role
}

// Minors returns the minor numbers of the volumes in their order. It leaves
// out those that are not known.
func (r Resource) Minors() []Minor {
	var minors []Minor
	for _, v := range r.Volumes {
		if v.Minor != NoMinor {
			minors = append(minors, v.Minor)
		}
	}
	return minors
}

// Clone returns a copy that shares nothing with r.
func (r Resource) Clone() Resource {
	r.Volumes = append([]Volume(nil), r.Volumes...)
	if r.Peer != nil {
		peer := *r.Peer
		peer.Volumes = append([]PeerVolume(nil), peer.Volumes...)
		r.Peer = &peer
	}
	return r
}

// peerVolumesMatch reports whether the peer shows exactly this node's volumes.
func (r Resource) peerVolumesMatch() bool {
	if r.Peer == nil || len(r.Volumes) == 0 || len(r.Peer.Volumes) != len(r.Volumes) {
		return false
	}
	for i, v := range r.Volumes {
		if r.Peer.Volumes[i].Number != v.Number {
			return false
		}
	}
	return true
}
