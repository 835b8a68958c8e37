package watchdog

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Resetter stops this machine in the state it is in.
type Resetter interface {
	// Reset restarts the machine at once: nothing is flushed, unmounted or
	// told. It returns only if every way has failed; the caller then stops
	// feeding the watchdog and does nothing else.
	Reset() error
}

// sysrqTrigger takes commands from root whatever kernel.sysrq says, which
// governs the keyboard alone (Documentation/admin-guide/sysrq.rst). That
// setting is therefore left as the operator has it.
const sysrqTrigger = "/proc/sysrq-trigger"

// Sysrq is the Resetter of a real machine.
type Sysrq struct {
	trigger int
	write   func(fd int, p []byte) (int, error)
	restart func(cmd int) error
	command []byte
}

// OpenSysrq opens the kernel's trigger and keeps it: at the time of need there
// may be no descriptor or memory to be had.
func OpenSysrq() (*Sysrq, error) {
	fd, err := unix.Open(sysrqTrigger, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, noTrigger(err)
	}
	return &Sysrq{trigger: fd, write: unix.Write, restart: unix.Reboot, command: []byte{'b'}}, nil
}

// CanReset says what keeps OpenSysrq from its trigger, and opens nothing.
func CanReset() error {
	if err := unix.Access(sysrqTrigger, unix.W_OK); err != nil {
		return noTrigger(err)
	}
	return nil
}

func noTrigger(err error) error {
	return fmt.Errorf("open %s: %w: the agent must run as root on a kernel with CONFIG_MAGIC_SYSRQ", sysrqTrigger, err)
}

// Reset writes b to the trigger (reboot without syncing or unmounting); behind
// it stands reboot(2), which does not sync either.
func (s *Sysrq) Reset() error {
	_, err := s.write(s.trigger, s.command)
	if err == nil {
		err = errors.New("the kernel took the command and the machine still runs")
	}
	again := s.restart(unix.LINUX_REBOOT_CMD_RESTART)
	if again == nil {
		again = errors.New("the machine still runs")
	}
	return errors.Join(
		fmt.Errorf("reset by %s: %w", sysrqTrigger, err),
		fmt.Errorf("reset by reboot(2): %w", again))
}
