package keep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// script answers calls of programs by their beginning, and notes them.
type script struct {
	answers map[string]string // "!" at the beginning: it fails so
	calls   []string
}

func (s *script) run(_ context.Context, name string, args ...string) (string, error) {
	call := name + " " + strings.Join(args, " ")
	s.calls = append(s.calls, call)
	best, found := "", false
	for begin := range s.answers {
		if strings.HasPrefix(call, begin) && len(begin) >= len(best) {
			best, found = begin, true
		}
	}
	if !found {
		return "", fmt.Errorf("unexpected call: %s", call)
	}
	if a, bad := strings.CutPrefix(s.answers[best], "!"); bad {
		return "", errors.New(a)
	}
	return s.answers[best], nil
}

const reportOf = "lvs --noheadings --nosuffix --units b --separator | -o "

func thick(free string) *script {
	return &script{answers: map[string]string{
		reportOf + "vg_name,lv_name,pool_lv,vg_free /dev/vg0/r0": "vg0|r0||" + free,
		"lvcreate": "", "lvs --noheadings -o vg_name --select lv_name=kept-nfs-3-r0-0-1f6f406ae73f": "", "lvremove": "",
	}}
}

func logicalVolume(changes uint64) Volume {
	return Volume{Recovery: "3", Group: "nfs", Resource: "r0", Device: "/dev/vg0/r0", Size: 1 << 30, Changes: changes}
}

func TestThickSnapshotHasRoomForWhatMayBeOverwritten(t *testing.T) {
	s := thick("1073741824")
	d := LVM{Tools: s.run}
	st := &Store{Dir: t.TempDir(), Quota: 1 << 30, Drivers: []Driver{d}}
	k, err := st.Keep(t.Context(), logicalVolume(100<<20))
	must(t, err)
	if k.Source != "/dev/vg0/kept-nfs-3-r0-0-1f6f406ae73f" || k.Driver != "lvm" {
		t.Errorf("%+v", k)
	}
	want := "lvcreate --yes --snapshot --permission r --name kept-nfs-3-r0-0-1f6f406ae73f --size 262144k vg0/r0"
	if !slices.Contains(s.calls, want) {
		t.Errorf("%q", s.calls)
	}
	v, marked := logicalVolume(0), uint64(4096)
	v.Marked = &marked
	if room := st.RoomFor(t.Context(), v, Promises{}); room == 0 || room > 1<<30-100<<20 {
		t.Errorf("room for %d bytes", room)
	}
	s.answers["lvs --noheadings -o vg_name --select lv_name=kept-nfs-3-r0-0-1f6f406ae73f"] = "vg0"
	must(t, st.Release(t.Context(), k))
	if !slices.Contains(s.calls, "lvremove --yes vg0/kept-nfs-3-r0-0-1f6f406ae73f") {
		t.Errorf("%q", s.calls)
	}
}

// Two volumes of a group share a volume group, or a thin pool, as often as not.
func TestRoomOfAVolumeGroupIsPromisedOnce(t *testing.T) {
	thin := &script{answers: map[string]string{
		reportOf + "vg_name,lv_name,pool_lv,vg_free /dev/vg0/r0":            "vg0|r0|pool|0",
		reportOf + "lv_size,data_percent,metadata_percent,lv_name vg0/pool": "1073741824|35.0|1.0|pool",
	}}
	for name, s := range map[string]*script{"thick": thick("671088640"), "thin": thin} {
		st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: s.run}}}
		promised, marked := Promises{}, uint64(500<<20)
		v := logicalVolume(0)
		v.Marked = &marked
		if room := st.RoomFor(t.Context(), v, promised); room < marked {
			t.Errorf("%s: room for %d bytes of the first", name, room)
		}
		if room := st.RoomFor(t.Context(), v, promised); room >= marked {
			t.Errorf("%s: there is room for one of them, and of the other's %d would be kept", name, room)
		}
		clear(promised)
		promised.add("volume group vg1", 1<<40)
		if room := st.RoomFor(t.Context(), v, promised); room < marked {
			t.Errorf("%s: what is promised elsewhere counts", name)
		}
	}
}

// What the service writes after the resync uses a snapshot up as well.
func TestThickSnapshotIsLargerThanTheResyncNeedsWhereThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		free          string
		quota, size   uint64
		least, atMost uint64
	}{
		{"1073741824", 1 << 40, 1 << 30, 256 << 20, 256 << 20},       // a part of the volume group
		{"1073741824", 512 << 20, 1 << 30, 128 << 20, 128 << 20},     // a part of the quota
		{"1099511627776", 1 << 40, 1 << 30, 1 << 30, 1<<30 + 32<<20}, // what it could use, and no more
		{"134217728", 1 << 40, 1 << 30, 100 << 20, 120 << 20},        // what the resync needs
	} {
		s := thick(c.free)
		st := &Store{Dir: t.TempDir(), Quota: c.quota, Drivers: []Driver{LVM{Tools: s.run}}}
		k, err := st.Keep(t.Context(), logicalVolume(100<<20))
		if must(t, err); k.Bytes < c.least || k.Bytes > c.atMost {
			t.Errorf("%+v: %d bytes", c, k.Bytes)
		}
	}
}

func TestVolumeGroupWithoutRoomIsFull(t *testing.T) {
	for _, free := range []string{"0", "16777216", "52428800", "rubbish"} {
		s := thick(free)
		st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: s.run}}}
		if _, err := st.Keep(t.Context(), logicalVolume(100<<20)); !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", free, err)
		}
		if slices.ContainsFunc(s.calls, func(c string) bool { return strings.HasPrefix(c, "lvcreate") }) {
			t.Errorf("%s: %q", free, s.calls)
		}
	}
}

func thin(data, meta string) *script {
	return &script{answers: map[string]string{
		reportOf + "vg_name,lv_name,pool_lv,vg_free /dev/vg0/r0":            "vg0|r0|pool|0",
		reportOf + "lv_size,data_percent,metadata_percent,lv_name vg0/pool": "10737418240|" + data + "|" + meta + "|pool",
		"lvcreate": "", "lvs --noheadings -o vg_name --select lv_name=kept-nfs-3-r0-0-1f6f406ae73f": "",
	}}
}

func TestThinSnapshotTakesNoSizeAndFillsNoPool(t *testing.T) {
	s := thin("40.00", "12.5")
	st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: s.run}}}
	_, err := st.Keep(t.Context(), logicalVolume(0))
	must(t, err)
	if i := slices.IndexFunc(s.calls, func(c string) bool { return strings.HasPrefix(c, "lvcreate") }); i < 0 || strings.Contains(s.calls[i], "--size") {
		t.Errorf("%q", s.calls)
	}
	for _, full := range []*script{thin("94.9", "10"), thin("10", "99"), thin("", "")} {
		st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{LVM{Tools: full.run}}}
		if _, err := st.Keep(t.Context(), logicalVolume(0)); !errors.Is(err, ErrFull) {
			t.Errorf("%v", err)
		}
	}
}

func TestOverflownSnapshotIsLost(t *testing.T) {
	fields := reportOf + "lv_snapshot_invalid,data_percent,lv_name,vg_name vg0/kept"
	for answer, lost := range map[string]bool{"|12.00|kept|vg0": false, "snapshot invalid|100.00|kept|vg0": true, "!not found": true} {
		s := &script{answers: map[string]string{fields: answer}}
		st := &Store{Drivers: []Driver{Copy{}, LVM{Tools: s.run}}}
		if err := st.Check(t.Context(), Kept{Driver: "lvm", Source: "/dev/vg0/kept"}); (err != nil) != lost {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestZFSKeepsASnapshotAndAClone(t *testing.T) {
	s := &script{answers: map[string]string{
		"zfs get -Hp -o value available tank/vm/r0": "2147483648", "zfs snapshot": "", "zfs clone": "", "zfs destroy": "",
		"zfs list": "tank/vm/r0\ntank/vm/r0@daily",
	}}
	st := &Store{Dir: t.TempDir(), Quota: 1 << 40, Drivers: []Driver{ZFS{Tools: s.run}}}
	v := logicalVolume(1 << 20)
	v.Device = "/dev/zvol/tank/vm/r0"
	k, err := st.Keep(t.Context(), v)
	must(t, err)
	for _, want := range []string{"zfs snapshot tank/vm/r0@kept-nfs-3-r0-0-1f6f406ae73f", "zfs clone -o readonly=on tank/vm/r0@kept-nfs-3-r0-0-1f6f406ae73f tank/vm/kept-nfs-3-r0-0-1f6f406ae73f"} {
		if !slices.Contains(s.calls, want) {
			t.Errorf("%q", s.calls)
		}
	}
	if k.Source != "/dev/zvol/tank/vm/kept-nfs-3-r0-0-1f6f406ae73f" {
		t.Errorf("%+v", k)
	}
	s.answers["zfs list"] = "tank/vm/r0\ntank/vm/kept-nfs-3-r0-0-1f6f406ae73f\ntank/vm/r0@daily\ntank/vm/r0@kept-nfs-3-r0-0-1f6f406ae73f"
	s.calls = nil
	must(t, st.Release(t.Context(), k))
	destroyed := slices.DeleteFunc(s.calls, func(c string) bool { return !strings.HasPrefix(c, "zfs destroy") })
	if want := []string{"zfs destroy tank/vm/kept-nfs-3-r0-0-1f6f406ae73f", "zfs destroy tank/vm/r0@kept-nfs-3-r0-0-1f6f406ae73f"}; !slices.Equal(destroyed, want) {
		t.Errorf("%q", destroyed)
	}
	v.Device = "/dev/sda1"
	if _, err := (ZFS{Tools: s.run}).Offer(t.Context(), v, ""); err == nil {
		t.Error("a partition was taken for a volume of ZFS")
	}
}

func TestFirstDriverThatFitsTheDeviceKeepsIt(t *testing.T) {
	s := &script{answers: map[string]string{reportOf: "!not a logical volume", "lvs": "!not a logical volume"}}
	st := store(t)
	st.Drivers = []Driver{LVM{Tools: s.run}, ZFS{Tools: s.run}, Copy{AtMost: size}}
	v, _ := volume(t)
	k, err := st.Keep(t.Context(), v)
	if err != nil || k.Driver != "copy" {
		t.Errorf("%+v, %v", k, err)
	}
	st.Drivers = st.Drivers[:2]
	v.Recovery = "4"
	if _, err := st.Keep(t.Context(), v); err == nil || !strings.Contains(err.Error(), "logical volume") || !strings.Contains(err.Error(), "volume of ZFS") {
		t.Errorf("the reasons are not said: %v", err)
	}
	if err := st.Release(t.Context(), k); err == nil || !strings.Contains(err.Error(), "driver copy") {
		t.Errorf("%v", err)
	}
}

func TestOperatorsProgramKeepsAndDrops(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "keep")
	must(t, os.WriteFile(program, []byte(`#!/bin/sh
[ "$1" = -x ] || exit 9
case $2 in
room) echo 99999999 ;;
keep) cp "$4" "$6/$3" && echo "$6/$3" ;;
drop) rm -f "$6/$3" ;;
esac
`), 0o755))
	st := store(t)
	st.Drivers = []Driver{Command{Argv: []string{program, "-x"}}}
	v, data := volume(t)
	k, err := st.Keep(t.Context(), v)
	must(t, err)
	if got, err := os.ReadFile(k.Source); err != nil || string(got) != string(data) {
		t.Errorf("%v", err)
	}
	must(t, st.Release(t.Context(), k))
	if _, err := os.Stat(k.Source); err == nil {
		t.Error("it is still there")
	}
	for _, bad := range []string{"echo none", "exit 1", "echo -5", "echo"} {
		must(t, os.WriteFile(program, []byte("#!/bin/sh\n"+bad+"\n"), 0o755))
		if _, err := st.Keep(t.Context(), v); err == nil {
			t.Errorf("%q: it was kept", bad)
		}
	}
}

// The backing device is a file, or a loop device on one, which DRBD writes to.
func TestSharedBlocksKeepWhatTheFileHeld(t *testing.T) {
	for _, mkfs := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1"}, {"mkfs.btrfs", "-q"}} {
		for _, loop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, loop device: %t", mkfs[0], loop), func(t *testing.T) { sharedBlocksKeep(t, mkfs, loop) })
		}
	}
}

func sharedBlocksKeep(t *testing.T, mkfs []string, loop bool) {
	mount := sharing(t, mkfs)
	st := store(t)
	st.Drivers = []Driver{Reflink{}, Copy{AtMost: size}}
	v, data := volume(t)
	file := filepath.Join(mount, "backing")
	v.Device = file
	must(t, os.WriteFile(file, make([]byte, size), 0o600))
	if loop {
		v.Device = losetup(t, file)
	}
	must(t, os.WriteFile(v.Device, data, 0o600))
	k, err := st.Keep(t.Context(), v)
	must(t, err)
	if k.Driver != "reflink" || filepath.Dir(k.Source) != mount {
		t.Errorf("%+v", k)
	}
	must(t, os.WriteFile(v.Device, make([]byte, size), 0o600))
	if got, err := os.ReadFile(k.Source); err != nil || string(got) != string(data) {
		t.Errorf("the copy differs: %v", err)
	}
	must(t, st.Release(t.Context(), k))
	if left, _ := os.ReadDir(mount); len(left) != 1 {
		t.Errorf("%v", left)
	}
}

// sharing mounts a new file system whose files can share blocks.
func sharing(t *testing.T, mkfs []string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	image, mount := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 320<<20))
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("needs %s: %v: %s", mkfs[0], err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
		t.Skipf("cannot mount that here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	return mount
}

func losetup(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--direct-io=off", "-f", "--show", file).Output()
	if err != nil {
		t.Skipf("cannot make a loop device here: %v", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	return device
}
