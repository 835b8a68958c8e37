package arbiter

import (
	"fmt"
	"time"

	"sbarbiter/internal/boottime"
)

// DiskState is DRBD's word for the state of one copy of a volume.
type DiskState string

// The disk states that arbitration tells apart. Every other word is worse than
// Consistent.
const (
	UpToDate   DiskState = "UpToDate"
	Consistent DiskState = "Consistent"
)

// Disk is what a node sees of one volume.
type Disk struct {
	Volume    string    `json:"volume"` // resource/number
	Own       DiskState `json:"own"`
	Peer      DiskState `json:"peer"`
	Connected bool      `json:"connected,omitempty"`
}

// Watchdog is what a node reports of the device that will reset it.
type Watchdog struct {
	Armed    bool          `json:"armed,omitempty"`
	Hardware bool          `json:"hardware,omitempty"` // keeps counting when the CPU stands still
	Timeout  time.Duration `json:"timeout,omitempty"`  // read back from the driver
}

// String says what would reset the machine.
func (w Watchdog) String() string {
	switch {
	case !w.Armed:
		return "no armed watchdog"
	case !w.Hardware:
		return fmt.Sprintf("a software watchdog, armed with %v", w.Timeout)
	}
	return fmt.Sprintf("a hardware watchdog, armed with %v", w.Timeout)
}

// resets reports whether a machine with that watchdog is surely reset within a
// lease of ttl, even when its CPU stands still.
func (w Watchdog) resets(ttl time.Duration, pauseRisk bool) bool {
	return w.Armed && w.Timeout > 0 && w.Timeout+w.Timeout/100 < ttl && (w.Hardware || pauseRisk)
}

// Evidence is what a node knows at the moment of a request. It is the input of
// the rules, so it is stored with the decision that it led to.
type Evidence struct {
	Disks       []Disk   `json:"disks,omitempty"`
	References  int      `json:"references"` // reference addresses that answer
	Needed      int      `json:"needed"`     // that must answer for the node not to be isolated
	HearsPeer   bool     `json:"hears_peer,omitempty"`
	PeerReaches int      `json:"peer_reaches,omitempty"` // references the peer says it reaches, if it is heard
	OwnWord     uint64   `json:"own_word,omitempty"`     // number of its own record that its copy is stale; 0: none
	Promising   bool     `json:"promising,omitempty"`    // a promise of its own for the group runs
	Failed      bool     `json:"failed,omitempty"`       // its last start of the group failed and nobody has cleared that
	Watchdog    Watchdog `json:"watchdog,omitzero"`
}

// Isolated reports whether the node reaches fewer references than it must.
func (e *Evidence) Isolated() bool { return e.References < e.Needed }

func (e *Evidence) all(ok func(Disk) bool) bool {
	for _, d := range e.Disks {
		if !ok(d) {
			return false
		}
	}
	return len(e.Disks) > 0
}

// OwnUpToDate reports whether every own volume is UpToDate.
func (e *Evidence) OwnUpToDate() bool {
	return e.all(func(d Disk) bool { return d.Own == UpToDate })
}

// OwnUsable reports whether every own volume is UpToDate or Consistent.
func (e *Evidence) OwnUsable() bool {
	return e.all(func(d Disk) bool { return d.Own == UpToDate || d.Own == Consistent })
}

// OwnWhole reports whether every own volume is a copy of one moment, however old.
func (e *Evidence) OwnWhole() bool {
	return e.all(func(d Disk) bool { return d.Own == UpToDate || d.Own == Consistent || d.Own == "Outdated" })
}

// InStep reports whether both copies of every volume are connected and UpToDate.
func (e *Evidence) InStep() bool {
	return e.all(func(d Disk) bool { return d.Connected && d.Own == UpToDate && d.Peer == UpToDate })
}

// Judgement is what the leader concluded from its clock when it proposed a
// command. It is guarded by the epoch that it is about: Apply ignores it once
// that lease has changed.
type Judgement struct {
	Epoch     Epoch     `json:"epoch"`               // of the lease judged; 0: nobody held the group
	Suspected bool      `json:"suspected,omitempty"` // the holder was silent for suspect_after
	Expired   bool      `json:"expired,omitempty"`   // the lease's deadline has passed
	InTime    bool      `json:"in_time,omitempty"`   // the lease's deadline has not passed
	Gate      bool      `json:"gate,omitempty"`      // the start gate is still closed
	Delay     bool      `json:"delay,omitempty"`     // the takeover delay still runs
	Backoff   bool      `json:"backoff,omitempty"`   // a shot has failed a moment ago
	Peer      *Evidence `json:"peer,omitempty"`      // the caller's peer's, if it was heard and wants the group
	PeerHeard bool      `json:"peer_heard,omitempty"`
}

// Reading is one look at a power device.
type Reading struct {
	Device string           `json:"device"`
	Power  string           `json:"power"` // on, off, unknown
	At     boottime.Instant `json:"at"`    // on the executor's clock
}
