package watchdog

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDisarmStopsAndAllowsANewOpen(t *testing.T) {
	b := newBench(t)
	k := b.mustOpen(t)
	if err := k.Disarm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !b.disarmed {
		t.Error("closed without the magic: the machine would reset")
	}
	b.mustOpen(t)
}

func TestDisarmThatDoesNotStopIsAnError(t *testing.T) {
	b := newBench(t)
	b.sysfsFile(t, "nowayout", "1")
	k := b.mustOpen(t)
	if !k.Identity().Nowayout {
		t.Error("nowayout went unnoticed")
	}
	b.sysfsFile(t, "state", "active")
	if err := k.Disarm(t.Context()); err == nil {
		t.Fatal("the watchdog still counts and Disarm was content")
	}
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
}

func TestWatchdogThatCannotBeStoppedIsKeptAndSaysSo(t *testing.T) {
	b := newBench(t) // no sysfs: only the driver can tell
	b.refuses = unix.EBUSY
	k := b.mustOpen(t)
	err := k.Disarm(t.Context())
	var counts *CountingError
	if !errors.As(err, &counts) || !errors.Is(err, unix.EBUSY) {
		t.Fatalf("got %v, want the refusal", err)
	}
	for _, want := range []string{"reset within 5s", "started again", "nowayout=0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if b.closed {
		t.Error("the descriptor was closed: nobody can take the watchdog over any more")
	}
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost: the countdown goes on", err)
	}
	if _, err := b.adopt(b.driver, b.cfg); err != nil {
		t.Errorf("an agent that is started again cannot go on: %v", err)
	}
}

func TestWatchdogThatCannotBeStoppedGoesBackToTheServiceManager(t *testing.T) {
	b := newBench(t)
	b.refuses = unix.EBUSY
	k := b.mustOpen(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.number = int(f.Fd())
	conn := listenAsManager(t)
	got := make(chan []string, 1)
	go func() { got <- readStates(conn, 4) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.Disarm(ctx); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("got %v, want the refusal alone", err)
	}
	said := <-got
	for i, want := range []string{"FDSTOREREMOVE=1", "BARRIER=1", "FDSTORE=1\nFDNAME=watchdog", "BARRIER=1"} {
		if i >= len(said) || !strings.HasPrefix(said[i], want) {
			t.Fatalf("the manager read %q; number %d should be %q", said, i, want)
		}
	}
}

func TestDriverThatCannotBeAskedIsStoppedByItsClose(t *testing.T) {
	b := newBench(t)
	b.refuses = unix.ENOTTY
	b.sysfsFile(t, "state", "inactive")
	if err := b.mustOpen(t).Disarm(t.Context()); err != nil || !b.disarmed {
		t.Fatalf("got %v, disarmed %v", err, b.disarmed)
	}
	b.mustOpen(t)
}

func TestCloseThatNobodyConfirmsIsNotBelieved(t *testing.T) {
	b := newBench(t)
	b.refuses = unix.ENOTTY
	var counts *CountingError
	if err := b.mustOpen(t).Disarm(t.Context()); !errors.As(err, &counts) || !strings.Contains(err.Error(), "nothing can keep it") {
		t.Fatalf("got %v, want doubt", err)
	}
	if _, err := b.openOnce(b.cfg); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
}
