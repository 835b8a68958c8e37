package service

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// loopExt4 makes an ext4 file system on a loop device and its mount point.
func loopExt4(t *testing.T) Filesystem {
	t.Helper()
	needRoot(t)
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	out, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		t.Logf("no loop device (%v): a tmpfs takes its place", err)
		return tmpfs(t)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	return Filesystem{Device: dev, Mount: mountPoint(t), Type: "ext4", Options: "noatime,errors=remount-ro"}
}

func tmpfs(t *testing.T) Filesystem {
	t.Helper()
	needRoot(t)
	return Filesystem{Device: "scratch", Mount: mountPoint(t), Type: "tmpfs", Options: "size=1m,nodev"}
}

func mountPoint(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(dir, "a mount point")
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for unix.Unmount(point, unix.MNT_DETACH) == nil { // for the test's sake only
		}
	})
	return point
}

func mustStart(t *testing.T, u Unit) {
	t.Helper()
	if err := u.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func mustStop(t *testing.T, u Unit) {
	t.Helper()
	if err := u.Stop(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestFilesystemIsMountedAndUnmounted(t *testing.T) {
	for name, make := range map[string]func(*testing.T) Filesystem{"ext4": loopExt4, "tmpfs": tmpfs} {
		t.Run(name, func(t *testing.T) {
			u := make(t).Unit(Env{})
			wantState(t, u, Stopped)
			mustStart(t, u)
			wantState(t, u, Running)
			mustStart(t, u) // again: nothing to do
			mustStop(t, u)
			wantState(t, u, Stopped)
			mustStop(t, u)
		})
	}
}

func TestMountOptionsReachTheKernel(t *testing.T) {
	c := loopExt4(t)
	c.Options = "ro,noexec"
	mustStart(t, c.Unit(Env{}))
	var st unix.Statfs_t
	if err := unix.Statfs(c.Mount, &st); err != nil {
		t.Fatal(err)
	}
	if st.Flags&unix.ST_RDONLY == 0 || st.Flags&unix.ST_NOEXEC == 0 {
		t.Errorf("mounted with flags %x, want read-only and noexec", st.Flags)
	}
}

func TestMountPointOfAnotherDeviceIsRefused(t *testing.T) {
	c := loopExt4(t)
	if err := unix.Mount("somebody", c.Mount, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	err := c.Unit(Env{}).Start(within(t, 5*time.Second))
	if err == nil || !strings.Contains(err.Error(), "is taken by somebody (tmpfs)") {
		t.Fatalf("got %v, want a refusal that names the other file system", err)
	}
}

func TestDeviceMountedElsewhereIsNotStopped(t *testing.T) {
	c := loopExt4(t)
	other := mountPoint(t)
	if err := unix.Mount(c.Device, other, c.Type, 0, ""); err != nil {
		t.Fatal(err)
	}
	u := c.Unit(Env{})
	if state, err := u.State(t.Context()); err == nil || !strings.Contains(err.Error(), other) {
		t.Fatalf("got %v, %v; want an error that names %s", state, err, other)
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
}

func TestMissingMountPointAndLinkAreExplained(t *testing.T) {
	c := tmpfs(t)
	real := c.Mount
	c.Mount = filepath.Join(real, "none")
	if err := c.Unit(Env{}).Start(within(t, 5*time.Second)); err == nil || !strings.Contains(err.Error(), "mkdir -p") {
		t.Errorf("got %v, want what to do", err)
	}
	c.Mount = real + "-link"
	if err := os.Symlink(real, c.Mount); err != nil {
		t.Fatal(err)
	}
	if err := c.Unit(Env{}).Start(within(t, 5*time.Second)); err == nil || !strings.Contains(err.Error(), real) {
		t.Errorf("got %v, want the real path", err)
	}
}

// holder starts a process that keeps the mount busy in one way.
func holder(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
		t.Fatalf("the holder said %q (%v)", line, err)
	}
	return cmd
}

func play(role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	return cmd
}

func shellIn(dir, script string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = dir
	return cmd
}

func TestUsersOfABusyFilesystemAreEnded(t *testing.T) {
	for name, start := range map[string]func(Filesystem) *exec.Cmd{
		"open file":         func(c Filesystem) *exec.Cmd { return play("hold:" + filepath.Join(c.Mount, "data")) },
		"mapped file":       func(c Filesystem) *exec.Cmd { return play("map:" + filepath.Join(c.Mount, "data")) },
		"working directory": func(c Filesystem) *exec.Cmd { return shellIn(c.Mount, "echo holding; exec sleep 1000") },
		"deaf to SIGTERM": func(c Filesystem) *exec.Cmd {
			return shellIn(c.Mount, "trap '' TERM; echo holding; while :; do sleep 1; done")
		},
		"deleted file": func(c Filesystem) *exec.Cmd {
			return shellIn("/", "exec 7>'"+c.Mount+"/gone'; rm '"+c.Mount+"/gone'; echo holding; exec sleep 1000")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := loopExt4(t)
			u := c.Unit(Env{})
			mustStart(t, u)
			cmd := holder(t, start(c))
			if err := u.Stop(within(t, 6*time.Second)); err != nil {
				t.Fatal(err)
			}
			wantState(t, u, Stopped)
			if err := cmd.Wait(); err == nil {
				t.Error("the holder ended by itself, this test proved nothing")
			}
		})
	}
}

func TestProgramOnTheFilesystemIsEnded(t *testing.T) {
	c := loopExt4(t)
	u := c.Unit(Env{})
	mustStart(t, u)
	program := filepath.Join(c.Mount, "sh")
	run(t, "cp", "/bin/sh", program)
	holder(t, exec.Command(program, "-c", "rm '"+program+"'; echo holding; while :; do sleep 1; done"))
	mustStop(t, u)
}

func TestStopNeverKillsItselfAndNamesTheHolder(t *testing.T) {
	c := tmpfs(t)
	u := c.Unit(Env{})
	mustStart(t, u)
	f, err := os.Create(filepath.Join(c.Mount, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = u.Stop(within(t, 1500*time.Millisecond))
	self, _ := readProcess(os.Getpid())
	if err == nil || !strings.Contains(err.Error(), self.String()) {
		t.Fatalf("got %v, want an error that names %v", err, self)
	}
	wantState(t, u, Running) // no lazy unmount hid it
	f.Close()
	mustStop(t, u)
}

func TestKernelUserOfAFilesystemIsToldFromAProcess(t *testing.T) {
	c := loopExt4(t)
	u := c.Unit(Env{})
	mustStart(t, u)
	image := filepath.Join(c.Mount, "swap")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := run(t, "losetup", "-f", "--show", image)
	err := u.Stop(within(t, 1500*time.Millisecond)) // all of it passes
	run(t, "losetup", "-d", dev)
	if err == nil || !strings.Contains(err.Error(), "the kernel does") {
		t.Fatalf("got %v, want the kernel named", err)
	}
	mustStop(t, u)
}

func TestNestedAndStackedMountsGoToo(t *testing.T) {
	c := loopExt4(t)
	u := c.Unit(Env{})
	mustStart(t, u)
	inner := filepath.Join(c.Mount, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{inner, c.Mount} {
		if err := unix.Mount("over", p, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	mustStop(t, u)
	wantState(t, u, Stopped)
}

func TestFilesystemInAnotherMountNamespaceIsNotStopped(t *testing.T) {
	c := loopExt4(t)
	u := c.Unit(Env{})
	mustStart(t, u)
	cmd := exec.Command("unshare", "-m", "/bin/sh", "-c", "echo holding; exec sleep 1000")
	holder(t, cmd)
	err := u.Stop(within(t, time.Second))
	if err == nil || !strings.Contains(err.Error(), "another mount name space") {
		t.Fatalf("got %v, want the other name space named", err)
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	mustStop(t, u)
}

func TestHungUnmountIsLeftBehindAndNotRepeated(t *testing.T) {
	f := tmpfsUnit(t)
	release, entered := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if err := f.call(ctx, func() error { close(entered); <-release; return nil }); err == nil {
		t.Fatal("the call hangs and was reported done")
	}
	if state, err := f.State(t.Context()); err == nil {
		t.Errorf("a call is under way and the state is %v", state)
	}
	if err := f.Stop(within(t, 50*time.Millisecond)); err == nil || !strings.Contains(err.Error(), "hangs in the kernel") {
		t.Errorf("got %v, want the hanging call named", err)
	}
	close(release)
	mustStop(t, f)
}

func tmpfsUnit(t *testing.T) *filesystem { return &filesystem{Filesystem: tmpfs(t)} }

func TestMountArgumentsSplitFlagsFromData(t *testing.T) {
	flags, data := mountArguments("defaults,noatime,ro,rw,nosuid,data=ordered,_netdev,x-systemd.requires=a.mount,errors=panic")
	if flags != unix.MS_NOATIME|unix.MS_NOSUID || data != "data=ordered,errors=panic" {
		t.Errorf("flags %x, data %q", flags, data)
	}
}

func TestMountinfoIsReadWithOptionalFieldsAndEscapes(t *testing.T) {
	m, err := parseMount(`36 35 98:0 /mnt1 /srv/a\040b rw,noatime master:1 shared:2 - ext3 /dev/root\011x rw,errors=continue`)
	want := mount{id: 36, device: "98:0", point: "/srv/a b", fsType: "ext3", source: "/dev/root\tx"}
	if err != nil || m != want {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := parseMount("nonsense"); err == nil {
		t.Error("nonsense was read")
	}
}

func TestFilesystemErrorsNameFieldAndRemedy(t *testing.T) {
	for want, c := range map[string]Filesystem{
		"device:":            {Mount: "/srv", Type: "ext4"},
		"mount: \"srv\"":     {Device: "/dev/x", Mount: "srv", Type: "ext4"},
		"write /srv instead": {Device: "/dev/x", Mount: "/srv/", Type: "ext4"},
		"mount: / holds":     {Device: "/dev/x", Mount: "/", Type: "ext4"},
		"type:":              {Device: "/dev/x", Mount: "/srv"},
		"options:":           {Device: "/dev/x", Mount: "/srv", Type: "ext4", Options: "ro, noatime"},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
