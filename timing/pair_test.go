package timing

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// pair is two nodes with the profile's numbers, a hardware watchdog, one fence
// device each and a kernel that notices within 1.5 s.
func pair(name ProfileName) Pair {
	plan, _ := Profile(name)
	p := Pair{
		TTL: plan.TTL, Promise: plan.Promise, Renew: plan.Renew, RPCTimeout: plan.RPCTimeout, SuspectAfter: plan.SuspectAfter,
		FenceTimeout: 15 * sec, STONITH: name == ProfileSTONITH, Watchdog: true, Groups: []GroupRules{{Name: "nfs", AtE2: true}},
	}
	for _, node := range []string{"node-a", "node-b"} {
		n := Node{
			Name: node, Plan: plan, ReadBack: plan.Watchdog, Hardware: true,
			Groups: []Group{{
				Name: "nfs", StartBudget: 60 * sec, StopBudget: plan.Stop,
				DRBD: []DRBD{{Resource: "r0", PingInt: sec, PingTimeout: 500 * ms, Timeout: 6 * sec, KoCount: 7}},
			}},
		}
		if p.STONITH {
			n.Fence = 12 * sec
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p
}

func TestEveryProfileHolds(t *testing.T) {
	for name, want := range map[ProfileName]struct{ soft, hard time.Duration }{
		ProfileSTONITH: {2450 * ms, 12450 * ms}, ProfileWatchdog: {3460 * ms, 8460 * ms}, ProfileWatchdogTight: {1730 * ms, 4730 * ms},
	} {
		plan, _ := Profile(name)
		if plan.SoftStop() != want.soft || plan.HardStop() != want.hard {
			t.Errorf("%s stops at %v and %v, not %v and %v", name, plan.SoftStop(), plan.HardStop(), want.soft, want.hard)
		}
		for _, r := range pair(name).Rules() {
			if r.State() != Holds {
				t.Errorf("%s: %s of %s is %s: %s", name, r.Name, r.Subject, r.State(), r)
			}
		}
	}
}

func TestEachNumberBreaksItsOwnRule(t *testing.T) {
	for want, change := range map[string]func(*Pair, *Node){
		"suspicion":   func(p *Pair, _ *Node) { p.SuspectAfter = 999 * ms },
		"lease":       func(_ *Pair, n *Node) { n.ReadBack = 8 * sec },
		"promise":     func(_ *Pair, n *Node) { n.Plan.Promise = 18 * sec },
		"agreement":   func(p *Pair, _ *Node) { p.TTL = 30 * sec },
		"fence":       func(p *Pair, _ *Node) { p.FenceTimeout = 10 * sec },
		"shot":        func(_ *Pair, n *Node) { n.Shot = Measured{Count: 1, P999: 13 * sec} },
		"answer":      func(_ *Pair, n *Node) { n.Answer = Measured{Count: enough, P999: 251 * ms} },
		"stop budget": func(_ *Pair, n *Node) { n.Groups[0].StopBudget = 11 * sec },
		"stop":        func(_ *Pair, n *Node) { n.Groups[0].Stop = Measured{Count: 1, P999: 10100 * ms} },
		"start":       func(_ *Pair, n *Node) { n.Groups[0].Start = Measured{Count: 1, P999: 61 * sec} },
		"drbd":        func(_ *Pair, n *Node) { n.Groups[0].DRBD[0].PingInt = 12 * sec },
	} {
		p := pair(ProfileSTONITH)
		change(&p, &p.Nodes[1])
		var broken []string
		for _, r := range p.Rules() {
			if r.State() != Broken {
				continue
			}
			broken = append(broken, r.Name)
			if r.Why == "" || r.Change == "" || !strings.Contains(r.String(), " < ") {
				t.Errorf("%s: neither why nor a way out in %+v", want, r)
			}
		}
		if want == "lease" {
			broken = slices.DeleteFunc(broken, func(name string) bool { return name == "promise" }) // the same sum
		}
		if !slices.Equal(slices.Compact(broken), []string{want}) {
			t.Errorf("%s breaks %v", want, broken)
		}
	}
}

// The shorter ttl counts, so it is the one that has to leave time to stop.
func TestLeaseOfTheWitnessMayBeTooShortForANode(t *testing.T) {
	p := pair(ProfileSTONITH)
	p.TTL = 8 * sec
	i := slices.IndexFunc(p.Rules(), func(r Rule) bool { return r.Name == "lease" })
	if r := p.Rules()[i]; r.State() != Broken {
		t.Errorf("a node that needs 18.3 s has 8 s, and the rule says: %s", r)
	}
}

// A node goes on by what its peer promises, and that is what the peer's file says.
func TestPromiseOfThePeerMayBeTooShortForANode(t *testing.T) {
	p := pair(ProfileSTONITH)
	p.Nodes[1].Plan.Promise = 8 * sec
	i := slices.IndexFunc(p.Rules(), func(r Rule) bool { return r.Name == "promise" && r.Subject == "node-a" })
	if r := p.Rules()[i]; r.State() != Broken {
		t.Errorf("node-a needs 18.3 s and is promised 8 s, and the rule says: %s", r)
	}
}

func TestMeasuredSlackIsTightBeforeItIsGone(t *testing.T) {
	for took, want := range map[time.Duration]State{7 * sec: Holds, 8500 * ms: Tight, 10001 * ms: Broken} {
		p := pair(ProfileSTONITH)
		p.Nodes[0].Groups[0].Stop = Measured{Count: 7, P999: took}
		i := slices.IndexFunc(p.Rules(), func(r Rule) bool { return r.Name == "stop" })
		if got := p.Rules()[i].State(); got != want {
			t.Errorf("a stop of %v is %s, not %s", took, got, want)
		}
	}
}

// bounds are those of the pair, as they are printed.
func bounds(p Pair) string {
	var out []string
	for _, b := range p.Bounds() {
		out = append(out, b.String())
	}
	return strings.Join(out, "\n")
}

func TestBoundsFollowFromTheNumbers(t *testing.T) {
	p := pair(ProfileSTONITH)
	for i := range p.Nodes {
		p.Nodes[i].Shot = Measured{Count: 3, P999: 2 * sec}
		p.Nodes[i].Groups[0].Start = Measured{Count: 3, P999: 1200 * ms}
		p.Nodes[i].Groups[0].Stop = Measured{Count: 3, P999: 800 * ms}
	}
	want := `no service after a power cut: 5.7 s
no service after a power cut that takes the fence device along: 23.0 s
no service after isolation: 5.7 s
no service during a switchover: 2.8 s
writes stall after the other node is lost: 1.8 s
both nodes active: 0.0 s`
	if got := bounds(p); got != want {
		t.Errorf("with power and watchdog:\n%s\nnot\n%s", got, want)
	}
	p.WitnessShoots, p.HoldTime = true, 60*sec
	if got := bounds(p); !strings.Contains(got, "only the witness's host reaches the fence device: ") ||
		!strings.Contains(got, "lost as well within hold_time: 66.4 s") {
		t.Errorf("with the witness's host and a hold time:\n%s", got)
	}
	p = pair(ProfileWatchdogTight)
	p.Nodes[0].Groups[0].Start = Measured{Count: 1, P999: sec}
	p.Nodes[1].Groups[0].Start = Measured{Count: 1, P999: 2 * sec}
	if got := bounds(p); !strings.Contains(got, "no service after a power cut: 11.7 s") || !strings.Contains(got, "no service after isolation: 11.7 s") {
		t.Errorf("with the watchdog alone:\n%s", got)
	}
}

func TestBoundsSayWhatNeverEndsByItself(t *testing.T) {
	for why, change := range map[string]func(*Pair){
		"does not have watchdog": func(p *Pair) { p.Watchdog = false },
		"minimum_grade":          func(p *Pair) { p.Groups[0].AtE2 = false },
		"no armed watchdog":      func(p *Pair) { p.Nodes[1].ReadBack = 0 },
		"stands still":           func(p *Pair) { p.Nodes[0].Hardware = false },
	} {
		p := pair(ProfileWatchdog)
		change(&p)
		if got := bounds(p); !strings.Contains(got, "after a power cut: until somebody acts; ") || !strings.Contains(got, why) {
			t.Errorf("%s:\n%s", why, got)
		}
	}
}

func TestSlowShotThatFailsDelaysTheClock(t *testing.T) {
	p := pair(ProfileSTONITH)
	p.FenceTimeout = 40 * sec
	p.Nodes[0].Groups[0].Start, p.Nodes[1].Groups[0].Start = Measured{Count: 1, P999: sec}, Measured{Count: 1, P999: sec}
	if got := bounds(p); !strings.Contains(got, "along: 44.2 s") {
		t.Errorf("the shot is waited out first:\n%s", got)
	}
}

func TestShortLeaseIsTimeWithBothActive(t *testing.T) {
	p := pair(ProfileWatchdog)
	p.Nodes[0].ReadBack = 8 * sec
	if got := bounds(p); !strings.Contains(got, "both nodes active: 1.4 s") {
		t.Errorf("the watchdog counts longer than the lease:\n%s", got)
	}
}

func TestSamplesKeepTheLatest(t *testing.T) {
	s := Samples{}
	if s.Measured("stop").Known() {
		t.Error("nothing was measured")
	}
	for i := range 3000 {
		s.Add("stop", time.Duration(i)*ms)
	}
	s = DecodeSamples(s.Encode())
	if got := s.Measured("stop"); got.Count != 3000 || got.Max != 2999*ms || got.P999 != 2998*ms {
		t.Errorf("%+v", got)
	}
	if got := DecodeSamples([]byte("{")); got == nil || len(got) != 0 {
		t.Errorf("from damaged bytes: %v", got)
	}
}

func TestAFewAnswersAreNoPercentile(t *testing.T) {
	p := pair(ProfileSTONITH)
	p.Nodes[1].Answer = Measured{Count: enough - 1, P999: 251 * ms}
	for _, r := range p.Rules() {
		if r.Name == "answer" {
			t.Errorf("one slow answer after a start is an alarm: %s", r)
		}
	}
}

// Its last beats, before it suspects, promise to take no grant that rests on the clock.
func TestBoundByTheClockCountsThePromiseOfWhoTakesOver(t *testing.T) {
	p := pair(ProfileSTONITH)
	for _, b := range p.Bounds() {
		if b.After == "no service after a power cut that takes the fence device along" {
			start := b.Parts[len(b.Parts)-1].Time
			if want := sec + Guard(20*sec) + 500*ms; b.Parts.Total()-start != want {
				t.Errorf("%v and the start, not %v", b.Parts.Total()-start, want)
			}
			return
		}
	}
	t.Error("there is no such bound")
}

func TestNothingIsPromisedForNodesThatHaveNotReported(t *testing.T) {
	p := pair(ProfileSTONITH)
	p.Nodes = nil
	if b := p.Bounds(); len(b) != 0 {
		t.Errorf("with no node heard: %v", b)
	}
}
