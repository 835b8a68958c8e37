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

// Track remembers what each device said while the target was certainly alive, and
// in shots that came before.
// A device that then said "on" speaks about the right machine, and a later
// "off" of it is a transition; one that said "off" cannot be believed.
type Track struct {
	devices map[DeviceName]*tracked
	heard   boottime.Instant // the latest sign of life
}

type tracked struct {
	latest  Reading  // not yet judged by a sign of life; unknown if there is none
	on      *Reading // the newest on that a sign of life confirmed, or that was read for a shot
	refuted bool     // the newest judged reading said off of a living machine
}

// Observe takes a reading of this machine's monitor. Readings come in the order
// in which they were made; unknown ones are passed over.
func (t *Track) Observe(r Reading) {
	if r.Power != PowerUnknown {
		t.device(r.Device).latest = r
	}
}

func (t *Track) device(name DeviceName) *tracked {
	if t.devices == nil {
		t.devices = map[DeviceName]*tracked{}
	}
	if t.devices[name] == nil {
		t.devices[name] = &tracked{}
	}
	return t.devices[name]
}

// Aimed takes what was read for a shot and in it: an "on" of then and an "off" that
// the next shot reads are a transition, though the command took effect between the
// two. A device that is contradicted stays so.
func (t *Track) Aimed(readings []Reading) {
	for _, r := range readings {
		if d := t.device(r.Device); r.Power == PowerOn && (d.on == nil || d.on.At < r.At) {
			d.on = &r
		}
	}
}

// livesWithin is how long after a sign of life a target is worth a reading that the
// next one may confirm.
const livesWithin = time.Second

// Wanting reports whether the device should be read again soon: it tells the power,
// the target lives, and no "on" of it is confirmed yet.
func (t *Track) Wanting(name DeviceName, now boottime.Instant) bool {
	d := t.devices[name]
	return d != nil && d.on == nil && !d.refuted && now.Sub(t.heard) < livesWithin
}

// Heard says that an authentic sign of life of the target arrived at the instant
// at, on the clock of the readings.
func (t *Track) Heard(at boottime.Instant) {
	t.heard = at
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
			on := r // here only: it is kept
			d.on = &on
		}
	}
}

// SeenOn returns the newest such "on" of each device that is not
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
