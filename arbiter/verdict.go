package arbiter

import "fmt"

// Kind tells the verdicts apart.
type Kind string

// The kinds of verdict.
const (
	Granted    Kind = "granted"     // the group is the caller's
	FenceFirst Kind = "fence_first" // a mandate to shoot the holder
	Permitted  Kind = "permitted"   // the shot may begin
	Done       Kind = "done"        // what was asked is recorded
	Refused    Kind = "refused"
)

// Reason is why something was refused, for programs; the sentence beside it is
// for people.
type Reason string

// The reasons.
const (
	UnknownCluster  Reason = "unknown_cluster"
	UnknownNode     Reason = "unknown_node"
	UnknownGroup    Reason = "unknown_group"
	WrongIdentity   Reason = "wrong_identity"
	StaleBoot       Reason = "stale_boot"
	NotIntroduced   Reason = "not_introduced"
	StaleAgent      Reason = "stale_agent"
	Overtaken       Reason = "overtaken"
	RolledBack      Reason = "rolled_back"
	TwinIdentity    Reason = "twin_identity"
	WitnessLearning Reason = "witness_learning"
	WitnessBehind   Reason = "witness_behind"
	InMaintenance   Reason = "maintenance"
	InStandby       Reason = "standby"
	ManualMode      Reason = "manual_mode"
	IsExcluded      Reason = "excluded"
	DiskUnusable    Reason = "disk_unusable"
	NeverInStep     Reason = "never_in_step"
	IsIsolated      Reason = "isolated"
	MandateUnderWay Reason = "mandate_under_way"
	MandateBegun    Reason = "mandate_begun"
	MandateOver     Reason = "mandate_over"
	HeldByPeer      Reason = "held"
	GradeTooLow     Reason = "grade_too_low"
	PeerPreferred   Reason = "peer_preferred"
	GateClosed      Reason = "start_gate"
	SwitchUnderWay  Reason = "switchover_under_way"
	TakeoverDelayed Reason = "takeover_delayed"
	NoMaintenance   Reason = "no_maintenance"
	HoldsGroup      Reason = "holds_group"
	HeldBack        Reason = "hold_time"
	ShotsSpent      Reason = "shots_per_hour"
	NotHolder       Reason = "not_holder"
	GrantedToPeer   Reason = "granted_to_peer"
	RenewFirst      Reason = "renew_first"
	LastCopy        Reason = "last_copy"
	NotLatest       Reason = "not_latest"
	NotInStep       Reason = "not_in_step"
	NoGoodCopy      Reason = "no_good_copy"
	TargetAlive     Reason = "target_alive"
	NotProven       Reason = "not_proven"
	NothingToDo     Reason = "nothing_to_do"
	WordOver        Reason = "word_over"
	NoDRBD          Reason = "no_drbd"
	BadDefinition   Reason = "bad_definition"
	Implausible     Reason = "implausible"

	RecoveryUnderWay Reason = "recovery_under_way"
	RecoveryOver     Reason = "recovery_over"
	NotMeasured      Reason = "not_measured"
	BadOrder         Reason = "bad_order"
	EvidenceChanged  Reason = "evidence_changed"
	PastReturn       Reason = "past_return"
)

// Verdict is the answer to one command.
type Verdict struct {
	Kind     Kind            `json:"kind"`
	Reason   Reason          `json:"reason,omitempty"`
	Sentence string          `json:"sentence"`
	Holder   NodeID          `json:"holder,omitempty"`
	Epoch    Epoch           `json:"epoch,omitempty"`
	Basis    Basis           `json:"basis,omitzero"`
	Mandate  MandateID       `json:"mandate,omitempty"`
	Number   ExclusionNumber `json:"number,omitempty"`
	Recovery RecoveryID      `json:"recovery,omitempty"`
	// Incarnation is the one that an agent with an empty store goes on with.
	Incarnation Incarnation `json:"incarnation,omitempty"`
	// Repeated: the caller asked this before; the verdict says nothing about
	// now, so it renews before it acts.
	Repeated bool `json:"repeated,omitempty"`
}

// OK reports whether the request was not refused.
func (v Verdict) OK() bool { return v.Kind != Refused && v.Kind != "" }

// Outcome is what one command did.
type Outcome struct {
	Verdict Verdict  `json:"verdict"`
	Records []Record `json:"records,omitempty"`
}

func refuse(r Reason, format string, a ...any) Verdict {
	return Verdict{Kind: Refused, Reason: r, Sentence: fmt.Sprintf(format, a...)}
}

func done(format string, a ...any) Verdict {
	return Verdict{Kind: Done, Sentence: fmt.Sprintf(format, a...)}
}
