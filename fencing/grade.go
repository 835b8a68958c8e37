package fencing

import (
	"fmt"
	"slices"
	"strings"

	"sbarbiter/internal/mutant"
)

// Grade says how well "the other node cannot write" is proven. A higher grade
// is the better proof, so grades compare with <.
type Grade uint8

// The grades, weakest first.
const (
	E0 Grade = iota // nothing is proven
	E1              // an operator's word
	E2              // lease, armed watchdog, reset time and margin have run out
	E3              // one device saw the power go from on to off
	E4              // two independent readings say off, one of them from on
	E5              // the node's own stop receipt, or its new boot id
)

// ProvenByPower is the least grade at which a shot counts as proven.
const ProvenByPower = E3

// String returns "E0" to "E5".
func (g Grade) String() string { return fmt.Sprintf("E%d", uint8(g)) }

// Meaning returns one sentence for people.
func (g Grade) Meaning() string {
	switch g {
	case E0:
		return "Nothing proves that the node has stopped."
	case E1:
		return "An operator gave their word that the node is off."
	case E2:
		return "The node's lease, its armed watchdog, reset time and margin have run out."
	case E3:
		return "One fence device saw the node's power go from on to off."
	case E4:
		return "Two independent fence devices saw the node's power off, at least one of them going from on to off."
	case E5:
		return "The node itself said that it has stopped, or came back with a new boot id."
	}
	return fmt.Sprintf("%s is no grade.", g)
}

// ParseGrade reads "E0" to "E5".
func ParseGrade(s string) (Grade, error) {
	for g := E0; g <= E5; g++ {
		if s == g.String() {
			return g, nil
		}
	}
	return E0, fmt.Errorf("grade %q: want one of E0, E1, E2, E3, E4, E5", s)
}

// Evidence is all that power readings say about one target.
type Evidence struct {
	Topology Topology
	// Before holds readings that are older than every one of During: those
	// stored with Begin, by whichever executor, and those taken while the target
	// was known to be alive (see [Track]). "Off" among them proves nothing.
	Before []Reading
	// During holds the readings of the shot, oldest first. For each device the
	// last one counts.
	During []Reading
	// Void names devices that said off while the target showed life: whatever
	// else they say is worthless.
	Void []DeviceName
	// Taken names the weak devices through which the target has taken the command
	// to stop.
	Taken []DeviceName
}

// Judge grades e: E3 or E4 by its readings, E1 where the target itself has taken
// the command to stop and nothing else speaks, E0 otherwise. The sentence says
// why.
func Judge(e Evidence) (Grade, string) {
	var witnesses, fromOn []string
	for _, level := range e.Topology.Levels {
		if !e.allOff(level) {
			continue
		}
		for _, d := range e.Topology.strong(level) {
			if e.Topology.isPartial(d) {
				continue
			}
			witnesses = append(witnesses, string(d))
			if e.seenOn(d) {
				fromOn = append(fromOn, string(d))
			}
		}
		// One supply alone says nothing: the machine may run on another one.
		if p := e.Topology.partialOf(level); len(p) > 1 && e.allSeenOn(p) {
			witnesses = append(witnesses, joinDevices(p))
			fromOn = append(fromOn, joinDevices(p))
		}
	}
	switch {
	case len(fromOn) > 0 && len(witnesses) > 1:
		return E4, fmt.Sprintf("%s read off; of these, %s went from on to off", strings.Join(witnesses, " and "), strings.Join(fromOn, " and "))
	case len(fromOn) > 0:
		return E3, fromOn[0] + " went from on to off"
	case len(witnesses) > 0 && mutant.On(mutant.OffNeverOn):
		return E3, ""
	}
	if len(e.Taken) > 0 {
		return E1, joinDevices(e.Taken) + " took the command to stop; only the target's own stop receipt, its new boot, or another device can say that it has stopped"
	}
	return E0, e.whyNothing()
}

// whyNothing explains a grade of E0.
func (e Evidence) whyNothing() string {
	for _, level := range e.Topology.Levels {
		if e.allOff(level) {
			return joinDevices(e.neverOn(e.Topology.strong(level))) + " read off but never on: a machine that is off looks the same as a device that always says off, or that belongs to another machine; another sign is needed"
		}
	}
	if len(e.Void) > 0 {
		return joinDevices(e.Void) + " said off while the target showed life"
	}
	return "no level of devices read off"
}

func (e Evidence) allOff(level []DeviceName) bool {
	level = e.Topology.strong(level)
	for _, d := range level {
		if slices.Contains(e.Void, d) || e.last(d) != PowerOff {
			return false
		}
	}
	return len(level) > 0
}

func (e Evidence) last(d DeviceName) Power {
	for _, r := range slices.Backward(e.During) {
		if r.Device == d && r.Power != PowerUnknown {
			return r.Power
		}
	}
	return PowerUnknown
}

// seenOn reports whether d was read as on at any time. Where its last reading
// is off, that is a transition: all of Before is older than During.
func (e Evidence) seenOn(d DeviceName) bool {
	on := func(r Reading) bool { return r.Device == d && r.Power == PowerOn }
	return slices.ContainsFunc(e.Before, on) || slices.ContainsFunc(e.During, on)
}

func (e Evidence) allSeenOn(devices []DeviceName) bool { return len(e.neverOn(devices)) == 0 }

func (e Evidence) neverOn(devices []DeviceName) []DeviceName {
	return slices.DeleteFunc(slices.Clone(devices), e.seenOn)
}

func joinDevices(devices []DeviceName) string {
	names := make([]string, len(devices))
	for i, d := range devices {
		names[i] = string(d)
	}
	return strings.Join(names, " and ")
}
