package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// priority is in the middle of the real-time priorities: above everything that a
// service may ask for, below what a kernel may need.
const priority = 50

// Harden makes this process run before others and independently of the disks:
// real-time priority, and every page of it in memory. What cannot be had is an
// error to be told; the guard goes on without.
func Harden() error {
	return errors.Join(realTime(), stayInMemory(), protect())
}

// realTime gives every thread that there is a real-time priority; later ones
// inherit it (sched(7)).
func realTime() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("take real-time priority: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := schedule(tid, unix.SCHED_FIFO, priority); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("take real-time priority: %w", err)
		}
	}
	return nil
}

// Ordinary gives the priority back, for a process that the guard has started.
func Ordinary() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("give real-time priority back: %w", err)
	}
	var errs []error
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			errs = append(errs, schedule(tid, unix.SCHED_NORMAL, 0))
		}
	}
	return errors.Join(errs...)
}

func schedule(tid int, policy uint32, prio uint32) error {
	return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: prio}, 0)
}

// stayInMemory keeps every page that was touched, now and later, and touches
// the program's own: at the time of need the disk may not answer.
func stayInMemory() error {
	const onFault = 4 // MCL_ONFAULT, linux/mman.h: not the whole of Go's reserved space
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | onFault); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return touch()
}

// touch reads a byte of every page of this program's file.
func touch() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("read own program into memory: %w", err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("read own program into memory: %w", err)
	}
	for l := range strings.Lines(string(maps)) {
		f := strings.Fields(l)
		if len(f) < 6 || f[5] != exe || f[1][0] != 'r' {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil {
			populate(uintptr(begin), uintptr(end))
		}
	}
	return nil
}

// populate has the kernel read pages in (madvise(2), MADV_POPULATE_READ; Linux
// 5.14). An older kernel reads them when they are used.
func populate(begin, end uintptr) {
	const populateRead = 22
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, populateRead)
}

// protect keeps the kernel from ending the guard when memory is short.
func protect() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		return fmt.Errorf("keep from being killed for want of memory: %w", err)
	}
	return nil
}
