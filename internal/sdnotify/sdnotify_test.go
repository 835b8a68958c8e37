package sdnotify

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is a service manager's end of the notification socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) (string, []int) {
	t.Helper()
	buf, oob := make([]byte, 4096), make([]byte, 128)
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, on, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if on == 0 {
		return string(buf[:n]), nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), fds
}

func TestStoredDescriptorReachesTheManager(t *testing.T) {
	conn := manager(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "device"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Store("watchdog", int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	state, fds := receive(t, conn)
	if want := "FDSTORE=1\nFDNAME=watchdog\nFDPOLL=0"; state != want {
		t.Errorf("the manager read %q, want %q", state, want)
	}
	if len(fds) != 1 {
		t.Fatalf("the manager got %d descriptors, want 1", len(fds))
	}
	defer unix.Close(fds[0])
	if _, err := unix.Write(fds[0], []byte("seen")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(f.Name()); string(got) != "seen" {
		t.Errorf("the manager holds another file: ours reads %q", got)
	}
}

func TestBarrierWaitsUntilTheManagerLetsGo(t *testing.T) {
	conn := manager(t)
	done := make(chan error, 1)
	go func() { done <- Barrier(t.Context()) }()
	state, fds := receive(t, conn)
	if state != "BARRIER=1" || len(fds) != 1 {
		t.Fatalf("the manager got %q with %d descriptors", state, len(fds))
	}
	select {
	case err := <-done:
		t.Fatalf("the barrier fell (%v) while the manager held the pipe", err)
	default:
	}
	unix.Close(fds[0])
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestBarrierGivesUpAtItsDeadline(t *testing.T) {
	manager(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a silent manager gave %v, want the deadline", err)
	}
}

func TestWithoutManagerNobodyIsNotified(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); !errors.Is(err, ErrNoManager) {
		t.Fatalf("got %v, want ErrNoManager", err)
	}
}

func TestStoredPicksItsOwnNameAndHidesItFromChildren(t *testing.T) {
	if os.Getenv("SDNOTIFY_CHILD") == "1" {
		t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		fds, err := Stored("watchdog")
		if err != nil || len(fds) != 1 || fds[0] != 4 {
			t.Fatalf("got %v, %v; want descriptor 4", fds, err)
		}
		flags, err := unix.FcntlInt(4, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Fatalf("descriptor 4 would be inherited (flags %x, %v)", flags, err)
		}
		return
	}
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SDNOTIFY_CHILD=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=other:watchdog")
	cmd.ExtraFiles = []*os.File{file("other"), file("watchdog")}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestAnotherProcessesDescriptorsAreNotOurs(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "watchdog")
	if fds, err := Stored("watchdog"); err != nil || len(fds) != 0 {
		t.Fatalf("got %v, %v; want nothing", fds, err)
	}
}
