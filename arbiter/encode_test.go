package arbiter_test

import (
	"strings"
	"testing"

	"sbarbiter/arbiter"
)

// everyCommand holds one command of each kind, with something in every field
// that a reader could get wrong.
func everyCommand() []arbiter.Command {
	c := arbiter.Caller{Cluster: pair, Node: "node-a", Boot: "a1", Incarnation: 1, Request: 2, Floor: 4}
	ev := arbiter.Evidence{
		Disks:    []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.Consistent, Connected: true}},
		Watchdog: arbiter.Watchdog{Armed: true, Timeout: 5e9},
	}
	j := arbiter.Judgement{Epoch: 4, Suspected: true, Peer: &ev}
	report := arbiter.Report{Groups: map[arbiter.GroupID]arbiter.GroupReport{"nfs": {Holder: "node-a", Epoch: 4, Obtained: 1<<32 | 1}}}
	return []arbiter.Command{
		arbiter.Lead{Nonce: 1<<64 - 1},
		arbiter.Renounce{Shown: arbiter.Version{Incarnation: 2}},
		arbiter.Define{Definition: arbiter.Definition{Cluster: pair, Timing: timing()}, By: "ops"},
		arbiter.NodeUp{Caller: c, Report: report},
		arbiter.Acquire{Caller: c, Group: "nfs", Evidence: ev, Judgement: j},
		arbiter.Started{Caller: c, Group: "nfs", Epoch: 4},
		arbiter.Release{Caller: c, Group: "nfs", Epoch: 4, Reason: "because <&>"},
		arbiter.Exclude{Caller: c, Group: "nfs", Epoch: 4, Evidence: ev, Judgement: j},
		arbiter.OwnWord{Caller: c, Number: 3},
		arbiter.Readmit{Caller: c, Node: "node-b", Number: 1<<32 | 1, Evidence: ev},
		arbiter.Begin{Caller: c, Mandate: 1, Readings: []arbiter.Reading{{Device: "bmc", Power: "on", At: 7}}},
		arbiter.ReportFence{Caller: c, Mandate: 1, Grade: arbiter.E3, InFlight: true},
		arbiter.EndMandate{Cluster: pair, Mandate: 1, Phase: arbiter.Open},
		arbiter.Order{Cluster: pair, To: "node-b", Target: &ev},
		arbiter.Standby{Cluster: pair, On: true},
		arbiter.Maintenance{Cluster: pair, Until: 1},
		arbiter.GiveUp{Cluster: pair, Group: "nfs", Node: "node-a", Kept: &arbiter.Evidence{References: 1}, By: "ops", Reason: "r", Lost: true, Alive: true, Word: 2},
		arbiter.Confirm{Cluster: pair, Epochs: []arbiter.Epoch{4}},
		arbiter.Rehearse{Cluster: pair, Node: "node-b", ExecutorHeard: true, By: "ops"},
		arbiter.Armed{Caller: arbiter.Caller{Cluster: pair}, Group: "g", Epoch: 4, Watchdog: arbiter.Watchdog{Armed: true}},
		arbiter.Calm{Cluster: pair, Shot: true},
		arbiter.Resolve{Cluster: pair, Group: "nfs", Order: arbiter.RecoveryOrder{By: "ops", Discard: "node-b", DryRun: true, WhenBack: true, AtMost: new(uint64)}},
		arbiter.Show{Cluster: pair, Group: "nfs", Order: arbiter.RecoveryOrder{By: "ops", Policy: "discard-node", DryRun: true}},
		arbiter.Measured{Caller: c, Group: "nfs", Recovery: 1<<32 | 1, Round: 2, Side: sideOf("node-a", "fork", 3)},
		arbiter.Unmeasured{Cluster: pair, Group: "nfs", Recovery: 1<<32 | 1, Round: 2, Node: "node-a", Why: "x"},
		arbiter.MeasureAgain{Cluster: pair, Group: "nfs", Recovery: 1<<32 | 1},
		arbiter.Approve{Cluster: pair, Group: "nfs", Recovery: 1<<32 | 1, Revision: 7, By: "ops", AtMost: new(uint64)},
		arbiter.StepDone{Caller: c, Group: "nfs", Recovery: 1<<32 | 1, Tries: 1, Attempt: 1, Step: 3, Note: "x", Failure: "y", Unkept: true},
		arbiter.CancelRecovery{Cluster: pair, Group: "nfs", Recovery: 1<<32 | 1, By: "ops", Reason: "x", Abandon: true},
		arbiter.Remark{Cluster: pair, Node: "node-a", Rule: "stop nfs on node-a", State: "tight", Sentence: "x"},
	}
}

func TestEveryCommandGoesThroughTheLog(t *testing.T) {
	for _, cmd := range everyCommand() {
		roundTrip(t, arbiter.Entry{At: 1, Command: cmd})
	}
}

// A witness that skipped what it cannot read would decide on another state than
// the others: it must stop, and say which program can read it.
func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"later format", `{"v":2,"at":1,"kind":"Lead","body":{},"seal":"x"}`, "format 2"},
		{"no format", `{"at":1,"kind":"Lead","body":{}}`, "format 0"},
		{"unknown kind", `{"v":1,"at":1,"kind":"Abdicate","body":{}}`, `unknown command "Abdicate"`},
		{"unknown field", `{"v":1,"at":1,"kind":"Lead","body":{"nonce":1,"crown":true}}`, "crown"},
		{"unknown field around it", `{"v":1,"at":1,"kind":"Lead","body":{"nonce":1},"crown":true}`, "crown"},
		{"unknown field deep inside", `{"v":1,"at":1,"kind":"Acquire","body":{"evidence":{"mood":"good"}}}`, "mood"},
		{"no body", `{"v":1,"at":1,"kind":"Lead"}`, "Lead"},
		{"wrong type", `{"v":1,"at":1,"kind":"Lead","body":{"nonce":-1}}`, "nonce"},
		{"torn", `{"v":1,"at":1,"kind":"Le`, "unexpected end"},
		{"two in one", `{"v":1,"at":1,"kind":"Lead","body":{}}{}`, "after top-level value"},
		{"nothing", ``, "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := arbiter.DecodeCommand([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("read %+v, error %v; want an error that says %q", e, err, c.says)
			}
		})
	}
}

func TestDamagedSnapshotsAreErrors(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"later format", `{"v":2,"state":{},"seal":"x"}`, "format 2"},
		{"unknown field", `{"v":1,"state":{"clusters":{},"crown":1}}`, "crown"},
		{"no state", `{"v":1,"state":null}`, "no state"},
		{"no clusters", `{"v":1,"state":{"clusters":null}}`, "no state"},
		{"hollow cluster", `{"v":1,"state":{"clusters":{"pair":null}}}`, "pair"},
		{"foreign cluster", `{"v":1,"state":{"clusters":{"pair":{}}}}`, "pair"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := arbiter.DecodeState([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("read %+v, error %v; want an error that says %q", s, err, c.says)
			}
		})
	}
}

// A definition with several faults names them in the same order everywhere.
func TestOutcomesDoNotDependOnMapOrder(t *testing.T) {
	def := arbiter.Definition{Cluster: pair, Nodes: [2]arbiter.NodeID{"node-a", "node-b"}, Timing: timing(), Groups: map[arbiter.GroupID]arbiter.GroupDefinition{}}
	for _, id := range []arbiter.GroupID{"a", "b", "c", "d", "e", "f"} {
		def.Groups[id] = arbiter.GroupDefinition{Preferred: "node-x", MinimumGrade: arbiter.E5 + 1}
	}
	first := arbiter.NewState().Apply(1, arbiter.Entry{Command: arbiter.Define{Definition: def}}).Verdict
	if first.Reason != arbiter.BadDefinition {
		t.Fatalf("taken: %+v", first)
	}
	for range 20 {
		if v := arbiter.NewState().Apply(1, arbiter.Entry{Command: arbiter.Define{Definition: def}}).Verdict; v != first {
			t.Fatalf("one says\n%s\nanother says\n%s", first.Sentence, v.Sentence)
		}
	}
}

// FuzzDecodeCommand: whatever can be decoded can be applied and written again.
func FuzzDecodeCommand(f *testing.F) {
	for _, cmd := range everyCommand() {
		b, err := arbiter.EncodeCommand(arbiter.Entry{At: 1, Command: cmd})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := arbiter.DecodeCommand(b)
		if err != nil {
			return
		}
		roundTrip(t, e)
		for _, s := range []*arbiter.State{arbiter.NewState(), held(t).state} {
			s.Apply(100, e)
			restored(t, s)
		}
	})
}

// held returns a pair whose group nfs node-a holds, with a shot at it begun.
func held(t testing.TB) *stage {
	t.Helper()
	s := newStage()
	for _, line := range []string{
		"define stonith watchdog groups=nfs,web", "node-a up", "node-b up", "node-a acquire nfs in-step watchdog=hardware",
		"node-b acquire nfs suspected", "node-b begin 1 suspected readings=bmc:on",
	} {
		if _, err := s.play(line); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
