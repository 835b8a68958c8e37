package drbd

// Family tells apart the two drivers, whose tools speak differently.
type Family string

// The families. FamilyNone is the zero value: not known yet.
const (
	FamilyNone Family = ""
	Family84   Family = "8.4"
	Family9    Family = "9"
)

// unrecognised is the word that stands for every state this package does not
// know. Nothing good is ever concluded from it.
const unrecognised = "Unrecognised"

// Role is whether a node may write. DRBD 8.4 keeps it for each minor, DRBD 9
// for the resource.
type Role string

// Roles as DRBD prints them.
const (
	RolePrimary      Role = "Primary"
	RoleSecondary    Role = "Secondary"
	RoleUnknown      Role = "Unknown"
	RoleUnrecognised Role = unrecognised
)

// ParseRole returns the role named by word, or RoleUnrecognised.
func ParseRole(word string) Role {
	switch r := Role(word); r {
	case RolePrimary, RoleSecondary, RoleUnknown:
		return r
	}
	return RoleUnrecognised
}

// ConnState is the state of the link to the peer, in DRBD 9's words.
type ConnState string

// Connection states. Those between Unconnected and Connecting last moments.
const (
	ConnStandAlone     ConnState = "StandAlone"
	ConnDisconnecting  ConnState = "Disconnecting"
	ConnUnconnected    ConnState = "Unconnected"
	ConnTimeout        ConnState = "Timeout"
	ConnBrokenPipe     ConnState = "BrokenPipe"
	ConnNetworkFailure ConnState = "NetworkFailure"
	ConnProtocolError  ConnState = "ProtocolError"
	ConnTearDown       ConnState = "TearDown"
	ConnConnecting     ConnState = "Connecting"
	ConnConnected      ConnState = "Connected"
	ConnUnrecognised   ConnState = unrecognised
)

// ParseConnState returns the connection state named by word, or
// ConnUnrecognised. Of 8.4's own words it takes WFConnection, which is
// Connecting, and WFReportParams, which means that the link is up.
func ParseConnState(word string) ConnState {
	switch c := ConnState(word); c {
	case ConnStandAlone, ConnDisconnecting, ConnUnconnected, ConnTimeout, ConnBrokenPipe,
		ConnNetworkFailure, ConnProtocolError, ConnTearDown, ConnConnecting, ConnConnected:
		return c
	}
	switch word {
	case "WFConnection":
		return ConnConnecting
	case "WFReportParams":
		return ConnConnected
	}
	return ConnUnrecognised
}

// ParseCState splits a word of 8.4's single connection field, as /proc/drbd
// and "drbdadm cstate" print it, into connection and replication state.
func ParseCState(word string) (ConnState, ReplState) {
	if word == string(ConnConnected) {
		return ConnConnected, ReplEstablished
	}
	if c := ParseConnState(word); c != ConnUnrecognised {
		return c, ReplOff
	}
	switch r := ParseReplState(word); r {
	case ReplUnrecognised, ReplOff, ReplEstablished: // the last two are not words of that field
		return ConnUnrecognised, ReplUnrecognised
	default:
		return ConnConnected, r
	}
}

// ReplState is what replication of one volume does while the link is up.
type ReplState string

// Replication states.
const (
	ReplOff           ReplState = "Off"
	ReplEstablished   ReplState = "Established"
	ReplStartingSyncS ReplState = "StartingSyncS"
	ReplStartingSyncT ReplState = "StartingSyncT"
	ReplWFBitMapS     ReplState = "WFBitMapS"
	ReplWFBitMapT     ReplState = "WFBitMapT"
	ReplWFSyncUUID    ReplState = "WFSyncUUID"
	ReplSyncSource    ReplState = "SyncSource"
	ReplSyncTarget    ReplState = "SyncTarget"
	ReplVerifyS       ReplState = "VerifyS"
	ReplVerifyT       ReplState = "VerifyT"
	ReplPausedSyncS   ReplState = "PausedSyncS"
	ReplPausedSyncT   ReplState = "PausedSyncT"
	ReplAhead         ReplState = "Ahead"
	ReplBehind        ReplState = "Behind"
	ReplUnrecognised  ReplState = unrecognised
)

// ParseReplState returns the replication state named by word, or
// ReplUnrecognised.
func ParseReplState(word string) ReplState {
	switch r := ReplState(word); r {
	case ReplOff, ReplEstablished, ReplStartingSyncS, ReplStartingSyncT, ReplWFBitMapS,
		ReplWFBitMapT, ReplWFSyncUUID, ReplSyncSource, ReplSyncTarget, ReplVerifyS, ReplVerifyT,
		ReplPausedSyncS, ReplPausedSyncT, ReplAhead, ReplBehind:
		return r
	}
	return ReplUnrecognised
}

// ResyncRuns reports whether r belongs to a resynchronisation in either
// direction, from its preparation to a pause in it.
func (r ReplState) ResyncRuns() bool { return r.IsSource() || r.IsTarget() }

// IsSource reports whether this node's data is being copied to the peer.
func (r ReplState) IsSource() bool {
	switch r {
	case ReplStartingSyncS, ReplWFBitMapS, ReplSyncSource, ReplPausedSyncS:
		return true
	}
	return false
}

// IsTarget reports whether this node's data is being overwritten by the peer's.
func (r ReplState) IsTarget() bool {
	switch r {
	case ReplStartingSyncT, ReplWFBitMapT, ReplWFSyncUUID, ReplSyncTarget, ReplPausedSyncT:
		return true
	}
	return false
}

// DiskState is how good one volume's copy of the data is.
type DiskState string

// Disk states, from worst to best. DiskUnknown exists for a peer's disk only.
const (
	DiskDiskless     DiskState = "Diskless"
	DiskAttaching    DiskState = "Attaching"
	DiskDetaching    DiskState = "Detaching"
	DiskFailed       DiskState = "Failed"
	DiskNegotiating  DiskState = "Negotiating"
	DiskInconsistent DiskState = "Inconsistent"
	DiskOutdated     DiskState = "Outdated"
	DiskUnknown      DiskState = "DUnknown"
	DiskConsistent   DiskState = "Consistent"
	DiskUpToDate     DiskState = "UpToDate"
	DiskUnrecognised DiskState = unrecognised
)

// diskOrder is this package's own order. The kernels' numbers differ between
// the families, so a rank is never stored or sent.
var diskOrder = []DiskState{
	DiskDiskless, DiskAttaching, DiskDetaching, DiskFailed, DiskNegotiating, DiskInconsistent,
	DiskOutdated, DiskUnknown, DiskConsistent, DiskUpToDate,
}

// ParseDiskState returns the disk state named by word, or DiskUnrecognised.
func ParseDiskState(word string) DiskState {
	if d := DiskState(word); d.rank() >= 0 {
		return d
	}
	return DiskUnrecognised
}

// AtLeast reports whether d is as good as floor or better. A state that is
// missing or not recognised is never at least anything, nor is anything at
// least such a floor.
func (d DiskState) AtLeast(floor DiskState) bool {
	return d.rank() >= 0 && floor.rank() >= 0 && d.rank() >= floor.rank()
}

// worse returns the worse of d and other; what is not known is the worst.
func (d DiskState) worse(other DiskState) DiskState {
	if other.rank() < d.rank() {
		return other
	}
	return d
}

func (d DiskState) rank() int {
	if d == DiskUpToDate { // nearly always
		return len(diskOrder) - 1
	}
	for i, o := range diskOrder {
		if d == o {
			return i
		}
	}
	return -1
}
