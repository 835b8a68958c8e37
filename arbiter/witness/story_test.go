package witness_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/pki"
	sbv1 "sbarbiter/proto/sb/v1"
)

func TestGroupGoesFromNodeToNode(t *testing.T) {
	h := start(t, newDir(t))
	_, a, b := h.pair()
	a.mustHold()
	if a.holds != 4 {
		t.Errorf("the first epoch of a witness is %d, not 4", a.holds)
	}
	if !a.renewed() {
		t.Error("the holder's beat does not renew its lease")
	}
	if v := b.acquire(); v.Kind != arbiter.Refused || v.Reason != arbiter.HeldByPeer || v.Holder != nodeA {
		t.Errorf("the other node asks while the holder is heard: %+v", v)
	}

	client := sbv1.NewArbiterClient(a.conn)
	exclude := leader.Exclude{Seen: a.seen, Exclude: arbiter.Exclude{Caller: a.next(), Group: data, Epoch: a.holds, Evidence: fit()}}
	v := a.verdict(client.Exclude(short(t), wire.ToExclude(exclude)))
	if v.Kind != arbiter.Done || v.Number == 0 {
		t.Fatalf("the holder cannot exclude its peer: %+v", v)
	}
	if answer, _ := b.beat(); answer.GetGroups()[0].GetExcluded() != uint64(v.Number) {
		t.Errorf("the excluded node is not told its number: %v", answer)
	}
	readmit := leader.Readmit{Seen: a.seen, Readmit: arbiter.Readmit{
		Caller: a.next(), Group: data, Node: nodeB, Number: v.Number, Evidence: fit(),
	}}
	if v := a.verdict(client.Readmit(short(t), wire.ToReadmit(readmit))); v.Kind != arbiter.Done {
		t.Errorf("a node in step is not readmitted: %+v", v)
	}

	release := leader.Release{Seen: a.seen, Release: arbiter.Release{Caller: a.next(), Group: data, Epoch: a.holds, Started: true, Reason: "test"}}
	if v := a.verdict(client.Release(short(t), wire.ToRelease(release))); v.Kind != arbiter.Done {
		t.Fatalf("a stop receipt is refused: %+v", v)
	}
	b.mustHold()
	if b.holds <= a.holds {
		t.Errorf("epoch %d follows epoch %d", b.holds, a.holds)
	}
	if a.renewed() {
		t.Error("the former holder's lease is renewed")
	}
}

func TestSilentHolderIsShotOnceAndReplaced(t *testing.T) {
	h := start(t, newDir(t))
	_, a, b := h.pair()
	a.mustHold()
	if !a.renewed() {
		t.Fatal("not renewed")
	}
	// From here on node-a says nothing. Node-b goes on asking.
	var v arbiter.Verdict
	eventually(t, "a mandate is given", func() bool {
		b.beat()
		v = b.acquire()
		return v.Kind == arbiter.FenceFirst
	})
	if v.Holder != nodeA {
		t.Fatalf("mandate against %s", v.Holder)
	}
	client := sbv1.NewArbiterClient(b.conn)
	begin := leader.Begin{Seen: b.seen, Clock: boottime.Now(), Begin: arbiter.Begin{
		Caller: b.next(), Mandate: v.Mandate, Readings: []arbiter.Reading{{Device: "bmc", Power: "on", At: boottime.Now()}},
	}}
	if v := b.verdict(client.Begin(short(t), wire.ToBegin(begin))); v.Kind != arbiter.Permitted {
		t.Fatalf("the shot is not permitted: %+v", v)
	}
	if answer, _ := a.beat(); answer.GetGroups()[0].GetReason() != string(arbiter.MandateBegun) {
		t.Errorf("a node that is being shot at is answered %v", answer)
	}
	off := boottime.Now()
	report := leader.ReportFence{Seen: b.seen, Clock: boottime.Now(), ReportFence: arbiter.ReportFence{
		Caller: b.next(), Mandate: v.Mandate, Grade: arbiter.E3, Evidence: fit(),
		Readings: []arbiter.Reading{{Device: "bmc", Power: "off", At: off}},
	}}
	got := b.verdict(client.ReportFence(short(t), wire.ToReportFence(report)))
	if got.Kind != arbiter.Granted || got.Basis.Cause != arbiter.ByFence || got.Basis.Grade != arbiter.E3 {
		t.Fatalf("after a proven shot: %+v", got)
	}
}

func TestRestartedWitnessKeepsLeasesAndWaits(t *testing.T) {
	dir := newDir(t)
	h := start(t, dir)
	_, a, b := h.pair()
	a.mustHold()
	if !a.renewed() {
		t.Fatal("not renewed")
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}

	h = start(t, dir)
	a, b = a.moved(h).open(), b.moved(h).open()
	began := time.Now()
	if v := b.hello(); v.GetKind() != "done" {
		t.Fatalf("hello: %s", v.GetSentence())
	}
	var v arbiter.Verdict
	eventually(t, "the silent holder is suspected", func() bool {
		b.beat()
		v = b.acquire()
		return v.Kind == arbiter.FenceFirst
	})
	if waited := time.Since(began); waited < quick.SuspectAfter/2 {
		t.Errorf("a new leader suspects a holder after listening for %v", waited)
	}
	a.hello()
	if !a.renewed() {
		t.Error("a lease does not outlive the witness's restart")
	}
	client := sbv1.NewArbiterClient(b.conn)
	begin := leader.Begin{Seen: b.seen, Clock: boottime.Now(), Begin: arbiter.Begin{Caller: b.next(), Mandate: v.Mandate}}
	if v := b.verdict(client.Begin(short(t), wire.ToBegin(begin))); v.Kind != arbiter.Refused {
		t.Errorf("a holder that was heard again may be shot: %+v", v)
	}
}

func TestNodeSpeaksOnlyForItself(t *testing.T) {
	h := start(t, newDir(t))
	_, a, b := h.pair()

	a.caller.Node = nodeB
	if v := a.acquire(); v.Reason != arbiter.WrongIdentity {
		t.Errorf("node-a asks as node-b: %+v", v)
	}
	a.caller.Node, a.caller.Cluster = nodeA, "other"
	if v := a.acquire(); v.Reason != arbiter.WrongIdentity {
		t.Errorf("node-a of nfs1 asks as one of another cluster: %+v", v)
	}
	a.caller.Cluster = cluster

	a.open().caller.Node = nodeB
	a.say(&sbv1.FromAgent{Message: &sbv1.FromAgent_Hello{Hello: wire.ToHello(leader.Hello{Sender: leader.Sender{Caller: a.caller}})}})
	if _, err := a.stream.Recv(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "node-b") {
		t.Errorf("a session of node-a as node-b ends with: %v", err)
	}
	if answer, _ := b.beat(); answer == nil {
		t.Error("the real node-b has lost its session")
	}

	alice := sbv1.NewArbiterClient(h.dial(creds(t, pki.Identity{Role: pki.RoleOperator, Name: "alice"})))
	stream, err := alice.Session(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("an operator's session ends with: %v", err)
	}
	node := sbv1.NewOperatorClient(b.conn)
	if _, err := node.Status(short(t), &sbv1.StatusRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node asks as operator: %v", err)
	}
	if _, err := node.AddCluster(short(t), &sbv1.AddClusterRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node declares a cluster: %v", err)
	}
}

func TestNewerSessionReplacesTheOlder(t *testing.T) {
	h := start(t, newDir(t))
	_, a, _ := h.pair()
	old := *a
	a.moved(h).open().hello()
	for {
		if _, err := old.stream.Recv(); err != nil {
			if status.Code(err) != codes.Aborted {
				t.Errorf("the older session ends with: %v", err)
			}
			return
		}
	}
}

func TestDefinitionIsSentOnceAndWhenItChanges(t *testing.T) {
	h := start(t, newDir(t))
	op, a, _ := h.pair()
	if answer, _ := a.beat(); answer.GetDefinition() == nil {
		t.Error("the first answer of a session has no definition")
	}
	if answer, _ := a.beat(); answer.GetDefinition() != nil {
		t.Error("the second answer repeats the definition")
	}
	d := definition(cluster)
	d.Timing.StartGate = time.Second
	if v, err := op.AddCluster(short(t), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(d)}); err != nil || v.GetKind() != "done" {
		t.Fatalf("redefine: %v %v", v, err)
	}
	if answer, _ := a.beat(); answer.GetDefinition().GetTiming().GetStartGateNs() != int64(time.Second) {
		t.Error("a changed definition is not sent")
	}
}

// The witness that lost its memory asks everybody for a report, also those whose
// sessions it kept.
func TestNodeOfALaterMemoryMakesTheWitnessLearn(t *testing.T) {
	h := start(t, newDir(t))
	_, a, b := h.pair()
	a.mustHold()
	b.seen = arbiter.Version{Incarnation: 7, Starts: 3, Nonce: 1, Index: 9}
	if _, v := b.beat(); v.GetReason() != string(arbiter.WitnessBehind) {
		t.Fatalf("a later version is answered with %v", v)
	}
	eventually(t, "the holder is asked for a report", func() bool {
		_, v := a.beat()
		return v.GetReason() == string(arbiter.NotIntroduced)
	})
	a.report = arbiter.Report{Groups: map[arbiter.GroupID]arbiter.GroupReport{data: {Holder: nodeA, Epoch: a.holds, Runs: true}}}
	a.caller.Floor = a.holds
	if v := a.hello(); v.GetVersion().GetIncarnation() != 8 {
		t.Errorf("the new memory has incarnation %d, not 8", v.GetVersion().GetIncarnation())
	}
	if a.renewed() {
		t.Error("a learning witness renews")
	}
	b.hello()
	if !a.renewed() {
		t.Error("the holder is not known again")
	}
	a.holds = 0
	if v := a.acquire(); v.Kind != arbiter.Granted || v.Epoch != 4 {
		t.Errorf("the holder has lost its lease to the new memory: %+v", v)
	}
}

func TestAuditFileIsCompleteAndNothingIsInItTwice(t *testing.T) {
	dir := newDir(t)
	h := start(t, dir)
	_, a, _ := h.pair()
	a.mustHold()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	first := auditFile(t, dir)
	for _, want := range []string{"define", "report", "acquire"} {
		if !slices.ContainsFunc(first, func(r arbiter.Record) bool { return r.What == want }) {
			t.Errorf("no record of %s", want)
		}
	}
	cutAudit(t, dir)
	h = start(t, dir)
	h.operator()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	second := auditFile(t, dir)
	if !slices.Equal(first, second) {
		t.Errorf("after a crash that cut the file, and a restart, %d records have become %d", len(first), len(second))
	}
}

// cutAudit does what a crash in the middle of a line does.
func cutAudit(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "audit.log")
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-10)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func auditFile(t *testing.T, dir string) []arbiter.Record {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []arbiter.Record
	for s := bufio.NewScanner(f); s.Scan(); {
		var r arbiter.Record
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("line %q: %v", s.Text(), err)
		}
		out = append(out, r)
	}
	return out
}
