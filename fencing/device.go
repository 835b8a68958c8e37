package fencing

import (
	"errors"
	"fmt"
	"slices"

	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// phase is where a device stands within its level.
type phase uint8

const (
	phaseIdle      phase = iota // its level is not tried yet
	phaseFirstRead              // looking for "on" before it is switched off
	phaseOff                    // off is to be sent, or under way
	phasePoll                   // reading until it says off
	phaseDone                   // reads off
	phaseFailed
	phaseLeft // another device of its level failed
)

type callKind uint8

const (
	callNone callKind = iota
	callRead
	callOff
)

// device is one fence device during one shot.
type device struct {
	name   DeviceName
	level  int
	limits Limits
	onSeen bool // read as on, before the shot or in it
	wasOff bool // read as off before an off was sent
	weak   bool // asks the target itself: acceptance is all there is

	phase    phase
	waiting  bool             // a call is under way
	call     Call             // the last one
	wake     boottime.Instant // no call before it
	settle   boottime.Instant // off was accepted: wait until then for its effect; zero if not
	steady   bool             // nothing but off was read, and no off was sent, since all of the level read off
	end      boottime.Instant // of all attempts
	offs     int
	refused  int // offs that certainly did nothing
	accepted int
	power    Power // last known
	err      error // of the last call that failed
	failure  string
	story    []Note
}

func newDevice(name DeviceName, level int, spec Spec) *device {
	d := &device{name: name, level: level, limits: spec.limits(name), weak: spec.Topology.isWeak(name)}
	d.onSeen = slices.ContainsFunc(spec.Before, func(r Reading) bool {
		return r.Device == name && r.Power == PowerOn
	})
	d.wasOff = slices.ContainsFunc(spec.Before, func(r Reading) bool {
		return r.Device == name && r.Power == PowerOff
	})
	if d.onSeen {
		d.note(0, "on before")
	}
	if slices.Contains(spec.Contradicted, name) {
		d.phase = phaseFailed
		d.failure = fmt.Sprintf("it said off while %s was alive; check that it belongs to that node", spec.Target)
	}
	return d
}

// begin makes the device take part, once.
func (d *device) begin(now boottime.Instant) {
	if d.phase != phaseIdle {
		return
	}
	d.end = now.Add(d.limits.Total)
	d.wake = now
	d.phase = phaseFirstRead
	if d.onSeen || d.weak {
		d.phase = phaseOff // the reading that proof needs is there: lose no time
	}
}

// due returns the call that is to be made now and takes it for made.
func (d *device) due(now boottime.Instant) callKind {
	if d.waiting || now < d.wake {
		return callNone
	}
	switch d.phase {
	case phaseFirstRead, phasePoll:
		d.waiting = true
		return callRead
	case phaseOff:
		d.waiting, d.steady = true, false
		d.offs++
		return callOff
	case phaseIdle, phaseDone, phaseFailed, phaseLeft:
	}
	return callNone
}

func (d *device) readDone(now boottime.Instant, p Power, err error) {
	d.waiting = false
	d.record(now, p, err)
	switch {
	case Permanent(err):
		d.fail(now, Explain(err))
	case d.phase == phaseFirstRead:
		// Also when it reads off: the command costs nothing, and a reading may be
		// stale.
		d.phase = phaseOff
	case p == PowerOff:
		d.phase = phaseDone
	case !d.settle.IsZero() && now < d.settle:
		d.wake = now.Add(d.limits.Poll)
	case d.offs < d.limits.Attempts:
		d.phase = phaseOff
		d.wake = now.Add(d.limits.Retry)
	default:
		d.fail(now, d.whyNot())
	}
}

func (d *device) offDone(now boottime.Instant, err error) {
	d.waiting = false
	d.settle = 0
	if Permanent(err) {
		d.refused++
		d.err = err
		d.note(now, "off refused")
		d.fail(now, Explain(err))
		return
	}
	if errors.Is(err, ErrNotSent) {
		d.refused++
	}
	if d.weak {
		d.askedTarget(now, err)
		return
	}
	// The command may have been carried out though its answer was lost, so a
	// status follows in any case.
	d.phase = phasePoll
	d.wake = now
	if err != nil {
		d.err = err
		d.note(now, fmt.Sprintf("off failed (%s)", Explain(err)))
		return
	}
	d.accepted++
	d.settle = now.Add(d.limits.Settle)
	d.note(now, "off accepted")
}

// askedTarget takes the target's answer to the command to stop. No reading
// follows: its silence would say nothing.
func (d *device) askedTarget(now boottime.Instant, err error) {
	switch {
	case err == nil:
		d.accepted++
		d.phase = phaseDone
		d.note(now, "off accepted")
	case d.offs < d.limits.Attempts:
		d.err = err
		d.note(now, fmt.Sprintf("off failed (%s)", Explain(err)))
		d.wake = now.Add(d.limits.Retry)
	default:
		d.err = err
		d.fail(now, fmt.Sprintf("off was sent %s: %s", times(d.offs), Explain(err)))
	}
}

// taken reports whether the target itself has taken the command to stop.
func (d *device) taken() bool { return d.weak && d.accepted > 0 }

// record notes a reading, but not the tenth "still on" in a row.
func (d *device) record(now boottime.Instant, p Power, err error) {
	if err != nil {
		if d.err == nil || d.err.Error() != err.Error() {
			d.note(now, fmt.Sprintf("status failed (%s)", Explain(err)))
		}
		d.err = err
		return
	}
	d.err = nil
	if p != d.power || p == PowerOff {
		d.note(now, "read "+p.String())
	}
	d.power = p
	d.onSeen = d.onSeen || p == PowerOn
	d.wasOff = d.wasOff || p == PowerOff && d.offs == 0
	d.steady = d.steady && p == PowerOff
}

// lookAgain reads a device that is done once more.
func (d *device) lookAgain(now boottime.Instant) {
	d.phase, d.wake, d.steady = phasePoll, now, true
}

// mayAct reports whether an off has left for the device, or may have.
func (d *device) mayAct() bool { return d.offs > d.refused }

// mayLand reports whether an off may still take effect: power that reads off
// accounts for one, unless it was off before: a device that obeys late may then
// carry it out on a machine that somebody has switched on meanwhile.
func (d *device) mayLand() bool {
	left := d.offs - d.refused
	return left > 1 || left == 1 && (d.phase != phaseDone || mutant.Weak(mutant.LandsUnawaited, d.wasOff, false))
}

// landsBy is until when an off that was sent before now may take effect. One of a
// device that was given up may not even have left.
func (d *device) landsBy(now boottime.Instant) boottime.Instant {
	if d.phase == phaseDone {
		return now.Add(d.limits.Settle)
	}
	return now.Add(d.limits.Call + d.limits.Settle)
}

func (d *device) whyNot() string {
	switch {
	case d.err != nil:
		return fmt.Sprintf("off was sent %s, then no reading: %s", times(d.offs), Explain(d.err))
	case d.accepted > 0:
		return fmt.Sprintf("off was accepted %s, and it still reads %s", times(d.accepted), d.power)
	}
	return fmt.Sprintf("off was sent %s and not accepted; it reads %s", times(d.offs), d.power)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (d *device) checkTotal(now boottime.Instant) {
	switch d.phase {
	case phaseFirstRead, phaseOff, phasePoll:
		if now >= d.end {
			d.fail(now, fmt.Sprintf("gave up after %v: %s", d.limits.Total, d.whyNot()))
		}
	case phaseIdle, phaseDone, phaseFailed, phaseLeft:
	}
}

func (d *device) fail(now boottime.Instant, why string) {
	d.phase = phaseFailed
	d.waiting = false
	d.failure = why
	d.note(now, "given up")
}

// leave drops a device whose level has failed through another one.
func (d *device) leave() {
	switch d.phase {
	case phaseFirstRead, phaseOff, phasePoll:
		d.phase = phaseLeft
		d.failure = "left, because another device of its level failed"
	case phaseIdle, phaseDone, phaseFailed, phaseLeft:
	}
	d.waiting = false
}

// wakeUp returns when the device wants its next step, if it waits for time.
func (d *device) wakeUp() (boottime.Instant, bool) {
	switch d.phase {
	case phaseFirstRead, phaseOff, phasePoll:
		if d.waiting {
			return d.end, true
		}
		return min(d.wake, d.end), true
	case phaseIdle, phaseDone, phaseFailed, phaseLeft:
	}
	return 0, false
}

func (d *device) outcome(proven bool) Outcome {
	o := Outcome{
		Device: d.name, Level: d.level,
		Tried:   d.phase != phaseIdle && (d.call != 0),
		Off:     d.phase == phaseDone && !d.weak,
		Failure: d.failure, Story: d.story,
	}
	switch {
	case o.Failure != "" || proven:
	case d.taken():
		o.Failure = "its word proves nothing"
	case o.Off && !d.onSeen:
		o.Failure = "it reads off but was never seen on"
	case o.Tried && !o.Off:
		o.Failure = "unfinished when the shot ended: " + d.whyNot()
	}
	return o
}

func (d *device) note(at boottime.Instant, text string) {
	d.story = append(d.story, Note{At: at, Text: text})
}
