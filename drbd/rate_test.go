package drbd

import "testing"

func TestResyncIsNoFasterThanItsLimit(t *testing.T) {
	for text, want := range map[string]uint64{
		`resource r0 { }`: 100 << 20,
		`common { disk { c-max-rate 30M; } } resource r0 { }`:                            30 << 20,
		`common { disk { c-max-rate 30M; } } resource r0 { disk { c-max-rate 500; } }`:   500 << 10,
		`resource r0 { disk { resync-rate 33M; } }`:                                      100 << 20, // the controller's is the one that counts
		`resource r0 { disk { resync-rate 33M; c-plan-ahead 0; } }`:                      33 << 20,
		`resource r0 { disk { c-plan-ahead 0; } }`:                                       250 << 10,
		`resource r0 { connection { disk { c-max-rate 2G; } } disk { c-max-rate 1M; } }`: 2 << 30,
		`resource r0 { disk { c-max-rate 0; } }`:                                         0,
		`resource r0 { disk { c-max-rate fast; } }`:                                      0,
		`resource r0 { disk { c-max-rate 2048s; } }`:                                     1 << 20,
		`resource r1 { }`: 0,
	} {
		if got := ResyncLimit(parseConfig(t, text), "r0"); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
