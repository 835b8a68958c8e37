package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sbarbiter/doctor"
)

// proc is a made-up /proc with processes of these names.
func proc(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range names {
		p := filepath.Join(dir, []string{"7", "42", "999"}[i])
		if err := os.MkdirAll(filepath.Join(p, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p, "comm"), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUnitsThatStartDRBDAreFoundByTheirLinks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "multi-user.target.wants")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"drbd.service", "ssh.service"} {
		if err := os.Symlink("/dev/null", filepath.Join(dir, u)); err != nil {
			t.Fatal(err)
		}
	}
	got := unitsOf(filepath.Join(filepath.Dir(dir), "*.wants", "drbd*.service"))
	if len(got) != 1 || got[0] != "drbd.service" {
		t.Errorf("%q", got)
	}
}

func TestOtherManagersAreFoundByTheirPrograms(t *testing.T) {
	got := managersIn(proc(t, "pacemakerd", "bash", "corosync"))
	if len(got) != 2 || got[0] != "corosync" || got[1] != "pacemaker" {
		t.Errorf("%v", got)
	}
	if got := managersIn(t.TempDir()); got != nil {
		t.Errorf("out of nothing: %v", got)
	}
}

func TestWhoHasADeviceOpenIsFoundByTheDeviceNotItsName(t *testing.T) {
	dir := proc(t, "bash", "feeder")
	if err := os.Symlink("/dev/null", filepath.Join(dir, "42", "fd", "3")); err != nil {
		t.Fatal(err)
	}
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink("/dev/null", alias); err != nil {
		t.Fatal(err)
	}
	if got := openedBy(dir, alias); got != "feeder" {
		t.Errorf("%q", got)
	}
	if got := openedBy(dir, "/dev/zero"); got != "" {
		t.Errorf("nobody has it open: %q", got)
	}
}

// /dev/watchdog and /dev/watchdog0 are one device with two numbers.
func TestWhoHasTheFirstWatchdogOpenHasBothOfIt(t *testing.T) {
	dir := proc(t, "feeder")
	dev := t.TempDir()
	for name, minor := range map[string]uint32{"watchdog": 3, "watchdog0": 5} { // null and zero stand in
		if err := unix.Mknod(filepath.Join(dev, name), unix.S_IFCHR|0o600, int(unix.Mkdev(1, minor))); err != nil {
			t.Skipf("no device to be had: %v", err)
		}
	}
	if err := os.Symlink(filepath.Join(dev, "watchdog0"), filepath.Join(dir, "7", "fd", "3")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"watchdog", "watchdog0"} {
		if got := openedBy(dir, filepath.Join(dev, name)); got != "feeder" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPathIsTheInterfaceThatPacketsLeaveBy(t *testing.T) {
	if got := Path(netip.MustParseAddr("127.0.0.1")); got.Interface != "lo" {
		t.Errorf("%+v", got)
	}
}

func TestFilesAreLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if f := File(path, "x", doctor.Secret); f.Err == "" {
		t.Error("a missing file is fine")
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if f := File(path, "x", doctor.Secret); f.Err != "" || f.Mode != 0o640 || f.Owner != uint32(os.Getuid()) {
		t.Errorf("%+v", f)
	}
}
