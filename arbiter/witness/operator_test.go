package witness_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/raftlog"
	"sbarbiter/arbiter/wire"
	"sbarbiter/internal/boottime"
	sbv1 "sbarbiter/proto/sb/v1"
)

func TestOperatorSeesWhatIsAndWhatIsWrong(t *testing.T) {
	h := start(t, newDir(t))
	op := h.declare(cluster)
	read := func() *sbv1.ClusterStatus {
		t.Helper()
		s, err := op.Status(short(t), &sbv1.StatusRequest{Cluster: string(cluster)})
		if err != nil || len(s.GetClusters()) != 1 {
			t.Fatalf("status: %v %v", s, err)
		}
		return s.GetClusters()[0]
	}
	alarmed := func(word string) bool {
		for _, a := range read().GetAlarms() {
			if strings.Contains(a, word) {
				return true
			}
		}
		return false
	}
	if !alarmed("before node-a and node-b have reported") || !alarmed("never been heard") {
		t.Errorf("nobody has reported, and the alarms are %q", read().GetAlarms())
	}
	a, b := h.node(cluster, nodeA).open(), h.node(cluster, nodeB).open()
	a.hello()
	if !alarmed("before node-b has reported") {
		t.Errorf("node-b has not reported, and the alarms are %q", read().GetAlarms())
	}
	b.hello()
	a.mustHold()
	a.runs = true
	enough := a.alive()
	b.beat()
	eventually(t, "status is green", func() bool {
		b.beat()
		return len(read().GetAlarms()) == 0 && read().GetGroups()[0].GetStarted()
	})
	g := read().GetGroups()[0]
	if g.GetHolder() != "node-a" || g.GetEpoch() != 4 || g.GetRemainingNs() <= 0 || len(g.GetNodes()) != 2 || g.GetNodes()[0].GetPhase() != "running" {
		t.Errorf("the group's status is %v", g)
	}
	why, err := op.Why(short(t), &sbv1.WhyRequest{Cluster: string(cluster), Group: "data", Limit: 3})
	if err != nil || len(why.GetRecords()) != 3 || !strings.Contains(why.GetNow(), "node-a holds it") {
		t.Errorf("why: %v %v", why, err)
	}
	granted := why.GetRecords()[1]
	if granted.GetWhat() != "acquire" || !strings.Contains(granted.GetInputs(), "UpToDate") {
		t.Errorf("the grant's record is %v", granted)
	}
	one, err := op.Why(short(t), &sbv1.WhyRequest{Cluster: string(cluster), Index: granted.GetIndex()})
	if err != nil || len(one.GetRecords()) == 0 || one.GetRecords()[len(one.GetRecords())-1].GetIndex() != granted.GetIndex() {
		t.Errorf("why of one event: %v %v", one, err)
	}

	enough()
	eventually(t, "a silent node is an alarm", func() bool { return alarmed("node-a has not been heard for") })
	if _, err := op.Status(short(t), &sbv1.StatusRequest{Cluster: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("status of an unknown cluster: %v", err)
	}
}

func TestOperatorOrders(t *testing.T) {
	h := start(t, newDir(t))
	op, a, b := h.pair()
	a.mustHold()
	ctx := short(t)
	expect := func(what string, v *sbv1.Verdict, err error, kind arbiter.Kind, reason arbiter.Reason) {
		t.Helper()
		if err != nil || v.GetKind() != string(kind) || v.GetReason() != string(reason) {
			t.Errorf("%s: %v %v", what, v, err)
		}
	}
	v, err := op.Maintenance(ctx, &sbv1.MaintenanceRequest{Cluster: string(cluster), On: true, ForNs: int64(time.Hour)})
	expect("maintenance", v, err, arbiter.Done, "")
	if !strings.Contains(v.GetSentence(), "is in maintenance until 20") {
		t.Errorf("nobody is told when it ends: %s", v.GetSentence())
	}
	if answer, _ := a.beat(); !answer.GetMaintenance() {
		t.Error("nodes are not told of maintenance")
	}
	v, err = op.Maintenance(ctx, &sbv1.MaintenanceRequest{Cluster: string(cluster)})
	expect("maintenance off", v, err, arbiter.Done, "")
	v, err = op.Standby(ctx, &sbv1.StandbyRequest{Cluster: string(cluster), Node: "node-b", On: true})
	expect("standby", v, err, arbiter.Done, "")
	b.beat()
	v, err = op.Switchover(ctx, &sbv1.SwitchoverRequest{Cluster: string(cluster), Group: "data", To: "node-b"})
	expect("switchover to a node in standby", v, err, arbiter.Refused, arbiter.InStandby)
	v, err = op.Standby(ctx, &sbv1.StandbyRequest{Cluster: string(cluster), Node: "node-b"})
	expect("standby off", v, err, arbiter.Done, "")
	b.beat()
	v, err = op.Switchover(ctx, &sbv1.SwitchoverRequest{Cluster: string(cluster), Group: "data", To: "node-b"})
	expect("switchover", v, err, arbiter.Done, "")
	if answer, _ := a.beat(); answer.GetGroups()[0].GetMoveTo() != "node-b" {
		t.Error("the holder is not told of the switchover")
	}
	v, err = op.ConfirmFence(ctx, &sbv1.ConfirmFenceRequest{Cluster: string(cluster), Node: "node-a", Typed: "node-b", Epochs: []uint64{4}, Reason: "x"})
	expect("a fence confirmed under the wrong name", v, err, arbiter.Refused, arbiter.NothingToDo)
	v, err = op.ConfirmFence(ctx, &sbv1.ConfirmFenceRequest{Cluster: string(cluster), Node: "node-a", Typed: "node-a", Epochs: []uint64{4}, Reason: "x"})
	expect("a fence confirmed of a living node", v, err, arbiter.Refused, arbiter.TargetAlive)
	v, err = op.GiveUp(ctx, &sbv1.GiveUpRequest{Cluster: string(cluster), Group: "data", Node: "node-b", Typed: "node-a", Reason: "x"})
	expect("a copy given up under the wrong name", v, err, arbiter.Refused, arbiter.NothingToDo)
	v, err = op.GiveUp(ctx, &sbv1.GiveUpRequest{Cluster: string(cluster), Group: "data", Node: "node-b", Typed: "node-b", Reason: "x"})
	expect("a good copy given up", v, err, arbiter.Refused, arbiter.NothingToDo)
	if !strings.Contains(v.GetSentence(), "unless the two have split: then type sbctl resolve ") {
		t.Errorf("a good copy given up: %s", v.GetSentence())
	}
	v, err = op.GiveUp(ctx, &sbv1.GiveUpRequest{Cluster: string(cluster), Group: "data", Cancel: true})
	expect("a word taken back that nobody gave", v, err, arbiter.Refused, arbiter.NothingToDo)
	if _, err := op.GiveUp(ctx, &sbv1.GiveUpRequest{Cluster: string(cluster), Group: "data", Node: "node-b", Typed: "node-b", Cancel: true}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a word taken back and given in one: %v", err)
	}
	v, err = op.AddCluster(ctx, &sbv1.AddClusterRequest{Definition: &sbv1.Definition{Cluster: "bad", Nodes: []string{"one"}}})
	expect("a cluster of one", v, err, arbiter.Refused, arbiter.BadDefinition)
	eventually(t, "the silent node can be confirmed to be off", func() bool {
		v, err := op.ConfirmFence(ctx, &sbv1.ConfirmFenceRequest{Cluster: string(cluster), Node: "node-a", Typed: "node-a", Epochs: []uint64{4}, Reason: "x"})
		return err == nil && v.GetKind() == string(arbiter.Done)
	})
}

func TestEventsGoOnWhereTheyWere(t *testing.T) {
	h := start(t, newDir(t))
	op, a, _ := h.pair()
	stream, err := op.Events(t.Context(), &sbv1.EventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for n := 0; ; n++ {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				t.Fatal("no events")
			}
			break
		}
		if err != nil || r.GetIndex() <= last {
			t.Fatalf("event %v after %d: %v", r, last, err)
		}
		last = r.GetIndex()
	}
	live, err := op.Events(t.Context(), &sbv1.EventsRequest{Cluster: string(cluster), After: last, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	a.mustHold()
	for {
		r, err := live.Recv()
		if err != nil || r.GetIndex() <= last {
			t.Fatalf("after event %d comes %v (%v)", last, r, err)
		}
		last = r.GetIndex()
		if r.GetWhat() == "acquire" {
			return
		}
	}
}

func TestNodesAreNudgedWhenSomethingChanges(t *testing.T) {
	h := start(t, newDir(t))
	op, a, _ := h.pair()
	if _, err := op.Standby(short(t), &sbv1.StandbyRequest{Cluster: string(cluster), Node: "node-a", On: true}); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := a.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.GetNotice().GetWhy(), "standby") {
			return
		}
	}
}

// A client that sends and does not read must hold up nobody else.
func TestClientThatDoesNotReadIsSentAway(t *testing.T) {
	h := start(t, newDir(t))
	op, _, b := h.pair()
	wide := definition("wide") // long answers fill the connection sooner
	for i := range 300 {
		wide.Groups[arbiter.GroupID(fmt.Sprint("g", i))] = arbiter.GroupDefinition{}
	}
	if v, err := op.AddCluster(short(t), &sbv1.AddClusterRequest{Definition: wire.ToDefinition(wide)}); err != nil || v.GetKind() != "done" {
		t.Fatal(v, err)
	}
	a := h.node("wide", nodeA).open()
	a.hello()
	beat := a.nextBeat()
	for id := range wide.Groups {
		if id != data {
			beat.Groups = append(beat.Groups, leader.GroupBeat{Group: id, Phase: "stopped"})
		}
	}
	done := make(chan struct{})
	defer func() { a.conn.Close(); <-done }()
	go func() {
		defer close(done)
		for ; ; beat.Number++ {
			if a.stream.Send(&sbv1.FromAgent{Message: &sbv1.FromAgent_Beat{Beat: wire.ToBeat(beat, boottime.Now())}}) != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	eventually(t, "nothing is taken from the client any more", func() bool {
		if answer, _ := b.beat(); answer == nil {
			t.Error("the other node is not answered")
		}
		s, err := op.Status(short(t), &sbv1.StatusRequest{Cluster: "wide"})
		return err == nil && s.GetClusters()[0].GetNodes()[0].GetSilentNs() > int64(quick.SuspectAfter)
	})
}

// garbage is a machine that takes anything.
type garbage struct{}

func (garbage) Apply(uint64, []byte) ([]byte, error) { return nil, nil }
func (garbage) Snapshot() ([]byte, error)            { return nil, nil }
func (garbage) Restore([]byte) error                 { return nil }

func TestCommandThatIsNotUnderstoodEndsTheWitness(t *testing.T) {
	dir := newDir(t)
	engine, err := raftlog.Open(raftlog.Config{Dir: dir, Name: "w1"}, garbage{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	eventually(t, "the command is stored", func() bool {
		_, _, err := engine.Apply(ctx, []byte(`{"v":1,"at":0,"kind":"Conquer","body":{}}`))
		return err == nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	h := start(t, dir)
	var failed error
	eventually(t, "the witness refuses to go on", func() bool {
		op := sbv1.NewOperatorClient(h.dial(nodeCreds(t, cluster, nodeA)))
		_, err := op.Status(short(t), &sbv1.StatusRequest{})
		return status.Code(err) == codes.Unavailable
	})
	if failed = h.stop(); failed == nil || !strings.Contains(failed.Error(), `"Conquer"`) {
		t.Errorf("Run ends with %v", failed)
	}
	stop := h.stop
	h.stop = func() error { _ = stop(); return nil } // the failure was expected
}

func TestStoppingAnswersWhoWaits(t *testing.T) {
	h := start(t, newDir(t))
	_, a, _ := h.pair()
	if err := h.stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	for {
		if _, err := a.stream.Recv(); err != nil {
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a session ends with %v", err)
			}
			return
		}
	}
}
