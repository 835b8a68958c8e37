package ctl

import (
	"testing"
	"time"

	"sbarbiter/recovery"
)

func TestForecastTellsHowMuchAndHowLong(t *testing.T) {
	const mib = 1 << 20
	list := []recovery.VolumeFinding{
		{Kind: recovery.SplitBrain, AtLeast: 600 * mib, AtMost: 900 * mib, Soonest: 6 * time.Second},
		{Kind: recovery.SplitBrain, AtLeast: 1 * mib, AtMost: 1 * mib, Soonest: 10 * time.Millisecond},
		{Kind: recovery.MissingAncestor, Full: true, AtLeast: 4096 * mib, AtMost: 4096 * mib, Soonest: 5 * time.Minute},
		{Kind: recovery.Resync, AtLeast: 1 * mib, AtMost: 2 * mib},
		{Kind: recovery.InSync},
	}
	for i, want := range []string{
		"split-brain, 600.0 MiB to 900.0 MiB are copied, by the bitmap, in 6.0 s or more",
		"split-brain, 1.0 MiB are copied, by the bitmap, in a moment or more",
		"missing-ancestor, all of it is copied: 4.0 GiB, in 5 min or more",
		"resync, 1.0 MiB to 2.0 MiB are copied, by the bitmap",
		"in-sync, nothing is copied",
	} {
		if got := forecast(list[i]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := copied(list[:2], false); got != "601.0 MiB to 901.0 MiB by the bitmaps, in 6.0 s or more" {
		t.Error(got)
	}
	if got := copied(list[2:3], true); got != "4.0 GiB, everything, in 5 min or more: no bitmap counts from where they parted" {
		t.Error(got)
	}
}
