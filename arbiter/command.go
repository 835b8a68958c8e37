package arbiter

import "sbarbiter/internal/boottime"

// Command is one entry of the log. The set is closed.
type Command interface{ command() }

// Caller identifies the node, and its life, behind a request.
type Caller struct {
	Cluster     ClusterID   `json:"cluster"`
	Node        NodeID      `json:"node"`
	Boot        BootID      `json:"boot"`
	Incarnation Incarnation `json:"incarnation"`
	Request     RequestID   `json:"request"`
	Floor       Epoch       `json:"floor"` // highest epoch the node has stored
}

// Lead begins a leadership.
type Lead struct {
	Nonce uint64 `json:"nonce"`
}

// Renounce begins a new incarnation of the witness's memory, because an agent
// showed a version that this memory does not contain. Every cluster is learnt
// again.
type Renounce struct {
	Shown Version `json:"shown"`
}

// Define declares a cluster or replaces its definition. Who says it is written
// down.
type Define struct {
	Definition Definition `json:"definition"`
	By         string     `json:"by"`
}

// NodeUp says that a node's agent has begun to talk: a new boot id, a restarted
// agent, or a report to a witness that is learning.
type NodeUp struct {
	Caller Caller `json:"caller"`
	Report Report `json:"report"`
}

// Report is what a node's store knows.
type Report struct {
	Fresh    bool                    `json:"fresh,omitempty"` // the store was empty
	Since    boottime.Instant        `json:"since,omitempty"` // this life of the agent began, on its machine's clock; 0: not known
	Groups   map[GroupID]GroupReport `json:"groups,omitempty"`
	Mandates []MandateID             `json:"mandates,omitempty"` // begun by this node and perhaps still in flight
}

// GroupReport is what a node's store knows of one group.
type GroupReport struct {
	Holder   NodeID          `json:"holder,omitempty"` // the last it knew
	Epoch    Epoch           `json:"epoch,omitempty"`  // of that holder
	Runs     bool            `json:"runs,omitempty"`   // this node runs it now, by a lease or by its peer's word
	Excluded ExclusionNumber `json:"excluded,omitempty"`
	OwnWord  uint64          `json:"own_word,omitempty"`
	Obtained ExclusionNumber `json:"obtained,omitempty"` // of the peer, at this node's request
	Pending  bool            `json:"pending,omitempty"`  // the peer's word stands for an exclusion no witness has taken yet
}

// Acquire asks for a group.
type Acquire struct {
	Caller    Caller    `json:"caller"`
	Group     GroupID   `json:"group"`
	Evidence  Evidence  `json:"evidence"`
	Judgement Judgement `json:"judgement"`
}

// Started says that services run under a lease.
type Started struct {
	Caller Caller  `json:"caller"`
	Group  GroupID `json:"group"`
	Epoch  Epoch   `json:"epoch"`
}

// Release is the stop receipt: services are confirmed down and DRBD is
// Secondary. Started says whether they ever ran under this lease, Failed that
// the group could not be started here.
type Release struct {
	Caller  Caller  `json:"caller"`
	Group   GroupID `json:"group"`
	Epoch   Epoch   `json:"epoch"`
	Started bool    `json:"started,omitempty"`
	Failed  bool    `json:"failed,omitempty"`
	Reason  string  `json:"reason,omitempty"`
}

// Exclude records that the peer's copy is stale from now on.
type Exclude struct {
	Caller    Caller    `json:"caller"`
	Group     GroupID   `json:"group"`
	Epoch     Epoch     `json:"epoch"`
	Promoting bool      `json:"promoting,omitempty"`
	Evidence  Evidence  `json:"evidence"`
	Judgement Judgement `json:"judgement"`
}

// OwnWord records a node's own word that its copy is stale.
type OwnWord struct {
	Caller Caller  `json:"caller"`
	Group  GroupID `json:"group"`
	Number uint64  `json:"number"`
}

// Readmit clears an exclusion of Node that both sides knew by these numbers
// while they were connected and UpToDate on all volumes.
type Readmit struct {
	Caller   Caller          `json:"caller"`
	Group    GroupID         `json:"group"`
	Node     NodeID          `json:"node"`
	Number   ExclusionNumber `json:"number"`
	OwnWord  uint64          `json:"own_word"`
	Evidence Evidence        `json:"evidence"`
}

// Begin asks for the permission to shoot now. The power was read before.
type Begin struct {
	Caller    Caller    `json:"caller"`
	Mandate   MandateID `json:"mandate"`
	Readings  []Reading `json:"readings,omitempty"`
	Judgement Judgement `json:"judgement"`
}

// ReportFence says how a shot ended. Alive is the leader's word that the target
// was heard after the last reading.
type ReportFence struct {
	Caller   Caller    `json:"caller"`
	Mandate  MandateID `json:"mandate"`
	Grade    Grade     `json:"grade"`
	Readings []Reading `json:"readings,omitempty"`
	Failure  string    `json:"failure,omitempty"` // why it is not proven
	InFlight bool      `json:"in_flight,omitempty"`
	Alive    bool      `json:"alive,omitempty"`
	// Next is the leader's word that its own host can try next.
	Next      bool      `json:"next,omitempty"`
	Evidence  Evidence  `json:"evidence"`
	Judgement Judgement `json:"judgement"`
}

// WitnessBegin is the one question before the witness's own host shoots, after a
// node has failed to. The node that is to be granted the group has just asked for
// it again.
type WitnessBegin struct {
	Cluster   ClusterID `json:"cluster"`
	Mandate   MandateID `json:"mandate"`
	Readings  []Reading `json:"readings,omitempty"`
	Judgement Judgement `json:"judgement"`
}

// WitnessReport says how a shot of the witness's own host ended. Alive is the
// leader's word that the target was heard after the last reading.
type WitnessReport struct {
	Cluster  ClusterID `json:"cluster"`
	Mandate  MandateID `json:"mandate"`
	Grade    Grade     `json:"grade"`
	Readings []Reading `json:"readings,omitempty"`
	Failure  string    `json:"failure,omitempty"` // why it is not proven
	InFlight bool      `json:"in_flight,omitempty"`
	Alive    bool      `json:"alive,omitempty"`
}

// EndMandate closes a mandate: the leader heard its target before it had begun,
// the asker went silent, or its deadline has passed.
type EndMandate struct {
	Cluster ClusterID `json:"cluster"`
	Mandate MandateID `json:"mandate"`
	Phase   Phase     `json:"phase"` // that the leader concluded this about
	Reason  string    `json:"reason"`
	// Next is the leader's word that its own host can try next.
	Next bool `json:"next,omitempty"`
}

// Order asks for a planned change of holder; with To empty it withdraws one.
type Order struct {
	Cluster ClusterID `json:"cluster"`
	Group   GroupID   `json:"group"`
	To      NodeID    `json:"to"`
	Target  *Evidence `json:"target,omitempty"` // what the leader last heard of To
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
}

// Standby keeps grants from a node, or no longer.
type Standby struct {
	Cluster ClusterID `json:"cluster"`
	Node    NodeID    `json:"node"`
	On      bool      `json:"on"`
	By      string    `json:"by"`
}

// Maintenance keeps new grants from a cluster, or no longer. Until is shown to
// people; the leader's clock ends it.
type Maintenance struct {
	Cluster ClusterID `json:"cluster"`
	On      bool      `json:"on"`
	Until   int64     `json:"until,omitempty"` // Unix seconds; 0: until switched off
	By      string    `json:"by"`
}

// GiveUp is an operator's word that a node's copy of a group is given up, and the
// other node's kept, where both are stale or the two were never in step; or, with
// Cancel, that no machine is lost whose copy the other one was to stand in for.
type GiveUp struct {
	Cluster ClusterID `json:"cluster"`
	Group   GroupID   `json:"group"`
	Node    NodeID    `json:"node"`           // whose copy is given up; "" with Cancel
	Kept    *Evidence `json:"kept,omitempty"` // what the leader last heard of the other node
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	// Lost: Node has the only good copy, and its machine is lost for good. Alive is the
	// leader's word that Node was heard, here or by the other node.
	Lost  bool `json:"lost,omitempty"`
	Alive bool `json:"alive,omitempty"`
	// Cancel takes the word that a machine is lost back.
	Cancel bool `json:"cancel,omitempty"`
	// Word is the number that this word gets, the next one when the operator looked; with
	// Cancel, of the word that is taken back. What comes late, or a second time, has the
	// number of a word that is over, and does nothing. 0: it names none.
	Word WordID `json:"word,omitempty"`
}

// Confirm is an operator's word that a node is off.
type Confirm struct {
	Cluster ClusterID `json:"cluster"`
	Node    NodeID    `json:"node"`
	Epochs  []Epoch   `json:"epochs"` // of the leases that the operator was shown
	Alive   bool      `json:"alive,omitempty"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
}

// Rehearse asks for a node to be switched off and on again by the other one.
type Rehearse struct {
	Cluster       ClusterID `json:"cluster"`
	Node          NodeID    `json:"node"`
	ExecutorHeard bool      `json:"executor_heard,omitempty"` // by the leader, a moment ago
	By            string    `json:"by"`
}

// Armed is what a holder reports of its watchdog, where that has changed since it
// was granted the group: a takeover may rest on it.
type Armed struct {
	Caller   Caller   `json:"caller"`
	Group    GroupID  `json:"group"`
	Epoch    Epoch    `json:"epoch"`
	Watchdog Watchdog `json:"watchdog"`
}

// Calm is the leader's word that enough time has passed: since the takeover under
// this lease the hold time, or since one shot an hour.
type Calm struct {
	Cluster ClusterID `json:"cluster"`
	Group   GroupID   `json:"group,omitempty"`
	Epoch   Epoch     `json:"epoch,omitempty"`
	Shot    bool      `json:"shot,omitempty"`
}

// Remark writes down what the leader has noticed and nothing is decided on: that
// the slack of a timing rule has shrunk, is gone, or has come back.
type Remark struct {
	Cluster  ClusterID `json:"cluster"`
	Node     NodeID    `json:"node,omitempty"`
	Rule     string    `json:"rule"`
	State    string    `json:"state"`
	Sentence string    `json:"sentence"`
}

func (Lead) command()          {}
func (Renounce) command()      {}
func (Define) command()        {}
func (NodeUp) command()        {}
func (Acquire) command()       {}
func (Started) command()       {}
func (Release) command()       {}
func (Exclude) command()       {}
func (OwnWord) command()       {}
func (Readmit) command()       {}
func (Begin) command()         {}
func (ReportFence) command()   {}
func (EndMandate) command()    {}
func (WitnessBegin) command()  {}
func (WitnessReport) command() {}
func (Order) command()         {}
func (Standby) command()       {}
func (Maintenance) command()   {}
func (GiveUp) command()        {}
func (Confirm) command()       {}
func (Rehearse) command()      {}
func (Armed) command()         {}
func (Calm) command()          {}
func (Remark) command()        {}

func (Resolve) command()        {}
func (Show) command()           {}
func (Measured) command()       {}
func (Unmeasured) command()     {}
func (MeasureAgain) command()   {}
func (Approve) command()        {}
func (StepDone) command()       {}
func (CancelRecovery) command() {}
