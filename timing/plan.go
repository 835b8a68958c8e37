// Package timing proves, before anything fails, that a pair's numbers fit
// together: every inequality from a renewal to a machine that is surely dead,
// and from the last sign of life to a service that runs elsewhere, with the slack
// that is left, and the longest interruptions that follow from them.
//
// It is told numbers, configured and measured, and computes. The node file's
// check, the agent before it arms, the witness while it runs and sbctl all ask
// it, so that there is one truth.
package timing

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Plan is how long things may take, as it is configured. Both nodes and the
// witness use the same.
type Plan struct {
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

// ProfileNames are all of them, the default first.
var ProfileNames = []string{string(ProfileSTONITH), string(ProfileWatchdog), string(ProfileWatchdogTight)}

// Profile returns the timings of that name, and false for an unknown name.
func Profile(name ProfileName) (Plan, bool) {
	t := Plan{
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
		return Plan{}, false
	}
	t.Promise = t.TTL
	return t, true
}

// Violation is a number that cannot hold.
type Violation struct {
	Field   string // the key at fault, as in the file: ttl, suspect_after, ...
	Message string // what is wrong, with the numbers
	Hint    string // which number to change, and to what
}

// Error shows the numbers and the way out.
func (e *Violation) Error() string {
	return fmt.Sprintf("timing %s: %s; %s", e.Field, e.Message, e.Hint)
}

// Needs is the shortest TTL (and promise) that leaves a holder time to miss two
// renewals, stop, and be reset by the watchdog before the lease is over.
// The watchdog's clock may run 1 % slow.
func (t Plan) Needs() time.Duration {
	return 2*t.Renew + t.RPCTimeout + t.Stop + stretched(t.Watchdog) + t.Reset + t.Late
}

// longest is the greatest number that is taken for meant.
const longest = 24 * time.Hour

// stretched is d on a clock that runs 1 % slow, rounded up.
func stretched(d time.Duration) time.Duration { return d + (d+99)/100 }

// Check reports every rule that the timings break, as *Violation values:
//
//	ttl, promise  >= 2 renew + rpc_timeout + stop + 1.01 watchdog + reset + late
//	suspect_after >= 3 renew + rpc_timeout
//
// A missing watchdog counts as 0. Watchdogs are set in whole seconds, and no
// machine falls silent in less than a second after one expired.
func (t Plan) Check() error {
	var errs []error
	for _, e := range t.Violations() {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// Violations are the rules that the plan breaks, each with the number at fault.
func (t Plan) Violations() []*Violation {
	if errs := t.outOfRange(); len(errs) > 0 {
		return errs // sums of nonsense say nothing
	}
	var errs []*Violation
	rules := []Rule{t.lease("ttl", t.TTL), t.lease("promise", t.Promise), suspicion(t.SuspectAfter, t.Renew, t.RPCTimeout)}
	if t.Promise == t.TTL {
		rules = slices.Delete(rules, 1, 2) // said once
	}
	for _, r := range rules {
		if r.Slack() >= 0 {
			continue
		}
		field := r.Have[0].What
		errs = append(errs, &Violation{
			Field: field, Hint: r.Change,
			Message: fmt.Sprintf("%s %v is too short: %s = %v", field, r.Have.Total(), r.Need, r.Need.Total()),
		})
	}
	return errs
}

// SuspicionNeeds is the shortest suspect_after: three lost renewals in a row must
// not look like a death.
func SuspicionNeeds(renew, rpcTimeout time.Duration) time.Duration { return 3*renew + rpcTimeout }

func suspicion(have, renew, rpcTimeout time.Duration) Rule {
	return Rule{
		Name: "suspicion", Weight: Required, Have: one("suspect_after", have),
		Need:   Sum{times("3", "renew", renew, 3*renew), {What: "rpc_timeout", Time: rpcTimeout}},
		Why:    "three lost renewals would look like a death",
		Change: fmt.Sprintf("try suspect_after: %v", SuspicionNeeds(renew, rpcTimeout)),
	}
}

// lease is the rule for a right of that length: a lease, or the peer's promise.
func (t Plan) lease(field string, have time.Duration) Rule {
	need := t.Needs()
	watchdog := times("1.01", "watchdog", t.Watchdog, stretched(t.Watchdog))
	if t.Watchdog == 0 {
		watchdog = Term{As: "no watchdog"}
	}
	change := fmt.Sprintf("try %s: %v", field, up(need))
	if stop := (t.Stop - (need - have)).Truncate(100 * time.Millisecond); stop >= time.Second {
		change += fmt.Sprintf(", or stop: %v", stop)
	}
	name := field
	if field == "ttl" {
		name = "lease"
	}
	return Rule{
		Name: name, Weight: Required, Have: one(field, have),
		Need: Sum{
			times("2", "renew", t.Renew, 2*t.Renew),
			{What: "rpc_timeout", Time: t.RPCTimeout},
			{What: "stop", Time: t.Stop},
			watchdog,
			{What: "reset", Time: t.Reset},
			{What: "late", Time: t.Late},
		},
		Why:    "the machine could still write when somebody else is granted the group",
		Change: change,
	}
}

// HardStop is when the watchdog is fed for the last time, counted from the
// renewal that was answered last. SoftStop is when services begin to stop.
func (t Plan) HardStop() time.Duration { return t.TTL - stretched(t.Watchdog) - t.Reset - t.Late }

// SoftStop is when a holder without an answer begins to stop its services.
func (t Plan) SoftStop() time.Duration { return t.HardStop() - t.Stop }

func (t Plan) outOfRange() []*Violation {
	var errs []*Violation
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
			errs = append(errs, &Violation{f.name, fmt.Sprintf("%s %v is too short", f.name, f.d), fmt.Sprintf("at least %v", f.atLeast)})
		case f.d > longest:
			errs = append(errs, &Violation{f.name, fmt.Sprintf("%s %v is longer than a day", f.name, f.d), "use seconds"})
		}
	}
	if t.Watchdog%time.Second != 0 {
		up := t.Watchdog.Truncate(time.Second) + time.Second
		errs = append(errs, &Violation{"watchdog", fmt.Sprintf("watchdog timeout %v is not in whole seconds, as the device takes it", t.Watchdog), fmt.Sprintf("try %v", up)})
	}
	return errs
}
