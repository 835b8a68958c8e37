package enginetest

import (
	"context"
	"testing"
	"time"

	"sbarbiter/arbiter/engine"
)

// Running is an engine whose Run is under way.
type Running struct {
	Engine
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Start runs the engine; it is stopped when the test ends, if not before.
func Start(t testing.TB, e Engine) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{Engine: e, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = e.Run(ctx)
	}()
	t.Cleanup(func() { r.Stop() }) //nolint:errcheck // a story that cares asks itself
	return r
}

// Lead starts the engine and waits until it leads and has caught up.
func Lead(t testing.TB, e Engine) *Running {
	t.Helper()
	r := Start(t, e)
	r.AwaitLead()
	return r
}

// Stop ends Run and returns what it returned.
func (r *Running) Stop() error {
	r.cancel()
	return r.Ended()
}

// Ended waits for Run to return, and returns what it returned.
func (r *Running) Ended() error {
	r.t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(patience):
		r.t.Fatal("Run does not end")
		return nil
	}
}

// AwaitLead waits until the engine leads and has applied what was before.
func (r *Running) AwaitLead() engine.Leadership {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		select {
		case l, ok := <-r.Leadership():
			if !ok {
				r.t.Fatalf("Run ended (%v) before the engine led", r.Ended())
			}
			if l.Leads && r.Barrier(ctx) == nil {
				return l
			}
		case <-ctx.Done():
			r.t.Fatal("nobody leads")
		}
	}
}

// MustApply applies a command that has to succeed.
func (r *Running) MustApply(cmd string) (outcome string, index uint64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, index, err := r.Apply(ctx, []byte(cmd))
	if err != nil {
		r.t.Fatalf("apply %q: %v", cmd, err)
	}
	return string(out), index
}

// Eventually polls until the condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// within bounds one call of a story.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
