package drbd

import (
	"strings"
	"testing"
	"time"

	"sbarbiter/timing"
)

func TestTimesAreTheKernelsInSeconds(t *testing.T) {
	text := readFile(t, "testdata/k84/90-show-defaults.txt")
	_, text, _ = strings.Cut(text, "\n") // the prompt
	text, _, _ = strings.Cut(text, "\n[exit")
	got, ok := Times(parseConfig(t, text), "r0")
	want := timing.DRBD{Resource: "r0", PingInt: time.Second, PingTimeout: 500 * time.Millisecond, Timeout: 900 * time.Millisecond, KoCount: 7}
	if !ok || got != want {
		t.Errorf("%+v %t, not %+v", got, ok, want)
	}
	if _, ok := Times(parseConfig(t, text), "r1"); ok {
		t.Error("times of a resource that is not there")
	}
}

func TestTimesOfTheSlowestConnection(t *testing.T) {
	show := parseConfig(t, `resource r0 { net { ko-count 3; }
		connection { net { ping-int 2; timeout 30; } } connection { net { ping-int x; } } }`)
	got, _ := Times(show, "r0")
	want := timing.DRBD{Resource: "r0", PingInt: 10 * time.Second, PingTimeout: 500 * time.Millisecond, Timeout: 6 * time.Second, KoCount: 3}
	if got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// A resource that is attached and not let connect yet is shown without what drbdadm
// will tell the driver.
func TestTimesAreNotKnownBeforeAResourceMayConnect(t *testing.T) {
	show := parseConfig(t, `resource r0 { options { cpu-mask ""; } _this_host { volume 0 { device minor 0; disk "/dev/vg0/r0"; } } }`)
	if got, ok := Times(show, "r0"); ok {
		t.Errorf("%+v", got)
	}
}
