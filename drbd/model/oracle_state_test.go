package model

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sbarbiter/drbd"
)

// The driver's rules about states.
var stateCuts = []cut{
	{file: "include/linux/drbd.h", enums: []string{
		"enum drbd_fencing_p", "enum drbd_on_no_data", "enum drbd_role", "enum drbd_conns", "enum drbd_disk_state",
		"enum drbd_state_rv", "enum drbd_uuid_index", "union drbd_state",
	}},
	{file: "drivers/block/drbd/drbd_state.c", enums: []string{"enum sanitize_state_warnings"}, functions: []string{
		"sanitize_state", "is_valid_state", "is_valid_soft_transition", "lost_contact_to_peer_data",
	}},
}

// link84 is one word of the kernel's single field for connection and
// replication.
type link84 struct {
	conn drbd.ConnState
	repl drbd.ReplState
}

// kernelLinks are those that the model has, with the kernel's numbers.
var kernelLinks = map[link84]int{
	{drbd.ConnStandAlone, drbd.ReplOff}: 0, {drbd.ConnConnecting, drbd.ReplOff}: 8, {drbd.ConnConnected, drbd.ReplOff}: 9,
	{drbd.ConnConnected, drbd.ReplEstablished}: 10, {drbd.ConnConnected, drbd.ReplWFBitMapS}: 13,
	{drbd.ConnConnected, drbd.ReplWFBitMapT}: 14, {drbd.ConnConnected, drbd.ReplWFSyncUUID}: 15,
	{drbd.ConnConnected, drbd.ReplSyncSource}: 16, {drbd.ConnConnected, drbd.ReplSyncTarget}: 17,
}

func drawLink(t *rapid.T, name string) link84 {
	return rapid.SampledFrom([]link84{
		{drbd.ConnStandAlone, drbd.ReplOff},
		{drbd.ConnConnecting, drbd.ReplOff},
		{drbd.ConnConnected, drbd.ReplOff},
		{drbd.ConnConnected, drbd.ReplEstablished},
		{drbd.ConnConnected, drbd.ReplWFBitMapS},
		{drbd.ConnConnected, drbd.ReplWFBitMapT},
		{drbd.ConnConnected, drbd.ReplWFSyncUUID},
		{drbd.ConnConnected, drbd.ReplSyncSource},
		{drbd.ConnConnected, drbd.ReplSyncTarget},
	}).Draw(t, name)
}

var kernelRoles = []drbd.Role{drbd.RoleUnknown, drbd.RolePrimary, drbd.RoleSecondary}

func drawState(t *rapid.T, name string) State {
	l := drawLink(t, name+" link")
	own := []drbd.DiskState{drbd.DiskDiskless, drbd.DiskFailed, drbd.DiskInconsistent, drbd.DiskOutdated, drbd.DiskConsistent, drbd.DiskUpToDate}
	return State{
		Role: rapid.SampledFrom(kernelRoles[1:]).Draw(t, name+" role"), Peer: rapid.SampledFrom(kernelRoles).Draw(t, name+" peer"),
		Conn: l.conn, Repl: l.repl, Disk: rapid.SampledFrom(own).Draw(t, name+" disk"),
		PeerDisk: rapid.SampledFrom(append(own, drbd.DiskUnknown)).Draw(t, name+" peer disk"),
	}
}

func inNumbers(s State) string {
	return fmt.Sprintf("%d %d %d %d %d", position(s.Role, kernelRoles), position(s.Peer, kernelRoles),
		kernelLinks[link84{s.Conn, s.Repl}], position(s.Disk, kernelDisks), position(s.PeerDisk, kernelDisks))
}

// A wish changes one thing, mostly, of a state that can exist.
func drawWish(t *rapid.T, old State) State {
	want, other := old, drawState(t, "wanted")
	switch rapid.IntRange(0, 4).Draw(t, "wish") {
	case 0:
		want.Role = other.Role
	case 1:
		want.Disk = other.Disk
	case 2:
		want.PeerDisk = other.PeerDisk
	case 3:
		want.Conn, want.Repl = other.Conn, other.Repl
	case 4:
		want = other
	}
	// The kernel goes through states of moments on its way to a connection.
	if old.Conn != drbd.ConnConnected {
		want.Conn, want.Repl = old.Conn, old.Repl
	}
	return want
}

func TestTheModelKnowsTheKernelsOwnRulesOfStates84(t *testing.T) {
	o := newOracle(t, "testdata/oracle/state-before.c", "testdata/oracle/state-after.c", stateCuts)
	policies := []Fencing{FencingDontCare, FencingOnly, FencingAndStonith}
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Family: drbd.Family84, Fencing: rapid.SampledFrom(policies).Draw(t, "fencing"),
			TwoPrimaries: rapid.Bool().Draw(t, "two"), SuspendNoData: rapid.Bool().Draw(t, "suspend"),
		}
		old := drawState(t, "old")
		old = Sanitize(old, old, c)
		want := drawWish(t, old)
		reply := o.asked(t, fmt.Sprintf("%s %s %d %d %d\n", inNumbers(old), inNumbers(want),
			position(c.Fencing, policies), number(c.TwoPrimaries), number(c.SuspendNoData)))
		next := Sanitize(old, want, c)
		got := fmt.Sprintf("%s %d %d %d %d", inNumbers(next), number(next.Frozen && !old.Frozen), number(next.NoData && !old.NoData),
			permitted(old, next, c), number(lostContact(old.PeerDisk, next.PeerDisk)))
		if got != reply {
			t.Fatalf("from %+v to %+v (%+v): the model says\n%s\nthe kernel says\n%s", old, want, c, got, reply)
		}
	})
}
