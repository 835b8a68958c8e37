package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// pledged is the standby of two groups that its peer runs.
func pledged() (*Machine, boottime.Instant) {
	const start = boottime.Instant(time.Hour)
	timing := Timing{Timing: arbiter.Timing{
		TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: time.Second / 4, SuspectAfter: time.Second, FenceTimeout: 10 * time.Second,
	}}
	m := New(start, Config{
		Node: "b", Peer: "a", Timing: timing, Watchdog: arbiter.Watchdog{Armed: true, Timeout: 5 * time.Second},
		Groups: []GroupConfig{{ID: "g0"}, {ID: "g1"}},
	}, NewMemory(), &BootMemory{Cleared: true})
	m.peer.known, m.peer.at = true, start
	m.peer.beat = PeerBeat{Number: 1, Groups: []PeerGroup{
		{Group: "g0", Phase: Running, InOffice: true, Epoch: 4}, {Group: "g1", Phase: Running, InOffice: true, Epoch: 8},
	}}
	return m, start
}

// A shot hits the whole machine: while one may be on its way for one group, the
// peer must not rely on this node's word about another.
func TestAnAskForOneGroupSilencesEveryWord(t *testing.T) {
	m, now := pledged()
	if m.mayPromise(now, m.by["g1"]) != 8 {
		t.Fatal("a standby that asks for nothing does not promise")
	}
	for name, busy := range map[string]func(*Machine){
		"an open ask":                         func(m *Machine) { m.by["g0"].bid = &bid{} },
		"an ask stored by the agent before":   func(m *Machine) { m.mem.Asking["g0"] = true },
		"a shot":                              func(m *Machine) { m.shot = &shot{group: m.by["g0"]} },
		"a mandate begun by the agent before": func(m *Machine) { m.mem.Mandates = []arbiter.MandateID{3} },
	} {
		t.Run(name, func(t *testing.T) {
			m, now := pledged()
			busy(m)
			if e := m.mayPromise(now, m.by["g1"]); e != 0 {
				t.Errorf("it promises epoch %d", e)
			}
			m.by["g1"].cfg.Resources = []string{"r1"}
			m.onPeerAsk(now, PeerAsk{Group: "g1", Epoch: 8, Ask: 1, UpToDate: true})
			if w := m.by["g1"].outdate; w == nil || !w.done || w.word.Given {
				t.Errorf("it gives its copy up: %+v", w)
			}
		})
	}
	m.mem.Mandates = []arbiter.MandateID{3}
	m.peer.at = now.Add(11 * time.Second)
	if m.mayPromise(now.Add(11*time.Second), m.by["g1"]) != 8 {
		t.Error("a mandate of an agent before silences this one for ever")
	}
}

// The lease of a machine that has started anew may have been ended by that very
// start: whoever runs by the peer's word alone must be stopped by something.
func TestReinstatementNeedsAnArmedWatchdog(t *testing.T) {
	for _, armed := range []bool{true, false} {
		m, now := pledged()
		m.cleared, m.cfg.Watchdog.Armed = false, armed
		g := m.by["g0"]
		m.mem.Groups["g0"] = GroupMemory{Holder: "b", Epoch: 4}
		later := now.Add(2 * reinstateAfter)
		m.reinstate(later, g, PeerGroup{Group: "g0", Promised: 4}, later, later.Add(20*time.Second))
		if got := g.phase == Starting; got != armed {
			t.Errorf("watchdog armed %v: the group is %s", armed, g.phase)
		}
	}
}
