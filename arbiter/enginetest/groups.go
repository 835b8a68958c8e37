package enginetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sbarbiter/arbiter/engine"
)

// members are a group's engines at work.
type members struct {
	t       *testing.T
	group   Group
	engines [3]*Running
	journal [3]*Journal
}

func startGroup(t *testing.T, g Group) *members {
	m := &members{t: t, group: g}
	for i, open := range g.Open {
		m.journal[i] = &Journal{}
		m.engines[i] = Start(t, open(t, m.journal[i]))
	}
	return m
}

// leader waits for one that leads, the excepted one aside.
func (m *members) leader(except int) int {
	m.t.Helper()
	found := -1
	Eventually(m.t, "a member leads", func() bool {
		for i, e := range m.engines {
			if i != except && e.VerifyLeader(within(m.t, time.Second)) == nil && e.Barrier(within(m.t, time.Second)) == nil {
				found = i
				return true
			}
		}
		return false
	})
	return found
}

func deposedIsNotVerified(t *testing.T, g Group) {
	m := startGroup(t, g)
	old := m.leader(-1)
	m.engines[old].MustApply("first")
	g.Cut(t, old)
	if err := m.engines[old].VerifyLeader(within(t, patience)); err == nil {
		t.Fatal("a leader that reaches nobody was verified")
	}
	next := m.leader(old)
	if err := m.engines[old].VerifyLeader(within(t, patience)); err == nil {
		t.Fatal("a deposed leader was verified")
	}
	m.engines[next].MustApply("second")
	if m.journal[old].has("second") {
		t.Fatal("the cut did not cut")
	}
	g.Heal(t, old)
	Eventually(t, "the deposed leader catches up", func() bool { return m.journal[old].has("second") })
}

func unknownIsTheSameForAll(t *testing.T, g Group) {
	m := startGroup(t, g)
	old := m.leader(-1)
	g.Cut(t, old)
	_, _, err := m.engines[old].Apply(within(t, patience), []byte("in doubt"))
	if !errors.Is(err, engine.ErrUnknown) && !errors.Is(err, engine.ErrNotLeader) {
		t.Fatalf("a leader that reaches nobody answered %v", err)
	}
	next := m.leader(old)
	m.engines[next].MustApply("certain")
	g.Heal(t, old)
	for i := range m.engines {
		Eventually(t, "every member applies what is certain", func() bool { return m.journal[i].has("certain") })
	}
	want := m.journal[next].Entries()
	if errors.Is(err, engine.ErrNotLeader) && m.journal[next].has("in doubt") {
		t.Fatal("a command that was certainly not accepted was applied")
	}
	for i := range m.engines {
		if got := m.journal[i].Entries(); !slices.Equal(got, want) {
			t.Fatalf("member %d applied %v, the leader %v", i, got, want)
		}
	}
}

func stoppedLeaderIsReplaced(t *testing.T, g Group) {
	m := startGroup(t, g)
	old := m.leader(-1)
	m.engines[old].MustApply("first")
	if err := m.engines[old].Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	next := m.leader(old)
	if out, _ := m.engines[next].MustApply("second"); out != outcome(2, "second") {
		t.Fatalf("the next leader answered %q", out)
	}
}
