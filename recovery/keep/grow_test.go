package keep

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const grownOf = reportOf + "pool_lv,lv_size,vg_free,vg_name vg0/kept-nfs-3-r0-0-1f6f406ae73f"

// A thick snapshot is made for what was to be overwritten then. Until the resync begins
// that grows with what the survivor's services write.
func TestThickSnapshotGrowsWithWhatTheSurvivorWrites(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		answer  string // pool, size, what the volume group has left
		changes uint64
		extend  string // "": it is left as it is
		full    bool
	}{
		"it fits":                    {"|124000000|1073741824|vg0", 100 * mib, "", false},
		"more, and room":             {"|124000000|1073741824|vg0", 200 * mib, "lvextend --size 325371k vg0/", false},
		"more, and little room":      {"|124000000|110000000|vg0", 200 * mib, "lvextend --size 224553k vg0/", false},
		"a little more, and no room": {"|124000000|0|vg0", 104 * mib, "", false},
		"hardly more, and no spare":  {"|112000000|0|vg0", 104 * mib, "", true},
		"more, and no room":          {"|124000000|0|vg0", 200 * mib, "", true},
		"all that there can be":      {"|1080000000|0|vg0", 0, "", false},
		"a thin one":                 {"pool|1073741824|0|vg0", 200 * mib, "", false},
	} {
		s := thick("1073741824")
		st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: s.run}}}
		k, err := st.Keep(t.Context(), logicalVolume(100*mib))
		must(t, err)
		s.answers[grownOf], s.answers["lvextend"] = c.answer, ""
		if err := st.Fit(t.Context(), k, c.changes); errors.Is(err, ErrFull) != c.full || err != nil && !c.full {
			t.Errorf("%s: %v", name, err)
		}
		i := slices.IndexFunc(s.calls, func(call string) bool { return strings.HasPrefix(call, "lvextend") })
		if (i >= 0) != (c.extend != "") || i >= 0 && !strings.HasPrefix(s.calls[i], c.extend) {
			t.Errorf("%s: %q", name, s.calls)
		}
		if again, _, err := st.Find(k.Volume); err != nil || again.Bytes < k.Bytes || again.Source != k.Source {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
}

// A snapshot that grew takes its part of the quota, and a plain copy needs none.
func TestGrownSnapshotCountsTowardsTheQuota(t *testing.T) {
	s := thick("1073741824")
	st := &Store{Dir: t.TempDir(), Quota: 400 << 20, Drivers: []Driver{LVM{Tools: s.run}}}
	k, err := st.Keep(t.Context(), logicalVolume(100<<20))
	must(t, err)
	s.answers[grownOf], s.answers["lvextend"] = "|122683392|1073741824|vg0", ""
	must(t, st.Fit(t.Context(), k, 200<<20))
	all, err := st.List()
	must(t, err)
	if len(all) != 1 || all[0].Bytes < 200<<20 || all[0].Bytes > st.Quota {
		t.Errorf("%+v", all)
	}
	if err := st.Fit(t.Context(), all[0], 900<<20); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the quota: %v", err)
	}
	plain := store(t)
	v, _ := volume(t)
	k, err = plain.Keep(t.Context(), v)
	must(t, err)
	plain.Quota = 0
	must(t, plain.Fit(t.Context(), k, 0))
}
