package arbiter

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/internal/boottime"
)

// State is everything that a witness remembers. Only [State.Apply] changes it.
type State struct {
	Version  Version                `json:"version"`
	Leads    []Leadership           `json:"leads,omitempty"` // of this incarnation, oldest first
	Clusters map[ClusterID]*Cluster `json:"clusters"`
}

// Leadership is where one leadership begins in the log.
type Leadership struct {
	Starts uint64 `json:"starts"`
	Nonce  uint64 `json:"nonce"`
	Index  uint64 `json:"index"`
}

// NewState returns the memory of a witness that has none.
func NewState() *State {
	return &State{Version: Version{Incarnation: 1}, Clusters: map[ClusterID]*Cluster{}}
}

// Cluster is what a witness remembers of a pair.
type Cluster struct {
	Definition  Definition         `json:"definition"`
	Epoch       Epoch              `json:"epoch"`      // the highest granted or learnt
	Exclusions  uint32             `json:"exclusions"` // numbers given in this incarnation
	Mandates    MandateID          `json:"mandates"`   // the highest given
	Mandate     *Mandate           `json:"mandate,omitempty"`
	Nodes       map[NodeID]*Node   `json:"nodes"`
	Groups      map[GroupID]*Group `json:"groups"`
	Learning    bool               `json:"learning,omitempty"` // no grants until both nodes have reported
	Maintenance bool               `json:"maintenance,omitempty"`
	Until       int64              `json:"until,omitempty"` // of the maintenance, Unix seconds
	// Shots have begun, and no leader has listened for an hour since: it is the
	// leader's word that ages them.
	Shots uint32 `json:"shots,omitempty"`
	// ShotsAt is when the latest of them began, oldest first; see Lease.Granted.
	ShotsAt    []int64 `json:"shots_at,omitempty"`
	Recoveries uint32  `json:"recoveries,omitempty"` // begun in this incarnation
	// Slack is what was last written down of timing rules that do not hold well.
	Slack map[string]string `json:"slack,omitempty"`
	Audit []Record          `json:"audit,omitempty"` // the latest decisions, oldest first
}

// Node is what a witness remembers of one machine.
type Node struct {
	Boot        BootID      `json:"boot,omitempty"`
	Incarnation Incarnation `json:"incarnation,omitempty"`
	Superseded  []BootID    `json:"superseded,omitempty"` // earlier boot ids, oldest first
	Standby     bool        `json:"standby,omitempty"`
	// Twins: two machines show this identity. No grants until an operator has
	// removed one and declared the cluster again.
	Twins bool `json:"twins,omitempty"`
	// Floor is the highest epoch that its store has shown: a store that shows a
	// lower one later was rolled back.
	Floor    Epoch    `json:"floor,omitempty"`
	Reported bool     `json:"reported,omitempty"` // to this incarnation of the witness
	Answers  []Answer `json:"answers,omitempty"`  // to its latest requests, oldest first
	// Proven says when each of the node's fence devices was last seen going from on
	// to off, in Unix milliseconds on the leader's clock: shown, never compared.
	Proven map[string]int64 `json:"proven,omitempty"`
	// Newest is the highest request answered: an earlier one that arrives late
	// (a give-back, say) must not undo what a later one has done.
	Newest RequestID `json:"newest,omitempty"`
	// Since is when the life of its agent that has reported last began, on the clock of
	// that boot.
	Since boottime.Instant `json:"since,omitempty"`
}

// Answer is a verdict kept for a repeated request.
type Answer struct {
	Request RequestID `json:"request"`
	Command string    `json:"command"` // its kind: a number used twice is no repetition
	Verdict Verdict   `json:"verdict"`
}

// Group is what a witness remembers of one unit of failover.
type Group struct {
	Lease *Lease `json:"lease,omitempty"`
	Last  Ending `json:"last"` // how the lease before ended
	// Ended says how each node's last lease ended, until somebody has started
	// services under a later one. A grant rests on what the other node's entry
	// says, however often the group was taken and given back unused since:
	// whoever promised to accept no grant that rests on the clock must be told.
	Ended    map[NodeID]Ending    `json:"ended,omitempty"`
	Excluded map[NodeID]Exclusion `json:"excluded,omitempty"`
	// Cleared is the highest own word of each node that a readmission has named.
	// A beat that was on its way says it once more, and means nothing new.
	Cleared map[NodeID]uint64      `json:"cleared,omitempty"`
	Order   *Switch                `json:"order,omitempty"`
	Begun   bool                   `json:"begun,omitempty"`   // somebody was granted it once
	Failed  map[NodeID]string      `json:"failed,omitempty"`  // why a node could not start it
	Reports map[NodeID]GroupReport `json:"reports,omitempty"` // while learning
	// Recovery is the one under way, Recovered the latest that are over, oldest first.
	Recovery  *Recovery  `json:"recovery,omitempty"`
	Recovered []Recovery `json:"recovered,omitempty"`
	// Shown are the latest dry runs, oldest first; the last may be under way.
	Shown []Recovery `json:"shown,omitempty"`
	// Words is the number of the latest word of an operator's about its copies; see [GiveUp].
	Words WordID `json:"words,omitempty"`
	// StandIn is an operator's word that a stale copy stands in for a lost one.
	StandIn *StandIn `json:"stand_in,omitempty"`
}

// Lease is the right to run a group.
type Lease struct {
	Holder   NodeID   `json:"holder"`
	Boot     BootID   `json:"boot"`
	Epoch    Epoch    `json:"epoch"`
	Basis    Basis    `json:"basis"`
	Started  bool     `json:"started,omitempty"` // services have run under it
	Watchdog Watchdog `json:"watchdog,omitzero"` // as the holder reported it last
	// Calm: a leader has listened for the hold time since the group was taken over
	// under this lease.
	Calm bool `json:"calm,omitempty"`
	// Granted is when, in Unix milliseconds on the clock of the leader of then. No
	// right rests on it: a later leader reckons from it how long a group has been held
	// back already, and how old a shot is.
	Granted int64 `json:"granted,omitempty"`
	// TTL is the longest that any renewal of this lease may have promised: a
	// definition with a shorter one counts in full only from the next epoch on.
	TTL time.Duration `json:"ttl,omitempty"`
	// Unshot says why the last attempt to shoot the holder proved nothing.
	Unshot string `json:"unshot,omitempty"`
}

// Cause says how a lease ended.
type Cause string

// The causes of an ending.
const (
	ByNothing  Cause = ""         // nobody ever held it
	ByReceipt  Cause = "receipt"  // the holder stopped and said so
	ByBoot     Cause = "boot"     // the holder's machine started anew
	ByFence    Cause = "fence"    // the holder was shot
	ByClock    Cause = "clock"    // lease and watchdog ran out
	ByOperator Cause = "operator" // an operator's word
	// ByReport: both nodes told a witness that had lost its memory that they ran
	// nothing. A promise given after such a report may run, so it is no later
	// word of the promisee.
	ByReport Cause = "report"
)

// Ending is how a lease ended.
type Ending struct {
	Holder  NodeID    `json:"holder,omitempty"`
	Epoch   Epoch     `json:"epoch,omitempty"`
	Cause   Cause     `json:"cause,omitempty"`
	Grade   Grade     `json:"grade,omitempty"`
	Mandate MandateID `json:"mandate,omitempty"` // of the shot
	Boot    BootID    `json:"boot,omitempty"`    // the new one that proved the old one dead
}

// Basis is what a grant rests on. A node that has promised its peer something
// compares it with the promise before it accepts.
type Basis struct {
	Cause      Cause  `json:"cause,omitempty"`
	Holder     NodeID `json:"holder,omitempty"` // whose lease ended so
	Epoch      Epoch  `json:"epoch,omitempty"`  // of that lease
	Grade      Grade  `json:"grade,omitempty"`
	Switchover bool   `json:"switchover,omitempty"`
	// Boot is the new boot id that proved the holder's former life dead. It is
	// no later word of a node that was promised something under this boot id.
	Boot BootID `json:"boot,omitempty"`
	// Mandate is the one whose shot is the proof. A promise given after that
	// shot is not overcome by it.
	Mandate MandateID `json:"mandate,omitempty"`
	// StandIn: by an operator's word the caller's copy, which was stale, stands in for
	// one that is lost; see [StandIn].
	StandIn bool `json:"stand_in,omitempty"`
}

// Exclusion is the numbered record that a node's copy is stale. Number is 0
// where only the node's own word stands, OwnWord where only the holder's does.
type Exclusion struct {
	Number  ExclusionNumber `json:"number,omitempty"`
	OwnWord uint64          `json:"own_word,omitempty"`
	By      NodeID          `json:"by,omitempty"`
	Epoch   Epoch           `json:"epoch,omitempty"`
	// Discard is the number under which an operator has given the copy up for the
	// other one. Whatever either copy says of its age, this one is copied anew.
	Discard ExclusionNumber `json:"discard,omitempty"`
	// Lost: an operator has declared the machine lost, whose copy was the only good one.
	// Should it come back, what it has is for a recovery: its node does not declare it
	// bad by itself.
	Lost bool `json:"lost,omitempty"`
	// Since is when the copy became stale, in Unix milliseconds on the leader's clock: for
	// people alone, nothing is decided on it. 0: not known.
	Since int64 `json:"since,omitempty"`
}

// Switch is a planned change of holder under way.
type Switch struct {
	To    NodeID `json:"to"`
	Epoch Epoch  `json:"epoch"` // of the lease to be given back
	By    string `json:"by"`
}

// Phase is how far a mandate has come.
type Phase string

// The phases of a mandate.
const (
	Open    Phase = "open"    // may begin
	Begun   Phase = "begun"   // the shot may be on its way
	Settled Phase = "settled" // its target is proven dead, but the shot may still land
)

// Mandate is the permission for one executor to shoot one node.
type Mandate struct {
	ID       MandateID `json:"id"`
	Target   NodeID    `json:"target"` // "": either node, after contradicting reports
	Boot     BootID    `json:"boot"`   // of the target, when it was given
	Executor NodeID    `json:"executor"`
	Group    GroupID   `json:"group"` // that was asked for
	Phase    Phase     `json:"phase"`
	Readings []Reading `json:"readings,omitempty"` // taken before Begin
	// Rehearsal: the target is well, holds nothing, and is switched on again.
	Rehearsal bool `json:"rehearsal,omitempty"`
	// ByWitness: Executor has failed, and the host of the witness that leads shoots
	// in its place, for the group that Executor asked for. It stays one mandate: a
	// node that has begun it has noted its number, and compares a promise with that.
	ByWitness bool `json:"by_witness,omitempty"`
}

// Record is one line of the audit log.
type Record struct {
	Index    uint64  `json:"index"`
	At       int64   `json:"at"` // Unix milliseconds on the leader's clock; shown, never compared
	Cluster  string  `json:"cluster"`
	Group    GroupID `json:"group,omitempty"`
	Node     NodeID  `json:"node,omitempty"`
	What     string  `json:"what"`
	Reason   Reason  `json:"reason,omitempty"`
	Sentence string  `json:"sentence"`
	Epoch    Epoch   `json:"epoch,omitempty"`
	Inputs   string  `json:"inputs,omitempty"` // the command, as it stands in the log
}

const (
	keptAnswers = 16
	keptBoots   = 32
	keptRecords = 256
	keptLeads   = 128

	// implausible is where counters begin that no real history reaches. They
	// come from a damaged store, and adding to them could turn a counter over.
	implausible = 1 << 62
)

// Clone returns a copy that shares nothing with c but the entries of its
// histories, which never change, and the definition's groups, which are only
// replaced all together: whatever happens to either side the other does not see.
func (c *Cluster) Clone() *Cluster {
	d := *c
	d.Slack = maps.Clone(c.Slack)
	d.Nodes = make(map[NodeID]*Node, len(c.Nodes))
	for id, n := range c.Nodes {
		m := *n
		m.Superseded = slices.Clip(n.Superseded)
		m.Answers = slices.Clip(n.Answers)
		m.Proven = maps.Clone(n.Proven)
		d.Nodes[id] = &m
	}
	d.Groups = make(map[GroupID]*Group, len(c.Groups))
	for id, g := range c.Groups {
		d.Groups[id] = g.clone()
	}
	if c.Mandate != nil {
		m := *c.Mandate
		m.Readings = append([]Reading(nil), m.Readings...)
		d.Mandate = &m
	}
	d.Audit = slices.Clip(c.Audit)
	d.ShotsAt = slices.Clone(c.ShotsAt)
	return &d
}

func (g *Group) clone() *Group {
	h := *g
	if g.Lease != nil {
		l := *g.Lease
		h.Lease = &l
	}
	if g.Order != nil {
		o := *g.Order
		h.Order = &o
	}
	h.Ended = cloneMap(g.Ended)
	h.Excluded = cloneMap(g.Excluded)
	h.Cleared = cloneMap(g.Cleared)
	h.Failed = cloneMap(g.Failed)
	h.Reports = cloneMap(g.Reports)
	if g.StandIn != nil {
		s := *g.StandIn
		h.StandIn = &s
	}
	h.Recovery, h.Recovered, h.Shown = g.Recovery.clone(), cloneRecoveries(g.Recovered), cloneRecoveries(g.Shown)
	return &h
}

// cloneMap spends no room on an empty map, as most of a group's are.
func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
