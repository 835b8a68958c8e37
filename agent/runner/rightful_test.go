package runner

import (
	"errors"
	"testing"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

// The process stood still: no timer has fired, and the clock has gone on.
func TestAStartLooksAtTheClockAndNotAtItsTimers(t *testing.T) {
	now := boottime.Instant(time.Hour)
	o := &operator{}
	r := &Runner{now: func() boottime.Instant { return now }, groups: map[arbiter.GroupID]*operator{"nfs": o}}
	ctx := rightful{t.Context(), r.now, &o.hard}
	if !errors.Is(ctx.Err(), errNoRight) {
		t.Error("started without any right")
	}
	r.rights(&agent.BootMemory{Groups: map[arbiter.GroupID]agent.HeldRight{"nfs": {Epoch: 4, Lease: now.Add(time.Minute)}}})
	if err := ctx.Err(); err != nil {
		t.Errorf("not started by right: %v", err)
	}
	now = now.Add(time.Minute)
	if !errors.Is(ctx.Err(), errNoRight) {
		t.Error("goes on after the right is over")
	}
}
