package wire

import (
	"encoding/json"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

// longestDocument bounds a plan and longestSide what one node has measured: those of
// hundreds of volumes fit, and a recovery with two sides and a plan into one message.
const longestDocument, longestSide = 1 << 20, 192 << 10

// document writes what package recovery has as JSON. It is plain data: that cannot
// fail.
func document(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("wire: write a document: " + err.Error())
	}
	return b
}

// read reads a document. What a later version has besides is left out; whoever acts
// on it looks at the version inside.
func (r *reader) read(field string, b []byte, longest int, into any) {
	if len(b) > longest {
		r.fail(field, "%d bytes are too long", len(b))
		return
	}
	if err := json.Unmarshal(b, into); err != nil {
		r.in(field, err)
	}
}

// ToMeasured writes what a node has measured of its side.
func ToMeasured(m leader.Measured) *sbv1.ReportSideRequest {
	return &sbv1.ReportSideRequest{
		Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Recovery: uint64(m.Recovery), Round: m.Round, Side: document(m.Side),
	}
}

// FromMeasured reads what a node has measured of its side.
func FromMeasured(p *sbv1.ReportSideRequest) (leader.Measured, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.Measured{Seen: who.Seen, Measured: arbiter.Measured{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Recovery: r.recovery(p.GetRecovery()), Round: p.GetRound(),
	}}
	r.read("side", p.GetSide(), longestSide, &m.Side)
	r.text("side.missing", m.Side.Missing)
	if m.Round == 0 {
		r.fail("round", "measurements count from one")
	}
	return m, r.err()
}

// ToStepDone writes how a step of a recovery went.
func ToStepDone(m leader.StepDone) *sbv1.ReportStepRequest {
	return &sbv1.ReportStepRequest{
		Caller: ToCaller(m.Caller, m.Seen), Group: string(m.Group), Recovery: uint64(m.Recovery), Tries: m.Tries, Attempt: m.Attempt,
		Step: unsigned(m.Step), Note: m.Note, Failure: m.Failure, Unkept: m.Unkept,
	}
}

// FromStepDone reads how a step of a recovery went.
func FromStepDone(p *sbv1.ReportStepRequest) (leader.StepDone, error) {
	var r reader
	who := r.caller(p.GetCaller())
	m := leader.StepDone{Seen: who.Seen, StepDone: arbiter.StepDone{
		Caller: who.Caller, Group: arbiter.GroupID(r.name("group", p.GetGroup())), Recovery: r.recovery(p.GetRecovery()),
		Tries: p.GetTries(), Attempt: p.GetAttempt(), Step: r.count("step", p.GetStep()),
		Note: r.text("note", p.GetNote()), Failure: r.text("failure", p.GetFailure()), Unkept: p.GetUnkept(),
	}}
	return m, r.err()
}

func (r *reader) recovery(n uint64) arbiter.RecoveryID {
	if n == 0 {
		r.fail("recovery", "a number is needed")
	}
	return arbiter.RecoveryID(n)
}

func toTask(t *arbiter.Task) *sbv1.RecoveryTask {
	if t == nil {
		return nil
	}
	p := &sbv1.RecoveryTask{
		Recovery: uint64(t.Recovery), Round: t.Round, Name: t.Name, Tries: t.Tries, Attempt: t.Attempt, Step: unsigned(t.Step),
	}
	if t.Plan != nil {
		p.Plan = document(t.Plan)
	}
	return p
}

func fromTask(p *sbv1.RecoveryTask) (*arbiter.Task, error) {
	if p == nil {
		return nil, nil
	}
	var r reader
	t := &arbiter.Task{
		Recovery: r.recovery(p.GetRecovery()), Round: p.GetRound(), Name: r.mayName("name", p.GetName()), Tries: p.GetTries(), Attempt: p.GetAttempt(),
		Step: r.count("step", p.GetStep()),
	}
	if t.Round != 0 {
		return t, r.err()
	}
	// A plan that cannot be read is no reason to lose the rest of the answer, which may
	// renew a lease: whoever is asked to carry it out refuses it.
	var plan reader
	t.Plan = &recovery.Plan{}
	plan.read("plan", p.GetPlan(), longestDocument, t.Plan)
	if err := plan.err(); err != nil {
		t.Plan, t.Unread = nil, err.Error()
	}
	return t, r.err()
}

// ToCarrying writes how far a node is with a step.
func ToCarrying(c *leader.Carrying) *sbv1.Carrying {
	if c == nil {
		return nil
	}
	return &sbv1.Carrying{Recovery: uint64(c.Recovery), Step: unsigned(c.Step), Note: c.Note, Left: c.Left, Total: c.Total}
}

func fromCarrying(p *sbv1.Carrying) (*leader.Carrying, error) {
	if p == nil {
		return nil, nil
	}
	var r reader
	c := &leader.Carrying{
		Recovery: r.recovery(p.GetRecovery()), Step: r.count("step", p.GetStep()), Note: r.text("note", p.GetNote()), Left: p.GetLeft(), Total: p.GetTotal(),
	}
	return c, r.err()
}

func toPolicy(p recovery.Policy) *sbv1.RecoveryPolicy {
	return &sbv1.RecoveryPolicy{
		Name: string(p.Name), Node: string(p.Node), Of: all(p.Of, func(n recovery.PolicyName) string { return string(n) }),
		MinRatio: p.MinRatio, MaxDiscard: p.MaxDiscard, RequireSnapshot: p.RequireSnapshot, RequireUnmounted: p.RequireUnmounted, NotIfOpen: p.NotIfOpen,
	}
}

// fromPolicy reads a policy; whether it makes sense is asked by
// [arbiter.Definition.Check].
func fromPolicy(p *sbv1.RecoveryPolicy) (recovery.Policy, error) {
	var r reader
	out := recovery.Policy{
		Name: recovery.PolicyName(r.name("name", p.GetName())), Node: recovery.Node(r.mayName("node", p.GetNode())),
		Of: each(&r, "of", p.GetOf(), func(s string) (recovery.PolicyName, error) {
			var r reader
			return recovery.PolicyName(r.name("name", s)), r.err()
		}),
		MinRatio: p.GetMinRatio(), Guards: recovery.Guards{
			MaxDiscard: p.MaxDiscard, RequireSnapshot: p.GetRequireSnapshot(), RequireUnmounted: p.GetRequireUnmounted(), NotIfOpen: p.GetNotIfOpen(),
		},
	}
	if !(out.MinRatio >= 0 && out.MinRatio <= mostCounted) {
		r.fail("min_ratio", "%v is no ratio", out.MinRatio)
	}
	return out, r.err()
}

// FromResolve reads an order of the operator by to resolve a split brain, and the
// group's name that was typed if it allows a loss before that can be shown.
func FromResolve(p *sbv1.ResolveRequest, by string) (c arbiter.Resolve, typed string, err error) {
	var r reader
	c = arbiter.Resolve{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Group: arbiter.GroupID(r.name("group", p.GetGroup())),
		Order: arbiter.RecoveryOrder{
			By: by, Reason: r.text("reason", p.GetReason()), Discard: arbiter.NodeID(r.mayName("discard", p.GetDiscard())),
			Policy: recovery.PolicyName(r.mayName("policy", p.GetPolicy())), DryRun: p.GetDryRun(),
			WhenBack: p.GetWhenBack(), AtMost: p.AtMost,
		},
	}
	return c, r.mayName("typed", p.GetTyped()), r.err()
}

// FromApprove reads the word of the operator by to a decision, and the group's name
// that was typed.
func FromApprove(p *sbv1.ApproveRecoveryRequest, by string) (c arbiter.Approve, typed string, err error) {
	var r reader
	c = arbiter.Approve{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Group: arbiter.GroupID(r.name("group", p.GetGroup())),
		Recovery: r.recovery(p.GetRecovery()), Revision: p.GetRevision(), By: by, AtMost: p.AtMost,
	}
	return c, r.mayName("typed", p.GetTyped()), r.err()
}

// FromCancelRecovery reads an order of the operator by to call a recovery off.
func FromCancelRecovery(p *sbv1.CancelRecoveryRequest, by string) (arbiter.CancelRecovery, error) {
	var r reader
	c := arbiter.CancelRecovery{
		Cluster: arbiter.ClusterID(r.name("cluster", p.GetCluster())), Group: arbiter.GroupID(r.name("group", p.GetGroup())),
		Recovery: arbiter.RecoveryID(p.GetRecovery()), By: by, Reason: r.text("reason", p.GetReason()), Abandon: p.GetAbandon(),
	}
	return c, r.err()
}

// ToRecovery writes a recovery as it stands in the log, with how far the nodes say
// they are.
func ToRecovery(doc *arbiter.Recovery, carrying []*leader.Carrying) *sbv1.RecoveryDocument {
	return &sbv1.RecoveryDocument{Document: document(doc), Carrying: all(carrying, ToCarrying)}
}
