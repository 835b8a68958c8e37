package fencing

import (
	"fmt"
	"strings"
	"time"

	"sbarbiter/internal/boottime"
)

// Result is the outcome of a shot. Not Proven means that the target must be
// taken for alive, whatever was sent to it.
type Result struct {
	Target   Target
	Executor string
	Proven   bool
	Grade    Grade
	// Reason is one sentence: what the grade rests on, or why there is no proof.
	Reason string
	// Readings are those of the shot, oldest first, without the unknown ones.
	Readings []Reading
	Devices  []Outcome // one for each device of the topology, in its order
	Sent     bool      // at least one off has left, or may have
	// InFlight: an off may still take effect, after this result: one that shows
	// none yet, one sent again before the first did, or one sent to a device that
	// had said off before.
	InFlight bool
	// Lands is until when, if it is proven and InFlight.
	Lands boottime.Instant
	Start boottime.Instant
	End   boottime.Instant
}

// Outcome tells what became of one device.
type Outcome struct {
	Device  DeviceName
	Level   int // index into Topology.Levels
	Tried   bool
	Off     bool   // it reads off, and nothing contradicts it
	Failure string // why it did not help; empty where it did or was not needed
	Story   []Note // what happened, oldest first
}

// Note is one thing that happened with a device.
type Note struct {
	At   boottime.Instant
	Text string
}

// String returns "node-a off, proven (E3): ipmi-a went from on to off" or the
// failure in the same form.
func (r Result) String() string {
	if r.Proven {
		return fmt.Sprintf("%s is off, proven at %s: %s", r.Target, r.Grade, r.Reason)
	}
	return fmt.Sprintf("%s is not proven off (%s): %s", r.Target, r.Grade, r.Reason)
}

// Explain returns one line for each device, for the audit:
// "ipmi-a: on before, off accepted +0.20s, read off +1.90s".
func (r Result) Explain() []string {
	lines := make([]string, 0, len(r.Devices))
	for _, d := range r.Devices {
		lines = append(lines, d.explain(r.Start))
	}
	return lines
}

func (o Outcome) explain(start boottime.Instant) string {
	var parts []string
	for _, n := range o.Story {
		if n.At.IsZero() {
			parts = append(parts, n.Text)
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s", n.Text, offset(n.At.Sub(start))))
	}
	if !o.Tried {
		parts = append(parts, "not tried")
	}
	line := string(o.Device) + ": " + strings.Join(parts, ", ")
	if o.Failure != "" {
		line += "; " + o.Failure
	}
	return line
}

// offset formats d as "+1.90s".
func offset(d time.Duration) string { return fmt.Sprintf("%+.2fs", d.Seconds()) }
