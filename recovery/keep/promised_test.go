package keep

import (
	"errors"
	"path/filepath"
	"testing"
)

// Two volumes of a group share a pool, and snapshots there take nothing when they are made:
// the pool looks as empty for the second, and would be full in the middle of the resync.
func TestPoolIsPromisedOnceWhenTheCopiesAreMade(t *testing.T) {
	const mib = 1 << 20
	s := &script{answers: map[string]string{
		reportOf + "vg_name,lv_name,pool_lv,vg_free /dev/vg0/r":             "vg0|r|pool|0",
		reportOf + "lv_size,data_percent,metadata_percent,lv_name vg0/pool": "1073741824|35.0|1.0|pool", // 614 MiB below 95 %
		"zfs get -Hp -o value available tank/r":                             "644245094",
		"lvcreate":                                                          "", "lvs --noheadings -o vg_name": "", "lvremove": "", "zfs snapshot": "", "zfs clone": "", "zfs list": "",
	}}
	for name, c := range map[string]struct {
		driver  Driver
		devices string
	}{
		"thin": {LVM{Tools: s.run}, "/dev/vg0/"}, "zfs": {ZFS{Tools: s.run}, "/dev/zvol/tank/"},
	} {
		st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{c.driver}}
		of := func(recovery, resource string, changes uint64) error {
			v := logicalVolume(changes)
			v.Recovery, v.Resource, v.Device = recovery, resource, filepath.Join(c.devices, resource)
			_, err := st.Keep(t.Context(), v)
			return err
		}
		must(t, of("3", "r0", 500*mib))
		if err := of("3", "r1", 500*mib); !errors.Is(err, ErrFull) {
			t.Errorf("%s: the pool is promised twice: %v", name, err)
		}
		if err := of("3", "r2", 100*mib); err != nil {
			t.Errorf("%s: what is left is refused: %v", name, err)
		}
		if err := of("4", "r0", 500*mib); err != nil { // an earlier recovery has taken its part long since
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of a volume group a snapshot takes its room when it is made.
func TestVolumeGroupIsNotCountedTwice(t *testing.T) {
	s := thick("671088640")
	s.answers[reportOf+"vg_name,lv_name,pool_lv,vg_free /dev/vg0/r1"] = "vg0|r1||146800640" // what the first one has left
	s.answers["lvs --noheadings -o vg_name"] = ""
	st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: s.run}}}
	_, err := st.Keep(t.Context(), logicalVolume(480<<20))
	must(t, err)
	v := logicalVolume(100 << 20)
	v.Resource, v.Device = "r1", "/dev/vg0/r1"
	_, err = st.Keep(t.Context(), v)
	must(t, err)
}
