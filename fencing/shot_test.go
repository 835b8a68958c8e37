package fencing

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sbarbiter/internal/boottime"
)

var errNoAnswer = errors.New("no answer")

// referee watches a shot from outside and remembers what it needs to judge it.
type referee struct {
	t        *rapid.T
	spec     Spec
	shot     *Shot
	now      boottime.Instant
	last     boottime.Instant
	reads    map[Call]DeviceName
	offs     map[Call]DeviceName
	level    int
	answers  []Reading // delivered in time
	heard    boottime.Instant
	finished *Result
}

// TestWhateverHappensRulesHold plays random devices, random signs of life and
// random pauses against the machine.
func TestWhateverHappensRulesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		shot, err := NewShot(spec)
		if err != nil {
			t.Fatalf("spec: %v", err)
		}
		r := &referee{t: t, spec: spec, shot: shot, now: spec.Start, last: spec.Start, reads: map[Call]DeviceName{}, offs: map[Call]DeviceName{}}
		for range 400 {
			r.round()
			if r.finished != nil {
				r.judge()
				return
			}
		}
		// Enough time for any shot to have ended has not passed: let it.
		r.now = spec.Deadline
		r.step(Tick{})
		if r.finished == nil {
			t.Fatal("the deadline passed and the shot goes on")
		}
		r.judge()
	})
}

func drawSpec(t *rapid.T) Spec {
	topologies := []Topology{
		{Levels: [][]DeviceName{{"a"}}},
		{Levels: [][]DeviceName{{"a"}, {"b"}}},
		{Levels: [][]DeviceName{{"a", "b"}, {"c"}}},
		{Levels: [][]DeviceName{{"a", "b"}}, Partial: []DeviceName{"a", "b"}},
		{Levels: [][]DeviceName{{"a"}, {"b", "c"}}, Partial: []DeviceName{"b", "c"}},
	}
	s := Spec{
		Target: "node-a", Executor: "node-b", Topology: rapid.SampledFrom(topologies).Draw(t, "topology"),
		Start: origin, StartBy: origin.Add(2 * time.Second),
		Deadline: origin.Add(rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Second, 15 * time.Second}).Draw(t, "deadline")), MaxGap: time.Second,
		Limits: map[DeviceName]Limits{},
	}
	for _, d := range s.Topology.Devices() {
		s.Limits[d] = Limits{Call: time.Second, Settle: 2 * time.Second, Poll: 100 * time.Millisecond, Retry: 300 * time.Millisecond, Attempts: 2, Total: 6 * time.Second}
		switch rapid.SampledFrom([]string{"nothing", "on", "off", "contradicted"}).Draw(t, "known") {
		case "on":
			s.Before = append(s.Before, Reading{Device: d, Power: PowerOn})
		case "off":
			s.Before = append(s.Before, Reading{Device: d, Power: PowerOff})
		case "contradicted":
			if rapid.Bool().Draw(t, "really") {
				s.Contradicted = append(s.Contradicted, d)
			}
		}
	}
	return s
}

func (r *referee) round() {
	r.now = r.now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 20, 100, 240}).Draw(r.t, "ms")) * time.Millisecond)
	if rapid.IntRange(0, 60).Draw(r.t, "pause") == 0 {
		r.now = r.now.Add(1500 * time.Millisecond)
	}
	switch rapid.IntRange(0, 40).Draw(r.t, "happening") {
	case 0:
		r.heard = r.now
		r.step(Heard{})
		return
	case 1, 2, 3, 4:
		r.step(Tick{})
		return
	}
	if calls := sortedCalls(r.reads); len(calls) > 0 {
		c := calls[0]
		d := r.reads[c]
		delete(r.reads, c)
		ev := ReadDone{Call: c, Power: rapid.SampledFrom([]Power{PowerOn, PowerOff, PowerUnknown}).Draw(r.t, "power")}
		if ev.Power == PowerUnknown {
			ev.Err = errNoAnswer
		} else if r.now < r.spec.Deadline {
			r.answers = append(r.answers, Reading{Device: d, Power: ev.Power, At: r.now})
		}
		r.step(ev)
		return
	}
	if calls := sortedCalls(r.offs); len(calls) > 0 {
		c := calls[0]
		delete(r.offs, c)
		r.step(OffDone{Call: c, Err: rapid.SampledFrom([]error{nil, nil, errNoAnswer, ErrAuth}).Draw(r.t, "answer")})
		return
	}
	r.step(Tick{})
}

func sortedCalls(m map[Call]DeviceName) []Call {
	var calls []Call
	for c := range m {
		calls = append(calls, c)
	}
	slices.Sort(calls)
	return calls
}

func (r *referee) step(ev Event) {
	paused := r.last != r.spec.Start && r.now.Sub(r.last) > r.spec.MaxGap
	actions := r.shot.Step(r.now, ev)
	r.last = r.now
	for _, a := range actions {
		switch a := a.(type) {
		case Read:
			r.allowed(a.Device, paused)
			r.reads[a.Call] = a.Device
		case Off:
			r.allowed(a.Device, paused)
			if len(r.offs) == 0 && !r.shot.sent && r.now > r.spec.StartBy {
				r.t.Fatalf("first off at %v", r.now)
			}
			if a.NotAfter > r.spec.Deadline {
				r.t.Fatalf("%s may be sent off after the deadline", a.Device)
			}
			r.offs[a.Call] = a.Device
		case Wait:
			if a.Until > r.now.Add(r.spec.MaxGap/2) || a.Until > r.spec.Deadline {
				r.t.Fatalf("waits from %v until %v", r.now, a.Until)
			}
		case Finish:
			r.finished = &a.Result
		}
	}
}

func (r *referee) allowed(d DeviceName, paused bool) {
	level := slices.IndexFunc(r.spec.Topology.Levels, func(l []DeviceName) bool { return slices.Contains(l, d) })
	switch {
	case r.finished != nil:
		r.t.Fatalf("%s is asked after the end", d)
	case r.now >= r.spec.Deadline:
		r.t.Fatalf("%s is asked after the deadline", d)
	case paused:
		r.t.Fatalf("%s is asked after a pause", d)
	case level < r.level:
		r.t.Fatalf("%s of level %d is asked after level %d", d, level, r.level)
	case slices.Contains(r.spec.Contradicted, d):
		r.t.Fatalf("%s contradicted a living node and is asked", d)
	}
	r.level = level
}

// judge looks for the transition that a proof needs, on its own account.
func (r *referee) judge() {
	res := *r.finished
	if res.Proven != (res.Grade >= E3) {
		r.t.Fatalf("proven %t at %s", res.Proven, res.Grade)
	}
	if !res.Proven {
		if res.Grade != E0 || res.Reason == "" {
			r.t.Fatalf("%s without proof, because %q", res.Grade, res.Reason)
		}
		return
	}
	for _, level := range r.spec.Topology.Levels {
		off := !slices.ContainsFunc(level, func(d DeviceName) bool { return !r.wentOff(d) })
		if off && slices.ContainsFunc(level, r.wasOn) {
			return
		}
	}
	r.t.Fatalf("proven without a device that went from on to off: %s\n%s", res, strings.Join(res.Explain(), "\n"))
}

func (r *referee) wentOff(d DeviceName) bool {
	for _, a := range slices.Backward(r.answers) {
		if a.Device == d {
			return a.Power == PowerOff && (r.heard.IsZero() || r.heard < a.At || r.heard == a.At)
		}
	}
	return false
}

func (r *referee) wasOn(d DeviceName) bool {
	on := func(x Reading) bool { return x.Device == d && x.Power == PowerOn }
	return slices.ContainsFunc(r.spec.Before, on) || slices.ContainsFunc(r.answers, on)
}
