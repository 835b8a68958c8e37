package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const childMark = "SBARBITER_TEST_CHILD"

// child is the calling test again, as a process of its own.
func child(t *testing.T, dir string, flags uintptr) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childMark+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func TestKilledAgentLeavesWholeStateAndNoLock(t *testing.T) {
	if dir := os.Getenv(childMark); dir != "" {
		saveForEver(t, open(t, dir, nodeA).Durable())
	}
	dir := t.TempDir()
	for round := range 8 {
		cmd := child(t, dir, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, acked := bufio.NewScanner(out), -1
		for lines.Scan() {
			n, found := strings.CutPrefix(lines.Text(), "saved ")
			if !found {
				continue
			}
			if acked, err = strconv.Atoi(n); err != nil {
				t.Fatal(err)
			}
			if acked == 20+7*round {
				_ = cmd.Process.Kill() // it may run on for a few saves
			}
		}
		_ = cmd.Wait() // killed
		if acked < 20 {
			t.Fatalf("the agent ended by itself after %d", acked)
		}
		s := open(t, dir, nodeA)
		b, err := s.Durable().Load()
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := bytes.Cut(b, []byte(" "))
		if got, err := strconv.Atoi(string(number)); err != nil || got < acked {
			t.Fatalf("acknowledged %d, loaded %q", acked, number)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func saveForEver(t *testing.T, f *File) {
	t.Helper()
	for n := 0; ; n++ {
		save(t, f, strconv.Itoa(n)+" "+strings.Repeat("x", 40000))
		fmt.Printf("saved %d\n", n)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func TestFullDiskKeepsTheOldState(t *testing.T) {
	if dir := os.Getenv(childMark); dir != "" {
		fillDisk(t, dir)
		return
	}
	needRoot(t)
	out, err := child(t, t.TempDir(), unix.CLONE_NEWNS).CombinedOutput()
	if err != nil {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
}

// fillDisk has a mount namespace of its own, and puts a tiny disk at dir.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, nodeA)
	f := s.Durable()
	if _, err := s.NextIncarnation(); err != nil {
		t.Fatal(err)
	}
	save(t, f, "epoch 41")
	big := bytes.Repeat([]byte("x"), 65536)
	if err := os.WriteFile(filepath.Join(dir, "log"), big, 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for _, body := range [][]byte{[]byte("epoch 42"), big} {
		if err := f.Save(body); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), f.Path()) {
			t.Fatalf("saved on a full disk: %v", err)
		}
		mustLoad(t, f, "epoch 41")
	}
	if n, err := s.NextIncarnation(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("counted on a full disk: %d, %v", n, err)
	}
	if err := os.Remove(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	save(t, f, "epoch 42")
	mustLoad(t, f, "epoch 42")
	if n, err := s.NextIncarnation(); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestDirectoryWithoutPermissionIsNamed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state"), nodeA)
	save(t, s.Durable(), "epoch 41")
	if err := os.Chmod(s.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread without rights ends here
		var none [2]unix.CapUserData
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
			return
		}
		err := s.Durable().Save([]byte("epoch 42"))
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), s.dir) {
			t.Errorf("saved without permission: %v", err)
		}
		if b, err := s.Durable().Load(); err != nil || string(b) != "epoch 41" {
			t.Errorf("%q, %v", b, err)
		}
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Error(err)
		}
		if _, err := Open(filepath.Join(dir, "other"), nodeA); !errors.Is(err, os.ErrPermission) {
			t.Errorf("opened without permission: %v", err)
		}
	}()
	<-done
	for _, d := range []string{dir, s.dir} { // so that it can be removed
		if err := os.Chmod(d, 0o700); err != nil {
			t.Error(err)
		}
	}
}
