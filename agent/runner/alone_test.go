package runner

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/errgroup"

	"sbarbiter/agent"
	"sbarbiter/drbd"
	"sbarbiter/internal/faketime"
)

// Whoever orders it has not looked at what the copy has, unless it was given up. What cannot
// be looked at is left alone as well.
func TestCopyThatWentOnAloneIsInvalidatedOnlyWhereItWasGivenUp(t *testing.T) {
	unreadable := errors.New("no such device")
	for name, c := range map[string]struct {
		order agent.Invalidate
		left  drbd.UUID
		fails error
		alone string
		done  int
	}{
		"nothing of its own":     {order: agent.Invalidate{}, done: 1},
		"something of its own":   {order: agent.Invalidate{}, left: 6, alone: "r0"},
		"given up":               {order: agent.Invalidate{GivenUp: true}, left: 6, done: 1},
		"nobody can tell":        {order: agent.Invalidate{}, fails: unreadable},
		"given up, and unlooked": {order: agent.Invalidate{GivenUp: true}, fails: unreadable, done: 1},
	} {
		t.Run(name, func(t *testing.T) {
			faketime.Test(t, func(t *testing.T) {
				s := &story{t: t}
				d := &fakeDRBD{s: s, seen: make(chan struct{}, 9), left: c.left, no: c.fails}
				groups := []Group{{ID: "nfs", Resources: []string{"r0"}}}
				r := New(Config{Groups: groups}, nil, Parts{DRBD: d, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
				r.tasks, r.ctx = errgroup.WithContext(t.Context())
				c.order.Group, c.order.Resources = "nfs", []string{"r0"}
				r.invalidate(c.order)
				synctest.Wait()
				got := (<-r.events).event.(agent.InvalidateDone)
				if n := s.count("invalidate"); n != c.done || got.Alone != c.alone || (got.Err == nil) != (c.done == 1 || c.alone != "") {
					t.Errorf("invalidated %d times, and told %+v", n, got)
				}
			})
		})
	}
}

// One resource's copy was declared bad; what the others have is not given up with it.
func TestOnlyWhatWasDeclaredBadIsGivenUpWithTheConnection(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := &story{t: t}
		d := &fakeDRBD{s: s, seen: make(chan struct{}, 9)}
		groups := []Group{{ID: "nfs", Resources: []string{"r0", "r1"}}}
		r := New(Config{Groups: groups}, nil, Parts{DRBD: d, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		r.tasks, r.ctx = errgroup.WithContext(t.Context())
		r.lookForPeer(agent.Join{Group: "nfs", Discard: []string{"r1"}})
		synctest.Wait()
		if s.count("connect") != 2 || s.count("gives up r1") != 1 || s.count("gives up r0") != 0 {
			t.Errorf("%v", s.did)
		}
	})
}
