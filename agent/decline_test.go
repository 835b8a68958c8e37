package agent

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

func TestNodeWithoutAFenceDeviceGivesTheNextExecutorItsTurn(t *testing.T) {
	cfg := stonith()
	cfg.CanFence = false
	m := New(boot, cfg, NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	g.bid = &bid{}
	declined := 0
	for range 3 {
		m.fenceFirst(g, arbiter.Verdict{Kind: arbiter.FenceFirst, Mandate: 4, Holder: "node-b"})
	}
	for _, a := range m.take() {
		if c, ok := a.(Call); ok {
			r, _ := c.Message.(leader.ReportFence)
			if r.Mandate != 4 || r.Failure == "" || r.InFlight {
				t.Errorf("%+v", c.Message)
			}
			declined++
		}
	}
	if declined != 1 || m.shot != nil {
		t.Errorf("declined %d times", declined)
	}
}

// A witness that is replaced with an empty disk while its host shoots knows nothing
// of that: whoever asked for it does.
func TestShotOfTheWitnessIsRemembered(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	m.bindsTo = 0
	now := boot.Add(time.Hour)
	m.last = now
	m.witnessShoots(now, arbiter.Verdict{Kind: arbiter.Refused, Reason: arbiter.MandateUnderWay})
	if len(m.mem.Mandates) != 0 {
		t.Error("one that has not begun is remembered")
	}
	v := arbiter.Verdict{Kind: arbiter.Refused, Reason: arbiter.MandateUnderWay, Mandate: 7}
	m.witnessShoots(now, v)
	m.witnessShoots(now, v)
	if len(m.mem.Mandates) != 1 || !m.dirty || !m.bids(now) {
		t.Errorf("stored %v", m.mem.Mandates)
	}
	if later := now.Add(20 * time.Second); m.bids(later) {
		t.Error("it silences this node for ever")
	} else if m.fencing(later); len(m.mem.Mandates) != 0 {
		t.Error("it is never forgotten")
	}
}

func TestShotThatAnEarlierAgentHadBegunIsUndoneWhereItLeftThePeerOff(t *testing.T) {
	for name, c := range map[string]struct {
		heard bool
		want  bool
	}{"the peer is silent": {false, true}, "the peer is heard": {true, false}} {
		mem := NewMemory()
		mem.Mandates, mem.Begun = []arbiter.MandateID{6}, 6
		m := New(boot, stonith(), mem, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
		switched := 0
		for now := boot; now < boot.Add(40*time.Second); now = now.Add(100 * time.Millisecond) {
			if c.heard {
				m.peer.known, m.peer.at = true, now
			}
			if _, ok := first[SwitchOn](m.Step(now, Tick{})); ok {
				if switched++; now < boot.Add(stonith().Timing.FenceTimeout) {
					t.Errorf("%s: while the shot may still land", name)
				}
			}
		}
		if (switched == 1) != c.want || switched > 1 || len(m.mem.Mandates) != 0 {
			t.Errorf("%s: switched on %d times", name, switched)
		}
	}
}

// The proof is told at once, and that nothing more is to come as soon as that is so.
func TestMandateOfAProvenShotIsOverOnceNothingCanLandAnyMore(t *testing.T) {
	m, now := talking(t)
	lands := now.Add(6 * time.Second)
	m.mem.Mandates = []arbiter.MandateID{7}
	m.shot = &shot{group: m.groups[0], mandate: 7, step: shooting, before: now.Add(15 * time.Second)}
	request, report := asked[leader.ReportFence](t, m.Step(now, ShotDone{Mandate: 7, Grade: arbiter.E3, InFlight: true, Lands: lands}))
	if report.Grade != arbiter.E3 || !report.InFlight {
		t.Fatalf("reported %+v", report)
	}
	m.Step(now, CallDone{Request: request, Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: arbiter.Version{Incarnation: 1, Index: 2}})
	if !m.bids(now) || m.Due() > lands {
		t.Fatalf("the peer is given its word while the shot may land, until %v", m.Due())
	}
	var over []leader.ReportFence
	for ; now < boot.Add(20*time.Second); now = now.Add(100 * time.Millisecond) {
		for _, a := range m.Step(now, Tick{}) {
			if c, ok := a.(Call); ok {
				if r, ok := c.Message.(leader.ReportFence); ok && now < lands {
					t.Fatalf("over too early: %+v", r)
				} else if ok {
					over = append(over, r)
				}
			}
		}
	}
	if len(over) == 0 || over[0].Mandate != 7 || over[0].InFlight || over[0].Grade != 0 || over[0].Failure != "" {
		t.Fatalf("told %+v", over)
	}
	if m.bids(now) || len(m.mem.Mandates) != 0 {
		t.Error("the shot silences this node still")
	}
}

// The shot is reported and its mandate is over; the agent ends before the peer is on
// again.
func TestPeerThatWasToBeRebootedIsSwitchedOnByTheNextAgent(t *testing.T) {
	for name, c := range map[string]struct {
		revived bool
		want    int
	}{"the agent ends first": {false, 1}, "it was switched on": {true, 0}} {
		m := New(boot, stonith(), NewMemory(), &BootMemory{})
		m.mem.Mandates, m.mem.Begun = []arbiter.MandateID{6}, 6
		m.shot = &shot{group: m.groups[0], mandate: 6, step: shooting, before: boot.Add(time.Minute)}
		request, _ := asked[leader.ReportFence](t, m.Step(boot, ShotDone{Mandate: 6, Grade: arbiter.E3, Revives: true}))
		m.Step(boot, CallDone{Request: request, Verdict: arbiter.Verdict{Kind: arbiter.Done}})
		if len(m.mem.Mandates) != 0 {
			t.Fatalf("%s: the mandate is not over", name)
		}
		if c.revived {
			m.Step(boot, Revived{Mandate: 6})
		}
		mem, err := DecodeMemory(m.mem.Encode())
		if err != nil {
			t.Fatal(err)
		}
		next, switched := New(boot, stonith(), mem, &BootMemory{}), 0
		for now := boot; now < boot.Add(40*time.Second); now = now.Add(100 * time.Millisecond) {
			on, ok := first[SwitchOn](next.Step(now, Tick{}))
			if !ok {
				continue
			}
			switched++
			next.Step(now, Revived(on))
		}
		if switched != c.want || next.mem.Reviving != 0 {
			t.Errorf("%s: switched on %d times, %d still to be", name, switched, next.mem.Reviving)
		}
	}
}

// A device has said off of the wrong machine, and the witness does not hear the target.
// Whoever says by his beats that he runs the group is not off.
func TestProofIsWorthNothingWhileTheTargetSaysThatItRuns(t *testing.T) {
	heard := PeerHeard{Fresh: true, Beat: PeerBeat{Number: 9, Groups: []PeerGroup{{Group: "db", Phase: Running, InOffice: true, Epoch: 8, Holder: "node-b", HolderEpoch: 8}}}}
	shot := func() (*Machine, arbiter.RequestID, leader.ReportFence) {
		cfg := stonith()
		cfg.Groups = []GroupConfig{{ID: "db"}}
		m := New(boot, cfg, NewMemory(), &BootMemory{})
		m.bindsTo, m.spoken, m.session = boot, true, true
		m.shot = &shot{group: m.groups[0], mandate: 6, step: shooting, before: boot.Add(time.Minute)}
		request, report := asked[leader.ReportFence](t, m.Step(boot, ShotDone{Mandate: 6, Grade: arbiter.E3}))
		return m, request, report
	}
	granted := arbiter.Verdict{Kind: arbiter.Granted, Epoch: 12, Basis: arbiter.Basis{Cause: arbiter.ByFence, Holder: "node-b", Epoch: 8, Grade: arbiter.E3, Mandate: 6}}

	m, request, report := shot()
	if report.Failure != "" {
		t.Fatalf("reported as %q", report.Failure)
	}
	m.Step(boot.Add(100*time.Millisecond), heard)
	out := m.Step(boot.Add(200*time.Millisecond), CallDone{Request: request, Verdict: granted})
	if _, starts := first[Start](out); starts {
		t.Error("the group is started beside a holder that is heard")
	}
	asked[leader.Release](t, out)

	m, request, _ = shot()
	m.Step(boot.Add(100*time.Millisecond), heard)
	m.Step(boot.Add(200*time.Millisecond), CallDone{Request: request, Err: errors.New("no answer")})
	_, report = asked[leader.ReportFence](t, m.Step(boot.Add(2*time.Second), Tick{}))
	if report.Failure == "" {
		t.Error("the proof is reported again though its target was heard since")
	}

	m, request, _ = shot()
	if _, starts := first[Start](m.Step(boot.Add(200*time.Millisecond), CallDone{Request: request, Verdict: granted})); !starts {
		t.Error("nothing speaks against it, and the group is not started")
	}
}
