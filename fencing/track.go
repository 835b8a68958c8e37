package fencing

import (
	"cmp"
	"slices"
	"time"

	"sbarbiter/internal/boottime"
)

// aliveWithin is how soon after a reading a sign of life must arrive to say that
// the machine ran when the reading was made: some beats, and less than any
// machine needs from power on to its first beat.
const aliveWithin = 2 * time.Second

// Track remembers what each device said while the target was certainly alive.
// A device that then said "on" speaks about the right machine, and a later
// "off" of it is a transition; one that said "off" cannot be believed.
type Track struct {
	devices map[DeviceName]*tracked
}

type tracked struct {
	latest  Reading  // not yet judged by a sign of life; unknown if there is none
	on      *Reading // the newest on that a sign of life confirmed
	refuted bool     // the newest judged reading said off of a living machine
}

// Observe takes a reading of this machine's monitor. Readings come in the order
// in which they were made; unknown ones are passed over.
func (t *Track) Observe(r Reading) {
	if r.Power == PowerUnknown {
		return
	}
	if t.devices == nil {
		t.devices = map[DeviceName]*tracked{}
	}
	d := t.devices[r.Device]
	if d == nil {
		d = &tracked{}
		t.devices[r.Device] = d
	}
	d.latest = r
}

// Heard says that an authentic sign of life of the target arrived at the instant
// at, on the clock of the readings.
func (t *Track) Heard(at boottime.Instant) {
	for _, d := range t.devices {
		r := d.latest
		if r.Power == PowerUnknown || at <= r.At {
			continue
		}
		d.latest = Reading{}
		if at.Sub(r.At) > aliveWithin {
			continue // it may have been switched on since
		}
		d.refuted = r.Power == PowerOff
		if r.Power == PowerOn {
			d.on = &r
		}
	}
}

// SeenOn returns the newest confirmed "on" of each device that is not
// contradicted, sorted by device.
func (t *Track) SeenOn() []Reading {
	var on []Reading
	for _, d := range t.devices {
		if d.on != nil && !d.refuted {
			on = append(on, *d.on)
		}
	}
	slices.SortFunc(on, func(a, b Reading) int { return cmp.Compare(a.Device, b.Device) })
	return on
}

// Contradicted returns the devices that said off of a living target, sorted. A
// device is taken off the list when it says on again and the target is heard
// after that.
func (t *Track) Contradicted() []DeviceName {
	var names []DeviceName
	for name, d := range t.devices {
		if d.refuted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
