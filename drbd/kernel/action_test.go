package kernel

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbarbiter/drbd"
)

func TestPromoteActsOnceAndReadsBack(t *testing.T) {
	f := newFakeTools(t)
	f.on("primary", `if [ "$2" = 0 ]; then `+f.to("Primary", "Secondary", "UpToDate", "Connected")+`; else `+
		f.to("Primary", "Primary", "UpToDate", "Connected")+`; fi`)
	for range 2 {
		if err := f.driver.Promote(t.Context(), "r0"); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.calls(); got != "drbdsetup primary 0; drbdsetup primary 1" {
		t.Errorf("ran %q", got)
	}
}

// What stands in for a lost copy may be recorded as outdated. It is forced only where
// nobody can come between, and never half of a resync.
func TestAnOutdatedCopyIsPromotedByForceWhileItIsAlone(t *testing.T) {
	f := newFakeTools(t)
	f.on("primary", f.to("Primary", "Primary", "UpToDate", "StandAlone"))
	f.state("Secondary", "Secondary", "Outdated", "StandAlone")
	if err := f.driver.PromoteOutdated(t.Context(), "r0"); err != nil {
		t.Fatal(err)
	}
	if got := f.calls(); got != "drbdsetup primary 0 --force; drbdsetup primary 1 --force" {
		t.Errorf("ran %q", got)
	}
	for disk, want := range map[string]error{"Outdated": ErrConnected, "Inconsistent": ErrNeedUpToDate} {
		f := newFakeTools(t)
		f.state("Secondary", "Secondary", disk, "Connected")
		if err := f.driver.PromoteOutdated(t.Context(), "r0"); !errors.Is(err, want) || f.calls() != "" {
			t.Errorf("%s: got %v, ran %q", disk, err, f.calls())
		}
	}
	f = newFakeTools(t)
	f.state("Secondary", "Secondary", "Consistent", "StandAlone")
	f.on("primary", f.to("Primary", "Primary", "UpToDate", "StandAlone"))
	if err := f.driver.PromoteOutdated(t.Context(), "r0"); err != nil || strings.Contains(f.calls(), "force") {
		t.Errorf("a good one: got %v, ran %q", err, f.calls())
	}
}

func TestHalfAPromotionIsTakenBack(t *testing.T) {
	f := newFakeTools(t)
	f.on("primary", `if [ "$2" = 1 ]; then echo "1: State change failed: (-2) x" >&2; exit 17; fi; `+
		f.to("Primary", "Secondary", "UpToDate", "Connected"))
	f.on("secondary", f.to("Secondary", "Secondary", "UpToDate", "Connected"))
	err := f.driver.Promote(t.Context(), "r0")
	if !errors.Is(err, ErrNeedUpToDate) || errors.Is(err, ErrPartlyPromoted) {
		t.Errorf("got %v", err)
	}
	if got := f.calls(); got != "drbdsetup primary 0; drbdsetup primary 1; drbdsetup secondary 0" {
		t.Errorf("ran %q", got)
	}
	f.on("secondary", `echo "0: State change failed: (-12) x" >&2; exit 11`)
	f.state("Secondary", "Secondary", "UpToDate", "Connected")
	err = f.driver.Promote(t.Context(), "r0")
	if !errors.Is(err, ErrPartlyPromoted) || !errors.Is(err, ErrHeldOpen) || !errors.Is(err, ErrNeedUpToDate) {
		t.Errorf("got %v", err)
	}
}

// The peer may come back, and begin to overwrite this copy, while the promotion
// waits for the fence-peer handler, or the disk may fail while the peer is asked. The
// kernel then promotes this node on its peer's data.
func TestACopyThatIsNoneAnyMoreWhenItIsPromotedIsDemotedAgain(t *testing.T) {
	for _, disk := range []string{"Inconsistent", "Diskless"} {
		f := newFakeTools(t)
		f.on("primary", f.to("Primary", "Primary", disk, "Connected"))
		f.on("secondary", f.to("Secondary", "Secondary", disk, "Connected"))
		if err := f.driver.Promote(t.Context(), "r0"); !errors.Is(err, ErrNeedUpToDate) || errors.Is(err, ErrPartlyPromoted) {
			t.Errorf("%s: got %v", disk, err)
		}
		if got := f.calls(); !strings.HasSuffix(got, "drbdsetup secondary 0; drbdsetup secondary 1") {
			t.Errorf("%s: ran %q", disk, got)
		}
	}
}

func TestRefusalsAreTyped(t *testing.T) {
	for _, tc := range []struct {
		exit int
		rv   string
		want error
	}{
		{11, "-1", ErrPeerPrimary},
		{11, "-20", ErrPeerPrimary},
		{17, "-2", ErrNeedUpToDate},
		{11, "-7", ErrPeerNotOutdated},
		{11, "-10", ErrPeerRefused},
		{11, "-12", ErrHeldOpen},
		{11, "-18", ErrTransient},
		{11, "-99", ErrRefused},
	} {
		f := newFakeTools(t)
		f.on("primary", `echo "0: State change failed: (`+tc.rv+`) words" >&2; exit `+strconv.Itoa(tc.exit))
		err := f.driver.Promote(t.Context(), "r0")
		if !errors.Is(err, tc.want) || !errors.Is(err, ErrRefused) || errors.Is(err, ErrTimeout) {
			t.Errorf("rv %s: got %v", tc.rv, err)
		}
	}
}

func TestSuccessThatDoesNotShowIsNoSuccess(t *testing.T) {
	f := newFakeTools(t)
	err := f.driver.Promote(t.Context(), "r0")
	if !errors.Is(err, ErrNotDone) || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestDemoteAsksTheKernelEvenOfASecondary(t *testing.T) {
	f := newFakeTools(t)
	if err := f.driver.Demote(t.Context(), "r0"); err != nil {
		t.Fatal(err)
	}
	if got := f.calls(); got != "drbdsetup secondary 0; drbdsetup secondary 1" {
		t.Errorf("ran %q", got)
	}
	f.state("Primary", "Primary", "UpToDate", "Connected")
	f.on("secondary", `echo "1: State change failed: (-12) Device is held open by someone" >&2; exit 11`)
	if err := f.driver.Demote(t.Context(), "r0"); !errors.Is(err, ErrHeldOpen) {
		t.Errorf("got %v", err)
	}
}

func TestOutdateCountsOnlyWhenReadBack(t *testing.T) {
	f := newFakeTools(t)
	if err := f.driver.Outdate(t.Context(), "r0"); !errors.Is(err, ErrConnected) {
		t.Errorf("exit 0 while connected: got %v", err)
	}
	f.state("Secondary", "Secondary", "UpToDate", "Connecting")
	f.on("outdate", f.to("Secondary", "Secondary", "Outdated", "Connecting"))
	if err := f.driver.Outdate(t.Context(), "r0"); err != nil {
		t.Error(err)
	}
	f.state("Secondary", "Secondary", "Diskless", "Connecting")
	f.on("outdate", "exit 0")
	if err := f.driver.Outdate(t.Context(), "r0"); !errors.Is(err, ErrNotDone) {
		t.Errorf("a lost disk keeps its old metadata, so it is not outdated: got %v", err)
	}
	f.state("Primary", "Primary", "UpToDate", "Connecting")
	f.on("outdate", `echo "0: State change failed: (-2) x" >&2; exit 17`)
	if err := f.driver.Outdate(t.Context(), "r0"); !errors.Is(err, ErrIsPrimary) {
		t.Errorf("a Primary: got %v", err)
	}
}

func TestConnectWithTheFlagOnlyFromStandAlone(t *testing.T) {
	f := newFakeTools(t)
	if err := f.driver.Connect(t.Context(), "r0", drbd.KeepMyData); err != nil || f.calls() != "" {
		t.Errorf("connected already: got %v, ran %q", err, f.calls())
	}
	if err := f.driver.Connect(t.Context(), "r0", drbd.DiscardMyData); !errors.Is(err, ErrAlready) || f.calls() != "" {
		t.Errorf("the flag came too late: got %v, ran %q", err, f.calls())
	}
	f.on("disconnect", f.to("Secondary", "Secondary", "UpToDate", "StandAlone"))
	f.on("connect", f.to("Secondary", "Secondary", "UpToDate", "Connecting"))
	for range 2 {
		if err := f.driver.Disconnect(t.Context(), "r0"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.driver.Connect(t.Context(), "r0", drbd.DiscardMyData); err != nil {
		t.Fatal(err)
	}
	if got := f.calls(); got != "drbdadm disconnect r0; drbdadm connect --discard-my-data r0" {
		t.Errorf("ran %q", got)
	}
}

// A handshake that fails leaves no connection to end: 8.4 calls that an invalid request.
func TestWhatDRBDHasDroppedMeanwhileIsDisconnected(t *testing.T) {
	refusal := "echo 'Failure: (162) Invalid configuration request'; exit 10"
	f := newFakeTools(t)
	f.on("disconnect", f.to("Secondary", "Secondary", "UpToDate", "StandAlone")+"\n"+refusal)
	if err := f.driver.Disconnect(t.Context(), "r0"); err != nil {
		t.Errorf("it is StandAlone: %v", err)
	}
	f.on("disconnect", f.to("Secondary", "Secondary", "UpToDate", "Connecting")+"\n"+refusal)
	f.state("Secondary", "Secondary", "UpToDate", "Connecting")
	if err := f.driver.Disconnect(t.Context(), "r0"); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("it looks for its peer still: %v", err)
	}
}

func TestAttachAndDown(t *testing.T) {
	f := newFakeTools(t)
	if err := f.driver.Attach(t.Context(), "r0"); err != nil || f.calls() != "" {
		t.Errorf("attached already: got %v, ran %q", err, f.calls())
	}
	f.on("down", `touch "$D/unconfigured"`)
	for range 2 {
		if err := f.driver.Down(t.Context(), "r0"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.driver.Promote(t.Context(), "r0"); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("promote of nothing: got %v", err)
	}
	if err := f.driver.Demote(t.Context(), "r0"); err != nil {
		t.Errorf("what is not there is not Primary: got %v", err)
	}
	f.on("attach", `rm "$D/unconfigured"`)
	if err := f.driver.Attach(t.Context(), "r0"); err != nil {
		t.Fatal(err)
	}
	if got := f.calls(); got != "drbdsetup down r0; drbdadm new-resource r0; drbdadm sh-new-minor r0; drbdadm attach r0" {
		t.Errorf("ran %q", got)
	}
}

func TestTimeoutKillsTheWholeGroup(t *testing.T) {
	f := newFakeTools(t)
	f.on("primary", `sleep 300 & echo $! > "$D/child"; mv "$D/child" "$D/child.pid"; wait`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.driver.Promote(ctx, "r0") }()
	var pid int
	eventually(t, "the tool's child starts", func() bool {
		text, err := os.ReadFile(f.path("child.pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && pid > 0
	})
	if err := within(t, 50*time.Millisecond, func(ctx context.Context) error { return f.driver.Demote(ctx, "r0") }); !errors.Is(err, ErrBusy) {
		t.Errorf("a second action at the same time: got %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, ErrTimeout) || errors.Is(err, ErrRefused) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the tool's child ends", func() bool { return gone(pid) })
	f.on("primary", f.to("Primary", "Primary", "UpToDate", "Connected"))
	if err := f.driver.Promote(t.Context(), "r0"); err != nil {
		t.Errorf("the next action: %v", err)
	}
}

func within(t *testing.T, d time.Duration, do func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return do(ctx)
}

// gone reports whether a process has ended; one that only waits to be reaped
// by a lazy init has.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestToolThatIsNotThere(t *testing.T) {
	f := newFakeTools(t)
	if err := os.Remove(f.path("drbdsetup")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.driver.Read(t.Context(), "r0"); !errors.Is(err, ErrNoDriver) || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(f.path("proc")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.driver.Family(t.Context()); !errors.Is(err, ErrNoDriver) {
		t.Errorf("got %v", err)
	}
	if err := f.driver.Promote(t.Context(), "other"); err == nil {
		t.Error("a resource that is not ours was promoted")
	}
}

func TestGenerationsOfEachVolume(t *testing.T) {
	f := newFakeTools(t)
	f.on("get-gi", `echo "0000000000000$2$2$2:0000000000000000:0000000000000000:0000000000000000:1:1:0:1:0:0:0"`)
	g, err := f.driver.Generations(t.Context(), "r0")
	if err != nil || len(g) != 2 || g[1].Current != 0x111 || !g[0].Flags.WasUpToDate {
		t.Errorf("got %+v, %v", g, err)
	}
}

// A command that waits inside the kernel for fence-peer survives SIGKILL; what
// it asked for may still happen.
func TestCommandStuckInTheKernelKeepsItsResourceBusy(t *testing.T) {
	f := newFakeTools(t)
	left := make(chan struct{})
	err := f.driver.act(t.Context(), "r0", action{
		verb:   "promote",
		refuse: func(drbd.Resource) error { return &stuckError{gone: left} },
	})
	if !errors.Is(err, ErrTimeout) || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	demote := func(ctx context.Context) error { return f.driver.Demote(ctx, "r0") }
	if err := within(t, 50*time.Millisecond, demote); !errors.Is(err, ErrBusy) || f.calls() != "" {
		t.Errorf("while it is stuck: got %v, ran %q", err, f.calls())
	}
	close(left)
	if err := within(t, 10*time.Second, demote); err != nil {
		t.Errorf("after it has left the kernel: %v", err)
	}
}

func TestKilledCommandThatDoesNotEndIsStuck(t *testing.T) {
	f := newFakeTools(t)
	f.on("primary", "exec sleep 300")
	cmd := drbd.For(drbd.Family84).Primary(drbd.Target{Minors: []drbd.Minor{0}})[0]
	c := f.driver.command(drbd.Family84, cmd)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	err := f.driver.killed(cmd, c, make(chan struct{}), context.DeadlineExceeded)
	var stuck *stuckError
	if !errors.As(err, &stuck) || !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if c.Wait() == nil {
		t.Error("it was not killed")
	}
}

// The drbdsetup of version 9 hands an 8.4 driver's commands to another program.
func TestProgramForAnOldDriverIsCalledAtOnceWhereItIsThere(t *testing.T) {
	f := newFakeTools(t)
	f.driver.cfg.Drbdsetup84 = f.path("drbdsetup-84")
	promoted := f.to("Primary", "Primary", "UpToDate", "Connected")
	f.on("primary", promoted)
	if err := f.driver.Promote(t.Context(), "r0"); err != nil || !strings.HasPrefix(f.calls(), "drbdsetup primary") {
		t.Fatalf("it is not there: %v: %s", err, f.calls())
	}
	if err := os.Link(f.path("drbdsetup"), f.path("drbdsetup-84")); err != nil {
		t.Fatal(err)
	}
	f.on("secondary", f.to("Secondary", "Secondary", "UpToDate", "Connected"))
	if err := f.driver.Demote(t.Context(), "r0"); err != nil || !strings.Contains(f.calls(), "drbdsetup-84 secondary 0") {
		t.Errorf("it is there: %v: %s", err, f.calls())
	}
	if got := f.driver.drbdsetup(drbd.Family9); got != f.path("drbdsetup") {
		t.Errorf("a driver of version 9 is told by %s", got)
	}
}
