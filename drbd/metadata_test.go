package drbd

import (
	"os"
	"strings"
	"testing"
)

func TestMetadataOfBothFamilies(t *testing.T) {
	for file, want := range map[string]Metadata{
		"metadata-attached.84.txt": {Size: 131032 << 10, OutOfSync: 10 << 12},
		"metadata-detached.92.txt": {Size: 65496 << 10, OutOfSync: 7 << 12, Clean: true},
	} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseMetadata(string(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", file, got, err, want)
		}
	}
	if got, err := ParseMetadata("version \"v09\";\nmax-peers 7;\nla-size-sect 8;\nbm-byte-per-bit 4096;\n# bits-set 1;\n"); err != nil || !got.Several {
		t.Errorf("several bitmaps of which one is counted: %+v, %v", got, err)
	}
	for _, bad := range []string{"", "version \"v07\";\nla-size-sect 8;\nbm-byte-per-bit 4096;\n", "version \"v08\";\nbm-byte-per-bit 4096;\n# bits-set 1;\n", "version \"v08\";\nla-size-sect 8;\nbm-byte-per-bit 4096;\n bm {\n 0xffff"} {
		if got, err := ParseMetadata(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestDiskIsAttachedAsItsFlagsSay(t *testing.T) {
	for line, want := range map[string]DiskState{
		"1:1:0:0:0:0:0": DiskConsistent, "1:0:0:0:0:0:0": DiskOutdated, "0:1:0:0:0:0:0": DiskInconsistent,
	} {
		g, err := ParseGI("1:2:3:4:" + line)
		if err != nil || g.StoredDisk() != want {
			t.Errorf("%s: %s, %v", line, g.StoredDisk(), err)
		}
	}
}

func TestWhereMetadataIsFound(t *testing.T) {
	a, err := ParseMetadataAccess("drbdmeta 1 v08 /dev/vg0/md flex-external dump-md\n")
	if err != nil || a.Minor != 1 || !a.External() || strings.Join(a.Words, " ") != "1 v08 /dev/vg0/md flex-external" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = ParseMetadataAccess("drbdmeta 0 v09 /dev/ubda internal dump-md"); err != nil || a.External() {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = ParseMetadataAccess("/usr/sbin/drbdmeta 200 v09 /dev/forks/young internal dump-md"); err != nil || a.Minor != 200 {
		t.Errorf("drbdadm by its path, of two real nodes of 9.2.14: %+v, %v", a, err)
	}
	for _, bad := range []string{"", "drbdmeta 0 v08 /dev/x internal", "drbdmeta x v08 /dev/x internal dump-md", "rm 0 v08 /dev/x internal dump-md"} {
		if a, err := ParseMetadataAccess(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, a)
		}
	}
}

func TestVolumesAreFoundByTheirMinor(t *testing.T) {
	for _, file := range []string{"dump-common.84.txt", "dump-common.92.txt"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		dump, err := ParseConfig(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := VolumeOf(dump, "r0", 1); !ok || n != 1 {
			t.Errorf("%s: %d, %t", file, n, ok)
		}
		if n, ok := VolumeOf(dump, "r0", 9); ok {
			t.Errorf("%s: minor 9 is volume %d", file, n)
		}
	}
}

func TestVolumeThatIsNotNumberedIsTheFirst(t *testing.T) {
	dump, err := ParseConfig("resource r0 { on a { device /dev/drbd7 minor 7; disk /dev/x; meta-disk internal; address ipv4 10.0.0.1:7789; } }")
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := VolumeOf(dump, "r0", 7); !ok || n != 0 {
		t.Errorf("%d, %t", n, ok)
	}
	if n, ok := VolumeOf(dump, "r0", 8); ok {
		t.Errorf("minor 8 is volume %d", n)
	}
}

func TestOnlyWhatCouldResolveASplitIsNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/dump-common.84.txt")
	if err != nil {
		t.Fatal(err)
	}
	q := Requirements{Family: Family84, Resource: "r0"}
	good, err := ParseConfig(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if found := q.CheckSplit(good); len(found) > 0 {
		t.Errorf("%v", found)
	}
	bad, err := ParseConfig(strings.Replace(string(text), "after-sb-0pri    disconnect", "after-sb-0pri    discard-least-changes", 1))
	if err != nil {
		t.Fatal(err)
	}
	if found := q.CheckSplit(bad); len(found) != 1 || !strings.Contains(found[0].What, "after-sb-0pri") {
		t.Errorf("%v", found)
	}
}

func TestTheOnlyVolumeNeedsNoSectionOfItsOwn(t *testing.T) {
	dump, err := ParseConfig("resource r0 { on node-a { device /dev/drbd3 minor 3; disk /dev/x; meta-disk internal; } on node-b { device /dev/drbd3 minor 3; disk /dev/x; meta-disk internal; } }")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := VolumeOf(dump, "r0", 3); !ok || v != 0 {
		t.Errorf("minor 3 is volume %d, %t", v, ok)
	}
	if v, ok := VolumeOf(dump, "r0", 4); ok {
		t.Errorf("minor 4 is volume %d", v)
	}
}
