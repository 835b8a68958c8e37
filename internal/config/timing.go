package config

import (
	"strings"

	"sbarbiter/timing"
)

// timing reads the section of that name. An own ttl carries the promise with it.
func (v value) timing() timing.Plan {
	m := v.mapping("profile", "ttl", "promise", "renew", "rpc_timeout", "suspect_after", "stop", "watchdog", "reset", "late")
	name := or(m.get("profile"), string(timing.ProfileSTONITH), func(v value) string { return v.oneOf(timing.ProfileNames...) })
	t, ok := timing.Profile(timing.ProfileName(name))
	if !ok {
		t, _ = timing.Profile(timing.ProfileSTONITH) // reported already; go on to find the rest
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
func (s *source) checkTiming(t timing.Plan) {
	for _, e := range s.errs {
		if strings.HasPrefix(e.Path, "timing") || strings.HasPrefix(e.Path, "watchdog") {
			return
		}
	}
	for _, e := range t.Violations() {
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
