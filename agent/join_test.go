package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
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

// A victim's hands may be at the resync when it is said to be over, and part the two to
// give the flag anew. So it is their end that the copy is looked after behind.
func TestCopyIsLetLookForItsPeerOnceTheHandsAreOffIt(t *testing.T) {
	c := conversing(t, idle(stonith()))
	alone := Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}
	out := arbiter.Exclusion{Number: 1<<32 | 1}
	c.step(alone)
	carry, ok := first[Carry](c.told(leader.GroupAnswer{Task: taskAt(8), Own: out, Apart: true}))
	if !ok {
		t.Fatal("the resync is not looked after")
	}
	for range 5 {
		if has[Join](c.told(leader.GroupAnswer{Own: out})) {
			t.Fatal("connected while its hands may disconnect it")
		}
	}
	if !has[Join](append(c.step(Carried{Group: "db", Task: carry.Task}), c.told(leader.GroupAnswer{Own: out})...)) {
		t.Error("left alone for good")
	}
}

// An agent that dies with the two parted knows nothing of the recovery in its next life:
// that is over for its node by then.
func TestCopyThatWasLeftAloneByAnEarlierLifeLooksForItsPeer(t *testing.T) {
	cfg := stonith()
	c := conversing(t, idle(cfg))
	alone := Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}
	out := arbiter.Exclusion{Number: 1<<32 | 1}
	c.step(alone)
	saved, ok := first[SaveBoot](c.told(leader.GroupAnswer{Task: taskAt(8), Own: out, Apart: true}))
	if !ok {
		t.Fatal("nothing is remembered")
	}
	next := conversing(t, New(boot, cfg, NewMemory(), DecodeBootMemory(saved.Memory.Encode(), cfg.Boot)))
	next.step(alone)
	if !has[Join](append(next.told(leader.GroupAnswer{Own: out}), next.told(leader.GroupAnswer{Own: out})...)) {
		t.Error("left alone for good")
	}

	// Told once, it is not told again: if the two part again they have split.
	looking := alone
	looking.Alone = false
	next.step(looking)
	next.step(alone)
	for range 5 {
		if has[Join](next.told(leader.GroupAnswer{Own: out})) {
			t.Error("connected again")
		}
	}
}
