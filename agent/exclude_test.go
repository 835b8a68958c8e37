package agent

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

func replicates(m *Machine, now boottime.Instant, connected, frozen bool) []Action {
	d := arbiter.Disk{Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: connected}
	return m.Step(now, Storage{Resource: "r0", Known: true, Primary: true, Frozen: frozen, Disks: []arbiter.Disk{d}})
}

// The answer to an Exclude was lost, the copies were in step again, and parted once
// more: what the witness had said the first time let the writes go on, and the
// number of that exclusion is what a readmission names.
func TestExclusionThatWasAskedForBeforeTheCopiesWereInStepLetsNoWritesGoOn(t *testing.T) {
	m := holder(stonith())
	replicates(m, boot, false, true)
	before, _ := first[Call](m.Step(boot, FencePeer{Call: 7, Resource: "r0"}))
	m.Step(boot+1, CallDone{Request: before.Request, Err: errors.New("lost")})
	if e, ok := first[Exit](replicates(m, boot+2, true, false)); !ok || e.Code != exitUnknown {
		t.Fatalf("the connection is back, and the handler is told %+v", e)
	}
	replicates(m, boot+3, false, true)
	call, ok := first[Call](m.Step(boot+4, FencePeer{Call: 8, Resource: "r0"}))
	if _, isExclude := call.Message.(leader.Exclude); !ok || !isExclude {
		t.Error("it does not ask for an exclusion anew")
	}
	old := CallDone{Request: before.Request, Verdict: arbiter.Verdict{Kind: arbiter.Done, Number: 2}}
	if e, ok := first[Exit](m.Step(boot+5, old)); ok {
		t.Errorf("by an exclusion of the time before, the handler exits %d", e.Code)
	}
	own := CallDone{Request: call.Request, Verdict: arbiter.Verdict{Kind: arbiter.Done, Number: 3}}
	if e, ok := first[Exit](m.Step(boot+6, own)); !ok || e.Call != 8 || e.Code != exitExcluded || m.mem.Groups["db"].Obtained != 3 {
		t.Errorf("by its own exclusion, the handler exits %+v", e)
	}
}

// What this node takes for "in step" may be of the time before the link was lost,
// and what it rests on was recorded long before.
func TestCopyIsNotReadmittedSoonAfterWritesWentOnWithoutIt(t *testing.T) {
	m := holder(stonith())
	g := m.groups[0]
	replicates(m, boot, true, false)
	m.session, m.spoken = true, true
	m.peer.known, m.peer.beat.Groups = true, []PeerGroup{{Group: "db", Phase: Stopped, InStep: true, Excluded: 2}}
	g.answer = leader.GroupAnswer{Group: "db", Peer: arbiter.Exclusion{Number: 2}}
	asks := func(now boottime.Instant) bool {
		m.answered, m.peer.at = now, now
		m.readmission(now, g)
		call, _ := first[Call](m.take())
		_, asks := call.Message.(leader.Readmit)
		return asks
	}
	at := boot.Add(time.Minute)
	m.excluded(at, g, "it was lost")
	if m.take(); asks(at.Add(newsWithin - 1)) {
		t.Error("the news of the loss may be on its way still")
	}
	if !asks(at.Add(newsWithin)) {
		t.Error("it is never readmitted")
	}
}
