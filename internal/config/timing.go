package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Timing is how long things may take. Both nodes and the witness use the same.
type Timing struct {
	TTL          time.Duration // a lease lasts this long from the moment its renewal was sent
	Promise      time.Duration // a node's word to its peer lasts this long
	Renew        time.Duration // between two renewals, and between two heartbeats
	RPCTimeout   time.Duration // how long one answer of the witness is waited for
	SuspectAfter time.Duration // silence after which a holder may be fenced
	Stop         time.Duration // granted to stop a group's services and demote its disks
	// Watchdog is the timeout that the device is set to. Without a watchdog it is
	// 0 and counts as nothing in the sums below: the forced reset is then all that
	// ends a holder whose services do not stop.
	Watchdog time.Duration
	Reset    time.Duration // from the watchdog's expiry until the machine is silent
	Late     time.Duration // by how much the watchdog's feeder may wake up late
}

// ProfileName names a set of timings that fit together.
type ProfileName string

// The profiles. ProfileSTONITH relies on power fencing and leaves services ten
// seconds to stop; the other two trade that time for a quicker takeover where
// nothing but the watchdog proves the holder gone.
const (
	ProfileSTONITH       ProfileName = "stonith"
	ProfileWatchdog      ProfileName = "watchdog"
	ProfileWatchdogTight ProfileName = "watchdog-tight"
)

var profileNames = []string{string(ProfileSTONITH), string(ProfileWatchdog), string(ProfileWatchdogTight)}

// Profile returns the timings of that name, and false for an unknown name.
func Profile(name ProfileName) (Timing, bool) {
	t := Timing{
		Renew:        250 * time.Millisecond,
		RPCTimeout:   250 * time.Millisecond,
		SuspectAfter: time.Second,
	}
	switch name {
	case ProfileSTONITH:
		t.TTL, t.Stop, t.Watchdog = 20*time.Second, 10*time.Second, 5*time.Second
		t.Reset, t.Late = 2*time.Second, 500*time.Millisecond
	case ProfileWatchdog:
		t.TTL, t.Stop, t.Watchdog = 15*time.Second, 5*time.Second, 4*time.Second
		t.Reset, t.Late = 2*time.Second, 500*time.Millisecond
	case ProfileWatchdogTight:
		t.TTL, t.Stop, t.Watchdog = 8*time.Second, 3*time.Second, 2*time.Second
		t.Reset, t.Late = time.Second, 250*time.Millisecond
	default:
		return Timing{}, false
	}
	t.Promise = t.TTL
	return t, true
}

// TimingError is a timing that cannot hold.
type TimingError struct {
	Field   string // the key at fault, as in the file: ttl, suspect_after, ...
	Message string // what is wrong, with the numbers
	Hint    string // which number to change, and to what
}

// Error shows the numbers and the way out.
func (e *TimingError) Error() string {
	return fmt.Sprintf("timing %s: %s; %s", e.Field, e.Message, e.Hint)
}

// Needs is the shortest TTL (and promise) that leaves a holder time to miss two
// renewals, stop, and be reset by the watchdog before the lease is over.
// The watchdog's clock may run 1 % slow.
func (t Timing) Needs() time.Duration {
	return 2*t.Renew + t.RPCTimeout + t.Stop + stretched(t.Watchdog) + t.Reset + t.Late
}

// stretched is d on a clock that runs 1 % slow, rounded up.
func stretched(d time.Duration) time.Duration { return d + (d+99)/100 }

// Check reports every rule that the timings break, as *TimingError values:
//
//	ttl, promise  >= 2 renew + rpc_timeout + stop + 1.01 watchdog + reset + late
//	suspect_after >= 3 renew + rpc_timeout
//
// A missing watchdog counts as 0. Watchdogs are set in whole seconds, and no
// machine falls silent in less than a second after one expired.
func (t Timing) Check() error {
	var errs []error
	for _, e := range t.violations() {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func (t Timing) violations() []*TimingError {
	if errs := t.outOfRange(); len(errs) > 0 {
		return errs // sums of nonsense say nothing
	}
	var errs []*TimingError
	if t.TTL < t.Needs() {
		errs = append(errs, t.tooShort("ttl", t.TTL))
	}
	if t.Promise < t.Needs() && t.Promise != t.TTL {
		errs = append(errs, t.tooShort("promise", t.Promise))
	}
	if need := 3*t.Renew + t.RPCTimeout; t.SuspectAfter < need {
		errs = append(errs, &TimingError{
			Field: "suspect_after",
			Message: fmt.Sprintf("suspect_after %v is too short: 3 x renew %v + rpc_timeout %v = %v",
				t.SuspectAfter, t.Renew, t.RPCTimeout, need),
			Hint: fmt.Sprintf("try suspect_after: %v", need),
		})
	}
	return errs
}

func (t Timing) outOfRange() []*TimingError {
	var errs []*TimingError
	for _, f := range []struct {
		name       string
		d, atLeast time.Duration
	}{
		{"ttl", t.TTL, time.Millisecond},
		{"promise", t.Promise, time.Millisecond},
		{"renew", t.Renew, 10 * time.Millisecond},
		{"rpc_timeout", t.RPCTimeout, 10 * time.Millisecond},
		{"suspect_after", t.SuspectAfter, time.Millisecond},
		{"stop", t.Stop, time.Millisecond},
		{"watchdog", t.Watchdog, 0},
		{"reset", t.Reset, time.Second},
		{"late", t.Late, time.Millisecond},
	} {
		switch {
		case f.d < f.atLeast:
			errs = append(errs, &TimingError{f.name, fmt.Sprintf("%s %v is too short", f.name, f.d), fmt.Sprintf("at least %v", f.atLeast)})
		case f.d > maxDuration:
			errs = append(errs, &TimingError{f.name, fmt.Sprintf("%s %v is longer than a day", f.name, f.d), "use seconds"})
		}
	}
	if t.Watchdog%time.Second != 0 {
		up := t.Watchdog.Truncate(time.Second) + time.Second
		errs = append(errs, &TimingError{"watchdog", fmt.Sprintf("watchdog timeout %v is not in whole seconds, as the device takes it", t.Watchdog), fmt.Sprintf("try %v", up)})
	}
	return errs
}

func (t Timing) tooShort(field string, have time.Duration) *TimingError {
	need := t.Needs()
	watchdog := fmt.Sprintf("1.01 x watchdog %v", t.Watchdog)
	if t.Watchdog == 0 {
		watchdog = "no watchdog"
	}
	sum := strings.Join([]string{
		fmt.Sprintf("2 x renew %v", t.Renew), fmt.Sprintf("rpc_timeout %v", t.RPCTimeout), fmt.Sprintf("stop %v", t.Stop),
		watchdog, fmt.Sprintf("reset %v", t.Reset), fmt.Sprintf("late %v", t.Late),
	}, " + ")
	hint := fmt.Sprintf("try %s: %v", field, (need + time.Second - 1).Truncate(time.Second))
	if stop := (t.Stop - (need - have)).Truncate(100 * time.Millisecond); stop >= time.Second {
		hint += fmt.Sprintf(", or stop: %v", stop)
	}
	return &TimingError{
		Field:   field,
		Message: fmt.Sprintf("%s %v is too short: %s = %v", field, have, sum, need),
		Hint:    hint,
	}
}

// timing reads the section of that name. An own ttl carries the promise with it.
func (v value) timing() Timing {
	m := v.mapping("profile", "ttl", "promise", "renew", "rpc_timeout", "suspect_after", "stop", "watchdog", "reset", "late")
	name := or(m.get("profile"), string(ProfileSTONITH), func(v value) string { return v.oneOf(profileNames...) })
	t, ok := Profile(ProfileName(name))
	if !ok {
		t, _ = Profile(ProfileSTONITH) // reported already; go on to find the rest
	}
	t.TTL = or(m.get("ttl"), t.TTL, value.duration)
	t.Promise = or(m.get("promise"), t.TTL, value.duration)
	t.Renew = or(m.get("renew"), t.Renew, value.duration)
	t.RPCTimeout = or(m.get("rpc_timeout"), t.RPCTimeout, value.duration)
	t.SuspectAfter = or(m.get("suspect_after"), t.SuspectAfter, value.duration)
	t.Stop = or(m.get("stop"), t.Stop, value.duration)
	t.Watchdog = or(m.get("watchdog"), t.Watchdog, value.delay)
	t.Reset = or(m.get("reset"), t.Reset, value.duration)
	t.Late = or(m.get("late"), t.Late, value.duration)
	return t
}

// checkTiming reports broken rules at the number that the operator wrote, not at
// a default that he never saw. It is skipped while the numbers themselves are in
// doubt.
func (s *source) checkTiming(t Timing) {
	for _, e := range s.errs {
		if strings.HasPrefix(e.Path, "timing") || strings.HasPrefix(e.Path, "watchdog") {
			return
		}
	}
	for _, e := range t.violations() {
		s.addAt(s.blame(e.Field), e.Message, e.Hint)
	}
}

func (s *source) blame(field string) string {
	candidates := []string{"timing." + field}
	switch field {
	case "ttl", "promise":
		candidates = append(candidates, "timing.stop", "watchdog.timeout", "timing.watchdog", "timing.reset", "timing.late", "timing.renew", "timing.rpc_timeout")
	case "suspect_after":
		candidates = append(candidates, "timing.renew", "timing.rpc_timeout")
	case "watchdog":
		candidates = append(candidates, "watchdog.timeout")
	}
	for _, path := range append(candidates, "timing.profile") {
		if s.has(path) {
			return path
		}
	}
	return "timing"
}
