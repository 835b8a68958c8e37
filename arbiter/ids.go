// Package arbiter decides who may write. It holds the replicated state machine
// of leases, exclusions and mandates and nothing else: the order and durability
// of commands is an engine's business, and time is the leader's judgement,
// carried in the commands (see package leader).
//
// [State.Apply] is pure and deterministic: the same commands in the same order
// give the same state and the same outcomes on every witness and in every
// replay. Nothing outside happens inside it.
package arbiter

import "fmt"

// ClusterID names a pair of data nodes.
type ClusterID string

// NodeID names a data node within its cluster.
type NodeID string

// GroupID names a group within its cluster.
type GroupID string

// BootID is the kernel's identifier of one machine start
// (/proc/sys/kernel/random/boot_id).
type BootID string

// Incarnation counts the starts of one node's agent; it is stored before it is
// used and never goes back.
type Incarnation uint64

// RequestID tells the requests of one agent incarnation apart.
type RequestID uint64

// MandateID numbers the mandates of a cluster.
type MandateID uint64

// Epoch is the fencing token: a counter per cluster that grows with every
// grant. Epochs that are 0 mod 4 are granted by a witness; 1 and 3 mod 4 are
// kept for provisional ones of the two nodes.
type Epoch uint64

// Next returns the epoch of the next grant by a witness.
func (e Epoch) Next() Epoch { return (e/4 + 1) * 4 }

// ExclusionNumber numbers exclusions. Its upper half is the incarnation of the
// witness that gave it, so that two witnesses that have not seen each other's
// disk cannot give the same one.
type ExclusionNumber uint64

func (n ExclusionNumber) String() string {
	return fmt.Sprintf("%d.%d", uint64(n)>>32, uint64(n)&0xffffffff)
}

// RecoveryID numbers the recoveries of a cluster. Its upper half is the
// incarnation of the witness that gave it: what is kept under a number on a node
// is never mistaken for that of a recovery which a lost memory had begun.
type RecoveryID uint64

func (id RecoveryID) String() string { return ExclusionNumber(id).String() }

// WordID numbers the words that operators have given about the copies of a group: which
// one is kept, which machine is lost.
type WordID uint64

// Version places an answer of a witness in the history of witnesses. Agents
// keep the highest they have seen and show it with every request, so that a
// witness restored from a backup learns that it is behind.
type Version struct {
	Incarnation uint32 `json:"incarnation"` // of the witness's memory; a lost disk begins a new one
	Starts      uint64 `json:"starts"`      // leaderships begun in this incarnation
	Nonce       uint64 `json:"nonce"`       // drawn when the leadership began: two copies of one disk differ in it
	Index       uint64 `json:"index"`       // commands applied
}

// Ahead reports whether v shows something that a witness at w does not know:
// then w's memory is older than what it has already answered.
func (v Version) Ahead(w Version) bool {
	switch {
	case v.Incarnation != w.Incarnation:
		return v.Incarnation > w.Incarnation
	case v.Starts != w.Starts:
		return v.Starts > w.Starts
	case v.Nonce != w.Nonce:
		return v.Starts != 0
	default:
		return v.Index > w.Index
	}
}

// Misses reports whether this memory lacks what a witness at v had: v's
// leadership is not in it, or ended here before v's entry. A copy restored from
// a backup goes on counting leaderships, so a higher count alone proves nothing.
// Leaderships older than the ones kept are taken for known.
func (s *State) Misses(v Version) bool {
	if v.Ahead(s.Version) {
		return true
	}
	if v.Incarnation != s.Version.Incarnation || v.Starts == s.Version.Starts {
		return false
	}
	for i, l := range s.Leads {
		if l.Starts == v.Starts {
			return l.Nonce != v.Nonce || i+1 < len(s.Leads) && v.Index >= s.Leads[i+1].Index
		}
	}
	return false
}

// Newer reports whether an agent that has seen v should remember w instead.
func (v Version) Newer(w Version) bool {
	switch {
	case w.Incarnation != v.Incarnation:
		return w.Incarnation > v.Incarnation
	case w.Starts != v.Starts:
		return w.Starts > v.Starts
	default:
		return w.Nonce == v.Nonce && w.Index > v.Index
	}
}

// Grade says how well "the other node cannot write" is proven.
type Grade uint8

// The grades, weakest first.
const (
	E0 Grade = iota // nothing
	E1              // an operator's word
	E2              // lease, watchdog, reset time and margin have run out on a machine whose watchdog was armed
	E3              // power seen going from on to off by one device
	E4              // power seen off by two independent devices
	E5              // its own stop receipt, or a new boot id
)

func (g Grade) String() string { return fmt.Sprintf("E%d", uint8(g)) }

// Meaning is one sentence about what the grade rests on.
func (g Grade) Meaning() string {
	return [...]string{
		"nothing is known",
		"an operator said so",
		"its lease and its armed watchdog have run out",
		"its power was seen going from on to off",
		"its power was seen off by two independent devices",
		"it said so itself, or it has started anew",
	}[min(g, E5)]
}

// ParseGrade reads "E0" to "E5".
func ParseGrade(s string) (Grade, error) {
	if len(s) == 2 && s[0] == 'E' && s[1] >= '0' && s[1] <= '5' {
		return Grade(s[1] - '0'), nil
	}
	return E0, fmt.Errorf("read grade %q: want E0 to E5", s)
}
