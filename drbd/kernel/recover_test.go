package kernel

import (
	"os"
	"strings"
	"testing"
)

func (f *fakeTools) configured() {
	f.t.Helper()
	dump, err := os.ReadFile("../testdata/dump-common.84.txt")
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("dump", string(dump))
	f.on("dump", `cat "$D/dump"`)
	f.on("sh-ll-dev", "echo /dev/ubda; echo /dev/ubdb")
	f.on("--dry-run", "echo drbdmeta 0 v08 /dev/ubda internal dump-md; echo drbdmeta 1 v08 /dev/md flex-external dump-md")
	f.on("--force", "echo of $2 $4 $6")
}

func TestDisksAndTheirMetadataAreFound(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	all, err := f.driver.Backing(t.Context(), "r0")
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if b := all[1]; b.Volume != 1 || b.Minor != 1 || b.Disk != "/dev/ubdb" || !b.External || all[0].External {
		t.Errorf("%+v", all)
	}
	text, err := f.driver.DumpMetadata(t.Context(), "r0", 1)
	if err != nil || strings.TrimSpace(text) != "of 1 /dev/md dump-md" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := f.driver.DumpMetadata(t.Context(), "r0", 7); err == nil {
		t.Error("a volume that is not there was dumped")
	}
	f.on("sh-ll-dev", "echo /dev/ubda")
	if all, err := f.driver.Backing(t.Context(), "r0"); err == nil {
		t.Errorf("a disk without metadata: %+v", all)
	}
}

// What a large volume has changed is counted at the end of its metadata, behind a bitmap
// of many MiB.
func TestMetadataOfALargeVolumeIsReadToItsEnd(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	f.on("--force", "yes 0x5555555555555555 | head -c 3000000; echo '# bits-set 7;'")
	text, err := f.driver.DumpMetadata(t.Context(), "r0", 1)
	if err != nil || !strings.HasSuffix(text, "# bits-set 7;\n") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	f.on("dump", "yes | head -c 3000000")
	if _, err := f.driver.SplitPolicies(t.Context(), "r0"); err == nil || !strings.Contains(err.Error(), "more than can be taken in") {
		t.Errorf("an answer that was cut: %v", err)
	}
}

func TestStoredGenerationsAreReadOffADiskThatIsNotAttached(t *testing.T) {
	f := newFakeTools(t)
	f.write("unconfigured", "")
	f.on("get-gi", `echo "$(basename "$0") $2"`)
	line, err := f.driver.StoredGenerations(t.Context(), "r0", 1)
	if err != nil || line != "drbdadm r0/1" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestSettingsThatResolveASplitAreSeen(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	if found, err := f.driver.SplitPolicies(t.Context(), "r0"); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	f.on("dump", `sed 's/after-sb-0pri .*/after-sb-0pri discard-younger-primary;/' "$D/dump"`)
	if found, err := f.driver.SplitPolicies(t.Context(), "r0"); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// DRBD 9 connects by what the kernel was told last, whatever the files say by now.
func TestSettingsOf9ThatResolveASplitAreSeenWhereTheyAreInForce(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	f.write("proc", "version: 9.2.14 (api:2/proto:86-122)\n")
	dump, err := os.ReadFile("../testdata/dump-common.92.txt")
	if err != nil {
		t.Fatal(err)
	}
	f.write("dump", string(dump))
	captured, err := os.ReadFile("../testdata/k92/20-managed.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, show, _ := strings.Cut(string(captured), "\n")
	show, _, _ = strings.Cut(show, "[exit ")
	f.write("show", show)
	const (
		inFiles = `sed 's/fencing .*/&\nafter-sb-0pri discard-younger-primary;/' "$D/dump"`
		inForce = `sed 's/after-sb-0pri.*/after-sb-0pri discard-younger-primary;/' "$D/show"`
	)
	for _, c := range []struct{ dump, show, fix string }{
		{`cat "$D/dump"`, `cat "$D/show"`, ""},
		{`cat "$D/dump"`, inForce, "drbdadm net-options --after-sb-0pri=disconnect r0"},
		{inFiles, `cat "$D/show"`, "after-sb-0pri disconnect; } }"},
		{inFiles, inForce, "after-sb-0pri disconnect; } }, and then type: drbdadm net-options --after-sb-0pri=disconnect r0"},
	} {
		f.on("dump", c.dump)
		f.on("show", c.show)
		found, err := f.driver.SplitPolicies(t.Context(), "r0")
		if err != nil || len(found) > 1 || (len(found) == 0) != (c.fix == "") || len(found) == 1 && !strings.Contains(found[0].Fix, c.fix) {
			t.Errorf("%q, %q: %v, %v", c.dump, c.show, found, err)
		}
	}
	f.write("unconfigured", "") // the files are what will count
	f.on("dump", `cat "$D/dump"`)
	if found, err := f.driver.SplitPolicies(t.Context(), "r0"); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}
