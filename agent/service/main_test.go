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

// insideVar tells the test binary that it runs in name spaces of its own.
const insideVar = "SERVICE_TEST_INSIDE"

// TestMain runs the tests in a mount and a network name space that nobody else
// sees, by starting itself again. Without root the tests that need them skip.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		playRole(role)
	}
	if os.Geteuid() != 0 || os.Getenv(insideVar) != "" {
		if os.Getenv(insideVar) != "" {
			if err := settleIn(); err != nil {
				fmt.Fprintln(os.Stderr, "prepare name spaces:", err)
				os.Exit(1)
			}
		}
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
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

func settleIn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

// needRoot skips a test that needs name spaces of its own; in CI that is a
// failure.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv(insideVar) != "" {
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
	if strings.HasPrefix(role, "agent:") {
		playAgent(strings.TrimPrefix(role, "agent:"))
	}
	os.Exit(0)
}
