package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one row of /proc (proc_pid_stat(5)). Its start time, in ticks
// since boot, tells it from a later process with the same number.
type process struct {
	pid     int
	name    string
	state   byte // 'Z' zombie, 'X' dead
	parent  int
	group   int
	session int
	flags   uint64
	started uint64
}

// kthread marks kernel threads in the flags (PF_KTHREAD in linux/sched.h).
const kthread = 0x00200000

func (p process) gone() bool   { return p.state == 'Z' || p.state == 'X' }
func (p process) kernel() bool { return p.flags&kthread != 0 }

// String names the process for an error message.
func (p process) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

// errNoProcess says that no process has that number.
var errNoProcess = errors.New("no such process")

func readProcess(pid int) (process, error) {
	raw, err := os.ReadFile(procPath(pid, "stat"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return process{}, errNoProcess
	}
	if err != nil {
		return process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return parseStat(pid, raw)
}

func parseStat(pid int, raw []byte) (process, error) {
	// The name may itself contain blanks and parentheses.
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("read process %d: no name in %q", pid, raw)
	}
	f := strings.Fields(string(raw[end+1:]))
	if len(f) < 20 {
		return process{}, fmt.Errorf("read process %d: only %d fields", pid, len(f))
	}
	p := process{pid: pid, name: string(raw[open+1 : end]), state: f[0][0]}
	for field, dst := range map[int]*int{1: &p.parent, 2: &p.group, 3: &p.session} {
		n, err := strconv.Atoi(f[field])
		if err != nil {
			return process{}, fmt.Errorf("read process %d: %w", pid, err)
		}
		*dst = n
	}
	for field, dst := range map[int]*uint64{6: &p.flags, 19: &p.started} {
		n, err := strconv.ParseUint(f[field], 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("read process %d: %w", pid, err)
		}
		*dst = n
	}
	return p, nil
}

// allPIDs lists the numbers of what runs now.
func allPIDs() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all, nil
}

// allProcesses lists what runs now; what ends meanwhile is left out.
func allProcesses() ([]process, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var all []process
	for _, pid := range pids {
		p, err := readProcess(pid)
		if errors.Is(err, errNoProcess) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// signalProcess signals exactly this process, never a later one that has been
// given its number. One that is gone already is no error. Whatever the caller
// believes, it spares the first process, this one and the kernel's threads.
func signalProcess(p process, sig unix.Signal) error {
	if p.pid <= 1 || p.pid == os.Getpid() || p.kernel() {
		return fmt.Errorf("signal %s: it is not ours to end", p)
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", p, err)
	}
	defer unix.Close(fd)
	now, err := readProcess(p.pid)
	if errors.Is(err, errNoProcess) || err == nil && now.started != p.started {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	return nil
}

func procPath(pid int, parts ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, parts...)...)
}
