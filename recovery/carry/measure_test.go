package carry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
	"sbarbiter/recovery"
	"sbarbiter/recovery/keep"
)

const captures = "../../drbd/testdata"

// captured returns what a command printed on a node, out of a file of captures.
func captured(t *testing.T, file, node, command string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(captures, file))
	must(t, err)
	_, rest, found := strings.Cut(string(text), node+"# "+command+"\n")
	if !found {
		t.Fatalf("%s has no %q on %s", file, command, node)
	}
	out, _, _ := strings.Cut(rest, "[exit ")
	return out
}

// machine is a node whose tools print what was captured of a real one, and whose
// disk is a file.
func machine(t *testing.T, family, file, node string) *Node {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	dump, err := os.ReadFile(filepath.Join(captures, "dump-common."+family+".txt"))
	must(t, err)
	put("dump", string(dump), 0o644)
	put("proc", captured(t, file, node, "cat /proc/drbd"), 0o644)
	put("status", captured(t, file, node, "drbdsetup status r0 --verbose --statistics"), 0o644)
	put("gi", captured(t, file, node, "drbdadm get-gi r0"), 0o644)
	put("disk", strings.Repeat("x", 8192), 0o644)
	put("1/mountinfo", "", 0o644)
	for _, minor := range []string{"0", "1"} {
		must(t, os.MkdirAll(filepath.Join(dir, "sys/block/drbd"+minor+"/holders"), 0o755))
	}
	tool := `#!/bin/sh
D=` + dir + `
case "$1" in
status) [ ! -e "$D/down" ] || { echo "r0: No such resource" >&2; exit 10; }; cat "$D/status" ;;
get-gi) cat "$D/gi" ;;
dump) cat "$D/dump" ;;
sh-ll-dev) echo "$D/disk" ;;
--dry-run) echo "drbdmeta 0 v08 $D/disk internal dump-md" ;;
--force) cat "$D/metadata" ;;
*) echo "unexpected: $*" >&2; exit 20 ;;
esac
`
	put("tool", tool, 0o755)
	put("metadata", "version \"v08\";\nla-size-sect 130992;\nbm-byte-per-bit 4096;\n# bits-set 3;\n", 0o644)
	path := filepath.Join(dir, "tool")
	driver, err := kernel.New(kernel.Config{
		Resources: []string{"r0"}, Drbdsetup: path, Drbdadm: path, Drbdmeta: path, ProcDRBD: filepath.Join(dir, "proc"),
		Files: filepath.Join(dir, "drbd.conf"), ExecTimeout: 20 * time.Second,
	})
	must(t, err)
	return &Node{
		Name: recovery.Node(node), DRBD: driver, Proc: dir, Sys: filepath.Join(dir, "sys"),
		Groups: []Group{{Name: "nfs", Resources: []string{"r0"}}},
		Store:  &keep.Store{Dir: filepath.Join(dir, "kept"), Quota: 1 << 40, Drivers: []keep.Driver{keep.Copy{AtMost: 1 << 40}}},
	}
}

func (n *Node) file(name string) string { return filepath.Join(n.Proc, name) }

func TestRealSplitBrainsOfBothFamiliesAreMeasured(t *testing.T) {
	for _, c := range []struct {
		family, file string
		changed      [2]uint64 // KiB
	}{
		{"84", "k84/11-split-brain-detected.txt", [2]uint64{8196, 4100}},
		{"92", "k92/07-split-brain.txt", [2]uint64{8196, 4}},
	} {
		t.Run(c.family, func(t *testing.T) {
			e := recovery.Evidence{Group: "nfs"}
			for i, name := range []string{"node1", "node2"} {
				n := machine(t, c.family, c.file, name)
				s, err := n.Measure(t.Context(), n.Groups[0])
				must(t, err)
				if s.Missing != "" {
					t.Fatal(s.Missing)
				}
				v := s.Volumes[0]
				if v.OutOfSync == nil || *v.OutOfSync != c.changed[i]<<10 {
					t.Errorf("%s changed %v", name, v.OutOfSync)
				}
				if v.Size < 65000<<10 || v.Disk != drbd.DiskUpToDate || v.SnapshotRoom < v.Size || v.ResyncLimit == 0 || v.Backing != 8192 || s.Open {
					t.Errorf("%+v", s)
				}
				e.Sides[i] = s
			}
			must(t, e.Check())
			if d := recovery.Diagnose(e); d.Kind != recovery.SplitBrain {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestResourceThatIsDownIsMeasuredByItsMetadata(t *testing.T) {
	n := machine(t, "84", "k84/11-split-brain-detected.txt", "node1")
	must(t, os.WriteFile(n.file("down"), nil, 0o644))
	s, err := n.Measure(t.Context(), n.Groups[0])
	must(t, err)
	v := s.Volumes[0]
	if s.Missing != "" || s.Role != drbd.RoleSecondary || v.Disk != drbd.DiskConsistent || *v.OutOfSync != 3<<12 || v.Size != 65496<<10 {
		t.Errorf("%+v", s)
	}
	// An activity log that was not applied hides what else may differ.
	must(t, os.WriteFile(n.file("metadata"), []byte("version \"v08\";\nThis_is_an_unclean_meta_data_dump.\nla-size-sect 130992;\nbm-byte-per-bit 4096;\n# bits-set 3;\n"), 0o644))
	if s, err = n.Measure(t.Context(), n.Groups[0]); err != nil || s.Volumes[0].OutOfSync != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// Metadata as create-md leaves it does not say how large the volume is.
func TestNewDiskThatIsDownIsMeasuredAsEmpty(t *testing.T) {
	const file = "k84/11-split-brain-detected.txt"
	n, other := machine(t, "84", file, "node1"), machine(t, "84", file, "node2")
	must(t, os.WriteFile(n.file("down"), nil, 0o644))
	must(t, os.WriteFile(n.file("gi"), []byte("0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0\n"), 0o644))
	must(t, os.WriteFile(n.file("metadata"), []byte("version \"v08\";\nla-size-sect 0;\nbm-byte-per-bit 4096;\n# bits-set 0;\n"), 0o644))
	e := recovery.Evidence{Group: "nfs"}
	for i, side := range []*Node{n, other} {
		var err error
		e.Sides[i], err = side.Measure(t.Context(), side.Groups[0])
		must(t, err)
	}
	if d := recovery.Diagnose(e); d.Kind != recovery.Empty || d.Source != "node2" || e.Sides[0].Volumes[0].Size != 8192 {
		t.Errorf("%+v of %+v", d, e.Sides[0])
	}
}

// Of a disk that is gone there is no metadata to read.
func TestDiskThatIsGoneIsSaid(t *testing.T) {
	const file = "k84/11-split-brain-detected.txt"
	n, other := machine(t, "84", file, "node1"), machine(t, "84", file, "node2")
	must(t, os.Remove(n.file("metadata")))
	for _, name := range []string{"status", "proc"} {
		text, err := os.ReadFile(n.file(name))
		must(t, err)
		gone := strings.NewReplacer("disk:UpToDate", "disk:Diskless", "ds:UpToDate", "ds:Diskless").Replace(string(text))
		must(t, os.WriteFile(n.file(name), []byte(gone), 0o644))
	}
	e := recovery.Evidence{Group: "nfs"}
	for i, side := range []*Node{n, other} {
		var err error
		e.Sides[i], err = side.Measure(t.Context(), side.Groups[0])
		must(t, err)
	}
	if d := recovery.Diagnose(e); d.Kind != recovery.Diskless || !strings.Contains(d.Advice, "attach") {
		t.Errorf("%+v of %+v", d, e.Sides[0])
	}
}

func TestWhatCannotBeMeasuredMakesTheSideMissing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Node)
		says  string
	}{
		"no driver":           {func(n *Node) { os.Remove(n.file("proc")) }, "load the module"},
		"no tool":             {func(n *Node) { os.Remove(n.file("tool")) }, "tool"},
		"no generations":      {func(n *Node) { os.WriteFile(n.file("tool"), []byte("#!/bin/sh\nexit 20\n"), 0o755) }, "do not answer"},
		"no metadata":         {func(n *Node) { os.WriteFile(n.file("down"), nil, 0o644); os.WriteFile(n.file("metadata"), nil, 0o644) }, "neither v08 nor v09"},
		"no list of mounts":   {func(n *Node) { os.Remove(n.file("1/mountinfo")) }, "where it is mounted"},
		"a group without any": {func(n *Node) { n.Groups[0].Resources = nil }, "no DRBD resource"},
	} {
		t.Run(name, func(t *testing.T) {
			n := machine(t, "84", "k84/11-split-brain-detected.txt", "node1")
			c.spoil(n)
			s, err := n.Measure(t.Context(), n.Groups[0])
			if err != nil || !strings.Contains(s.Missing, c.says) || s.Node != "node1" || len(s.Volumes) > 0 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := machine(t, "84", "k84/11-split-brain-detected.txt", "node1")
	if _, err := n.Measure(ctx, n.Groups[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestProbesSayAPositionOrWhyNot(t *testing.T) {
	n := machine(t, "84", "k84/11-split-brain-detected.txt", "node1")
	script := n.file("probe")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\ncase $1 in hang) exec sleep 60 ;; fail) echo no server >&2; exit 1 ;; esac\necho 0-1-$1\necho more\n"), 0o755))
	n.Groups[0].Probes = []Probe{
		{Name: "gtid", Command: []string{script, "100"}},
		{Name: "hangs", Command: []string{script, "hang"}, Limit: 50 * time.Millisecond},
		{Name: "fails", Command: []string{script, "fail"}},
		{Name: "absent", Command: []string{"/nonexistent"}},
		{Name: "empty"},
	}
	s, err := n.Measure(t.Context(), n.Groups[0])
	must(t, err)
	want := []string{"0-1-100", "not known: killed", "no server", "not known", "no command"}
	for i, p := range s.Positions {
		if !strings.Contains(p.Text, want[i]) {
			t.Errorf("%s: %q", p.Probe, p.Text)
		}
	}
	if len(s.Positions) != len(want) {
		t.Errorf("%+v", s.Positions)
	}
}

// Room for one volume of a group is not room for both.
func TestRoomIsNotPromisedToTwoVolumes(t *testing.T) {
	w := split(t)
	n := w.node("node-b")
	n.Groups[0].Resources = []string{"r0", "r1"}
	for quota, want := range map[uint64]uint64{diskSize + diskSize/2: 0, 2 * diskSize: diskSize} {
		n.Store.Quota = quota
		s, err := n.Measure(t.Context(), n.Groups[0])
		must(t, err)
		if len(s.Volumes) != 2 || s.Volumes[0].SnapshotRoom != diskSize || s.Volumes[1].SnapshotRoom != want {
			t.Errorf("of %d: %+v", quota, s)
		}
	}
}

func TestDRBDsOwnPoliciesArePartOfWhatIsMeasured(t *testing.T) {
	w := split(t)
	w.sides["node-b"].violations = []drbd.Violation{{What: "after-sb-0pri is discard-least-changes, must be disconnect", Where: "resource r0", Fix: "THE LINE"}}
	s, err := w.node("node-b").Measure(t.Context(), Group{Name: "nfs", Resources: []string{"r0"}})
	must(t, err)
	if len(s.Policies) != 1 || !strings.Contains(s.Policies[0], "discard-least-changes") || !strings.Contains(s.Policies[0], "THE LINE") {
		t.Errorf("%q", s.Policies)
	}
}
