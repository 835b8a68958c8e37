package watchdog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// safeSysrq writes to a plain file and restarts nothing.
func safeSysrq(t *testing.T) (*Sysrq, *os.File, *[]int) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "trigger"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var commands []int
	return &Sysrq{
		trigger: int(f.Fd()),
		write:   unix.Write,
		restart: func(cmd int) error { commands = append(commands, cmd); return unix.EPERM },
		command: []byte{'b'},
	}, f, &commands
}

func TestResetWritesTheCommandAndThenTriesReboot(t *testing.T) {
	s, f, commands := safeSysrq(t)
	err := s.Reset()
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("the machine still runs and Reset said %v", err)
	}
	if b, _ := os.ReadFile(f.Name()); string(b) != "b" {
		t.Errorf("the trigger got %q, want b", b)
	}
	if !slices.Equal(*commands, []int{unix.LINUX_REBOOT_CMD_RESTART}) {
		t.Errorf("reboot(2) got %v", *commands)
	}
}

func TestResetFallsBackWhenTheTriggerIsDead(t *testing.T) {
	s, _, commands := safeSysrq(t)
	s.write = func(int, []byte) (int, error) { return 0, unix.EIO }
	if err := s.Reset(); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v, want the trigger's error in it", err)
	}
	if len(*commands) != 1 {
		t.Error("no fallback to reboot(2)")
	}
}

func TestWhatKeepsTheTriggerShutIsKnownBefore(t *testing.T) {
	s, opened := OpenSysrq()
	if opened == nil {
		defer unix.Close(s.trigger)
	}
	if said := CanReset(); (said == nil) != (opened == nil) {
		t.Errorf("it was said %v, and then %v", said, opened)
	}
}
