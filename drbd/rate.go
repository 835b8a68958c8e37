package drbd

import (
	"math"
	"strconv"
	"strings"
)

// The driver's own values, where nothing is configured (drbd.conf(5), disk).
const (
	defaultPlanAhead  = "20"
	defaultMaxRate    = "102400"
	defaultResyncRate = "250"
)

// rateUnits are what may follow the number of a rate; without one it is KiB.
var rateUnits = map[string]uint64{"": 1 << 10, "k": 1 << 10, "K": 1 << 10, "m": 1 << 20, "M": 1 << 20, "g": 1 << 30, "G": 1 << 30, "s": 512}

// ResyncLimit is the rate, in bytes per second, above which the driver does not let a
// resync of the resource go, by a configuration parsed from "drbdadm dump"; 0: not known.
func ResyncLimit(dump Section, resource string) uint64 {
	res, ok := dump.resource(resource)
	if !ok {
		return 0
	}
	scopes := append(append(res.all("connection"), res), dump.all("common")...)
	option, fallback := "c-max-rate", defaultMaxRate
	if effective(scopes, "disk", "c-plan-ahead", defaultPlanAhead) == "0" { // no controller: the rate is fixed
		option, fallback = "resync-rate", defaultResyncRate
	}
	text := effective(scopes, "disk", option, fallback)
	digits := strings.TrimRight(text, "kKmMgGs")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, known := rateUnits[text[len(digits):]]
	if err != nil || !known || n > math.MaxUint64/unit {
		return 0
	}
	return n * unit
}
