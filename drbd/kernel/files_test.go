package kernel

import (
	"errors"
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

// drbdadm takes a resource's settings from its template, and follows links of directories
// before it looks for what is beside them.
func TestFilesThatAreFoundOnlyByDrbdadmsOwnRulesAreWatchedToo(t *testing.T) {
	for name, file := range map[string]string{
		"in a line":      "beside.res",
		"template":       "r0.tmpl",
		"behind a link":  "real/common.inc",
		"link of a link": "real/conf.d/more.res",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTools(t)
			f.configured()
			if err := errors.Join(os.MkdirAll(filepath.Join(f.dir, "real/conf.d"), 0o755), os.Symlink("real/conf.d", filepath.Join(f.dir, "link"))); err != nil {
				t.Fatal(err)
			}
			f.write("drbd.conf", "global { usage-count no; } include \"beside.res\"; include link/r.res;\n")
			f.write("beside.res", "resource r1 {}\n")
			f.write("real/conf.d/r.res", "resource r0 { template-file \"../../r0.tmpl\"; }\ninclude ../common.inc;\ninclude more.res;\n")
			for _, more := range []string{"r0.tmpl", "real/common.inc", "real/conf.d/more.res"} {
				f.write(more, "common {}\n")
			}
			asked := func() int {
				if _, err := f.driver.Backing(t.Context(), "r0"); err != nil {
					t.Fatal(err)
				}
				return strings.Count(f.calls(), "sh-ll-dev")
			}
			if first, again := asked(), asked(); first != 1 || again != 1 {
				t.Errorf("asked %d and %d times", first, again)
			}
			f.write(file, "common { net { after-sb-0pri discard-zero-changes; } }\n")
			if asked() != 2 {
				t.Errorf("%s has changed: %s", file, f.calls())
			}
		})
	}
}

// The module of another version may be loaded while the agent runs: drbdadm answers it
// otherwise, from the same files.
func TestWhatWasLearntForOneDriverIsNotBelievedForAnother(t *testing.T) {
	f := newFakeTools(t)
	f.configured()
	f.on("--dry-run", `case $2 in connect) echo `+connectLine+`;; *) echo drbdmeta 0 v08 /dev/ubda internal dump-md; echo drbdmeta 1 v08 /dev/md flex-external dump-md;; esac`)
	f.write("drbd.conf", "resource r0 {}\n")
	f.driver.Prepare(t.Context())
	before := f.calls()
	f.write("proc", "version: 9.2.14 (api:2/proto:86-122)\n")
	if _, err := f.driver.Backing(t.Context(), "r0"); err != nil {
		t.Fatal(err)
	}
	asked := strings.TrimPrefix(f.calls(), before)
	for _, of := range []string{"drbdadm dump", "dump-md", "sh-ll-dev"} {
		if !strings.Contains(asked, of) {
			t.Errorf("%s was not asked again: %q", of, asked)
		}
	}
	if cmd, ok := f.driver.connectLine(drbd.For(drbd.Family9), "r0", drbd.KeepMyData); ok {
		t.Errorf("a driver of version 9 would be told %q", cmd)
	}
	if _, ok := f.driver.connectLine(drbd.For(drbd.Family84), "r0", drbd.KeepMyData); !ok {
		t.Error("the one that it was learnt for is not")
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
