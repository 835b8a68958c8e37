package timing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestProfilesAreTheTable(t *testing.T) {
	const ms = time.Millisecond
	for name, want := range map[ProfileName]struct{ stop, wd, reset, late, needs, ttl time.Duration }{
		ProfileSTONITH:       {10000 * ms, 5000 * ms, 2000 * ms, 500 * ms, 18300 * ms, 20000 * ms},
		ProfileWatchdog:      {5000 * ms, 4000 * ms, 2000 * ms, 500 * ms, 12290 * ms, 15000 * ms},
		ProfileWatchdogTight: {3000 * ms, 2000 * ms, 1000 * ms, 250 * ms, 7020 * ms, 8000 * ms},
	} {
		got, ok := Profile(name)
		if !ok {
			t.Fatalf("no profile %s", name)
		}
		if got != (Plan{
			TTL: want.ttl, Promise: want.ttl, Renew: 250 * ms, RPCTimeout: 250 * ms, SuspectAfter: 1000 * ms,
			Stop: want.stop, Watchdog: want.wd, Reset: want.reset, Late: want.late,
		}) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Needs() != want.needs {
			t.Errorf("%s needs %v, not %v", name, got.Needs(), want.needs)
		}
		if err := got.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := Profile("fast"); ok {
		t.Error("a profile nobody wrote")
	}
}

func TestCheckNamesTheNumberToChange(t *testing.T) {
	for field, breakIt := range map[string]func(*Plan){
		"ttl":           func(t *Plan) { t.TTL = t.Needs() - 1 },
		"promise":       func(t *Plan) { t.Promise = t.Needs() - 1 },
		"suspect_after": func(t *Plan) { t.SuspectAfter = 999 * time.Millisecond },
		"watchdog":      func(t *Plan) { t.Watchdog = 1500 * time.Millisecond },
		"reset":         func(t *Plan) { t.Reset = 999 * time.Millisecond },
		"renew":         func(t *Plan) { t.Renew = 0 },
		"late":          func(t *Plan) { t.Late = -time.Second },
		"stop":          func(t *Plan) { t.Stop = 1 << 62 },
	} {
		plan, _ := Profile(ProfileWatchdog)
		breakIt(&plan)
		err := plan.Check()
		var te *Violation
		if !errors.As(err, &te) || te.Field != field {
			t.Errorf("%s: %v", field, err)
			continue
		}
		if te.Hint == "" || !strings.Contains(err.Error(), te.Hint) {
			t.Errorf("%s: no way out in %q", field, err)
		}
	}
}

func TestFollowingTheHintEndsTheError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := func(name string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Millisecond
		}
		plan := Plan{
			TTL: span("ttl", 1, 40000), Renew: span("renew", 10, 2000), RPCTimeout: span("rpc", 10, 2000), SuspectAfter: time.Minute,
			Stop: span("stop", 1, 20000), Watchdog: 1000 * span("wd", 0, 20), Reset: span("reset", 1000, 5000), Late: span("late", 1, 2000),
		}
		plan.Promise = plan.TTL
		var te *Violation
		if !errors.As(plan.Check(), &te) {
			return
		}
		ttl, stop, found := strings.Cut(strings.TrimPrefix(te.Hint, "try ttl: "), ", or stop: ")
		longer := plan
		longer.TTL, _ = time.ParseDuration(ttl)
		longer.Promise = longer.TTL
		if err := longer.Check(); err != nil {
			t.Fatalf("after %q: %v", te.Hint, err)
		}
		if found {
			plan.Stop, _ = time.ParseDuration(stop)
			if err := plan.Check(); err != nil {
				t.Fatalf("after %q: %v", te.Hint, err)
			}
		}
	})
}
