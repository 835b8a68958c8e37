package raftlog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"sbarbiter/arbiter/engine"
	"sbarbiter/arbiter/enginetest"
)

// ailing is a bolt file whose writes fail on demand.
type ailing struct {
	Store
	logs, terms atomic.Pointer[error]
	keeps       bool // stores the entries all the same
}

func (a *ailing) StoreLogs(l []*raft.Log) error {
	err := a.logs.Load()
	if err == nil || a.keeps {
		if stored := a.Store.StoreLogs(l); err == nil {
			return stored
		}
	}
	return *err
}

func (a *ailing) SetUint64(key []byte, value uint64) error {
	if err := a.terms.Load(); err != nil {
		return *err
	}
	return a.Store.SetUint64(key, value)
}

func leadOnAiling(t *testing.T) (*enginetest.Running, *ailing, *enginetest.Journal) {
	t.Helper()
	journal := &enginetest.Journal{}
	e := mustOpen(t, Config{Dir: mustInit(t, "w1"), Name: "w1", Election: leastElection}, journal)
	bad := &ailing{Store: e.disk.Store}
	e.disk.Store = bad
	return enginetest.Lead(t, e), bad, journal
}

func fails(p *atomic.Pointer[error], err error) { p.Store(&err) }

func applyFails(t *testing.T, e enginetest.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, _, err := e.Apply(ctx, []byte("lost")); err == nil {
		t.Fatalf("a command that could not be stored was answered with %q", out)
	}
}

func TestADiskErrorOtherThanFullEndsTheEngine(t *testing.T) {
	for name, hurt := range map[string]func(a *ailing){
		"log":  func(a *ailing) { fails(&a.logs, syscall.EIO) },
		"term": func(a *ailing) { fails(&a.terms, syscall.EIO); fails(&a.logs, syscall.ENOSPC) },
		"an entry that was refused and stayed": func(a *ailing) {
			a.keeps = true
			fails(&a.logs, syscall.ENOSPC)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, bad, journal := leadOnAiling(t)
			e.MustApply("good")
			hurt(bad)
			applyFails(t, e)
			err := e.Ended()
			if err == nil || !strings.Contains(err.Error(), "cannot be trusted") {
				t.Fatalf("Run returned %v", err)
			}
			if got := journal.Entries(); len(got) != 1 {
				t.Fatalf("%v was applied", got)
			}
		})
	}
}

func TestAFullDiskIsWaitedOutAlsoForTheTerm(t *testing.T) {
	e, bad, _ := leadOnAiling(t)
	e.MustApply("good")
	fails(&bad.logs, syscall.ENOSPC)
	fails(&bad.terms, syscall.EDQUOT)
	applyFails(t, e)
	if err := e.VerifyLeader(context.Background()); err == nil {
		t.Fatal("it leads with a full disk")
	}
	bad.logs.Store(nil)
	bad.terms.Store(nil)
	e.AwaitLead()
	e.MustApply("more")
}

func TestAnEngineOnAFullDiskCanBeStopped(t *testing.T) {
	e, bad, _ := leadOnAiling(t)
	fails(&bad.logs, syscall.ENOSPC)
	fails(&bad.terms, syscall.ENOSPC)
	applyFails(t, e)
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
}

// tinyDisk names the directory that the test's own process, in a mount
// namespace of its own, lays a tiny file system over.
const tinyDisk = "RAFTLOG_TEST_TINY_DISK"

func TestARealFullDisk(t *testing.T) {
	if dir := os.Getenv(tinyDisk); dir != "" {
		onTinyDisk(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tiny file system")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestARealFullDisk$", "-test.v", "-test.timeout=2m") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), tinyDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("may not make a mount namespace here")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func onTinyDisk(t *testing.T, dir string) {
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("tiny", dir, "tmpfs", 0, "size=512k"))
	must(t, Init(filepath.Join(dir, "state"), "w1"))

	conf := Config{Dir: filepath.Join(dir, "state"), Name: "w1", Election: leastElection}
	journal := &enginetest.Journal{}
	e := enginetest.Lead(t, mustOpen(t, conf, journal))
	acknowledged := 0
	for acknowledged < 10_000 {
		_, _, err := e.Apply(context.Background(), make([]byte, 4000))
		if err != nil {
			t.Logf("full after %d commands: %v", acknowledged, err)
			if !errors.Is(err, engine.ErrUnknown) {
				t.Fatalf("the outcome of a command that met a full disk is %v", err)
			}
			break
		}
		acknowledged++
	}
	if got := len(journal.Entries()); got != acknowledged {
		t.Fatalf("%d commands were acknowledged and %d applied", acknowledged, got)
	}

	// An operator makes room.
	must(t, unix.Mount("tiny", dir, "tmpfs", unix.MS_REMOUNT, "size=2m"))
	e.AwaitLead()
	e.MustApply("after")
	must(t, e.Stop())

	var replayed enginetest.Journal
	enginetest.Lead(t, mustOpen(t, conf, &replayed))
	if got := len(replayed.Entries()); got != acknowledged+1 {
		t.Fatalf("%d commands were acknowledged, %d are stored", acknowledged+1, got)
	}
}
