package agent

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// bidder returns the machine of a node that has just asked for a free group, and the
// ask.
func bidder(t *testing.T) (*Machine, Call) {
	t.Helper()
	cfg := stonith()
	cfg.Groups = []GroupConfig{{ID: "db"}}
	m := New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot})
	m.bindsTo = boot
	m.Step(boot, SessionUp{})
	beat, ok := first[Beat](m.Step(boot.Add(time.Millisecond), Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}}))
	if !ok {
		t.Fatal("no beat")
	}
	answer := leader.BeatAnswer{Number: beat.Beat.Number, Groups: []leader.GroupAnswer{{Group: "db"}}}
	call, ok := first[Call](m.Step(boot.Add(2*time.Millisecond), Answered{Answer: answer}))
	if !ok {
		t.Fatal("nothing is asked")
	}
	return m, call
}

// A grant that is on its way when this agent ends for good would be held by nobody,
// and the peer would shoot this machine for its silence.
func TestAskUnderWayIsWaitedForBeforeTheAgentLeaves(t *testing.T) {
	m, ask := bidder(t)
	if _, left := first[Left](m.Step(boot.Add(3*time.Millisecond), Leave{Why: "sbagent is being stopped"})); left {
		t.Fatal("left while the witness may be granting what was asked for")
	}
	out := m.Step(boot.Add(4*time.Millisecond), CallDone{Request: ask.Request, Verdict: arbiter.Verdict{Kind: arbiter.Granted, Epoch: 8}})
	if _, started := first[Start](out); started {
		t.Error("a group is started by an agent that ends")
	}
	back, ok := first[Call](out)
	if _, is := back.Message.(leader.Release); !ok || !is {
		t.Fatal("what was granted is not given back")
	}
	out = m.Step(boot.Add(5*time.Millisecond), CallDone{Request: back.Request, Verdict: arbiter.Verdict{Kind: arbiter.Done}})
	if _, left := first[Left](out); !left {
		t.Error("everything is given back, and the agent does not leave")
	}
}
