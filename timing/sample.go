package timing

import (
	"encoding/json"
	"slices"
	"time"
)

// Measured sums up how long something took.
type Measured struct {
	Count uint64        // how often it was seen, ever
	P999  time.Duration // of the kept ones
	Max   time.Duration // ever
}

// Known reports whether anything was seen.
func (m Measured) Known() bool { return m.Count > 0 }

// Sample keeps the latest durations of one thing. The zero value is empty.
type Sample struct {
	Kept  []time.Duration `json:"kept"` // oldest first
	Count uint64          `json:"count"`
	Max   time.Duration   `json:"max"`
}

// mostKept is enough for a 99.9th percentile that is not simply the greatest.
const mostKept = 1024

// Add notes one more.
func (s *Sample) Add(d time.Duration) {
	if len(s.Kept) >= mostKept {
		s.Kept = append(s.Kept[:0], s.Kept[1:]...)
	}
	s.Kept = append(s.Kept, d)
	s.Count++
	s.Max = max(s.Max, d)
}

// Measured sums the sample up.
func (s *Sample) Measured() Measured {
	if s == nil || len(s.Kept) == 0 {
		return Measured{}
	}
	sorted := slices.Sorted(slices.Values(s.Kept))
	return Measured{Count: s.Count, P999: sorted[(len(sorted)*999+999)/1000-1], Max: s.Max}
}

// Samples are what was measured on a node, by what it was: the keys are the
// caller's.
type Samples map[string]*Sample

// Add notes that one more of these took d.
func (s Samples) Add(what string, d time.Duration) {
	if s[what] == nil {
		s[what] = &Sample{}
	}
	s[what].Add(d)
}

// Measured sums one of them up.
func (s Samples) Measured(what string) Measured { return s[what].Measured() }

// Encode writes the samples, to be read by [DecodeSamples].
func (s Samples) Encode() []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("timing: encode samples: " + err.Error()) // numbers can be written
	}
	return raw
}

// DecodeSamples reads what [Samples.Encode] wrote. Measurements that cannot be
// read are no reason to refuse anything: the next ones replace them.
func DecodeSamples(raw []byte) Samples {
	s := Samples{}
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return Samples{}
	}
	for what, one := range s {
		if one == nil || len(one.Kept) > mostKept {
			delete(s, what)
		}
	}
	return s
}
