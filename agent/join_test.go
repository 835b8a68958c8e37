package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// Two machines that have come up together may hold copies of which one is older.
// Until DRBD has compared them, neither is to be promoted.
func TestNothingIsAskedForWhileDRBDIsAboutToMeetThePeer(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	now := boot.Add(time.Second)
	m.spoken, m.peer.known, m.peer.at = true, true, now
	alone := Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Own: arbiter.Consistent}}}
	m.sees(alone)
	g.meetBy = now.Add(meetWithin)
	if m.wants(now, g) {
		t.Error("asks before DRBD has met the peer")
	}
	met := alone
	met.Disks = []arbiter.Disk{{Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}
	m.sees(met)
	if !m.wants(now, g) {
		t.Error("does not ask once they have met")
	}
	m.sees(alone)
	if late := g.meetBy; !func() bool { m.peer.at = late; return m.wants(late, g) }() {
		t.Error("waits for ever where the replication link is cut")
	}
	m.peer.at = now.Add(-time.Minute)
	if !m.wants(now, g) {
		t.Error("waits for a peer that nobody hears")
	}
}

// A connection that cannot be made (its configuration is wrong, say) is tried again
// and again, and the group is not left lying for that.
func TestAGroupIsAskedForThoughDRBDCannotBeConnected(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.spoken, m.peer.known = true, true
	m.peer.beat.Groups = []PeerGroup{{Group: "db", Phase: Stopped, Ready: true}}
	m.sees(Storage{Resource: "r0", Known: true, Alone: true, Recorded: true, Disks: []arbiter.Disk{{Own: arbiter.Consistent}}})
	tries, wanted := 0, 0
	for now := boot.Add(time.Second); now < boot.Add(time.Minute); now = now.Add(100 * time.Millisecond) {
		m.peer.at = now
		m.join(now, g)
		if _, tried := first[Join](m.take()); tried {
			tries++
		}
		if m.wants(now, g) {
			wanted++
		}
	}
	if tries < 10 || wanted == 0 {
		t.Errorf("connected %d times, in vain, and then wanted %d times", tries, wanted)
	}
}

// The peer runs the group by this node's word of before it was started, and the witness
// knows of no holder: a write may wait there for this copy to be excluded.
func TestCopyDoesNotLookForAPeerThatItsOwnWordMayKeepInOffice(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.sees(Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.Consistent}}})
	joins := func(now boottime.Instant) bool {
		m.spoken, m.session, m.answered, g.answerAt = true, true, now, now
		return m.mayJoin(now, g)
	}
	if bound := m.boundUntil(g); joins(bound.Add(-time.Second)) || !joins(bound) {
		t.Errorf("it looks for its peer before that word has run out, at %v, or never", bound)
	}
}
