package drbd

import "testing"

func TestCacheIsProtectedWhereEveryFlushIsOff(t *testing.T) {
	for text, want := range map[string]bool{
		`resource r0 { disk { disk-flushes no; md-flushes no; } on a { volume 0 { disk /dev/sda; } } on b { volume 0 { disk /dev/sda; } } }`:  true,
		`common { disk { disk-flushes no; md-flushes no; } } resource r0 { on a { volume 0 { disk /dev/sda; } } }`:                            true,
		`resource r0 { disk { no-disk-flushes; no-md-flushes; } on a { volume 0 { disk /dev/sda; } } }`:                                       true,
		`resource r0 { disk { disk-flushes no; md-flushes no; } }`:                                                                            true,
		`resource r0 { disk { disk-flushes no; } on a { volume 0 { disk /dev/sda; } } }`:                                                      false,
		`resource r0 { disk { disk-flushes no; md-flushes no; } on a { volume 0 { disk { md-flushes yes; } } volume 1 { disk /dev/sdb; } } }`: false,
		`resource r0 { on a { volume 0 { disk { disk-flushes no; md-flushes no; } } volume 1 { disk /dev/sdb; } } }`:                          false,
		`resource r0 { on a { volume 0 { disk /dev/sda; } } }`:                                                                                false,
		`resource r1 { disk { disk-flushes no; md-flushes no; } }`:                                                                            false,
	} {
		if got := CacheProtected(parseConfig(t, text), "r0"); got != want {
			t.Errorf("%t, not %t: %s", got, want, text)
		}
	}
}
