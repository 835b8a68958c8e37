package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

// sent passes a message through its bytes.
func sent[P proto.Message](t *rapid.T, p P) P {
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out := p.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out.(P)
}

func same(t *rapid.T, want, got any, err error) {
	if err != nil {
		t.Fatalf("read %T: %v", want, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%T arrives changed (-sent +read):\n%s", want, diff)
	}
}

// carried checks that every value of a generator arrives as it was sent.
func carried[T any, P proto.Message](t *testing.T, values *rapid.Generator[T], write func(T) P, read func(P) (T, error)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		want := values.Draw(t, "value")
		got, err := read(sent(t, write(want)))
		same(t, want, got, err)
	})
}

func TestWhatIsSentArrives(t *testing.T) {
	t.Run("hello", func(t *testing.T) { carried(t, hellos, ToHello, FromHello) })
	t.Run("evidence", func(t *testing.T) { carried(t, evidences, ToEvidence, FromEvidence) })
	t.Run("definition", func(t *testing.T) { carried(t, definitions, ToDefinition, FromDefinition) })
	t.Run("basis", func(t *testing.T) { carried(t, bases, ToBasis, FromBasis) })
	t.Run("beat", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			want, clock := beats.Draw(t, "beat"), instants.Draw(t, "clock")
			got, at, err := FromBeat(sent(t, ToBeat(want, clock)))
			same(t, want, got, err)
			same(t, clock, at, nil)
		})
	})
	t.Run("answer", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			want, version, clock := beatAnswers.Draw(t, "answer"), versions.Draw(t, "version"), instants.Draw(t, "clock")
			got, v, at, err := FromBeatAnswer(sent(t, ToBeatAnswer(want, version, clock)))
			same(t, want, got, err)
			same(t, version, v, nil)
			same(t, clock, at, nil)
		})
	})
	t.Run("verdict", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			want, version := verdicts.Draw(t, "verdict"), versions.Draw(t, "version")
			got, v, err := FromVerdict(sent(t, ToVerdict(want, version)))
			same(t, want, got, err)
			same(t, version, v, nil)
		})
	})
	t.Run("record", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Record {
			return arbiter.Record{
				Index: numbers.Draw(t, "index"), At: rapid.Int64().Draw(t, "at"), Cluster: names.Draw(t, "cluster"),
				Group: arbiter.GroupID(mayNames.Draw(t, "group")), Node: arbiter.NodeID(mayNames.Draw(t, "node")), What: names.Draw(t, "what"),
				Reason: arbiter.Reason(mayNames.Draw(t, "reason")), Sentence: texts.Draw(t, "sentence"),
				Epoch: arbiter.Epoch(rapid.Uint64().Draw(t, "epoch")), Inputs: texts.Draw(t, "inputs"),
			}
		}), ToRecord, FromRecord)
	})
}

func TestRequestsArrive(t *testing.T) {
	group := func(t *rapid.T) arbiter.GroupID { return arbiter.GroupID(names.Draw(t, "group")) }
	epoch := func(t *rapid.T) arbiter.Epoch { return arbiter.Epoch(numbers.Draw(t, "epoch")) }
	t.Run("acquire", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Acquire {
			who := senders.Draw(t, "sender")
			return leader.Acquire{Seen: who.Seen, Acquire: arbiter.Acquire{Caller: who.Caller, Group: group(t), Evidence: evidences.Draw(t, "evidence")}}
		}), ToAcquire, FromAcquire)
	})
	t.Run("release", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Release {
			who := senders.Draw(t, "sender")
			return leader.Release{Seen: who.Seen, Release: arbiter.Release{
				Caller: who.Caller, Group: group(t), Epoch: epoch(t), Started: flags.Draw(t, "started"),
				Failed: flags.Draw(t, "failed"), Reason: texts.Draw(t, "reason"),
			}}
		}), ToRelease, FromRelease)
	})
	t.Run("exclude", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Exclude {
			who := senders.Draw(t, "sender")
			return leader.Exclude{Seen: who.Seen, Exclude: arbiter.Exclude{
				Caller: who.Caller, Group: group(t), Epoch: epoch(t), Promoting: flags.Draw(t, "promoting"), Evidence: evidences.Draw(t, "evidence"),
			}}
		}), ToExclude, FromExclude)
	})
	t.Run("readmit", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Readmit {
			who := senders.Draw(t, "sender")
			return leader.Readmit{Seen: who.Seen, Readmit: arbiter.Readmit{
				Caller: who.Caller, Group: group(t), Node: arbiter.NodeID(names.Draw(t, "node")),
				Number: arbiter.ExclusionNumber(numbers.Draw(t, "number")), OwnWord: rapid.Uint64().Draw(t, "word"), Evidence: evidences.Draw(t, "evidence"),
			}}
		}), ToReadmit, FromReadmit)
	})
	t.Run("begin", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.Begin {
			who := senders.Draw(t, "sender")
			return leader.Begin{Seen: who.Seen, Clock: 1 << 61, Begin: arbiter.Begin{
				Caller: who.Caller, Mandate: arbiter.MandateID(numbers.Draw(t, "mandate")), Readings: readings.Draw(t, "readings"),
			}}
		}), ToBegin, FromBegin)
	})
	t.Run("report fence", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) leader.ReportFence {
			who := senders.Draw(t, "sender")
			m := leader.ReportFence{Seen: who.Seen, Clock: 1 << 61, ReportFence: arbiter.ReportFence{
				Caller: who.Caller, Mandate: arbiter.MandateID(numbers.Draw(t, "mandate")), Grade: grades.Draw(t, "grade"),
				Readings: readings.Draw(t, "readings"), Failure: texts.Draw(t, "failure"), InFlight: flags.Draw(t, "in flight"),
				Evidence: evidences.Draw(t, "evidence"),
			}}
			return m
		}), ToReportFence, FromReportFence)
	})
}

func TestOrdersArrive(t *testing.T) {
	wall := time.Unix(1_700_000_000, 0)
	t.Run("define", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Define {
			return arbiter.Define{Definition: definitions.Draw(t, "definition"), By: "alice"}
		}), ToDefine, func(p *sbv1.AddClusterRequest) (arbiter.Define, error) { return FromDefine(p, "alice") })
	})
	t.Run("switchover", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Order {
			return arbiter.Order{
				Cluster: arbiter.ClusterID(names.Draw(t, "cluster")), Group: arbiter.GroupID(names.Draw(t, "group")),
				To: arbiter.NodeID(mayNames.Draw(t, "to")), By: "alice", Reason: texts.Draw(t, "reason"),
			}
		}), ToOrder, func(p *sbv1.SwitchoverRequest) (arbiter.Order, error) { return FromOrder(p, "alice") })
	})
	t.Run("standby", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Standby {
			return arbiter.Standby{
				Cluster: arbiter.ClusterID(names.Draw(t, "cluster")), Node: arbiter.NodeID(names.Draw(t, "node")), On: flags.Draw(t, "on"), By: "alice",
			}
		}), ToStandby, func(p *sbv1.StandbyRequest) (arbiter.Standby, error) { return FromStandby(p, "alice") })
	})
	t.Run("maintenance", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Maintenance {
			c := arbiter.Maintenance{Cluster: arbiter.ClusterID(names.Draw(t, "cluster")), On: flags.Draw(t, "on"), By: "alice"}
			if c.On && flags.Draw(t, "ends") {
				c.Until = wall.Unix() + rapid.Int64Range(1, 86400).Draw(t, "for")
			}
			return c
		}), func(c arbiter.Maintenance) *sbv1.MaintenanceRequest { return ToMaintenance(c, wall) },
			func(p *sbv1.MaintenanceRequest) (arbiter.Maintenance, error) {
				return FromMaintenance(p, "alice", wall)
			})
	})
	t.Run("confirm", func(t *testing.T) {
		carried(t, rapid.Custom(func(t *rapid.T) arbiter.Confirm {
			epochs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) arbiter.Epoch { return arbiter.Epoch(numbers.Draw(t, "epoch")) }), 0, 3)
			return arbiter.Confirm{
				Cluster: arbiter.ClusterID(names.Draw(t, "cluster")), Node: arbiter.NodeID(names.Draw(t, "node")),
				Epochs: epochs.Draw(t, "epochs"), By: "alice", Reason: texts.Draw(t, "reason"),
			}
		}), func(c arbiter.Confirm) *sbv1.ConfirmFenceRequest { return ToConfirm(c, string(c.Node)) },
			func(p *sbv1.ConfirmFenceRequest) (arbiter.Confirm, error) {
				c, typed, err := FromConfirm(p, "alice")
				if typed != p.GetNode() {
					t.Errorf("typed %q arrives as %q", p.GetNode(), typed)
				}
				return c, err
			})
	})
}

// The messages below are all good but for one thing.
func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	caller := func() *sbv1.Caller { return &sbv1.Caller{Cluster: "nfs1", Node: "node-a", Boot: "b1", Incarnation: 1} }
	beat := func(change func(*sbv1.Beat)) error {
		p := &sbv1.Beat{
			Caller: caller(), Number: 1, ClockNs: 1,
			Groups: []*sbv1.GroupBeat{{Group: "data", Phase: "stopped", Evidence: &sbv1.Evidence{}}},
		}
		change(p)
		_, _, err := FromBeat(p)
		return err
	}
	verdict := func(v *sbv1.Verdict) error { _, _, err := FromVerdict(v); return err }
	define := func(change func(*sbv1.Definition)) error {
		p := &sbv1.Definition{
			Cluster: "nfs1", Nodes: []string{"node-a", "node-b"}, Timing: &sbv1.Timing{},
			Groups: []*sbv1.GroupDefinition{{Name: "data"}},
		}
		change(p)
		_, err := FromDefinition(p)
		return err
	}
	report := func(change func(*sbv1.ReportFenceRequest)) error {
		p := &sbv1.ReportFenceRequest{
			Caller: caller(), Mandate: 1, Grade: 3, ClockNs: 5, Evidence: &sbv1.Evidence{},
			Readings: []*sbv1.Reading{{Device: "bmc", Power: "off", AtNs: 4}},
		}
		change(p)
		_, err := FromReportFence(p)
		return err
	}
	if err := beat(func(*sbv1.Beat) {}); err != nil {
		t.Fatalf("a good beat is refused: %v", err)
	}
	if err := define(func(*sbv1.Definition) {}); err != nil {
		t.Fatalf("a good definition is refused: %v", err)
	}
	if err := report(func(*sbv1.ReportFenceRequest) {}); err != nil {
		t.Fatalf("a good report is refused: %v", err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nobody sends it":        {beat(func(p *sbv1.Beat) { p.Caller = nil }), "caller: is missing"},
		"no node":                {beat(func(p *sbv1.Beat) { p.Caller.Node = "" }), "caller: node"},
		"no boot id":             {beat(func(p *sbv1.Beat) { p.Caller.Boot = "" }), "caller: boot"},
		"no number":              {beat(func(p *sbv1.Beat) { p.Number = 0 }), "number"},
		"no clock":               {beat(func(p *sbv1.Beat) { p.ClockNs = 0 }), "clock_ns"},
		"no evidence":            {beat(func(p *sbv1.Beat) { p.Groups[0].Evidence = nil }), "evidence: is missing"},
		"a group twice":          {beat(func(p *sbv1.Beat) { p.Groups = append(p.Groups, p.Groups[0]) }), "twice"},
		"an endless name":        {beat(func(p *sbv1.Beat) { p.Groups[0].Group = strings.Repeat("x", 300) }), "too long"},
		"lost more than all":     {beat(func(p *sbv1.Beat) { p.Links = []*sbv1.Link{{Name: "l", LostInPercent: 101}} }), "hundred"},
		"needs too much":         {beat(func(p *sbv1.Beat) { p.Needed = 1 << 31 }), "more than can be"},
		"a watchdog's past":      {beat(func(p *sbv1.Beat) { p.Groups[0].Evidence.Watchdog = &sbv1.Watchdog{TimeoutNs: -1} }), "timeout"},
		"no verdict":             {verdict(nil), "missing"},
		"an empty verdict":       {verdict(&sbv1.Verdict{}), "kind"},
		"a grant of no epoch":    {verdict(&sbv1.Verdict{Kind: "granted", Holder: "node-a"}), "epoch"},
		"a shot at nobody":       {verdict(&sbv1.Verdict{Kind: "permitted", Mandate: 1}), "target"},
		"a shot by no mandate":   {verdict(&sbv1.Verdict{Kind: "fence_first", Holder: "node-a"}), "mandate"},
		"a no without a why":     {verdict(&sbv1.Verdict{Kind: "refused"}), "reason"},
		"an unknown cause":       {verdict(&sbv1.Verdict{Kind: "done", Basis: &sbv1.Basis{Cause: "luck"}}), "luck"},
		"a grade of six":         {verdict(&sbv1.Verdict{Kind: "done", Basis: &sbv1.Basis{Grade: 6}}), "grade"},
		"three nodes":            {define(func(p *sbv1.Definition) { p.Nodes = append(p.Nodes, "node-c") }), "exactly two"},
		"one node":               {define(func(p *sbv1.Definition) { p.Nodes = p.Nodes[:1] }), "exactly two"},
		"a nameless node":        {define(func(p *sbv1.Definition) { p.Nodes[1] = "" }), "nodes"},
		"no timing":              {define(func(p *sbv1.Definition) { p.Timing = nil }), "timing: is missing"},
		"time going back":        {define(func(p *sbv1.Definition) { p.Timing.TtlNs = -1 }), "ttl_ns"},
		"a minimum grade of 256": {define(func(p *sbv1.Definition) { p.Groups[0].MinimumGrade = 256 }), "grade"},
		"a group declared twice": {define(func(p *sbv1.Definition) { p.Groups = append(p.Groups, p.Groups[0]) }), "twice"},
		"a reading of dim":       {report(func(p *sbv1.ReportFenceRequest) { p.Readings[0].Power = "dim" }), "dim"},
		"a reading at no time":   {report(func(p *sbv1.ReportFenceRequest) { p.Readings[0].AtNs = 0 }), "boot time"},
		"a reading to come":      {report(func(p *sbv1.ReportFenceRequest) { p.Readings[0].AtNs = 6 }), "after the report"},
		"a proof of 259":         {report(func(p *sbv1.ReportFenceRequest) { p.Grade = 259 }), "grade"},
		"no mandate":             {report(func(p *sbv1.ReportFenceRequest) { p.Mandate = 0 }), "mandate"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: read with error %v, want one that says %q", name, c.err, c.want)
		}
	}
}

func TestOrdersSayOneThing(t *testing.T) {
	if _, err := FromOrder(&sbv1.SwitchoverRequest{Cluster: "c", Group: "g"}, "alice"); err == nil {
		t.Error("a switchover to nowhere is read as its withdrawal")
	}
	if _, err := FromOrder(&sbv1.SwitchoverRequest{Cluster: "c", Group: "g", To: "a", Cancel: true}, "alice"); err == nil {
		t.Error("a switchover that is also a withdrawal is read")
	}
	if _, err := FromMaintenance(&sbv1.MaintenanceRequest{Cluster: "c", ForNs: 1}, "alice", time.Now()); err == nil {
		t.Error("the end of a maintenance has a length")
	}
	c, err := FromMaintenance(&sbv1.MaintenanceRequest{Cluster: "c", On: true, ForNs: 1}, "alice", time.Unix(100, 0))
	if err != nil || c.Until != 101 {
		t.Errorf("maintenance for a nanosecond ends at %d (%v): it must not read as open-ended", c.Until, err)
	}
}

// Whatever bytes arrive, reading them ends in a value or an error.
func FuzzBeat(f *testing.F) {
	seed, err := proto.Marshal(ToBeat(leader.Beat{Number: 1, Groups: []leader.GroupBeat{{Group: "data"}}}, boottime.Instant(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p sbv1.Beat
		if proto.Unmarshal(b, &p) != nil {
			return
		}
		if beat, clock, err := FromBeat(&p); err == nil && (beat.Caller.Node == "" || clock <= 0) {
			t.Errorf("read a beat of nobody: %+v at %v", beat, clock)
		}
	})
}

func TestListsThatFillALogAreRefused(t *testing.T) {
	e := arbiter.Evidence{}
	for i := range 10_000 {
		e.Disks = append(e.Disks, arbiter.Disk{Volume: fmt.Sprint("r0/", i), Own: arbiter.UpToDate})
	}
	if _, err := FromEvidence(ToEvidence(e)); err == nil || !strings.Contains(err.Error(), "disks") {
		t.Errorf("ten thousand disks are read with %v", err)
	}
	h := ToHello(leader.Hello{})
	for i := range 10_000 {
		h.Groups = append(h.Groups, &sbv1.GroupReport{Group: fmt.Sprint("group-", i)})
	}
	if _, err := FromHello(h); err == nil || !strings.Contains(err.Error(), "groups") {
		t.Errorf("ten thousand groups are read with %v", err)
	}
}
