package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// A restarted agent whose right runs out before it has looked at what runs here
// orders a second stop while the first is under way. What the first has seen
// down says nothing about what a start in between may have brought up.
func TestOnlyTheLastStopOrderedEndsARight(t *testing.T) {
	m := holder(stonith())
	at := boot.Add(until[Stop](t, m))
	last, ok := first[Stop](m.Step(at, Found{Group: "db", Up: true}))
	if !ok {
		t.Fatal("what was found running is not stopped")
	}
	m.Step(at, StopDone{Group: "db", Order: last.Order - 1, Down: true})
	if g := m.groups[0]; g.phase != Stopping || g.release != nil {
		t.Fatalf("the group is %s and given back on the word of a stop that another one followed", g.phase)
	}
	m.Step(at, StopDone{Group: "db", Order: last.Order, Down: true})
	if g := m.groups[0]; g.phase != Stopped || g.release == nil {
		t.Fatalf("the group is %s after the last stop", g.phase)
	}
}

// A peer that was paused between making a beat and sending it answers a beat of
// the agent's earlier life, under the number that a later beat of this life has.
func TestPromiseThatAnswersAnEarlierLifesBeatCountsForNothing(t *testing.T) {
	m := holder(stonith())
	var tell Tell
	now := boot
	for ; now < boot.Add(2*time.Second); now = now.Add(50 * time.Millisecond) {
		if next, ok := first[Tell](m.Step(now, Tick{})); ok {
			tell = next
		}
	}
	hear := func(echo uint64) boottime.Instant {
		m.Step(now, PeerHeard{Fresh: true, Beat: PeerBeat{Number: 1, Echo: echo, Groups: []PeerGroup{{
			Group: "db", Phase: Stopped, Promised: 8, PromisedFor: 20 * time.Second,
		}}}})
		return m.groups[0].right.promise
	}
	for echo := range uint64(20) {
		if until := hear(echo); until != 0 {
			t.Fatalf("the answer to beat %d, which this agent has not sent, is a promise until %v", echo, until)
		}
	}
	if hear(tell.Beat.Number) == 0 {
		t.Fatal("the answer to this agent's own beat is no promise")
	}
}

// The readmission by the word that stood was applied before the disk failed
// again; the news of it arrives after.
func TestDiskThatFailsWhileItsReadmissionIsOnTheWayStaysExcluded(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.Step(boot, DiskFailed{"r0"})
	m.learnExclusions(g, leader.GroupAnswer{Group: "db", Own: arbiter.Exclusion{OwnWord: m.mem.Groups["db"].OwnWord}})
	m.Step(boot+1, DiskFailed{"r0"})
	m.learnExclusions(g, leader.GroupAnswer{Group: "db"})
	if m.mem.Groups["db"].OwnWord == 0 {
		t.Fatal("the failed disk is forgotten: the node would promote it")
	}
}
