// Package store answers "what did this agent write down before it was restarted,
// and is it whole and its own?" It keeps opaque bytes in two kinds of file: the
// durable one, which outlives a power cut, and the boot one, which counts only
// within the boot that wrote it. It also counts the agent's starts.
//
// What the bytes mean is the agent's business, and so is what follows from their
// loss: a missing, a damaged and a foreign file are told apart, and none of them
// is ever taken for an empty one.
package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Where the two daemons' packages put the files.
const (
	DefaultDir    = "/var/lib/sbarbiter"
	DefaultRunDir = "/run/sbarbiter"
)

const (
	durableName     = "agent.state"
	bootName        = "lease.state"
	incarnationName = "agent.incarnation"
	measuredName    = "agent.measured"
	lockName        = "agent.lock"
)

// Identity says whose memory a file is.
type Identity struct {
	Cluster string
	Node    string
}

// String is the identity for humans.
func (id Identity) String() string { return fmt.Sprintf("node %s of cluster %s", id.Node, id.Cluster) }

// LockedError says that another agent uses the directory.
type LockedError struct {
	Dir string
	PID int // 0: it left no number
}

// Error names the process.
func (e *LockedError) Error() string {
	who := "another agent"
	if e.PID > 0 {
		who = fmt.Sprintf("another agent, process %d,", e.PID)
	}
	return fmt.Sprintf("state directory %s: %s uses it: two agents cannot share one; stop that one, or give this one a directory of its own", e.Dir, who)
}

// Store is a state directory, locked for this process until Close or its death.
type Store struct {
	dir  string
	id   Identity
	lock *os.File
}

// Open locks dir, which is made when it does not exist. The error is a
// [*LockedError] when another process has it.
func Open(dir string, id Identity) (*Store, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	// What an earlier process renamed or made, and did not live to make durable,
	// must not be built upon and then vanish.
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := syncDir(d); err != nil {
			return nil, fmt.Errorf("open state directory: %w", err)
		}
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, id: id, lock: lock}, nil
}

// Glance returns what the file that outlives a power cut holds, without the lock: an
// agent may be saving it at this moment, and is not disturbed.
func Glance(dir string, id Identity) ([]byte, error) {
	return (&Store{dir: dir, id: id}).Durable().Load()
}

// Close gives the directory back.
func (s *Store) Close() error {
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("unlock state directory %s: %w", s.dir, err)
	}
	return nil
}

// Durable is the file that outlives a power cut.
func (s *Store) Durable() *File {
	return &File{path: filepath.Join(s.dir, durableName), kind: "agent", id: s.id, sync: true}
}

// Measured is the file of what was measured. Its loss costs nothing but knowledge.
func (s *Store) Measured() *File {
	return &File{path: filepath.Join(s.dir, measuredName), kind: "measured", id: s.id, sync: true}
}

// Boot is the file in runDir that counts only while boot, the machine's boot id,
// is the one that it was written under: that of an earlier boot is missing, as
// far as Load is concerned. runDir is made when it does not exist; it should be
// in memory, since nothing is fsynced there.
func (s *Store) Boot(runDir, boot string) (*File, error) {
	if boot == "" || len(boot) > maxField {
		return nil, fmt.Errorf("open lease file: boot id %q: want 1 to %d bytes", boot, maxField)
	}
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, fmt.Errorf("make runtime directory: %w", err)
	}
	return &File{path: filepath.Join(runDir, bootName), kind: "lease", id: s.id, boot: boot}, nil
}

// NextIncarnation counts one more start of this agent and returns its number,
// which is on disk by then. The first is 1. It fails, rather than begin anew,
// where the counter is lost and the durable file is not.
func (s *Store) NextIncarnation() (uint64, error) {
	f := s.counter()
	last, err := s.lastIncarnation(f)
	if err != nil {
		return 0, fmt.Errorf("count this start: %w", err)
	}
	if err := f.Save([]byte(strconv.FormatUint(last+1, 10))); err != nil {
		return 0, fmt.Errorf("count this start: %w", err)
	}
	return last + 1, nil
}

// RaiseIncarnation stores that this start counts as number n, because a witness
// remembers later ones than this store does. A lower number changes nothing:
// the counter never goes back.
func (s *Store) RaiseIncarnation(n uint64) error {
	f := s.counter()
	last, err := s.lastIncarnation(f)
	if err != nil {
		return fmt.Errorf("raise incarnation to %d: %w", n, err)
	}
	if n <= last {
		return nil
	}
	if n == math.MaxUint64 {
		return fmt.Errorf("raise incarnation to %d: no start could follow it", n)
	}
	if err := f.Save([]byte(strconv.FormatUint(n, 10))); err != nil {
		return fmt.Errorf("raise incarnation to %d: %w", n, err)
	}
	return nil
}

func (s *Store) counter() *File {
	return &File{path: filepath.Join(s.dir, incarnationName), kind: "incarnation", id: s.id, sync: true}
}

func (s *Store) lastIncarnation(f *File) (uint64, error) {
	b, err := f.Load()
	if errors.Is(err, ErrMissing) {
		state := s.Durable().path
		if _, statErr := os.Lstat(state); !errors.Is(statErr, os.ErrNotExist) {
			return 0, fmt.Errorf("%w, but %s is there: restore the counter, or move the other away too, so that the agent knows that it has forgotten", err, state)
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil || n == math.MaxUint64 {
		return 0, f.corrupt(fmt.Sprintf("%q is no counter", b))
	}
	return n, nil
}

// BootID is the kernel's name for this run of the machine (random(4)).
func BootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if id == "" {
		return "", fmt.Errorf("read boot id: %s is empty", path)
	}
	return id, nil
}

// takeLock uses flock(2), which the kernel gives back whatever way a process
// ends. The number inside is for humans.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer func() { _ = f.Close() }() // it was only read
		return nil, &LockedError{Dir: dir, PID: readPID(f)}
	}
	if err != nil {
		_ = f.Close() // the first error is the one to tell
		return nil, fmt.Errorf("lock state directory %s: %w", dir, err)
	}
	// A full disk may refuse this; the lock holds without it.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func readPID(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // a short file ends with io.EOF
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

func (id Identity) check() error {
	for what, v := range map[string]string{"cluster": id.Cluster, "node": id.Node} {
		if v == "" || len(v) > maxField {
			return fmt.Errorf("open state: %s name %q: want 1 to %d bytes", what, v, maxField)
		}
	}
	return nil
}
