package fencing

import (
	"errors"
	"fmt"
	"slices"
)

// Topology says which devices cut a target's power, and in which order they are
// tried.
type Topology struct {
	// Levels are tried in order. A level succeeds when all its devices read off;
	// one that does not succeed leads to the next.
	Levels [][]DeviceName
	// Partial names devices that cut one of several supplies only. The partial
	// devices of a level count as one reading, and only when each of them was
	// seen going from on to off: one that always says off would otherwise hide
	// a machine that runs on that supply.
	Partial []DeviceName
	// Weak names devices that ask the target itself to stop. They have done their
	// part when the target has taken the command; what they say of its power
	// proves nothing, for a machine that is silent may run on.
	Weak []DeviceName
}

// Validate returns an error that names every fault of t, or nil.
func (t Topology) Validate() error {
	if len(t.Levels) == 0 {
		return errors.New("levels: no fence device is named; name at least one")
	}
	var errs []error
	seen := map[DeviceName]int{}
	for i, level := range t.Levels {
		if len(level) == 0 {
			errs = append(errs, fmt.Errorf("levels[%d]: empty; name a device or remove the level", i))
		}
		for j, d := range level {
			if d == "" {
				errs = append(errs, fmt.Errorf("levels[%d][%d]: a device without a name", i, j))
				continue
			}
			if first, twice := seen[d]; twice {
				errs = append(errs, fmt.Errorf("levels[%d][%d]: device %q is already in levels[%d]; trying it twice proves no more", i, j, d, first))
				continue
			}
			seen[d] = i
		}
		if p := t.partialOf(level); len(t.strong(level)) == 1 && len(p) == 1 {
			errs = append(errs, fmt.Errorf("levels[%d]: %q cuts one supply only, so this level can never succeed; add the device of the other supply", i, p[0]))
		}
	}
	for i, d := range t.Partial {
		if _, ok := seen[d]; !ok {
			errs = append(errs, fmt.Errorf("partial[%d]: device %q is in no level", i, d))
		}
	}
	for i, d := range t.Weak {
		if _, ok := seen[d]; !ok {
			errs = append(errs, fmt.Errorf("weak[%d]: device %q is in no level", i, d))
		}
		if t.isPartial(d) {
			errs = append(errs, fmt.Errorf("weak[%d]: device %q is partial as well, but it cuts no supply", i, d))
		}
	}
	return errors.Join(errs...)
}

// Devices returns all devices, level by level.
func (t Topology) Devices() []DeviceName { return slices.Concat(t.Levels...) }

func (t Topology) partialOf(level []DeviceName) []DeviceName {
	var p []DeviceName
	for _, d := range level {
		if t.isPartial(d) {
			p = append(p, d)
		}
	}
	return p
}

// strong returns the devices of a level whose readings count.
func (t Topology) strong(level []DeviceName) []DeviceName {
	return slices.DeleteFunc(slices.Clone(level), t.isWeak)
}

func (t Topology) isWeak(d DeviceName) bool { return slices.Contains(t.Weak, d) }

func (t Topology) isPartial(d DeviceName) bool { return slices.Contains(t.Partial, d) }
