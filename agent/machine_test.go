package agent

import (
	"slices"
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

const boot = boottime.Instant(100 * time.Second)

func profile(ttl, stop, wd, reset, late time.Duration) Config {
	return Config{
		Cluster: "pair", Node: "node-a", Peer: "node-b", Boot: "boot-1", Incarnation: 3, Needed: 1, CanFence: true,
		Groups:   []GroupConfig{{ID: "db", Resources: []string{"r0"}}},
		Watchdog: arbiter.Watchdog{Armed: true, Hardware: true, Timeout: wd},
		Timing: Timing{Stop: stop, Reset: reset, Late: late, Timing: arbiter.Timing{
			TTL: ttl, Promise: ttl, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
			SuspectAfter: time.Second, FenceTimeout: 10 * time.Second,
		}},
	}
}

func stonith() Config {
	return profile(20*time.Second, 10*time.Second, 5*time.Second, 2*time.Second, 500*time.Millisecond)
}

// holder returns the machine of an agent restarted under a right whose renewal
// was sent at boot.
func holder(cfg Config) *Machine {
	return New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{
		"db": {Epoch: 8, Lease: boot.Add(cfg.Timing.TTL), Started: true},
	}})
}

func first[T Action](actions []Action) (T, bool) {
	for _, a := range actions {
		if a, ok := a.(T); ok {
			return a, true
		}
	}
	var none T
	return none, false
}

// until ticks a machine until it asks for an action, and returns how long after
// boot that was.
func until[T Action](t *testing.T, m *Machine) time.Duration {
	t.Helper()
	for d := time.Duration(0); d < time.Minute; d += 10 * time.Millisecond {
		if _, ok := first[T](m.Step(boot.Add(d), Tick{})); ok {
			return d
		}
	}
	t.Fatal("never")
	return 0
}

func TestStopInstantsByProfile(t *testing.T) {
	for _, c := range []struct {
		name       string
		cfg        Config
		soft, hard time.Duration
	}{
		{"STONITH", stonith(), 2450 * time.Millisecond, 12450 * time.Millisecond},
		{"watchdog", profile(15*time.Second, 5*time.Second, 4*time.Second, 2*time.Second, 500*time.Millisecond), 3460 * time.Millisecond, 8460 * time.Millisecond},
		{"tight", profile(8*time.Second, 3*time.Second, 2*time.Second, time.Second, 250*time.Millisecond), 1730 * time.Millisecond, 4730 * time.Millisecond},
	} {
		m := holder(c.cfg)
		if soft := until[Stop](t, m); soft != c.soft {
			t.Errorf("%s: soft stop %v after the renewal was sent, want %v", c.name, soft, c.soft)
		}
		if hard := until[Reset](t, m); hard != c.hard {
			t.Errorf("%s: reset %v after the renewal was sent, want %v", c.name, hard, c.hard)
		}
	}
}

func TestRestartInTheSameBootTouchesNoService(t *testing.T) {
	m := holder(stonith())
	for d := time.Duration(0); d < 2*time.Second; d += 50 * time.Millisecond {
		for _, a := range slices.Concat(m.Step(boot.Add(d), Tick{}), m.Step(boot.Add(d), Found{Group: "db", Up: true})) {
			switch a.(type) {
			case Start, Stop, Barrier, Reset:
				t.Fatalf("%T after %v", a, d)
			}
		}
	}
}

func TestStopCutShortByARestartRunsToItsEnd(t *testing.T) {
	cfg := stonith()
	m := New(boot, cfg, NewMemory(), &BootMemory{Boot: cfg.Boot, Cleared: true, Groups: map[arbiter.GroupID]HeldRight{
		"db": {Epoch: 8, Lease: boot.Add(cfg.Timing.TTL), Started: true, Stopping: true},
	}})
	if _, ok := first[Stop](m.Step(boot, Found{Group: "db", Up: true})); !ok {
		t.Fatal("the stop was forgotten")
	}
}

func TestStopThatRenewalsWouldLengthenEndsInAReset(t *testing.T) {
	m := holder(stonith())
	m.stop(boot, m.groups[0], "switchover")
	m.groups[0].right.lease = boot.Add(time.Hour)
	if at := until[Reset](t, m); at != 10*time.Second {
		t.Fatalf("reset after %v, want the time granted to a stop", at)
	}
}

func TestGrantAgainstAPromise(t *testing.T) {
	for _, c := range []struct {
		name    string
		basis   arbiter.Basis
		allowed bool
	}{
		{"first grant", arbiter.Basis{}, true},
		{"clock", arbiter.Basis{Cause: arbiter.ByClock, Holder: "node-b", Epoch: 8}, false},
		{"report to a witness without memory", arbiter.Basis{Cause: arbiter.ByReport, Holder: "node-b", Epoch: 8}, false},
		{"operator's word", arbiter.Basis{Cause: arbiter.ByOperator, Holder: "node-b", Epoch: 8}, false},
		{"receipt", arbiter.Basis{Cause: arbiter.ByReceipt, Holder: "node-b", Epoch: 8}, true},
		{"receipt of an earlier epoch", arbiter.Basis{Cause: arbiter.ByReceipt, Holder: "node-b", Epoch: 4}, false},
		{"boot", arbiter.Basis{Cause: arbiter.ByBoot, Holder: "node-b", Epoch: 8}, true},
		{"shot after the promise", arbiter.Basis{Cause: arbiter.ByFence, Holder: "node-b", Epoch: 8, Mandate: 6}, true},
		{"shot before the promise", arbiter.Basis{Cause: arbiter.ByFence, Holder: "node-b", Epoch: 8, Mandate: 5}, false},
	} {
		m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
		g := m.groups[0]
		g.promised = promise{epoch: 8, until: boot.Add(time.Hour), mandate: 5}
		if why := m.objection(boot.Add(time.Minute), g, c.basis); (why == "") != c.allowed {
			t.Errorf("%s: allowed %v, want %v (%s)", c.name, why == "", c.allowed, why)
		}
		if why := m.objection(boot.Add(2*time.Hour), g, c.basis); why != "" {
			t.Errorf("%s: refused after the promise has run out: %s", c.name, why)
		}
	}
}

// What was concluded of a peer that was silent counts for nothing while it says that it
// runs the group; its own word does, which its last beats before it contradict.
func TestGrantWhileThePeerSaysThatItRuns(t *testing.T) {
	for cause, refused := range map[arbiter.Cause]bool{
		arbiter.ByFence: true, arbiter.ByClock: true, arbiter.ByOperator: true, arbiter.ByReceipt: false, arbiter.ByBoot: false, arbiter.ByNothing: false,
	} {
		m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
		m.bindsTo = boot
		m.Step(boot.Add(time.Minute), PeerHeard{Fresh: true, Beat: PeerBeat{Groups: []PeerGroup{{Group: "db", InOffice: true, Epoch: 8}}}})
		why := m.objection(boot.Add(time.Minute), m.groups[0], arbiter.Basis{Cause: cause, Holder: "node-b", Epoch: 8, Mandate: 9})
		if (why != "") != refused {
			t.Errorf("%q: %q", cause, why)
		}
	}
}

func TestBootOfAReinstatedPeerIsNoLaterWord(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.remember(g, func(gm *GroupMemory) { gm.Holder, gm.Epoch, gm.Reinstated = "node-b", 8, 8 })
	if m.objection(boot, g, arbiter.Basis{Cause: arbiter.ByBoot, Holder: "node-b", Epoch: 8}) == "" {
		t.Fatal("a grant was accepted that rests on the boot under which the peer was promised the group")
	}
}

func TestExitCodesOfFencePeer(t *testing.T) {
	for reason, code := range map[arbiter.Reason]int{
		"": 4, arbiter.GrantedToPeer: 6, arbiter.MandateBegun: 6, arbiter.LastCopy: 1, arbiter.DiskUnusable: 1, arbiter.NotHolder: 1,
		arbiter.RenewFirst: 0, arbiter.WitnessLearning: 0, arbiter.UnknownGroup: 0, arbiter.NotIntroduced: 0, arbiter.Overtaken: 0,
	} {
		m := holder(stonith())
		call, _ := first[Call](m.Step(boot, FencePeer{Call: 7, Resource: "r0"}))
		v := arbiter.Verdict{Kind: arbiter.Refused, Reason: reason}
		if reason == "" {
			v = arbiter.Verdict{Kind: arbiter.Done, Number: 9}
		}
		out := m.Step(boot+1, CallDone{Request: call.Request, Verdict: v})
		e, exits := first[Exit](out)
		_, resets := first[Reset](out)
		if exits != (code != 0) || exits && e.Code != code || resets != (code == 1 || code == 6) {
			t.Errorf("%q: exit %v %d, reset %v; want code %d", reason, exits, e.Code, resets, code)
		}
		if code == 4 && !isSave(out[0]) {
			t.Errorf("exit 4 before the exclusion is stored")
		}
	}
	m := holder(stonith())
	if e, ok := first[Exit](m.Step(boot, FencePeer{Call: 7, Resource: "foreign"})); !ok || e.Code != 1 {
		t.Error("a resource that nobody manages is not refused with 1")
	}
}

func isSave(a Action) bool { _, ok := a.(Save); return ok }

func TestBootIsAQuarantine(t *testing.T) {
	mem := NewMemory()
	mem.Groups["db"] = GroupMemory{Holder: "node-a", Epoch: 8}
	m := New(boot, stonith(), mem, &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	var tell Tell
	for d := time.Duration(0); d < 30*time.Second; d += 50 * time.Millisecond {
		out := m.Step(boot.Add(d), PeerHeard{Fresh: true, Beat: PeerBeat{Echo: tell.Beat.Number, Groups: []PeerGroup{{Group: "db", InOffice: true, Epoch: 12}}}})
		if _, ok := first[Start](out); ok {
			t.Fatal("started without a word from anybody")
		}
		if next, ok := first[Tell](out); ok {
			tell = next
			if tell.Beat.Groups[0].Promised != 0 {
				t.Fatal("a promise out of quarantine")
			}
		}
	}
}

func TestAnswerThatWitnessIsLearningClearsNoExclusion(t *testing.T) {
	m := New(boot, stonith(), NewMemory(), &BootMemory{Groups: map[arbiter.GroupID]HeldRight{}})
	g := m.groups[0]
	m.giveWord(g)
	word := m.mem.Groups["db"].OwnWord
	m.learnExclusions(g, leader.GroupAnswer{Group: "db", Own: arbiter.Exclusion{OwnWord: word}})
	m.learnExclusions(g, leader.GroupAnswer{Group: "db", Reason: arbiter.WitnessLearning})
	if m.mem.Groups["db"].OwnWord != word {
		t.Fatal("the node's own exclusion was forgotten")
	}
}
