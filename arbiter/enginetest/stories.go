package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"sbarbiter/arbiter/engine"
)

func outcomesFollowTheOrder(t *testing.T, s Store) {
	var journal Journal
	e := Lead(t, s.Open(t, &journal))

	const callers, each = 8, 25
	var mu sync.Mutex
	heard := map[uint64]string{}
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for n := range each {
				out, index, err := e.Apply(within(t, patience), fmt.Appendf(nil, "c%d-%d", c, n))
				if err != nil {
					t.Errorf("apply: %v", err)
					return
				}
				mu.Lock()
				heard[index] = string(out)
				mu.Unlock()
			}
		})
	}
	all.Wait()

	entries := journal.Entries()
	if len(entries) != callers*each || len(heard) != callers*each {
		t.Fatalf("%d commands were applied and %d outcomes heard, want %d", len(entries), len(heard), callers*each)
	}
	for i, entry := range entries {
		if i > 0 && entry.Index <= entries[i-1].Index {
			t.Fatalf("index %d follows %d", entry.Index, entries[i-1].Index)
		}
		if want := outcome(i+1, entry.Cmd); heard[entry.Index] != want {
			t.Fatalf("the caller at index %d heard %q, the machine said %q", entry.Index, heard[entry.Index], want)
		}
	}
	if got, want := e.LastIndex(), entries[len(entries)-1].Index; got != want {
		t.Fatalf("LastIndex is %d, the last command's index %d", got, want)
	}
}

func restartReplays(t *testing.T, s Store) {
	var first, second Journal
	e := Lead(t, s.Open(t, &first))
	for n := range 20 {
		e.MustApply(fmt.Sprint("cmd", n))
	}
	if err := e.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}

	e = Lead(t, s.Open(t, &second))
	if got, want := second.Entries(), first.Entries(); !slices.Equal(got, want) {
		t.Fatalf("replayed\n%v, want\n%v", got, want)
	}
	if out, _ := e.MustApply("next"); out != outcome(21, "next") {
		t.Fatalf("the log goes on with %q", out)
	}
}

func snapshotStandsForLog(t *testing.T, s Store) {
	var first, second Journal
	e := Lead(t, s.Open(t, &first))
	for n := range 20 {
		e.MustApply(fmt.Sprint("before", n))
	}
	s.Compact(t, e.Engine)
	e.MustApply("after")
	if err := e.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}

	e = Lead(t, s.Open(t, &second))
	if second.Restored() == 0 {
		t.Fatal("the snapshot was not used")
	}
	if got, want := second.Entries(), first.Entries(); !slices.Equal(got, want) {
		t.Fatalf("restored\n%v, want\n%v", got, want)
	}
	if got, want := e.LastIndex(), first.Entries()[20].Index; got != want {
		t.Fatalf("LastIndex is %d after the restart, was %d", got, want)
	}
}

func notUnderstoodStops(t *testing.T, s Store) {
	var journal Journal
	e := Lead(t, s.Open(t, &journal))
	e.MustApply("good")
	if _, _, err := e.Apply(within(t, patience), []byte(Poison)); !errors.Is(err, engine.ErrUnknown) || !errors.Is(err, errPoison) {
		t.Fatalf("the caller heard %v, want an unknown outcome and the machine's reason", err)
	}
	if _, _, err := e.Apply(within(t, patience), []byte("later")); !errors.Is(err, engine.ErrNotLeader) {
		t.Fatalf("a later command was answered with %v, want %v", err, engine.ErrNotLeader)
	}
	if err := e.VerifyLeader(within(t, patience)); err == nil {
		t.Fatal("it still says that it leads")
	}
	if err := e.Ended(); !errors.Is(err, errPoison) {
		t.Fatalf("Run returned %v, want the machine's reason", err)
	}
	if journal.has("later") {
		t.Fatal("a command after the one not understood was applied")
	}

	// A restart must not get past it either.
	again := Start(t, s.Open(t, &journal))
	if err := again.Ended(); !errors.Is(err, errPoison) {
		t.Fatalf("after a restart Run returned %v, want the machine's reason", err)
	}
}

func nothingOutsideRun(t *testing.T, s Store) {
	var journal Journal
	e := s.Open(t, &journal)
	refused := func(when string) {
		t.Helper()
		if _, _, err := e.Apply(within(t, patience), []byte("cmd")); !errors.Is(err, engine.ErrNotLeader) {
			t.Errorf("%s, Apply returned %v, want %v", when, err, engine.ErrNotLeader)
		}
		if err := e.VerifyLeader(within(t, patience)); err == nil {
			t.Errorf("%s, it says that it leads", when)
		}
		if err := e.Barrier(within(t, patience)); err == nil {
			t.Errorf("%s, a barrier passed", when)
		}
	}
	refused("before Run")
	if err := Lead(t, e).Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	refused("after Run")
	if got := journal.Entries(); len(got) != 0 {
		t.Errorf("%v was applied", got)
	}
}

func impatientCallerKnowsNothing(t *testing.T, s Store) {
	journal := Journal{Gate: make(chan struct{})}
	e := Lead(t, s.Open(t, &journal))
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan error)
	go func() {
		_, _, err := e.Apply(ctx, []byte("slow"))
		heard <- err
	}()
	journal.Gate <- struct{}{} // the machine has the command, the caller no answer yet
	cancel()
	err := <-heard
	if err != nil && !errors.Is(err, engine.ErrUnknown) {
		t.Fatalf("the caller heard %v, want %v", err, engine.ErrUnknown)
	}

	// Given up before it began: that must not look like a success either.
	if _, _, err := e.Apply(ctx, []byte("cancelled")); err == nil || errors.Is(err, engine.ErrNotLeader) {
		t.Fatalf("a cancelled call returned %v, want %v", err, engine.ErrUnknown)
	}
	close(journal.Gate)
	if err := e.Barrier(within(t, patience)); err != nil {
		t.Fatalf("barrier: %v", err)
	}
	settled := journal.Entries()
	if !journal.has("slow") {
		t.Fatalf("a barrier passed before an accepted command: %v", settled)
	}
	e.MustApply("end")
	if got := journal.Entries(); len(got) != len(settled)+1 {
		t.Fatalf("a command came after the barrier that was to settle it: %v, then %v", settled, got)
	}
}

func lastEdgeIsKept(t *testing.T, s Store) {
	e := Start(t, s.Open(t, &Journal{}))
	Eventually(t, "the engine leads", func() bool { return e.VerifyLeader(within(t, patience)) == nil })
	if err := e.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	var last engine.Leadership
	edges := 0
	for l := range e.Leadership() {
		last, edges = l, edges+1
	}
	if edges == 0 || last.Leads {
		t.Fatalf("after the end a late reader saw %d edges, the last %+v; want the loss", edges, last)
	}
}

func leaderIsVerified(t *testing.T, s Store) {
	e := Lead(t, s.Open(t, &Journal{}))
	for range 10 {
		if err := e.VerifyLeader(within(t, patience)); err != nil {
			t.Fatalf("verify the leader: %v", err)
		}
	}
}

func termsGrow(t *testing.T, s Store) {
	var before uint64
	for range 3 {
		e := Start(t, s.Open(t, &Journal{}))
		l := e.AwaitLead()
		if l.Term <= before {
			t.Fatalf("a new leadership has term %d, the one before had %d", l.Term, before)
		}
		before = l.Term
		if err := e.Stop(); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
}
