package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbarbiter/drbd"
)

func TestConfigurationIsReadAgainOnlyAfterItHasChanged(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	f.write("drbd.conf", "include \"more.d/*.res\";\n")
	more := filepath.Join(f.dir, "more.d")
	if err := os.Mkdir(more, 0o755); err != nil {
		t.Fatal(err)
	}
	// asked counts the processes after the disks were looked for twice more.
	asked := func() int {
		for range 2 {
			if _, err := f.driver.Backing(t.Context(), "r0"); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Count(f.calls(), "sh-ll-dev")
	}
	if asked() != 1 {
		t.Errorf("asked again, and nothing has changed: %s", f.calls())
	}
	f.write("more.d/new.res", "resource r7 {}\n")
	if asked() != 2 {
		t.Errorf("an included file is new: %s", f.calls())
	}
	f.write("more.d/new.res", "resource r8 {}\n")
	if asked() != 3 {
		t.Errorf("an included file has changed: %s", f.calls())
	}
	if err := os.Remove(f.path("drbd.conf")); err != nil {
		t.Fatal(err)
	}
	if asked() != 5 {
		t.Errorf("what cannot be read may have changed: %s", f.calls())
	}
}

const connectLine = "drbdsetup-84 connect r0 ipv4:10.91.0.2:7789 ipv4:10.91.0.1:7789 --protocol=C --ping-int=1"

func TestConnectingTakesOneProcessWhereItWasPrepared(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	f.on("--dry-run", `case $2 in connect) echo `+connectLine+`;; *) echo drbdmeta 0 v08 /dev/ubda internal dump-md; echo drbdmeta 1 v08 /dev/md flex-external dump-md;; esac`)
	f.on("connect", f.to("Secondary", "Secondary", "UpToDate", "Connecting"))
	f.state("Secondary", "Secondary", "UpToDate", "StandAlone")
	f.write("drbd.conf", "resource r0 {}\n")
	f.driver.Prepare(t.Context())
	if err := f.driver.Connect(t.Context(), "r0", drbd.DiscardMyData); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(connectLine, "-84", "", 1) + " --discard-my-data"; !strings.HasSuffix(f.calls(), want) {
		t.Errorf("ran %q", f.calls())
	}
	f.state("Secondary", "Secondary", "UpToDate", "StandAlone")
	f.write("drbd.conf", "resource r0 { other }\n")
	if err := f.driver.Connect(t.Context(), "r0", drbd.KeepMyData); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(f.calls(), "; drbdadm connect r0") {
		t.Errorf("the configuration has changed since: %q", f.calls())
	}
}
