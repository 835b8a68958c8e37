package arbiter

import (
	"fmt"
	"maps"

	"sbarbiter/internal/mutant"
	"sbarbiter/recovery"
)

// RecoveryPhase is how far a recovery has come.
type RecoveryPhase string

// The phases of a recovery.
const (
	Collecting RecoveryPhase = "collecting" // both sides are measured
	Awaiting   RecoveryPhase = "awaiting"   // a side is not there; both are measured as soon as it is
	Undecided  RecoveryPhase = "undecided"  // no policy decides: an operator has to
	Decided    RecoveryPhase = "decided"    // an operator has to approve what was decided
	Confirming RecoveryPhase = "confirming" // approved; both sides are measured anew, to see that it still fits
	Carrying   RecoveryPhase = "running"    // step by step
	Over       RecoveryPhase = "over"
)

// RecoveryOutcome is what became of a recovery.
type RecoveryOutcome string

// The outcomes.
const (
	Recovered  RecoveryOutcome = "recovered"  // both copies are in step, the victim's is readmitted
	Cancelled  RecoveryOutcome = "cancelled"  // before anything was given up
	Abandoned  RecoveryOutcome = "abandoned"  // after that: the victim's copy stays excluded
	OnlyShown  RecoveryOutcome = "shown"      // nobody asked for more
	NoSplit    RecoveryOutcome = "no-split"   // nothing is to be discarded; see why
	NotChosen  RecoveryOutcome = "refused"    // what the operator chose cannot be done
	Superseded RecoveryOutcome = "superseded" // by a later order
	Forgotten  RecoveryOutcome = "forgotten"  // the witness's memory was older than its answers
)

// RecoveryOrder is who began a recovery, and what is to be decided by.
type RecoveryOrder struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
	// Automatic: both agents saw that DRBD has given up; the group's policies decide.
	Automatic bool `json:"automatic,omitempty"`
	// Discard is whom the operator chose; "": policies decide.
	Discard NodeID `json:"discard,omitempty"`
	// Policy is the only one to ask; "": the group's list.
	Policy recovery.PolicyName `json:"policy,omitempty"`
	// DryRun ends it once it is decided; see [Show].
	DryRun bool `json:"dry_run,omitempty"`
	// WhenBack: a side that is not there is waited for, and nothing and nobody is held up
	// by that.
	WhenBack bool `json:"when_back,omitempty"`
	// AtMost is how many bytes of the victim's changes may be given up without asking
	// again, once both sides have been measured; nil: an operator is asked.
	AtMost *uint64 `json:"at_most,omitempty"`
}

// Recovery is a recovery from split brain, as it stands in the log. At most one is
// under way for a group.
type Recovery struct {
	ID     RecoveryID    `json:"id"`
	Group  GroupID       `json:"group"`
	Order  RecoveryOrder `json:"order"`
	Phase  RecoveryPhase `json:"phase"`
	Opened int64         `json:"opened"` // Unix milliseconds on the leader's clock; shown, never compared
	// Round counts the measurements of both sides; Sides holds what has come in of
	// this one. Evidence is the last that was complete.
	Round    uint32                   `json:"round"`
	Sides    map[NodeID]recovery.Side `json:"sides,omitempty"`
	Evidence *recovery.Evidence       `json:"evidence,omitempty"`
	// Earlier is what was last known of a side that could not be measured this time.
	Earlier  map[NodeID]recovery.Side `json:"earlier,omitempty"`
	Decision *recovery.Decision       `json:"decision,omitempty"`
	// Grounds is the evidence that the decision rests on: what is measured afterwards is
	// only compared with it.
	Grounds *recovery.Evidence `json:"grounds,omitempty"`
	Plan    *recovery.Plan     `json:"plan,omitempty"`
	// Revision names the decision: whoever approves says which one was shown.
	Revision uint64 `json:"revision,omitempty"`
	Approved string `json:"approved,omitempty"` // by whom; "": by the policy, or not yet
	// Tries counts how often a plan was begun, Attempt how often its copying had to
	// begin anew; Step is the index of the step under way.
	Tries   uint32 `json:"tries,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	Step    int    `json:"step,omitempty"`
	Failure string `json:"failure,omitempty"` // of the step's last attempt
	// Before are the exclusions as the first try found them, Epoch the latest that was
	// granted then. Stale is the node that the latest try has excluded, by Number; "": nobody,
	// or that was put back.
	Before map[NodeID]Exclusion `json:"before,omitempty"`
	Epoch  Epoch                `json:"epoch,omitempty"`
	Stale  NodeID               `json:"stale,omitempty"`
	Number ExclusionNumber      `json:"number,omitempty"`

	Note    string          `json:"note,omitempty"` // why it is where it is
	Outcome RecoveryOutcome `json:"outcome,omitempty"`
	Ended   int64           `json:"ended,omitempty"`
}

// Survivor is the node whose copy is kept, Victim the one whose copy is given up;
// "" before a plan is begun.
func (r *Recovery) Survivor() NodeID {
	if !r.running() {
		return ""
	}
	return NodeID(r.Plan.Survivor)
}

// Victim is the node whose copy is given up; "" before a plan is begun.
func (r *Recovery) Victim() NodeID {
	if !r.running() {
		return ""
	}
	return NodeID(r.Plan.Victim)
}

func (r *Recovery) running() bool {
	return r != nil && r.Phase == Carrying && r.Plan != nil && r.Step < len(r.Plan.Steps)
}

// at reports whether the recovery is at a step of that kind.
func (r *Recovery) at(k recovery.StepKind) bool { return r.running() && r.Plan.Steps[r.Step].Kind == k }

// measuring reports whether both sides are being measured.
func (r *Recovery) measuring() bool {
	return r != nil && (r.Phase == Collecting || r.Phase == Confirming || r.at(recovery.Measure))
}

// Apart reports whether DRBD must not look for its peer but by a step of the
// recovery: met without the flag, the two would split again.
func (r *Recovery) Apart() bool { return r.running() && !r.at(recovery.Readmit) }

// Cancellable reports whether nothing has been given up yet.
func (r *Recovery) Cancellable() bool {
	return !r.running() || r.Step < r.Plan.NoReturn() || mutant.On(mutant.CalledOffTooLate)
}

// HoldsUp reports whether a plan had begun, and an operator is asked again, while nobody
// has the group: the one copy is excluded, and the other one, if it was stale, is not
// granted it before the word to it.
func (g *Group) HoldsUp() bool {
	r := g.Recovery
	return r != nil && r.Phase == Decided && r.Stale != "" && g.Lease == nil
}

// Task is what a recovery wants of a node now: a measurement where Round is set,
// else the step of the plan.
type Task struct {
	Recovery RecoveryID
	// Name is that of this try: what is kept of an earlier one is older.
	Name    string
	Round   uint32
	Tries   uint32
	Attempt uint32
	Step    int
	Plan    *recovery.Plan
	// Unread says why the plan could not be read on its way; Plan is nil then.
	Unread string
}

// Check says why a node cannot do what it is asked for. A plan comes from elsewhere,
// and nothing of it is carried out that this program would not have planned.
func (t *Task) Check() error {
	switch {
	case t.Round != 0:
		return nil
	case t.Plan == nil:
		return fmt.Errorf("the plan of recovery %s cannot be read: %s", t.Recovery, orElse(t.Unread, "there is none"))
	case t.Step < 0 || t.Step >= len(t.Plan.Steps):
		return fmt.Errorf("the plan of recovery %s has %d steps, and none is number %d", t.Recovery, len(t.Plan.Steps), t.Step+1)
	}
	return t.Plan.Check()
}

// Steps are what the node has to carry out, in order. While the copies are brought
// together both sides see again and again that what they did for it still stands:
// the flag counts for one handshake, and a machine that has started anew has
// forgotten to look for its peer. The task must have passed Check.
func (t *Task) Steps(node NodeID) []recovery.Step {
	s := t.Plan.Steps[t.Step]
	if s.Kind != recovery.FollowResync {
		return []recovery.Step{s}
	}
	var out []recovery.Step
	for _, earlier := range t.Plan.Steps[t.Plan.NoReturn():t.Step] {
		if NodeID(earlier.Node) == node {
			out = append(out, earlier)
		}
	}
	return append(out, s)
}

// TaskOf returns what the recovery waits for from a node, or nil.
func (r *Recovery) TaskOf(node NodeID) *Task {
	if r.measuring() {
		if _, known := r.Sides[node]; known {
			return nil
		}
		return &Task{Recovery: r.ID, Round: r.Round}
	}
	if !r.running() || r.at(recovery.Readmit) || !r.at(recovery.FollowResync) && NodeID(r.Plan.Steps[r.Step].Node) != node {
		return nil
	}
	return &Task{
		Recovery: r.ID, Name: fmt.Sprintf("%s-%d", r.ID, r.Tries), Tries: r.Tries, Attempt: r.Attempt, Step: r.Step, Plan: r.Plan,
	}
}

// Whole reports whether r holds what its phase needs; nothing is whole.
func (r *Recovery) Whole() bool {
	if r == nil {
		return true
	}
	planned := r.Plan != nil && r.Decision != nil && r.Evidence != nil && r.Step >= 0 && r.Step < len(r.Plan.Steps) && r.Plan.Check() == nil
	switch r.Phase {
	case Collecting:
		return r.Plan == nil || planned
	case Undecided, Awaiting:
		return r.Decision != nil
	case Decided, Confirming, Carrying:
		return planned
	case Over:
	}
	return false
}

func (r *Recovery) clone() *Recovery {
	if r == nil {
		return nil
	}
	s := *r
	s.Before = maps.Clone(r.Before)
	s.Sides, s.Earlier = cloneSides(r.Sides), cloneSides(r.Earlier)
	if r.Order.AtMost != nil {
		most := *r.Order.AtMost
		s.Order.AtMost = &most
	}
	s.Evidence, s.Grounds = clonePointer(r.Evidence), clonePointer(r.Grounds)
	s.Decision, s.Plan = clonePointer(r.Decision), clonePointer(r.Plan)
	return &s
}

func cloneSides(m map[NodeID]recovery.Side) map[NodeID]recovery.Side {
	m = maps.Clone(m)
	for n, side := range m {
		m[n] = side.Clone()
	}
	return m
}

func clonePointer[T interface{ Clone() T }](p *T) *T {
	if p == nil {
		return nil
	}
	v := (*p).Clone()
	return &v
}

func cloneRecoveries(list []Recovery) []Recovery {
	if list == nil {
		return nil
	}
	out := make([]Recovery, len(list))
	for i := range list {
		out[i] = *list[i].clone()
	}
	return out
}

// Resolve opens a recovery.
type Resolve struct {
	Cluster ClusterID     `json:"cluster"`
	Group   GroupID       `json:"group"`
	Order   RecoveryOrder `json:"order"`
}

// Measured is what a node has measured of its side.
type Measured struct {
	Caller   Caller        `json:"caller"`
	Group    GroupID       `json:"group"`
	Recovery RecoveryID    `json:"recovery"`
	Round    uint32        `json:"round"`
	Side     recovery.Side `json:"side"`
}

// Unmeasured is the leader's word that a node does not say what it has.
type Unmeasured struct {
	Cluster  ClusterID  `json:"cluster"`
	Group    GroupID    `json:"group"`
	Recovery RecoveryID `json:"recovery"`
	Round    uint32     `json:"round"`
	Node     NodeID     `json:"node"`
	Why      string     `json:"why"`
}

// Approve is an operator's word to the decision that was shown.
type Approve struct {
	Cluster  ClusterID  `json:"cluster"`
	Group    GroupID    `json:"group"`
	Recovery RecoveryID `json:"recovery"`
	Revision uint64     `json:"revision"`
	By       string     `json:"by"`
	// AtMost is how many bytes may be given up in the end, where the victim is written to
	// until it is stopped; nil: no more than was shown.
	AtMost *uint64 `json:"at_most,omitempty"`
}

// StepDone says that a step is done, or why an attempt at it has failed.
type StepDone struct {
	Caller   Caller     `json:"caller"`
	Group    GroupID    `json:"group"`
	Recovery RecoveryID `json:"recovery"`
	Tries    uint32     `json:"tries"`
	Attempt  uint32     `json:"attempt"`
	Step     int        `json:"step"`
	Note     string     `json:"note,omitempty"`
	Failure  string     `json:"failure,omitempty"`
	// Unkept goes with Failure: what was kept of the victim's copy is not all that it
	// has, and nothing was given up.
	Unkept bool `json:"unkept,omitempty"`
}

// MeasureAgain is the leader's word that a side which was not there seems to be back.
type MeasureAgain struct {
	Cluster  ClusterID  `json:"cluster"`
	Group    GroupID    `json:"group"`
	Recovery RecoveryID `json:"recovery"`
}

// CancelRecovery calls a recovery off.
type CancelRecovery struct {
	Cluster  ClusterID  `json:"cluster"`
	Group    GroupID    `json:"group"`
	Recovery RecoveryID `json:"recovery,omitempty"` // 0: whichever is under way
	By       string     `json:"by"`
	Reason   string     `json:"reason,omitempty"`
	// Abandon lets go of one that can only go on, and will not: the victim's copy stays
	// excluded, and what is left to be done is for another recovery.
	Abandon bool `json:"abandon,omitempty"`
}
