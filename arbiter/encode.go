package arbiter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// formatVersion is the version of commands and snapshots written. A reader
// refuses a higher one: a command that cannot be understood must stop a
// witness, for a witness that skips it decides on another state than its peers.
const formatVersion = 1

// Entry is a command as it stands in the log.
type Entry struct {
	At      int64 // Unix milliseconds on the proposer's clock; for people
	Command Command
}

type wireEntry struct {
	Version int             `json:"v"`
	At      int64           `json:"at"`
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`
}

var kinds = map[string]reflect.Type{}

func init() {
	for _, c := range []Command{
		Lead{},
		Renounce{},
		Define{},
		NodeUp{},
		Acquire{},
		Started{},
		Release{},
		Exclude{},
		OwnWord{},
		Readmit{},
		Begin{},
		ReportFence{},
		WitnessBegin{},
		WitnessReport{},
		EndMandate{},
		Order{},
		Standby{},
		Maintenance{},
		GiveUp{},
		Confirm{},
		Rehearse{},
		Armed{},
		Calm{},
		Remark{},
		Resolve{},
		Show{},
		Measured{},
		Unmeasured{},
		MeasureAgain{},
		Approve{},
		StepDone{},
		CancelRecovery{},
	} {
		kinds[kindOf(c)] = reflect.TypeOf(c)
	}
}

func kindOf(c Command) string { return reflect.TypeOf(c).Name() }

// EncodeCommand writes c for the log. The same entry always gives the same
// bytes.
func EncodeCommand(e Entry) ([]byte, error) {
	body, err := json.Marshal(e.Command)
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", kindOf(e.Command), err)
	}
	return json.Marshal(wireEntry{Version: formatVersion, At: e.At, Kind: kindOf(e.Command), Body: body})
}

// DecodeCommand reads what EncodeCommand wrote. An error means that this
// program is older than the log or that the log is damaged; the caller must not
// go on behind it.
func DecodeCommand(b []byte) (Entry, error) {
	var w wireEntry
	if err := decode(b, &w); err != nil {
		return Entry{}, fmt.Errorf("decode log entry: %w", err)
	}
	t, ok := kinds[w.Kind]
	if !ok {
		return Entry{}, fmt.Errorf("decode log entry: unknown command %q; run the version of sbwitness that wrote it, or a later one", w.Kind)
	}
	p := reflect.New(t)
	if err := strictly(w.Body, p.Interface()); err != nil {
		return Entry{}, fmt.Errorf("decode command %s: %w", w.Kind, err)
	}
	return Entry{At: w.At, Command: p.Elem().Interface().(Command)}, nil
}

type wireState struct {
	Version int    `json:"v"`
	State   *State `json:"state"`
}

// EncodeState writes a snapshot.
func EncodeState(s *State) ([]byte, error) {
	return json.Marshal(wireState{Version: formatVersion, State: s})
}

// DecodeState reads a snapshot.
func DecodeState(b []byte) (*State, error) {
	w := wireState{State: NewState()}
	if err := decode(b, &w); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if err := w.State.check(); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return w.State, nil
}

// check finds what only a damaged snapshot can lack.
func (s *State) check() error {
	if s == nil || s.Clusters == nil {
		return errors.New("it holds no state; restore the witness from a backup, or let it learn from the nodes")
	}
	for id, c := range s.Clusters {
		if c == nil || c.Definition.Cluster != id {
			return fmt.Errorf("cluster %s is damaged", id)
		}
		for _, n := range c.Definition.Nodes {
			if c.Nodes[n] == nil {
				return fmt.Errorf("cluster %s: node %s is missing", id, n)
			}
		}
		for g := range c.Definition.Groups {
			if c.Groups[g] == nil {
				return fmt.Errorf("cluster %s: group %s is missing", id, g)
			}
			if !c.Groups[g].Recovery.Whole() {
				return fmt.Errorf("cluster %s: the recovery of group %s is damaged", id, g)
			}
		}
	}
	return nil
}

// decode reads a versioned envelope. The version comes first: what a later
// format holds besides is unknown by definition.
func decode(b []byte, v any) error {
	var w struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if w.Version != formatVersion {
		return fmt.Errorf("format %d, this program knows %d; run the version of sbwitness that wrote it, or a later one", w.Version, formatVersion)
	}
	return strictly(b, v)
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
