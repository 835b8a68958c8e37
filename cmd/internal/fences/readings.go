package fences

import (
	"sbarbiter/arbiter"
	"sbarbiter/fencing"
)

// ToReadings says power readings in the arbiter's words.
func ToReadings(list []fencing.Reading) []arbiter.Reading {
	var out []arbiter.Reading
	for _, r := range list {
		out = append(out, arbiter.Reading{Device: string(r.Device), Power: r.Power.String(), At: r.At})
	}
	return out
}

// FromReadings reads them back. Who made a reading is not kept with it.
func FromReadings(list []arbiter.Reading) []fencing.Reading {
	var out []fencing.Reading
	for _, r := range list {
		power := fencing.PowerUnknown
		switch r.Power {
		case fencing.PowerOn.String():
			power = fencing.PowerOn
		case fencing.PowerOff.String():
			power = fencing.PowerOff
		}
		out = append(out, fencing.Reading{Device: fencing.DeviceName(r.Device), Power: power, At: r.At})
	}
	return out
}
