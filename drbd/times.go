package drbd

import (
	"strconv"
	"time"

	"sbarbiter/timing"
)

// The driver's own values, where nothing is shown (drbd.conf(5), net).
const (
	defaultPingInt     = "10"
	defaultPingTimeout = "5"
	defaultTimeout     = "60"
	defaultKoCount     = "7"
)

// Times are the durations that the kernel goes by for a resource, parsed from
// "drbdsetup show". Of several connections the slowest counts. Before a resource may
// look for its peer the driver has been told no times: its own would be a false alarm.
func Times(show Section, resource string) (timing.DRBD, bool) {
	res, ok := show.resource(resource)
	if !ok {
		return timing.DRBD{}, false
	}
	scopes, conns := [][]Section{{res}}, res.all("connection")
	if len(conns) == 0 && len(res.all("net")) == 0 {
		return timing.DRBD{}, false
	}
	if len(conns) > 0 {
		scopes = nil
		for _, c := range conns {
			scopes = append(scopes, []Section{c, res})
		}
	}
	out := timing.DRBD{Resource: resource}
	for _, s := range scopes {
		out.PingInt = max(out.PingInt, units(s, "ping-int", defaultPingInt, time.Second))
		out.PingTimeout = max(out.PingTimeout, units(s, "ping-timeout", defaultPingTimeout, time.Second/10))
		out.Timeout = max(out.Timeout, units(s, "timeout", defaultTimeout, time.Second/10))
		out.KoCount = max(out.KoCount, int(units(s, "ko-count", defaultKoCount, 1)))
	}
	return out, true
}

// units reads a number of the net section; what is no number counts as the
// driver's own.
func units(scopes []Section, option, fallback string, unit time.Duration) time.Duration {
	n, err := strconv.Atoi(effective(scopes, "net", option, fallback))
	if err != nil || n < 0 || n > 1<<20 {
		n, _ = strconv.Atoi(fallback)
	}
	return time.Duration(n) * unit
}
