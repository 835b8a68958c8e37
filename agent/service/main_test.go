package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stageVar tells the test binary which part it plays: "init" is the first
// process of name spaces of its own, "tests" its child.
const stageVar = "SERVICE_TEST_STAGE"

// TestMain runs the tests in mount, network and process name spaces that nobody
// else sees, by starting itself again: these tests end processes, and a mistake
// must not reach those of the host. Without root the tests that need that skip.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		playRole(role)
	}
	switch {
	case os.Getenv(stageVar) == "init":
		os.Exit(playInit())
	case os.Getenv(stageVar) == "tests" || os.Geteuid() != 0:
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	cmd := again("init")
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		// A container may forbid name spaces; then it is as without root.
		fmt.Fprintln(os.Stderr, "no name spaces of our own:", err)
		os.Exit(m.Run())
	}
	os.Exit(0)
}

func again(stage string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageVar+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// playInit prepares the name spaces, runs the tests and collects the orphans, as
// the first process of a machine does. Whatever is left ends with it.
func playInit() int {
	cmd := again("tests")
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		exec.Command("ip", "link", "set", "lo", "up").Run(),
		cmd.Start())
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare name spaces:", err)
		return 1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			fmt.Fprintln(os.Stderr, "wait for the tests:", err)
			return 1
		}
		if pid == cmd.Process.Pid && status.Exited() {
			return status.ExitStatus()
		}
		if pid == cmd.Process.Pid && status.Signaled() {
			fmt.Fprintln(os.Stderr, "the tests were ended by", status.Signal())
			return 1
		}
	}
}

// needRoot skips a test that needs name spaces of its own; in CI that is a
// failure.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv(stageVar) == "tests" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root for mount and network name spaces, and CI must have it")
	}
	t.Skip("needs root for mount and network name spaces")
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok, for at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never came true: %s", what)
}

func wantState(t *testing.T, u Unit, want State) {
	t.Helper()
	got, err := u.State(t.Context())
	if err != nil || got != want {
		t.Fatalf("%s is %v (%v), want %v", u.Name(), got, err, want)
	}
}

// roleVar makes the test binary play a program instead of testing.
const roleVar = "SERVICE_TEST_ROLE"

// playRole is the whole life of a helper process; it never returns.
func playRole(role string) {
	if strings.HasPrefix(role, "hold:") {
		f, err := os.OpenFile(strings.TrimPrefix(role, "hold:"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("holding")
		time.Sleep(time.Hour)
		f.Close()
	}
	if strings.HasPrefix(role, "map:") {
		if err := holdMapping(strings.TrimPrefix(role, "map:")); err != nil {
			fmt.Println(err)
		}
	}
	if strings.HasPrefix(role, "agent:") {
		playAgent(strings.TrimPrefix(role, "agent:"))
	}
	os.Exit(0)
}

// holdMapping keeps a deleted file mapped without having it open.
func holdMapping(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(4096); err != nil {
		return err
	}
	if _, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		return err
	}
	fmt.Println("holding")
	time.Sleep(time.Hour)
	return nil
}
