// Package engine holds the words that a replicated log and its users share: the
// machine that a log drives, what "I lead" looks like, and which errors mean
// "it did not happen" and which "nobody knows". It has no behaviour; the logs
// themselves are next to it (raftlog), and their common examination is in
// enginetest.
package engine

import "errors"

var (
	// ErrNotLeader means that the request was certainly not accepted here: it
	// has had no effect and will have none.
	ErrNotLeader = errors.New("not the leader")

	// ErrUnknown means that the request may have been accepted, or may still
	// be. Only a later barrier settles it.
	ErrUnknown = errors.New("outcome unknown")
)

// Machine is what a log drives. Its methods are called one at a time, in log
// order, and must be deterministic and free of effects outside the machine:
// logs are replayed at every start.
type Machine interface {
	// Apply carries out the command at index, which only grows. A refusal is
	// an outcome. An error means that the command could not be understood: the
	// engine then stops for good, because skipping it would let replicas differ.
	Apply(index uint64, cmd []byte) (outcome []byte, err error)

	// Snapshot encodes the whole state.
	Snapshot() ([]byte, error)

	// Restore replaces the whole state with a snapshot's.
	Restore(snapshot []byte) error
}

// Leadership is one edge: from now on this engine leads, or does not.
type Leadership struct {
	// Leads is true from an election won until leadership is lost or in doubt.
	Leads bool

	// Term grows strictly from one leadership of this engine to its next, also
	// where the loss in between was not seen.
	Term uint64
}
