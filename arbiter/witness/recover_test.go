package witness_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/arbiter/wire"
	"sbarbiter/drbd"
	"sbarbiter/internal/pki"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// Generations of two sides that were both promoted after their link was cut.
var generations = map[arbiter.NodeID]string{
	nodeA: "6BB4841B974EA3B3:2118A6CB62BB9567:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
	nodeB: "D6F3F795B57E18AB:2118A6CB62BB9566:0000000000000000:0000000000000000:1:1:1:0:0:0:0",
}

func sideOf(n arbiter.NodeID, volumes int) recovery.Side {
	s := recovery.Side{Node: recovery.Node(n), Family: drbd.Family84, Role: drbd.RoleSecondary}
	for i := range volumes {
		changed := uint64(4096)
		s.Volumes = append(s.Volumes, recovery.Volume{Resource: "r0", Number: i, Size: 1 << 20, Disk: drbd.DiskUpToDate, Generations: generations[n], OutOfSync: &changed})
	}
	return s
}

// rift is a pair of which both copies went their own way, and an operator.
type rift struct {
	t     *testing.T
	host  *host
	op    sbv1.OperatorClient
	nodes [2]*node
	id    uint64
}

func rifted(t *testing.T, volumes int) *rift {
	t.Helper()
	h := start(t, newDir(t))
	op, a, b := h.pair()
	r := &rift{t: t, host: h, op: op, nodes: [2]*node{a, b}}
	v, err := op.Resolve(short(t), &sbv1.ResolveRequest{Cluster: string(cluster), Group: string(data), Discard: string(nodeB), Reason: "looked at both"})
	if err != nil || v.GetKind() != string(arbiter.Done) || v.GetRecovery() == 0 {
		t.Fatalf("%v, %v", v, err)
	}
	r.id = v.GetRecovery()
	r.measure(volumes)
	return r
}

// task is what a node is asked for.
func (n *node) task() *sbv1.RecoveryTask {
	n.t.Helper()
	a, v := n.beat()
	if a == nil {
		n.t.Fatalf("%s: %s", n.caller.Node, v.GetSentence())
	}
	return a.GetGroups()[0].GetTask()
}

func (n *node) measured(t *sbv1.RecoveryTask, side recovery.Side) arbiter.Verdict {
	n.t.Helper()
	return n.verdict(sbv1.NewArbiterClient(n.conn).ReportSide(short(n.t), wire.ToMeasured(leader.Measured{Seen: n.seen, Measured: arbiter.Measured{
		Caller: n.next(), Group: data, Recovery: arbiter.RecoveryID(t.GetRecovery()), Round: t.GetRound(), Side: side,
	}})))
}

func (n *node) done(t *sbv1.RecoveryTask) arbiter.Verdict {
	n.t.Helper()
	return n.verdict(sbv1.NewArbiterClient(n.conn).ReportStep(short(n.t), wire.ToStepDone(leader.StepDone{Seen: n.seen, StepDone: arbiter.StepDone{
		Caller: n.next(), Group: data, Recovery: arbiter.RecoveryID(t.GetRecovery()), Tries: t.GetTries(), Attempt: t.GetAttempt(), Step: int(t.GetStep()),
	}})))
}

// measure lets both nodes answer what they are asked for.
func (r *rift) measure(volumes int) {
	r.t.Helper()
	for _, n := range r.nodes {
		task := n.task()
		if task.GetRound() == 0 || task.GetRecovery() != r.id {
			r.t.Fatalf("%s is asked for %v", n.caller.Node, task)
		}
		if v := n.measured(task, sideOf(n.caller.Node, volumes)); v.Kind != arbiter.Done {
			r.t.Fatalf("%s: %+v", n.caller.Node, v)
		}
	}
}

func (r *rift) document() arbiter.Recovery {
	r.t.Helper()
	answer, err := r.op.Recoveries(short(r.t), &sbv1.RecoveriesRequest{Cluster: string(cluster), Group: string(data)})
	if err != nil || len(answer.GetRecoveries()) == 0 {
		r.t.Fatalf("%v, %v", answer, err)
	}
	var doc arbiter.Recovery
	if err := json.Unmarshal(answer.GetRecoveries()[len(answer.GetRecoveries())-1].GetDocument(), &doc); err != nil {
		r.t.Fatal(err)
	}
	return doc
}

func (r *rift) approve(revision uint64, typed string) *sbv1.Verdict {
	r.t.Helper()
	v, err := r.op.ApproveRecovery(short(r.t), &sbv1.ApproveRecoveryRequest{
		Cluster: string(cluster), Group: string(data), Recovery: r.id, Revision: revision, Typed: typed,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// Through real messages from the order to the readmission: what is approved is what was
// shown, what is measured is asked for again, and each step is the asked node's.
func TestRecoveryIsLedOverTheWire(t *testing.T) {
	r := rifted(t, 1)
	doc := r.document()
	if doc.Phase != arbiter.Decided || doc.Revision == 0 || doc.Plan.Victim != recovery.Node(nodeB) {
		t.Fatalf("%+v", doc)
	}
	if v := r.approve(doc.Revision, "nfs"); v.GetKind() != string(arbiter.Refused) || !strings.Contains(v.GetSentence(), "was typed") {
		t.Errorf("another name was typed: %v", v)
	}
	if v := r.approve(doc.Revision+1, string(data)); v.GetReason() != string(arbiter.EvidenceChanged) {
		t.Errorf("another decision was shown: %v", v)
	}
	if got := r.document(); got.Phase != arbiter.Decided {
		t.Fatalf("refused, and now %s", got.Phase)
	}
	if v := r.approve(doc.Revision, string(data)); v.GetKind() != string(arbiter.Done) {
		t.Fatalf("%v", v)
	}
	if v := r.approve(doc.Revision, string(data)); v.GetReason() != string(arbiter.RecoveryUnderWay) {
		t.Errorf("approved twice: %v", v)
	}
	r.measure(1)

	a, b := r.nodes[0], r.nodes[1]
	for step := range doc.Plan.Steps[:doc.Plan.NoReturn()-1] {
		task := b.task()
		if task.GetRound() != 0 || int(task.GetStep()) != step {
			t.Fatalf("step %d: the victim is asked for %v", step, task)
		}
		if v := a.done(task); v.Kind != arbiter.Refused {
			t.Errorf("step %d is done, says the other node: %+v", step, v)
		}
		stale := &sbv1.RecoveryTask{Recovery: task.GetRecovery(), Tries: task.GetTries() + 1, Step: task.GetStep()}
		if v := b.done(stale); v.Reason != arbiter.RecoveryOver {
			t.Errorf("step %d of another try: %+v", step, v)
		}
		if v := b.done(task); v.Kind != arbiter.Done {
			t.Fatalf("step %d: %+v", step, v)
		}
	}
	r.measure(1)
	if v := b.done(b.task()); v.Kind != arbiter.Done {
		t.Fatalf("give up: %+v", v)
	}
	v, err := r.op.CancelRecovery(short(t), &sbv1.CancelRecoveryRequest{Cluster: string(cluster), Group: string(data)})
	if err != nil || v.GetReason() != string(arbiter.PastReturn) {
		t.Errorf("called off past its point of no return: %v, %v", v, err)
	}
	for range 2 { // connect, follow
		if v := a.done(a.task()); v.Kind != arbiter.Done {
			t.Fatalf("%+v", v)
		}
	}
	answer, _ := a.beat()
	readmitted := a.verdict(sbv1.NewArbiterClient(a.conn).Readmit(short(t), wire.ToReadmit(leader.Readmit{Seen: a.seen, Readmit: arbiter.Readmit{
		Caller: a.next(), Group: data, Node: nodeB, Number: arbiter.ExclusionNumber(answer.GetGroups()[0].GetPeerExcluded()), Evidence: fit(),
	}})))
	if got := r.document(); readmitted.Kind != arbiter.Done || got.Outcome != arbiter.Recovered {
		t.Errorf("%+v; %s: %s", readmitted, got.Outcome, got.Note)
	}
}

// A dry run beside a recovery whose decision an operator looks at: it is shown among the
// rest, and the recovery is the one that it was.
func TestDryRunOverTheWireStandsBesideTheRecovery(t *testing.T) {
	r := rifted(t, 1)
	before := r.document()
	shownBy, err := r.op.Resolve(short(t), &sbv1.ResolveRequest{Cluster: string(cluster), Group: string(data), Policy: string(recovery.DiscardLeastChanges), DryRun: true})
	if err != nil || shownBy.GetKind() != string(arbiter.Done) || shownBy.GetRecovery() <= r.id {
		t.Fatalf("%v, %v", shownBy, err)
	}
	for _, n := range r.nodes {
		task := n.task()
		if v := n.measured(task, sideOf(n.caller.Node, 1)); task.GetRecovery() != shownBy.GetRecovery() || v.Kind != arbiter.Done {
			t.Fatalf("%s is asked for %v: %+v", n.caller.Node, task, v)
		}
	}
	answer, err := r.op.Recoveries(short(t), &sbv1.RecoveriesRequest{Cluster: string(cluster), Group: string(data)})
	if err != nil || len(answer.GetRecoveries()) != 2 {
		t.Fatalf("%v, %v", answer, err)
	}
	var shown arbiter.Recovery
	if err := json.Unmarshal(answer.GetRecoveries()[0].GetDocument(), &shown); err != nil {
		t.Fatal(err)
	}
	if uint64(shown.ID) != shownBy.GetRecovery() || shown.Phase != arbiter.Over || len(shown.Decision.Opinions) != 1 {
		t.Errorf("it shows %s, %s: %s", shown.ID, shown.Phase, shown.Note)
	}
	if got := r.document(); got.ID != before.ID || got.Phase != arbiter.Decided || got.Revision != before.Revision {
		t.Errorf("what was waited for has come to %s, %s: %s", got.ID, got.Phase, got.Note)
	}
}

func TestRecoveryIsCalledOffOverTheWire(t *testing.T) {
	r := rifted(t, 1)
	for _, other := range []uint64{r.id + 1, r.id} {
		v, err := r.op.CancelRecovery(short(t), &sbv1.CancelRecoveryRequest{Cluster: string(cluster), Group: string(data), Recovery: other, Reason: "wrong side"})
		if err != nil || (v.GetKind() == string(arbiter.Done)) != (other == r.id) {
			t.Errorf("recovery %d: %v, %v", other, v, err)
		}
	}
	if got := r.document(); got.Outcome != arbiter.Cancelled {
		t.Errorf("%s: %s", got.Phase, got.Note)
	}
	if task := r.nodes[0].task(); task != nil {
		t.Errorf("it is asked for %v still", task)
	}
}

// The answer to whoever looks is cut before what one message holds, and never by what
// is under way.
func TestLongRecoveriesAreShownTheLatestFirst(t *testing.T) {
	r := rifted(t, 400)
	first := r.id
	for range 5 {
		v, err := r.op.CancelRecovery(short(t), &sbv1.CancelRecoveryRequest{Cluster: string(cluster), Group: string(data)})
		if err != nil || v.GetKind() != string(arbiter.Done) {
			t.Fatalf("%v, %v", v, err)
		}
		if v, err = r.op.Resolve(short(t), &sbv1.ResolveRequest{Cluster: string(cluster), Group: string(data), Discard: string(nodeB)}); err != nil {
			t.Fatal(err)
		}
		r.id = v.GetRecovery()
		r.measure(400)
	}
	if got := r.document(); uint64(got.ID) != r.id || got.Phase != arbiter.Decided || r.id == first {
		t.Errorf("%v is shown, and %d is under way", got.ID, r.id)
	}
}

// What a wrong hand sends, or what cannot be, changes nothing.
func TestBadRequestsAboutRecoveriesAreRefused(t *testing.T) {
	r := rifted(t, 1)
	a, b := r.nodes[0], r.nodes[1]
	was := r.document()
	asNode, asOperator := sbv1.NewOperatorClient(a.conn), sbv1.NewArbiterClient(r.asOperator())
	c, g := string(cluster), string(data)
	side := func(change func(*sbv1.ReportSideRequest)) func(context.Context) (*sbv1.Verdict, error) {
		return func(ctx context.Context) (*sbv1.Verdict, error) {
			p := wire.ToMeasured(leader.Measured{Seen: a.seen, Measured: arbiter.Measured{
				Caller: a.next(), Group: data, Recovery: arbiter.RecoveryID(r.id), Round: 1, Side: sideOf(nodeA, 1),
			}})
			change(p)
			return sbv1.NewArbiterClient(a.conn).ReportSide(ctx, p)
		}
	}
	step := func(change func(*sbv1.ReportStepRequest)) func(context.Context) (*sbv1.Verdict, error) {
		return func(ctx context.Context) (*sbv1.Verdict, error) {
			p := wire.ToStepDone(leader.StepDone{Seen: b.seen, StepDone: arbiter.StepDone{Caller: b.next(), Group: data, Recovery: arbiter.RecoveryID(r.id)}})
			change(p)
			return sbv1.NewArbiterClient(b.conn).ReportStep(ctx, p)
		}
	}
	operators := func(ask func(sbv1.OperatorClient, context.Context) (*sbv1.Verdict, error)) func(context.Context) (*sbv1.Verdict, error) {
		return func(ctx context.Context) (*sbv1.Verdict, error) { return ask(r.op, ctx) }
	}
	for name, bad := range map[string]struct {
		ask    func(context.Context) (*sbv1.Verdict, error)
		code   codes.Code // OK: refused with the reason
		reason arbiter.Reason
	}{
		"a node resolves": {func(ctx context.Context) (*sbv1.Verdict, error) {
			return asNode.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Group: g, Discard: "node-b"})
		}, codes.PermissionDenied, ""},
		"a node approves": {func(ctx context.Context) (*sbv1.Verdict, error) {
			return asNode.ApproveRecovery(ctx, &sbv1.ApproveRecoveryRequest{Cluster: c, Group: g, Recovery: r.id, Revision: was.Revision, Typed: g})
		}, codes.PermissionDenied, ""},
		"a node calls it off": {func(ctx context.Context) (*sbv1.Verdict, error) {
			return asNode.CancelRecovery(ctx, &sbv1.CancelRecoveryRequest{Cluster: c, Group: g})
		}, codes.PermissionDenied, ""},
		"a node looks": {func(ctx context.Context) (*sbv1.Verdict, error) {
			_, err := asNode.Recoveries(ctx, &sbv1.RecoveriesRequest{Cluster: c})
			return nil, err
		}, codes.PermissionDenied, ""},
		"an operator measures": {func(ctx context.Context) (*sbv1.Verdict, error) {
			return asOperator.ReportSide(ctx, wire.ToMeasured(leader.Measured{Measured: arbiter.Measured{Caller: a.next(), Group: data, Recovery: arbiter.RecoveryID(r.id), Round: 1, Side: sideOf(nodeA, 1)}}))
		}, codes.OK, arbiter.WrongIdentity},
		"an operator does a step": {func(ctx context.Context) (*sbv1.Verdict, error) {
			return asOperator.ReportStep(ctx, wire.ToStepDone(leader.StepDone{StepDone: arbiter.StepDone{Caller: b.next(), Group: data, Recovery: arbiter.RecoveryID(r.id)}}))
		}, codes.OK, arbiter.WrongIdentity},
		"a node speaks for the other":  {side(func(p *sbv1.ReportSideRequest) { p.Caller.Node = string(nodeB) }), codes.OK, arbiter.WrongIdentity},
		"no caller":                    {side(func(p *sbv1.ReportSideRequest) { p.Caller = nil }), codes.InvalidArgument, ""},
		"a side that is no JSON":       {side(func(p *sbv1.ReportSideRequest) { p.Side = []byte("{") }), codes.InvalidArgument, ""},
		"a side that is too long":      {side(func(p *sbv1.ReportSideRequest) { p.Side = []byte(strings.Repeat(" ", 200<<10)) }), codes.InvalidArgument, ""},
		"a message that is too long":   {side(func(p *sbv1.ReportSideRequest) { p.Side = []byte(strings.Repeat(" ", 2<<20)) }), codes.ResourceExhausted, ""},
		"a side of no round":           {side(func(p *sbv1.ReportSideRequest) { p.Round = 0 }), codes.InvalidArgument, ""},
		"a side of no recovery":        {side(func(p *sbv1.ReportSideRequest) { p.Recovery = 0 }), codes.InvalidArgument, ""},
		"a side nobody waits for":      {side(func(*sbv1.ReportSideRequest) {}), codes.OK, arbiter.RecoveryOver},
		"a side of another recovery":   {side(func(p *sbv1.ReportSideRequest) { p.Recovery++ }), codes.OK, arbiter.RecoveryOver},
		"a side of an unknown group":   {side(func(p *sbv1.ReportSideRequest) { p.Group = "web" }), codes.OK, arbiter.UnknownGroup},
		"a step nobody waits for":      {step(func(*sbv1.ReportStepRequest) {}), codes.OK, arbiter.RecoveryOver},
		"a step of an unknown group":   {step(func(p *sbv1.ReportStepRequest) { p.Group = "web" }), codes.OK, arbiter.UnknownGroup},
		"a step beyond counting":       {step(func(p *sbv1.ReportStepRequest) { p.Step = 1 << 31 }), codes.InvalidArgument, ""},
		"a step with an endless story": {step(func(p *sbv1.ReportStepRequest) { p.Failure = strings.Repeat("x", 5000) }), codes.InvalidArgument, ""},
		"an unknown group": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Group: "web", Discard: "node-b"})
		}), codes.OK, arbiter.UnknownGroup},
		"no group": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Discard: "node-b"})
		}), codes.InvalidArgument, ""},
		"a third node": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Group: g, Discard: "node-c"})
		}), codes.OK, arbiter.UnknownNode},
		"a policy that is none": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Group: g, Policy: "discard-everything"})
		}), codes.OK, arbiter.BadOrder},
		"a node and a policy": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.Resolve(ctx, &sbv1.ResolveRequest{Cluster: c, Group: g, Discard: "node-b", Policy: "consensus"})
		}), codes.OK, arbiter.BadOrder},
		"an endless reason": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.CancelRecovery(ctx, &sbv1.CancelRecoveryRequest{Cluster: c, Group: g, Reason: strings.Repeat("x", 5000)})
		}), codes.InvalidArgument, ""},
		"approving nothing": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.ApproveRecovery(ctx, &sbv1.ApproveRecoveryRequest{Cluster: c, Group: g, Typed: g})
		}), codes.InvalidArgument, ""},
		"approving another recovery": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.ApproveRecovery(ctx, &sbv1.ApproveRecoveryRequest{Cluster: c, Group: g, Recovery: r.id + 1, Revision: was.Revision, Typed: g})
		}), codes.OK, arbiter.RecoveryOver},
		"approving an unknown group's": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			return op.ApproveRecovery(ctx, &sbv1.ApproveRecoveryRequest{Cluster: c, Group: "web", Recovery: r.id, Revision: was.Revision, Typed: "web"})
		}), codes.OK, arbiter.UnknownGroup},
		"looking at an unknown group": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			_, err := op.Recoveries(ctx, &sbv1.RecoveriesRequest{Cluster: c, Group: "web"})
			return nil, err
		}), codes.NotFound, ""},
		"looking at no cluster": {operators(func(op sbv1.OperatorClient, ctx context.Context) (*sbv1.Verdict, error) {
			_, err := op.Recoveries(ctx, &sbv1.RecoveriesRequest{})
			return nil, err
		}), codes.InvalidArgument, ""},
	} {
		v, err := bad.ask(short(t))
		switch {
		case status.Code(err) != bad.code:
			t.Errorf("%s: %v, %v", name, v, err)
		case bad.code == codes.OK && (v.GetKind() != string(arbiter.Refused) || v.GetReason() != string(bad.reason)):
			t.Errorf("%s: %v", name, v)
		}
	}
	if is := r.document(); is.Phase != was.Phase || is.Revision != was.Revision || is.ID != was.ID || is.Round != was.Round {
		t.Errorf("it was %+v and is %+v", was, is)
	}
	if v := r.approve(was.Revision, g); v.GetKind() != string(arbiter.Done) {
		t.Errorf("after all that: %v", v)
	}
}

func (r *rift) asOperator() *grpc.ClientConn {
	return r.host.dial(creds(r.t, pki.Identity{Role: pki.RoleOperator, Name: "alice"}))
}
