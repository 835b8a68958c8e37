package agent

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/drbd"
	"sbarbiter/internal/boottime"
	"sbarbiter/recovery"
)

// conversation is a machine that talks to a witness.
type conversation struct {
	t   *testing.T
	m   *Machine
	now boottime.Instant
}

func conversing(t *testing.T, m *Machine) *conversation {
	c := &conversation{t, m, boot}
	c.step(SessionUp{})
	c.step(Welcomed{Verdict: arbiter.Verdict{Kind: arbiter.Done}, Version: arbiter.Version{Incarnation: 1, Starts: 1, Index: 1}})
	return c
}

func (c *conversation) step(ev Event) []Action {
	c.now = c.now.Add(10 * time.Millisecond)
	return c.m.Step(c.now, ev)
}

// told lets the next beat be answered with what the witness has to say of the group.
func (c *conversation) told(a leader.GroupAnswer) []Action {
	c.t.Helper()
	a.Group = "db"
	var all []Action
	for range 100 {
		actions := c.step(Tick{})
		all = append(all, actions...)
		if b, ok := first[Beat](actions); ok {
			if e := b.Beat.Groups[0].Epoch; e != 0 {
				a.Renewed = e
			}
			return append(all, c.step(Answered{
				Answer:  leader.BeatAnswer{Number: b.Beat.Number, Groups: []leader.GroupAnswer{a}},
				Version: arbiter.Version{Incarnation: 1, Starts: 1, Index: 1}, Clock: c.now,
			})...)
		}
	}
	c.t.Fatal("it does not beat")
	return nil
}

// splitPlan gives node-a's copy up.
func splitPlan() *recovery.Plan {
	p := &recovery.Plan{Version: recovery.PlanVersion, Group: "db", Family: drbd.Family84, Victim: "node-a", Survivor: "node-b"}
	for _, n := range []recovery.Node{"node-a", "node-b"} {
		p.Basis = append(p.Basis, recovery.Basis{Node: n, Volume: "r0/0", Generations: "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0"})
	}
	p.Steps = []recovery.Step{
		{Node: "node-a", Kind: recovery.StopServices},
		{Node: "node-a", Kind: recovery.Demote, Resource: "r0"},
		{Node: "node-a", Kind: recovery.Disconnect, Resource: "r0"},
		{Node: "node-a", Kind: recovery.DumpMetadata, Resource: "r0"},
		{Node: "node-a", Kind: recovery.Snapshot, Resource: "r0"},
		{Node: "node-b", Kind: recovery.Measure},
		{Node: "node-a", Kind: recovery.Discard, Resource: "r0"},
		{Node: "node-b", Kind: recovery.Connect, Resource: "r0"},
		{Node: "node-b", Kind: recovery.FollowResync},
		{Node: "node-b", Kind: recovery.Readmit},
	}
	return p
}

func taskAt(step int) *arbiter.Task {
	return &arbiter.Task{Recovery: 1<<32 | 1, Name: "1.1-1", Tries: 1, Step: step, Plan: splitPlan()}
}

// reported is what the witness is told, and the number that it answers under.
func reported[M leader.Message](t *testing.T, actions []Action) (M, arbiter.RequestID) {
	t.Helper()
	for _, a := range actions {
		if call, ok := a.(Call); ok {
			if m, ok := call.Message.(M); ok {
				return m, call.Request
			}
		}
	}
	t.Fatalf("nothing is reported: %v", actions)
	return *new(M), 0
}

func (c *conversation) answered(id arbiter.RequestID, v arbiter.Verdict) []Action {
	return c.step(CallDone{Request: id, Verdict: v, Version: arbiter.Version{Incarnation: 1, Starts: 1, Index: 1}})
}

func TestSideIsMeasuredAndReportedOnce(t *testing.T) {
	c := conversing(t, holder(stonith()))
	c.step(Storage{Resource: "r0", Known: true, Primary: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}})
	task := &arbiter.Task{Recovery: 7, Round: 2}
	actions := c.told(leader.GroupAnswer{Task: task})
	measure, ok := first[Measure](actions)
	if !ok || measure.Task.Round != 2 {
		t.Fatalf("not measured: %v", actions)
	}
	if _, again := first[Measure](c.told(leader.GroupAnswer{Task: task})); again {
		t.Error("measured twice at once")
	}
	m, id := reported[leader.Measured](t, c.step(SideMeasured{Group: "db", Task: measure.Task, Side: recovery.Side{Role: "Primary"}}))
	if m.Round != 2 || m.Side.Node != "node-a" || len(m.Side.Tenures) != 1 || m.Side.Tenures[0] != (recovery.Tenure{Epoch: 8, Leased: true}) {
		t.Errorf("reported %+v", m)
	}
	c.answered(id, arbiter.Verdict{Kind: arbiter.Done})
	if _, again := first[Measure](c.told(leader.GroupAnswer{Task: task})); again {
		t.Error("measured again for an answer that is older than the report")
	}
}

func TestVictimStopsAndGivesBackBeforeItsStepIsCarriedOut(t *testing.T) {
	c := conversing(t, holder(stonith()))
	actions := c.told(leader.GroupAnswer{Task: taskAt(0), Apart: true})
	stop, ok := first[Stop](actions)
	if !ok {
		t.Fatalf("not stopped: %v", actions)
	}
	if _, early := first[Carry](actions); early {
		t.Error("carried out while the group runs")
	}
	actions = c.step(StopDone{Group: "db", Order: stop.Order, Down: true})
	_, receipt := reported[leader.Release](t, actions)
	if _, early := first[Carry](actions); early {
		t.Error("carried out before the receipt is answered")
	}
	carry, ok := first[Carry](c.answered(receipt, arbiter.Verdict{Kind: arbiter.Done}))
	if !ok || carry.Steps[0].Kind != recovery.StopServices || carry.Task.Name != "1.1-1" {
		t.Fatalf("not carried out: %+v", carry)
	}
	done, id := reported[leader.StepDone](t, c.step(Carried{Group: "db", Task: carry.Task, Done: true, Ready: true}))
	if done.Step != 0 || done.Failure != "" {
		t.Errorf("reported %+v", done)
	}
	c.answered(id, arbiter.Verdict{Kind: arbiter.Done})
}

func idle(cfg Config) *Machine {
	return New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}, Joined: []arbiter.GroupID{"db"}})
}

func TestFailedStepIsToldOnceAndTriedAgain(t *testing.T) {
	c := conversing(t, idle(stonith()))
	carry, _ := first[Carry](c.told(leader.GroupAnswer{Task: taskAt(3)}))
	full := Carried{Group: "db", Task: carry.Task, Err: errors.New("the store is full")}
	failed, id := reported[leader.StepDone](t, c.step(full))
	if failed.Failure != "the store is full" || failed.Step != 3 {
		t.Errorf("reported %+v", failed)
	}
	c.answered(id, arbiter.Verdict{Kind: arbiter.Done})
	tries := 0
	for range 60 {
		if _, ok := first[Carry](c.told(leader.GroupAnswer{Task: taskAt(3)})); ok {
			tries++
			for _, a := range c.step(full) {
				if call, ok := a.(Call); ok {
					t.Errorf("told again: %+v", call.Message)
				}
			}
		}
	}
	if tries < 3 {
		t.Errorf("tried %d times", tries)
	}
}

func TestPlanThatCannotBeRightIsRefusedAndNothingOfItIsDone(t *testing.T) {
	for name, change := range map[string]func(*arbiter.Task){
		"the end before anything is given up": func(task *arbiter.Task) {
			task.Plan.Steps = append([]recovery.Step{{Node: "node-b", Kind: recovery.FollowResync}}, task.Plan.Steps...)
			task.Step = 0
		},
		"a step that it has not":  func(task *arbiter.Task) { task.Step = 99 },
		"a step before the first": func(task *arbiter.Task) { task.Step = -1 },
		"no plan":                 func(task *arbiter.Task) { task.Plan, task.Unread = nil, "it is no JSON" },
		"a later version":         func(task *arbiter.Task) { task.Plan.Version++ },
		"a way out of the store":  func(task *arbiter.Task) { task.Plan.Steps[4].Resource = ".." },
	} {
		t.Run(name, func(t *testing.T) {
			c := conversing(t, holder(stonith()))
			task := taskAt(4)
			change(task)
			for round := range 40 {
				actions := c.told(leader.GroupAnswer{Task: task, Apart: true})
				if has[Carry](actions) || has[Stop](actions) {
					t.Fatalf("it is carried out: %v", actions)
				}
				if round == 0 {
					said, id := reported[leader.StepDone](t, actions)
					if said.Failure == "" || said.Step != task.Step {
						t.Errorf("reported %+v", said)
					}
					c.answered(id, arbiter.Verdict{Kind: arbiter.Done})
				}
			}
		})
	}
}

func TestThatDRBDHasGivenUpIsSaidAtOnce(t *testing.T) {
	c := conversing(t, idle(stonith()))
	c.step(Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}})
	c.told(leader.GroupAnswer{})
	if has[Beat](c.step(Tick{})) {
		t.Fatal("it beats all the time")
	}
	said, ok := first[Beat](c.step(Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}))
	if !ok {
		t.Fatal("the witness has to wait for it")
	}
	if b := said.Beat.Groups[0]; !b.Parted || b.Split {
		t.Errorf("what may have been done by hand is said to be a split: %+v", b)
	}
}

func TestDRBDsOwnWordOfASplitIsPassedOnUntilTheTwoAreConnected(t *testing.T) {
	c := conversing(t, idle(stonith()))
	apart := Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}
	c.step(apart)
	c.told(leader.GroupAnswer{})
	says := func(actions []Action, split bool) {
		t.Helper()
		if b, ok := first[Beat](actions); !ok || b.Beat.Groups[0].Parted != split || b.Beat.Groups[0].Split != split {
			t.Errorf("it says %v", actions)
		}
	}
	says(c.step(SplitSeen{"r0"}), true)
	c.step(apart)
	says(c.told(leader.GroupAnswer{}), true)
	apart.Disks = []arbiter.Disk{{Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}
	c.step(apart)
	says(c.told(leader.GroupAnswer{}), false)
}

func TestCopyingIsLookedAfterByBothSides(t *testing.T) {
	c := conversing(t, idle(stonith()))
	c.step(Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Own: "Inconsistent"}}})
	carry, ok := first[Carry](c.told(leader.GroupAnswer{Task: taskAt(8), Apart: true}))
	if !ok || len(carry.Steps) != 2 || carry.Steps[0].Kind != recovery.Discard || carry.Steps[1].Kind != recovery.FollowResync {
		t.Fatalf("the victim looks after %+v", carry.Steps)
	}
	for _, a := range c.step(Carried{Group: "db", Task: carry.Task, Done: true, Ready: true, Left: 3, Total: 9}) {
		if call, ok := a.(Call); ok {
			t.Errorf("the victim says whether the survivor's step is done: %+v", call.Message)
		}
	}
	if b, ok := first[Beat](c.told(leader.GroupAnswer{Task: taskAt(8)})); ok && (b.Beat.Groups[0].Carrying == nil || b.Beat.Groups[0].Carrying.Left != 3) {
		t.Errorf("the beat shows %+v", b.Beat.Groups[0].Carrying)
	}
}

func TestRecoveryIsNotGoneOnWithOutOfTheWitnesssSight(t *testing.T) {
	c := conversing(t, idle(stonith()))
	c.told(leader.GroupAnswer{})
	c.m.onTask(c.m.by["db"], taskAt(6))
	c.now = c.now.Add(3 * time.Second)
	if _, ok := first[Carry](c.step(Tick{})); ok {
		t.Error("carried out, and it may have been called off")
	}
}

func TestApartKeepsDRBDFromLookingForItsPeer(t *testing.T) {
	cfg := stonith()
	m := New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}})
	c := conversing(t, m)
	c.step(Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.Consistent}}})
	out := arbiter.Exclusion{Number: 1<<32 | 1}
	if actions := c.told(leader.GroupAnswer{Own: out, Apart: true}); has[Join](actions) {
		t.Error("connected, and a recovery keeps the two apart")
	}
	joined := false
	for range 5 {
		joined = joined || has[Join](c.told(leader.GroupAnswer{Own: out}))
	}
	if !joined {
		t.Error("never connected")
	}
}

func has[A Action](actions []Action) bool {
	_, ok := first[A](actions)
	return ok
}

func TestTenuresAreByEpochAndOutliveTheAgent(t *testing.T) {
	c := conversing(t, holder(stonith()))
	disks := []arbiter.Disk{{Own: arbiter.UpToDate}}
	at := time.Unix(1_700_000_000, 0).UTC()
	primary := func(is bool, wall time.Time) {
		c.step(Storage{Resource: "r0", Known: true, Primary: is, Disks: disks, Wall: wall})
	}
	primary(true, at)
	primary(false, at.Add(time.Hour))
	mem, err := DecodeMemory(c.m.mem.Encode())
	if err != nil {
		t.Fatal(err)
	}
	want := recovery.Tenure{Epoch: 8, Leased: true, From: at, Until: at.Add(time.Hour)}
	if got := mem.Tenures["db"]; len(got) != 1 || got[0] != want {
		t.Fatalf("%+v", got)
	}

	// Both copies are one again: what this one has of its own later is of another time.
	connected := []arbiter.Disk{{Connected: true, Own: arbiter.UpToDate, Peer: arbiter.UpToDate}}
	c.step(Storage{Resource: "r0", Known: true, Disks: connected, Wall: at.Add(2 * time.Hour)})
	want.Joined = true
	if got := c.m.mem.Tenures["db"]; len(got) != 1 || got[0] != want {
		t.Errorf("in step again: %+v", got)
	}

	// A machine that has no right, whose DRBD somebody promotes.
	m := New(boot, stonith(), mem, &BootMemory{Boot: "boot-1", Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}})
	m.mem.Floor = 12
	c = conversing(t, m)
	primary(false, at)
	primary(true, at.Add(2*time.Hour))
	primary(true, at.Add(3*time.Hour))
	if got := m.mem.Tenures["db"]; len(got) != 2 || got[1] != (recovery.Tenure{Epoch: 12, From: at.Add(2 * time.Hour)}) {
		t.Errorf("promoted by hand: %+v", got)
	}
}

func TestCopyThatIsShownAsPrimaryALittleTooLongIsNoTenureOfItsOwn(t *testing.T) {
	c := conversing(t, holder(stonith()))
	c.step(Storage{Resource: "r0", Known: true, Primary: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}})
	g := c.m.by["db"]
	g.phase, g.right = Stopped, right{}
	for range 10 {
		c.step(Tick{})
	}
	if got := c.m.mem.Tenures["db"]; len(got) != 1 || !got[0].Leased {
		t.Errorf("%+v", got)
	}
}

// Copying a volume away may take hours. Called off meanwhile, it is broken off: the
// next recovery's errands would wait behind it.
func TestCopyingIsBrokenOffWhenTheRecoveryIsCalledOff(t *testing.T) {
	for name, instead := range map[string]leader.GroupAnswer{
		"none": {}, "another": {Task: &arbiter.Task{Recovery: 1<<32 | 2, Round: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c := conversing(t, New(boot, stonith(), NewMemory(), &BootMemory{Boot: stonith().Boot, Cleared: true}))
			c.step(Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}})
			if _, ok := first[Carry](c.told(leader.GroupAnswer{Task: taskAt(4)})); !ok {
				t.Fatal("it does not begin")
			}
			if _, ok := first[BreakOff](c.told(leader.GroupAnswer{Task: taskAt(4)})); ok {
				t.Fatal("broken off though it is wanted")
			}
			if _, ok := first[BreakOff](c.told(instead)); !ok {
				t.Error("it copies on")
			}
		})
	}
}

// The victim parts the two to give the flag anew, in the moment in which the survivor
// says that the resync is over. Nothing of the recovery connects them after that.
func TestWhatARecoveryLeavesAloneIsConnectedOnceMore(t *testing.T) {
	out := arbiter.Exclusion{Number: 1<<32 | 1}
	alone := Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}}
	seeking := Storage{Resource: "r0", Known: true, Disks: alone.Disks}
	for name, task := range map[string]*arbiter.Task{"the resync is followed": taskAt(8), "it had not come so far": taskAt(3)} {
		c := conversing(t, idle(stonith()))
		c.step(seeking)
		carry, _ := first[Carry](c.told(leader.GroupAnswer{Own: out, Task: task, Apart: true}))
		c.step(alone)
		c.told(leader.GroupAnswer{Own: out})
		c.step(Carried{Group: "db", Task: carry.Task})
		for round := range 3 {
			joined := false
			for range 20 {
				joined = joined || has[Join](c.told(leader.GroupAnswer{Own: out}))
			}
			if want := round == 0 && task.Step == 8; joined != want {
				t.Errorf("%s: when the two are alone for the %d. time: connected %v", name, round+1, joined)
			}
			c.step(seeking)
			c.step(alone)
		}
	}
}

// A victim that lost its power in the resync has lost what its disk's cache had. Told to
// go on before it knows its own disk, it waits for that.
func TestVictimThatStartsInTheMiddleOfTheResyncIsNotBelieved(t *testing.T) {
	cfg := stonith()
	c := conversing(t, New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{}}))
	follow := leader.GroupAnswer{Task: taskAt(8), Apart: true}
	if has[Carry](c.told(follow)) {
		t.Fatal("the resync is followed, and the disk is not known")
	}
	actions := c.step(Storage{Resource: "r0", Known: true, Alone: true, Disks: []arbiter.Disk{{Own: "Inconsistent"}}})
	for range 20 {
		actions = append(actions, c.told(follow)...)
	}
	if a, ok := first[Invalidate](actions); !ok || !a.GivenUp || has[Carry](actions) {
		t.Fatalf("declared bad as a whole: %v; connected before: %v", has[Invalidate](actions), has[Carry](actions))
	}
	actions = c.step(InvalidateDone{Group: "db"})
	for range 20 {
		actions = append(actions, c.told(follow)...)
	}
	if !has[Carry](actions) {
		t.Error("the resync is not followed after that")
	}
}

// A side that was Secondary throughout has nothing that its peer lacks, so the two have not
// split; for as long as somebody looks.
func TestCopyWithNothingOfItsOwnIsToldFromOneThatMayHave(t *testing.T) {
	one := []arbiter.Disk{{Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}}
	apart := []arbiter.Disk{{Own: arbiter.UpToDate}}
	for name, is := range map[string]struct {
		seen []Storage
		idle bool
	}{
		"not seen as one":       {[]Storage{{Known: true, Disks: apart}}, false},
		"parted":                {[]Storage{{Known: true, Disks: one}, {Known: true, Alone: true, Disks: apart}}, true},
		"promoted meanwhile":    {[]Storage{{Known: true, Disks: one}, {Known: true, Primary: true, Disks: apart}, {Known: true, Disks: apart}}, false},
		"Primary as they part":  {[]Storage{{Known: true, Primary: true, Disks: one}, {Known: true, Disks: apart}}, false},
		"nobody looked between": {[]Storage{{Known: true, Disks: one}, {}, {Known: true, Disks: apart}}, false},
		"one again":             {[]Storage{{Known: true, Primary: true, Disks: apart}, {Known: true, Disks: one}}, true},
	} {
		c := conversing(t, idle(stonith()))
		for _, s := range is.seen {
			s.Resource = "r0"
			c.step(s)
		}
		if b, ok := first[Beat](c.told(leader.GroupAnswer{})); !ok || b.Beat.Groups[0].Idle != is.idle {
			t.Errorf("%s: it says %+v", name, b.Beat.Groups)
		}
	}
}

func TestSideSaysWhetherItWillBeDeclaredBad(t *testing.T) {
	for _, spoilt := range []bool{false, true} {
		m := holder(stonith())
		m.mem.Groups["db"] = GroupMemory{Spoilt: spoilt}
		c := conversing(t, m)
		c.step(Storage{Resource: "r0", Known: true, Disks: []arbiter.Disk{{Own: arbiter.UpToDate}}})
		measure, _ := first[Measure](c.told(leader.GroupAnswer{Task: &arbiter.Task{Recovery: 7, Round: 2}}))
		said, _ := reported[leader.Measured](t, c.step(SideMeasured{Group: "db", Task: measure.Task}))
		if said.Side.Distrusted != spoilt {
			t.Errorf("its disk has failed: %t, and it says %t", spoilt, said.Side.Distrusted)
		}
	}
}
