package witness

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/engine"
)

// Machine is the arbiter's state as an engine drives it. The records of its
// decisions go to the audit log, which knows those that a replay brings again.
type Machine struct {
	audit *Audit // set by New, before the engine runs

	mu    sync.Mutex // held for one command or one copy
	state *arbiter.State
}

var _ engine.Machine = (*Machine)(nil)

// NewMachine returns the machine of a witness that remembers nothing yet.
func NewMachine() *Machine { return &Machine{state: arbiter.NewState()} }

// Apply carries out one command and returns its verdict, encoded.
func (m *Machine) Apply(index uint64, cmd []byte) ([]byte, error) {
	entry, err := arbiter.DecodeCommand(cmd)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	out := m.state.Apply(index, entry)
	m.mu.Unlock()
	m.audit.add(out.Records...)
	return json.Marshal(out.Verdict)
}

func decodeVerdict(b []byte) (arbiter.Verdict, error) {
	var v arbiter.Verdict
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("decode verdict: %w", err)
	}
	return v, nil
}

// Snapshot encodes the whole state.
func (m *Machine) Snapshot() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return arbiter.EncodeState(m.state)
}

// Restore replaces the whole state. The latest decisions stand in it too, for an
// audit file that was behind when the snapshot was taken.
func (m *Machine) Restore(snapshot []byte) error {
	state, err := arbiter.DecodeState(snapshot)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.state = state
	records := latest(state)
	m.mu.Unlock()
	m.audit.add(records...)
	return nil
}

// cluster returns the state's version and a copy of one cluster, nil if it does
// not exist.
func (m *Machine) cluster(id arbiter.ClusterID) (arbiter.Version, *arbiter.Cluster) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.state.Clusters[id]
	if c == nil {
		return m.state.Version, nil
	}
	return m.state.Version, c.Clone()
}

// whole is a copy of everything that a leadership starts from.
type whole struct {
	version  arbiter.Version
	leads    []arbiter.Leadership
	clusters []*arbiter.Cluster
}

func (m *Machine) whole() whole {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := whole{version: m.state.Version, leads: slices.Clone(m.state.Leads)}
	for _, c := range m.state.Clusters {
		w.clusters = append(w.clusters, c.Clone())
	}
	return w
}

// latest returns the decisions that a state holds, in the order of the log.
func latest(s *arbiter.State) []arbiter.Record {
	var records []arbiter.Record
	for _, c := range s.Clusters {
		records = append(records, c.Audit...)
	}
	inOrder(records)
	return records
}
