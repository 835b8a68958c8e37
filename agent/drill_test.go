package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// talking is a machine on a session whose witness answers beats.
func talking(t *testing.T) (m *Machine, now boottime.Instant) {
	t.Helper()
	m = New(boot, stonith(), NewMemory(), &BootMemory{Boot: "boot-1", Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}})
	m.Step(boot, SessionUp{})
	m.Step(boot, Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: arbiter.Version{Incarnation: 1, Index: 1}})
	return m, boot.Add(time.Second)
}

func asked[M leader.Message](t *testing.T, actions []Action) (arbiter.RequestID, M) {
	t.Helper()
	for _, a := range actions {
		if c, ok := a.(Call); ok {
			if message, ok := c.Message.(M); ok {
				return c.Request, message
			}
		}
	}
	var none M
	t.Fatalf("no %T in %+v", none, actions)
	return 0, none
}

func TestRehearsalReadsAsksShootsAndReportsOnce(t *testing.T) {
	m, now := talking(t)
	m.rehearse(7)
	read, ok := first[ReadPower](m.Step(now, Tick{}))
	if !ok || read.Mandate != 7 {
		t.Fatal("the power is not read before the question")
	}
	on := []arbiter.Reading{{Device: "bmc", Power: "on", At: now}}
	request, _ := asked[leader.Begin](t, m.Step(now, PowerRead{Mandate: 7, Readings: on}))
	version := arbiter.Version{Incarnation: 1, Index: 2}
	shoot, ok := first[Shoot](m.Step(now, CallDone{Request: request, Verdict: arbiter.Verdict{Kind: arbiter.Permitted, Mandate: 7}, Version: version}))
	if !ok || !shoot.Rehearsal || len(m.mem.Mandates) != 1 {
		t.Fatalf("permitted, and not carried out: %+v, stored %v", shoot, m.mem.Mandates)
	}
	request, report := asked[leader.ReportFence](t, m.Step(now, ShotDone{Mandate: 7, Grade: arbiter.E3, Readings: on}))
	if report.Mandate != 7 || report.Grade != arbiter.E3 {
		t.Errorf("reported %+v", report)
	}
	m.Step(now, CallDone{Request: request, Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: version})
	m.rehearse(7)
	if _, again := first[ReadPower](m.Step(now, Tick{})); again || m.drill != nil || len(m.mem.Mandates) != 0 {
		t.Error("it is not over")
	}
}

func TestLatePermissionIsNotUsed(t *testing.T) {
	m, now := talking(t)
	m.rehearse(7)
	request, _ := asked[leader.Begin](t, m.Step(now, PowerRead{Mandate: 7}))
	for late := now; late < now.Add(3*time.Second); late = late.Add(100 * time.Millisecond) {
		m.Step(late, Tick{})
	}
	actions := m.Step(now.Add(3*time.Second), CallDone{Request: request, Verdict: arbiter.Verdict{Kind: arbiter.Permitted}, Version: arbiter.Version{Incarnation: 1, Index: 2}})
	if _, shot := first[Shoot](actions); shot {
		t.Error("a permission of three seconds ago is used")
	}
	if _, report := asked[leader.ReportFence](t, actions); report.Failure == "" {
		t.Errorf("reported %+v", report)
	}
}
