package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// apart returns a machine that has just started, whose DRBD is not connected and
// whose peer waits for it.
func apart(cfg Config, mem *Memory, own arbiter.DiskState) *Machine {
	m := New(boot, cfg, mem, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	m.spoken, m.peer.known = true, true
	m.peer.beat.Groups = []PeerGroup{{Group: "db", Phase: Stopped, Ready: true}}
	m.sees(Storage{Resource: "r0", Known: true, Alone: true, Recorded: true, Disks: []arbiter.Disk{{Own: own}}})
	return m
}

// joins lets time pass, answers invalidations with err, and says what was done.
func joins(m *Machine, err error) (invalidated, joined int) {
	for now := boot.Add(time.Second); now < boot.Add(10*time.Second); now = now.Add(100 * time.Millisecond) {
		m.peer.at = now
		m.join(now, m.groups[0])
		actions := m.take()
		if _, ok := first[Invalidate](actions); ok {
			invalidated++
			m.onInvalidated(now, InvalidateDone{Group: "db", Err: err})
			m.take()
		}
		if _, ok := first[Join](actions); ok {
			joined++
		}
	}
	return invalidated, joined
}

func failed(m *Memory) *Memory {
	m.Groups["db"] = GroupMemory{OwnWord: 7, Spoilt: true}
	return m
}

func TestCopyThatIsNotToBeBelievedIsInvalidatedOnceAndThenConnected(t *testing.T) {
	left := NewMemory()
	left.Left = "boot-0"
	protected := stonith()
	protected.Groups = []GroupConfig{{ID: "db", Resources: []string{"r0"}, Protected: true}}
	for name, c := range map[string]struct {
		cfg  Config
		mem  *Memory
		own  arbiter.DiskState
		want int
	}{
		"the disk has failed":                     {stonith(), failed(NewMemory()), arbiter.Consistent, 1},
		"the disk has failed, of those protected": {protected, failed(NewMemory()), arbiter.Consistent, 1},
		"a resync was cut short":                  {stonith(), NewMemory(), "Inconsistent", 1},
		"with a cache that nothing is lost from":  {protected, NewMemory(), "Inconsistent", 0},
		"by an orderly shutdown":                  {stonith(), left, "Inconsistent", 0},
		"a good copy":                             {stonith(), NewMemory(), arbiter.Consistent, 0},
		"one that was given up":                   {stonith(), NewMemory(), "Outdated", 0},
	} {
		m := apart(c.cfg, c.mem, c.own)
		if invalidated, joined := joins(m, nil); invalidated != c.want || joined == 0 {
			t.Errorf("%s: invalidated %d times, not %d; connected %d times", name, invalidated, c.want, joined)
		}
		if m.mem.Groups["db"].Spoilt {
			t.Errorf("%s: it counts as spoilt still", name)
		}
	}
}

func TestCopyThatCannotBeInvalidatedIsNotConnected(t *testing.T) {
	m := apart(stonith(), failed(NewMemory()), "Diskless")
	if invalidated, joined := joins(m, errors.New("no disk")); invalidated < 3 || joined > 0 {
		t.Errorf("tried %d times, and connected %d times", invalidated, joined)
	}
	if !m.mem.Groups["db"].Spoilt {
		t.Error("what has not worked is taken for done")
	}
}

// Which of two stale copies is kept is for an operator: neither overwrites the other.
func TestSpoiltCopyIsKeptApartFromAStaleOne(t *testing.T) {
	mem := failed(NewMemory())
	mem.Groups["db"] = GroupMemory{OwnWord: 7, Spoilt: true, Obtained: 3}
	if invalidated, joined := joins(apart(stonith(), mem, arbiter.Consistent), nil); invalidated+joined > 0 {
		t.Error("the peer's copy, which was excluded, is copied over this one")
	}
	m := apart(stonith(), failed(NewMemory()), arbiter.Consistent)
	m.peer.beat.Groups[0].OwnWord = 4
	if invalidated, joined := joins(m, nil); invalidated+joined > 0 {
		t.Error("the peer's copy, which it has given up, is copied over this one")
	}
}

// The machine was declared lost with the only good copy, and is back, with a disk that has
// failed: what it has is for a recovery.
func TestACopyThatWasDeclaredLostIsNotMadeAnewUnasked(t *testing.T) {
	m := apart(stonith(), failed(NewMemory()), arbiter.Consistent)
	g := m.groups[0]
	m.session = true
	told := func(lost bool) {
		g.answer = leader.GroupAnswer{Group: "db", Own: arbiter.Exclusion{Number: 9, Lost: lost}}
		g.answerAt, m.answered = boot.Add(10*time.Second), boot.Add(10*time.Second)
	}
	told(true)
	if invalidated, joined := joins(m, nil); invalidated+joined > 0 {
		t.Error("the copy that stands in for it is copied over it")
	}
	told(false) // a recovery has given it up
	if invalidated, joined := joins(m, nil); invalidated == 0 || joined == 0 {
		t.Error("it is never connected")
	}
}

// The disk has failed once of a copy that somebody had written to while the peer ran the
// group: what only that copy has is for a recovery, whoever has it excluded.
func TestCopyThatWentOnAloneIsNotMadeAnewUnasked(t *testing.T) {
	m := apart(stonith(), failed(NewMemory()), arbiter.Consistent)
	g := m.groups[0]
	m.session = true
	g.answer = leader.GroupAnswer{Group: "db", Holder: m.cfg.Peer, Own: arbiter.Exclusion{Number: 9, OwnWord: 7}}
	now, asked, alarms := boot, 0, 0
	pass := func(alone string) (last Invalidate, joined bool) {
		for end := now.Add(time.Minute); now < end; now = now.Add(100 * time.Millisecond) {
			m.peer.at, g.answerAt, m.answered = now, now, now
			m.join(now, g)
			actions := m.take()
			if a, ok := first[Invalidate](actions); ok {
				asked, last = asked+1, a
				m.onInvalidated(now, InvalidateDone{Group: "db", Alone: alone})
				actions = append(actions, m.take()...)
			}
			for _, a := range actions {
				if n, ok := a.(*Note); ok && n.Alarm && strings.Contains(n.Why, "sbctl resolve db --dry-run") {
					alarms++
				}
			}
			joined = joined || has[Join](actions)
		}
		return last, joined
	}
	if a, joined := pass("r0"); joined || a.GivenUp || asked < 3 || alarms != 1 {
		t.Errorf("connected: %v; %+v, %d times; %d alarms", joined, a, asked, alarms)
	}
	m.beatAt = 0
	m.beat(now)
	if b, ok := first[Beat](m.take()); !ok || !b.Beat.Groups[0].Parted || !b.Beat.Groups[0].Split {
		t.Error("the witness does not hear that the two have parted")
	}
	if _, joined := pass(""); !joined || g.sole { // it has got a new disk
		t.Error("kept apart for good")
	}

	m = apart(stonith(), failed(NewMemory()), arbiter.Consistent)
	g = m.groups[0]
	m.session = true
	g.answer = leader.GroupAnswer{Group: "db", Holder: m.cfg.Peer, Own: arbiter.Exclusion{Number: 9, OwnWord: 7, Discard: 9}}
	if a, joined := pass(""); !a.GivenUp || !joined {
		t.Errorf("an operator has given it up, and it is connected: %v; %+v", joined, a)
	}
}

func TestFailedDiskIsRememberedUntilItIsReadmitted(t *testing.T) {
	m := apart(stonith(), NewMemory(), arbiter.UpToDate)
	m.onDiskFailed(DiskFailed{"r0"})
	if gm := m.mem.Groups["db"]; !gm.Spoilt || gm.OwnWord == 0 {
		t.Fatalf("%+v", gm)
	}
	m.groups[0].right.epoch = 0
	m.learnExclusions(m.groups[0], groupAnswer(m.mem.Groups["db"].OwnWord))
	if gm := m.mem.Groups["db"]; gm.Spoilt || gm.OwnWord != 0 {
		t.Errorf("readmitted, and %+v", gm)
	}
}

// A recovery was to keep a copy whose disk had failed, and was called off: by then its node
// had been told that its word was settled.
func TestFailedDiskIsNotBelievedAfterARecoveryOfItIsCalledOff(t *testing.T) {
	m := apart(stonith(), NewMemory(), arbiter.UpToDate)
	m.onDiskFailed(DiskFailed{"r0"})
	g, word := m.groups[0], m.mem.Groups["db"].OwnWord
	m.learnExclusions(g, groupAnswer(word))
	stale := groupAnswer(word)
	stale.Own = arbiter.Exclusion{Number: 9, OwnWord: word}
	for range 2 {
		m.learnExclusions(g, stale)
		if gm := m.mem.Groups["db"]; !gm.Spoilt || gm.OwnWord != word || gm.Excluded != 9 {
			t.Fatalf("its copy is stale again, and %+v", gm)
		}
	}
	m.learnExclusions(g, groupAnswer(word))
	if gm := m.mem.Groups["db"]; gm.Spoilt || gm.OwnWord != 0 {
		t.Errorf("readmitted, and %+v", gm)
	}
	old := groupAnswer(word - 1) // of a witness that was restored, and knows no better
	old.Own = stale.Own
	m.learnExclusions(g, old)
	if gm := m.mem.Groups["db"]; gm.Spoilt || gm.OwnWord != 0 {
		t.Errorf("readmitted long since, and %+v", gm)
	}
}

func groupAnswer(cleared uint64) leader.GroupAnswer {
	return leader.GroupAnswer{Group: "db", Cleared: cleared}
}

// An operator has decided that the peer's copy is kept. DRBD may take this one for
// the newer, and may be connected: first it is parted from, then declared bad, and
// only then does the peer hear that this node knows.
func TestCopyThatIsGivenUpIsPartedFromInvalidatedAndConnected(t *testing.T) {
	mem := NewMemory()
	mem.Groups["db"] = GroupMemory{Obtained: 2, PeerWord: 5, Pending: true}
	m := apart(stonith(), mem, arbiter.Consistent)
	g := m.groups[0]
	g.joined = true
	s := *m.disk("r0")
	s.Alone = false
	m.sees(s)
	g.answer = leader.GroupAnswer{Group: "db", Own: arbiter.Exclusion{Number: 9, Discard: 9}}
	m.learnExclusions(g, g.answer)
	if gm := m.mem.Groups["db"]; gm.Excluded != 0 || !gm.Spoilt || gm.Obeyed != 9 || gm.Obtained != 0 || gm.Pending {
		t.Fatalf("%+v", gm)
	}
	now := boot.Add(time.Second)
	m.take()
	m.join(now, g)
	if _, parted := first[Part](m.take()); !parted || g.joined {
		t.Fatal("it stays connected")
	}
	s.Alone = true
	m.sees(s)
	if invalidated, joined := joins(m, nil); invalidated != 1 || joined == 0 {
		t.Errorf("invalidated %d times, connected %d times", invalidated, joined)
	}
	m.learnExclusions(g, g.answer)
	if m.mem.Groups["db"].Excluded != 9 {
		t.Error("the peer does not hear that the copy is given up")
	}
}

func TestKeptCopyWaitsForTheOneThatIsGivenUp(t *testing.T) {
	m := apart(stonith(), NewMemory(), arbiter.Consistent)
	g := m.groups[0]
	g.answer = leader.GroupAnswer{Group: "db", Peer: arbiter.Exclusion{Number: 10, Discard: 9}}
	m.peer.beat.Groups[0].Excluded = 8
	if _, joined := joins(m, nil); joined > 0 {
		t.Error("connected before the peer has given its copy up")
	}
	m.peer.beat.Groups[0].Excluded = 9
	if invalidated, joined := joins(m, nil); invalidated > 0 || joined == 0 {
		t.Error("not connected afterwards")
	}
}

// A copy was declared bad when its machine came up, has been made anew, and is the one that
// an operator keeps much later. DRBD is not told to give it up then.
func TestCopyThatWasMadeAnewIsNotGivenUpWithItsNextConnection(t *testing.T) {
	for name, c := range map[string]struct {
		seen []Storage // between
		want int       // connected with what it has given up
	}{
		"in step since":      {[]Storage{{Disks: []arbiter.Disk{{Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}}, {Alone: true, Disks: []arbiter.Disk{{Own: "Inconsistent"}}}}, 0},
		"seen whole":         {[]Storage{{Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}}, 0},
		"never made anew":    {[]Storage{{Alone: true, Disks: []arbiter.Disk{{Own: "Inconsistent"}}}}, 1},
		"nothing seen since": {nil, 1},
	} {
		m := apart(stonith(), failed(NewMemory()), arbiter.Consistent)
		g := m.groups[0]
		now, given := boot.Add(time.Second), 0
		connects := func() {
			g.joined, g.joinAt, m.peer.at = false, now, now
			m.join(now, g)
			if j, ok := first[Join](m.take()); !ok {
				t.Errorf("%s: not connected", name)
			} else if given = 0; len(j.Discard) > 0 {
				given = len(j.Discard)
			}
		}
		m.peer.at = now
		m.join(now, g)
		m.onInvalidated(now, InvalidateDone{Group: "db"})
		m.take()
		if connects(); given != 1 {
			t.Errorf("%s: at once, DRBD 9 is not told to give it up", name)
		}
		for _, s := range c.seen {
			s.Resource, s.Known = "r0", true
			m.onStorage(now, s)
		}
		m.orderly = true // it is not the machine that has gone down since
		if connects(); given != c.want {
			t.Errorf("%s: given up with %d, not %d", name, given, c.want)
		}
	}
}
