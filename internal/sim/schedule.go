package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"sbarbiter/arbiter"
)

// scheduleFormat is the format of a schedule's file that this program knows.
const scheduleFormat = 1

// Schedule is a run as data: what a pair is and what happens to it. The same
// schedule is the same run.
type Schedule struct {
	Format   int               `json:"format"`
	Found    string            `json:"found,omitempty"` // what it showed, for people
	Seed     uint64            `json:"seed"`            // of everything that is left to chance
	Pair     string            `json:"pair"`            // one of Pairs
	Groups   []arbiter.GroupID `json:"groups"`          // db, mail, web
	Episodes []Episode         `json:"episodes"`
}

// Episode is a time of trouble. It begins some time after the one before was
// over, which is when the pair has recovered from it.
type Episode struct {
	After  Span    `json:"after"`
	Faults []Fault `json:"faults"`
	// Mended is when everything is mended, if it is not yet. Then the pair has to
	// recover.
	Mended Span `json:"mended"`
}

// Fault is one thing that goes wrong, at a time from the episode's beginning.
type Fault struct {
	At   Span   `json:"at"`
	What string `json:"what"`           // one of Kinds
	Host string `json:"host,omitempty"` // where that matters; "": the node that runs the first group
	For  Span   `json:"for,omitzero"`   // until it is mended by itself; 0: it is over at once, or lasts
}

// Span is a duration that is written the way people write one.
type Span time.Duration

func (s Span) String() string { return time.Duration(s).String() }

// MarshalText writes s.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}

// Encode writes s for a file.
func (s *Schedule) Encode() []byte {
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("sim: encode schedule: " + err.Error()) // plain data: cannot fail
	}
	return append(out, '\n')
}

// DecodeSchedule reads what Encode wrote, and refuses what this program would
// run as something else.
func DecodeSchedule(b []byte) (*Schedule, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("decode schedule: %w", err)
	}
	if head.Format != scheduleFormat {
		return nil, fmt.Errorf("decode schedule: format %d, this program knows %d: replay it with the version that wrote it", head.Format, scheduleFormat)
	}
	s := &Schedule{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("decode schedule: %w; it was written by another version, or by hand", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("decode schedule: %w", err)
	}
	return s, nil
}

func (s *Schedule) check() error {
	if _, ok := pairs[s.Pair]; !ok {
		return fmt.Errorf("there is no pair %q; pairs are %v", s.Pair, Pairs())
	}
	for _, id := range s.Groups {
		if id != db && id != mail && id != web {
			return fmt.Errorf("there is no group %q; groups are %s, %s and %s", id, db, mail, web)
		}
	}
	if len(s.Groups) == 0 {
		return fmt.Errorf("no group is named; groups are %s, %s and %s", db, mail, web)
	}
	for i, e := range s.Episodes {
		if e.After < 0 || e.Mended < 0 {
			return fmt.Errorf("episode %d: a time is negative", i+1)
		}
		for _, f := range e.Faults {
			if err := f.check(); err != nil {
				return fmt.Errorf("episode %d: %w", i+1, err)
			}
		}
	}
	return nil
}

func (f *Fault) check() error {
	k := kindOf(f.What)
	switch {
	case k == nil:
		return fmt.Errorf("this program does not know the fault %q", f.What)
	case f.At < 0 || f.For < 0:
		return fmt.Errorf("%q: a time is negative", f.What)
	case f.Host != "" && f.Host != A.String() && f.Host != B.String():
		return fmt.Errorf("%q: there is no node %q", f.What, f.Host)
	case f.Host == "" && !k.holders():
		return fmt.Errorf("%q: no host is named", f.What)
	}
	return nil
}
