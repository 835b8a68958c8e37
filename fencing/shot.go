package fencing

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Shot decides, step by step, how one target is shot. It is told the time and
// what happened, and answers with what is to be done next. It belongs to one
// goroutine.
//
// The caller carries out the actions in order, answers every Read and Off once,
// and calls Step at the latest when a Wait says so.
type Shot struct {
	spec    Spec
	last    boottime.Instant // of the previous step; zero before the first
	calls   Call
	level   int
	sent    bool // an off has been ordered
	devices []*device
	// readings are those that count for the proof, in order.
	readings []Reading
	void     []DeviceName
	result   *Result
}

// NewShot returns a Shot that has done nothing yet. The error names every fault
// of spec.
func NewShot(spec Spec) (*Shot, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	s := &Shot{spec: spec, void: slices.Clone(spec.Contradicted)}
	for i, level := range spec.Topology.Levels {
		for _, name := range level {
			s.devices = append(s.devices, newDevice(name, i, spec))
		}
	}
	return s, nil
}

// Target returns the node that is shot.
func (s *Shot) Target() Target { return s.spec.Target }

// Result returns the outcome once there is one.
func (s *Shot) Result() (Result, bool) {
	if s.result == nil {
		return Result{}, false
	}
	return *s.result, true
}

// Abandon ends the shot at now for a reason of the caller's and returns its
// result: without proof, unless it had finished before.
func (s *Shot) Abandon(now boottime.Instant, why string) Result {
	if s.result == nil {
		s.fail(now, why)
	}
	return *s.result
}

// Step advances the shot to now. Once it has finished, further steps do nothing.
func (s *Shot) Step(now boottime.Instant, ev Event) []Action {
	if s.result != nil {
		return nil
	}
	// The clock speaks before the event: an answer that arrives after the
	// deadline or after a pause is worth nothing, however good it is.
	if now >= s.spec.Deadline {
		return s.fail(now, fmt.Sprintf("the deadline passed at %s", s.offset(s.spec.Deadline)))
	}
	if s.last.IsZero() {
		s.last = now // how long the permission took to arrive is StartBy's business
	}
	if gap := now.Sub(s.last); gap > s.spec.MaxGap || gap < 0 {
		return s.fail(now, fmt.Sprintf("the executor did not run from %s to %s, longer than %v: it must not act on an old permission",
			s.offset(s.last), s.offset(now), s.spec.MaxGap))
	}
	s.last = now
	switch ev := ev.(type) {
	case ReadDone:
		if d := s.deviceOf(ev.Call); d != nil {
			s.readDone(now, d, ev)
		}
	case OffDone:
		if d := s.deviceOf(ev.Call); d != nil {
			d.offDone(now, ev.Err)
		}
	case Heard:
		s.heard(now)
	case Tick:
	default:
		panic(fmt.Sprintf("fencing: unknown event %T", ev))
	}
	return s.advance(now)
}

func (s *Shot) readDone(now boottime.Instant, d *device, ev ReadDone) {
	if ev.Err != nil {
		ev.Power = PowerUnknown
	}
	if ev.Power != PowerUnknown {
		s.readings = append(s.readings, Reading{Device: d.name, Power: ev.Power, At: now, Executor: s.spec.Executor})
	}
	d.readDone(now, ev.Power, ev.Err)
}

// heard voids every device that said off before this sign of life.
func (s *Shot) heard(now boottime.Instant) {
	for _, d := range s.devices {
		if d.power != PowerOff || slices.Contains(s.void, d.name) {
			continue
		}
		s.void = append(s.void, d.name)
		d.fail(now, fmt.Sprintf("it said off, but %s was heard at %s: the device cannot be believed", s.spec.Target, s.offset(now)))
	}
}

// advance tries the levels in order until one proves the target off, has
// something to wait for, or none is left.
func (s *Shot) advance(now boottime.Instant) []Action {
	for ; s.level < len(s.spec.Topology.Levels); s.level++ {
		actions, state := s.stepLevel(now)
		switch state {
		case levelOpen:
			return append(actions, Wait{Until: s.wakeUp(now)})
		case levelLate:
			return s.fail(now, fmt.Sprintf("the first off was not sent by %s", s.offset(s.spec.StartBy)))
		case levelDone:
			if grade, why := s.judge(); grade >= ProvenByPower {
				return s.finish(now, grade, why)
			}
		case levelFailed:
		}
	}
	grade, why := s.judge()
	for _, d := range s.devices {
		if d.phase == phaseFailed {
			why += fmt.Sprintf("; %s: %s", d.name, d.failure)
		}
	}
	if grade >= ProvenByPower {
		// Its readings would prove it, but a device of the level has failed since.
		grade = E0
	}
	return s.finish(now, grade, why)
}

type levelState uint8

const (
	levelOpen levelState = iota
	levelDone
	levelFailed
	levelLate
)

// stepLevel gives each device of the current level its next call. One that has
// failed fails the level: the others need not go on.
func (s *Shot) stepLevel(now boottime.Instant) ([]Action, levelState) {
	level := s.levelDevices()
	for _, d := range level {
		d.begin(now)
		d.checkTotal(now)
		// What takes effect after the deadline hits a node whose word counts again.
		if d.phase == phaseOff && !d.waiting && s.sent && now.Add(d.limits.Settle) > s.spec.Deadline {
			d.fail(now, d.whyNot()+"; another off could take effect only after the deadline")
		}
	}
	if slices.ContainsFunc(level, func(d *device) bool { return d.phase == phaseFailed }) {
		for _, d := range level {
			d.leave()
		}
		return nil, levelFailed
	}
	s.together(now, level)
	var actions []Action
	state := levelDone
	for _, d := range level {
		if d.phase == phaseDone {
			continue
		}
		state = levelOpen
		if d.phase == phaseOff && !s.sent && now > s.spec.StartBy {
			return nil, levelLate
		}
		switch d.due(now) {
		case callRead:
			actions = append(actions, Read{Call: s.call(d), Device: d.name, Timeout: s.readTimeout(now, d)})
		case callOff:
			s.sent = true
			actions = append(actions, Off{Call: s.call(d), Device: d.name, Timeout: d.limits.Call, NotAfter: s.notAfter(now, d)})
		case callNone:
		}
	}
	return actions, state
}

// together reads the supplies of a level once more when all of them have read off:
// one that has come on again before the last one went off has left the machine
// running. It goes on until they are seen off at one moment.
func (s *Shot) together(now boottime.Instant, level []*device) {
	supplies := slices.DeleteFunc(slices.Clone(level), func(d *device) bool { return !s.spec.Topology.isPartial(d.name) })
	open := slices.ContainsFunc(level, func(d *device) bool { return d.phase != phaseDone })
	steady := !slices.ContainsFunc(supplies, func(d *device) bool { return !d.steady })
	if open || steady || len(supplies) < 2 || mutant.On(mutant.SuppliesOneByOne) {
		return
	}
	for _, d := range supplies {
		d.lookAgain(now)
	}
}

func (s *Shot) call(d *device) Call {
	s.calls++
	d.call = s.calls
	return s.calls
}

func (s *Shot) notAfter(now boottime.Instant, d *device) boottime.Instant {
	return min(now.Add(d.limits.Call), s.spec.Deadline)
}

// readTimeout leaves time for the first off: a device that is slow to say "on"
// must not use up the permission to switch it off.
func (s *Shot) readTimeout(now boottime.Instant, d *device) time.Duration {
	if s.sent || now >= s.spec.StartBy {
		return d.limits.Call
	}
	return min(d.limits.Call, s.spec.StartBy.Sub(now)/2)
}

func (s *Shot) levelDevices() []*device {
	var level []*device
	for _, d := range s.devices {
		if d.level == s.level {
			level = append(level, d)
		}
	}
	return level
}

func (s *Shot) deviceOf(c Call) *device {
	for _, d := range s.devices {
		if d.call == c && d.waiting {
			return d
		}
	}
	return nil
}

// wakeUp returns when the next step is due: often enough to tell a pause of
// this process from a quiet device.
func (s *Shot) wakeUp(now boottime.Instant) boottime.Instant {
	at := min(now.Add(max(s.spec.MaxGap/4, time.Millisecond)), s.spec.Deadline)
	for _, d := range s.levelDevices() {
		if wake, ok := d.wakeUp(); ok {
			at = min(at, wake)
		}
	}
	return at
}

func (s *Shot) judge() (Grade, string) {
	e := Evidence{Topology: s.spec.Topology, Before: s.spec.Before, During: s.readings, Void: s.void}
	for _, d := range s.devices {
		if d.taken() {
			e.Taken = append(e.Taken, d.name)
		}
	}
	return Judge(e)
}

// fail ends the shot without proof. Whatever was read does not count.
func (s *Shot) fail(now boottime.Instant, why string) []Action {
	return s.finish(now, E0, why)
}

func (s *Shot) finish(now boottime.Instant, g Grade, why string) []Action {
	r := Result{
		Target: s.spec.Target, Executor: s.spec.Executor,
		Proven: g >= ProvenByPower, Grade: g, Reason: why,
		Readings: s.readings, Sent: slices.ContainsFunc(s.devices, (*device).mayAct), Start: s.spec.Start, End: now,
		InFlight: slices.ContainsFunc(s.devices, (*device).mayLand),
	}
	// What proves nothing may have been nobody's doing: then all of it may land.
	r.InFlight = r.InFlight || r.Sent && !r.Proven
	if r.InFlight && r.Proven {
		r.Lands = s.lands(now)
	}
	for _, d := range s.devices {
		r.Devices = append(r.Devices, d.outcome(r.Proven))
	}
	s.result = &r
	return []Action{Finish{Result: r}}
}

// lands is until when an off may still take effect: as long as its device takes to
// obey, and none that was sent does so after the deadline.
func (s *Shot) lands(now boottime.Instant) boottime.Instant {
	at := now
	for _, d := range s.devices {
		if d.mayLand() {
			at = max(at, d.landsBy(now))
		}
	}
	return min(at, s.spec.Deadline)
}

func (s *Shot) offset(t boottime.Instant) string { return offset(t.Sub(s.spec.Start)) }
