package carry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// has makes files of a node's machine; a name that ends in a slash is a directory.
func (n *Node) has(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(n.Proc, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// What the kernel itself has on a volume no process holds open. It is in use all the same,
// and a guard goes by that.
func TestWhatTheKernelHasOnAVolumeIsUseOfIt(t *testing.T) {
	const lvm = "sys/block/drbd0/holders/dm-3/"
	for name, c := range map[string]struct {
		has     map[string]string
		open    bool
		mounted string
		says    string // of what holds it, to whoever would demote it
	}{
		"merely promoted": {open: false, says: "look for what exports it"},
		"LVM": {
			has:  map[string]string{lvm: "", "sys/block/dm-3/dm/name": "vg0-data\n"},
			open: true, says: "/dev/dm-3 is on it: it is /dev/mapper/vg0-data; take that down (LVM: vgchange -an",
		},
		"a file system on LVM": {
			has: map[string]string{
				lvm: "", "sys/block/dm-3/dm/name": "vg0-data\n", "sys/block/dm-3/dev": "253:3\n",
				"1/mountinfo": "36 25 253:3 / /srv rw - ext4 /dev/mapper/vg0-data rw\n",
			},
			open: true, mounted: "/srv", says: "it is mounted at /srv: umount /srv",
		},
		"an array": {has: map[string]string{"sys/block/drbd0/holders/md0/": ""}, open: true, says: "/dev/md0 is on it"},
		"a swap area": {
			has:  map[string]string{"swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/drbd0   partition 1 0 -2\n"},
			open: true, says: "swapoff /dev/drbd0",
		},
		"a swap area on LVM": {
			has:  map[string]string{lvm: "", "swaps": "Filename\n/dev/dm-3 partition 1 0 -2\n"},
			open: true, says: "swapoff /dev/dm-3",
		},
		"a loop device": {
			has:  map[string]string{"sys/block/loop4/loop/backing_file": "/dev/drbd0\n", "sys/block/loop5/loop/backing_file": "/dev/drbd01\n"},
			open: true, says: "losetup -d /dev/loop4",
		},
		"an iSCSI export": {has: map[string]string{"sys/kernel/config/target/core/iblock_0/r0/udev_path": "/dev/drbd0\n"}, open: true, says: "exported"},
		"an NVMe export":  {has: map[string]string{"sys/kernel/config/nvmet/subsystems/a/namespaces/1/device_path": "/dev/drbd0\n"}, open: true, says: "exported"},
		"a btrfs": {
			has:  map[string]string{"1/mountinfo": "36 25 0:41 / /srv rw - btrfs /dev/drbd0 rw\n"},
			open: true, mounted: "/srv", says: "umount /srv",
		},
		"others' things": {has: map[string]string{
			"sys/block/sda/holders/dm-0/": "", "swaps": "Filename\n/dev/sda2 partition 1 0 -2\n/dev/drbd1 partition 1 0 -2\n",
			"sys/block/loop0/loop/backing_file": "/var/lib/drbd0\n", "1/mountinfo": "36 25 0:41 / /mnt rw - tmpfs /dev/drbd0 rw\n",
		}, open: false, says: "look for what exports it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := split(t)
			n := w.node("node-a")
			n.has(t, c.has)
			s, err := n.Measure(t.Context(), n.Groups[0])
			must(t, err)
			if s.Missing != "" || s.Role != drbd.RolePrimary || s.Open != c.open || strings.Join(s.Mounted, " ") != c.mounted {
				t.Errorf("%+v", s)
			}
			w.sides["node-a"].held = true
			_, err = n.Do(t.Context(), w.plan("node-a"), recovery.Step{Node: "node-a", Kind: recovery.Demote, Resource: "r0"}, "1")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// That nothing could be looked for is not that nothing is there.
func TestAVolumeOfWhichNothingCanBeLookedForCountsAsInUse(t *testing.T) {
	n := split(t).node("node-a")
	must(t, os.RemoveAll(n.Sys))
	s, err := n.Measure(t.Context(), n.Groups[0])
	must(t, err)
	if s.Missing != "" || !s.Open {
		t.Errorf("%+v", s)
	}
}

// An undoing writes to the driver's device: not beside what the kernel has on it.
func TestNothingIsPutBackUnderWhatTheKernelHasOnTheVolume(t *testing.T) {
	_, n, device := undoable(t)
	n.has(t, map[string]string{"swaps": "Filename\n/dev/drbd0 partition 1 0 -2\n"})
	if _, err := n.Undo(t.Context(), n.Groups[0], "1", CarryOut); err == nil || !strings.Contains(err.Error(), "swapoff /dev/drbd0") || first(t, device) != "a" {
		t.Errorf("%v", err)
	}
}
