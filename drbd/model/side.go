package model

import "sbarbiter/drbd"

// Policy is a value of after-sb-0pri, after-sb-1pri, after-sb-2pri or
// rr-conflict. The empty Policy is "disconnect", DRBD's own default. A policy
// where it does not belong decides nothing, as in the kernel.
type Policy string

// Policies, as DRBD's configuration spells them.
const (
	PolicyDisconnect      Policy = "disconnect"
	DiscardYoungerPrimary Policy = "discard-younger-primary"
	DiscardOlderPrimary   Policy = "discard-older-primary"
	DiscardZeroChanges    Policy = "discard-zero-changes"
	DiscardLeastChanges   Policy = "discard-least-changes"
	DiscardLocal          Policy = "discard-local"
	DiscardRemote         Policy = "discard-remote"
	DiscardSecondary      Policy = "discard-secondary"
	PolicyConsensus       Policy = "consensus"
	CallPriLostAfterSB    Policy = "call-pri-lost-after-sb"
	PolicyViolentlyAsZero Policy = "violently-as0p" // after-sb-1pri, after-sb-2pri
	PolicyViolently       Policy = "violently"      // rr-conflict
	PolicyCallPriLost     Policy = "call-pri-lost"
	PolicyRetryConnect    Policy = "retry-connect" // 9
	PolicyAutoDiscard     Policy = "auto-discard"  // 9
	policyNone            Policy = ""
)

// mirror returns the policy as the peer's configuration has to spell it.
func (p Policy) mirror() Policy {
	switch p {
	case DiscardLocal:
		return DiscardRemote
	case DiscardRemote:
		return DiscardLocal
	case policyNone:
		return PolicyDisconnect
	}
	return p
}

// Fencing is a value of the option fencing. The empty Fencing is dont-care.
type Fencing string

// Fencing policies.
const (
	FencingDontCare   Fencing = "dont-care"
	FencingOnly       Fencing = "resource-only"
	FencingAndStonith Fencing = "resource-and-stonith"
)

// asks reports whether the peer's state matters to a Primary at all.
func (f Fencing) asks() bool { return f == FencingOnly || f == FencingAndStonith }

// Protocol is a replication protocol. The empty Protocol is C.
type Protocol string

// Protocols: when a write counts as done. A: sent; B: arrived; C: on the
// peer's disk.
const (
	ProtocolA Protocol = "A"
	ProtocolB Protocol = "B"
	ProtocolC Protocol = "C"
)

// Config is what one node's configuration says about the resource.
type Config struct {
	Family   drbd.Family
	Protocol Protocol
	Fencing  Fencing
	// After0, After1 and After2 are after-sb-0pri, -1pri and -2pri.
	After0, After1, After2 Policy
	RRConflict             Policy
	// AlwaysAfterSB lets the policies also decide where no bitmap can be used.
	AlwaysAfterSB bool
	TwoPrimaries  bool
	// Quorum is 9's quorum; whether the node has it is a fact of its side.
	Quorum bool
	// SuspendNoData is on-no-data-accessible suspend-io.
	SuspendNoData bool
}

// Mirror returns the configuration with which a peer fits to c.
func (c Config) Mirror() Config {
	c.After0, c.After1, c.After2 = c.After0.mirror(), c.After1.mirror(), c.After2.mirror()
	return c
}

// incompatible names the first setting about which two ends cannot agree, ""
// if they can. It is c against the peer's settings as the peer spells them.
func (c Config) incompatible(peer Config) string {
	want := peer.Mirror()
	switch {
	case c.protocol() != peer.protocol():
		return "protocol"
	case c.After0.mirror().mirror() != want.After0:
		return "after-sb-0pri"
	case c.After1.mirror().mirror() != want.After1:
		return "after-sb-1pri"
	case c.After2.mirror().mirror() != want.After2:
		return "after-sb-2pri"
	case c.TwoPrimaries != peer.TwoPrimaries:
		return "allow-two-primaries"
	}
	return ""
}

// inForce returns what of c holds for a node with such a disk: 8.4 keeps the
// fencing policy with the disk, so that without one there is none.
func (c Config) inForce(own drbd.DiskState) Config {
	if c.Family != drbd.Family9 && !own.AtLeast(drbd.DiskInconsistent) {
		c.Fencing = FencingDontCare
	}
	return c
}

func (c Config) protocol() Protocol {
	if c.Protocol == "" {
		return ProtocolC
	}
	return c.Protocol
}

// Side is what one end of a handshake knows or announces about one volume.
type Side struct {
	Generation Generation
	Role       drbd.Role
	Disk       drbd.DiskState
	// OutOfSync counts the blocks of 4 KiB that are marked as differing from
	// the peer.
	OutOfSync uint64
	// CrashedPrimary: it was Primary when it crashed, and has not been in sync
	// with its peer since.
	CrashedPrimary bool
	// Discard: it was told to connect with --discard-my-data.
	Discard bool
	// Open: the device is in use, so that it cannot be demoted. Not announced.
	Open bool
	// BreaksTies is DRBD's RESOLVE_CONFLICTS. Exactly one end of a connection
	// has it, by the accident of who accepted which TCP connection.
	BreaksTies bool
	// The rest is DRBD 9's.
	Reconnect  bool // this connection was up before, since it was configured
	LostQuorum bool // it was Primary when it lost quorum
	HasQuorum  bool
	Unstable   bool // a neighbour is a Primary that it cannot trust
	MissedEnd  bool // it is the source of a resync whose end it did not see
}

func (s Side) primary() bool { return s.Role == drbd.RolePrimary }
