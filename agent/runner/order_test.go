package runner

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/agent"
	"sbarbiter/agent/service"
	"sbarbiter/fencing"
	"sbarbiter/fencing/shooter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/faketime"
)

// slowBarrier takes a while to turn clients away.
type slowBarrier struct{ *fakeStack }

func (b slowBarrier) Barrier(ctx context.Context, report func(service.Step)) error {
	time.Sleep(time.Second)
	return b.fakeStack.Barrier(ctx, report)
}

// Else the addresses would be found in place, blocked after that, and never
// restored.
func TestBarrierThatIsSlowIsLiftedAfterItStands(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := &story{t: t}
		s.stack = &fakeStack{s: s}
		r := New(Config{Groups: []Group{{ID: "nfs", Services: slowBarrier{s.stack}}}}, nil, Parts{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		r.tasks, r.ctx = errgroup.WithContext(t.Context())
		r.barrier(agent.Barrier{Group: "nfs"})
		r.lift(agent.Lift{Group: "nfs"})
		if err := r.tasks.Wait(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"barrier", "start services"}; !slices.Equal(s.did, want) {
			t.Errorf("got %q, want %q", s.did, want)
		}
	})
}

// plug is a power device that obeys.
type plug struct {
	mu  sync.Mutex
	off bool
}

func (p *plug) Status(context.Context) (fencing.Power, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return fencing.PowerOff, nil
	}
	return fencing.PowerOn, nil
}

func (p *plug) Off(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	return nil
}

func (p *plug) On(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = false
	return nil
}

// The witness allows less time for a shot than this node's devices may take:
// the permission is as young as it is all the same.
func TestShotBeginsHoweverShortItsTimeIs(t *testing.T) {
	p := &Power{
		Target: "node-b", Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{"plug"}}},
		Limits:  map[fencing.DeviceName]fencing.Limits{"plug": fencing.DefaultLimits()},
		Shooter: &shooter.Shooter{Fencers: map[fencing.DeviceName]fencing.Fencer{"plug": &plug{}}, Executor: "node-a", Now: boottime.Now},
	}
	now := boottime.Now()
	done, revive := p.shoot(t.Context(), agent.Shoot{Mandate: 1, Asked: now, Before: now.Add(10 * time.Second)})
	if done.Failure != "" || revive != nil {
		t.Errorf("the shot failed, or is undone: %s", done.Failure)
	}
	late := now.Add(-3 * time.Second)
	if done, _ := p.shoot(t.Context(), agent.Shoot{Mandate: 2, Asked: late, Before: now.Add(10 * time.Second)}); done.Failure == "" || done.InFlight {
		t.Errorf("a permission asked for 3 s ago was used: %+v", done)
	}
}

// A peer that is to be rebooted is switched on only by what follows the proof.
func TestARebootComesAfterTheProof(t *testing.T) {
	device := &plug{}
	p := &Power{
		Target: "node-b", Topology: fencing.Topology{Levels: [][]fencing.DeviceName{{"plug"}}}, Reboot: true,
		Limits:  map[fencing.DeviceName]fencing.Limits{"plug": fencing.DefaultLimits()},
		Shooter: &shooter.Shooter{Fencers: map[fencing.DeviceName]fencing.Fencer{"plug": device}, Executor: "node-a", Now: boottime.Now},
	}
	now := boottime.Now()
	done, revive := p.shoot(t.Context(), agent.Shoot{Mandate: 1, Asked: now, Before: now.Add(10 * time.Second)})
	if power, _ := device.Status(t.Context()); done.Failure != "" || power != fencing.PowerOff || revive == nil {
		t.Fatalf("%+v; it is %s", done, power)
	}
	if err := revive(t.Context(), boottime.Now()); err != nil {
		t.Error(err)
	}
	if power, _ := device.Status(t.Context()); power != fencing.PowerOn {
		t.Errorf("after the reboot it is %s", power)
	}
}

// slowUp takes its time to attach a disk.
type slowUp struct{ *fakeDRBD }

func (d slowUp) Attach(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// noWitness says nothing.
type noWitness struct{ Witness }

func (noWitness) Run(context.Context, func(agent.Event)) error { return nil }

// What runs without a right that is known has to be down before the lease that
// it may have had runs out elsewhere.
func TestWhatRunsHereIsFoundBeforeDRBDIsBroughtUp(t *testing.T) {
	faketime.Test(t, func(t *testing.T) {
		s := &story{t: t}
		s.stack = &fakeStack{s: s, up: true}
		groups := []Group{{ID: "nfs", Resources: []string{"r0"}, Services: s.stack}}
		r := New(Config{Groups: groups}, nil, Parts{
			DRBD: slowUp{&fakeDRBD{s: s}}, Witness: noWitness{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		r.tasks, r.ctx = errgroup.WithContext(t.Context())
		r.tasks.Go(r.join)
		synctest.Wait()
		select {
		case d := <-r.events:
			if d.event != (agent.Found{Group: "nfs", Up: true}) {
				t.Errorf("told %+v", d.event)
			}
		default:
			t.Error("a resource that does not come up keeps what runs here from being found")
		}
		if err := r.tasks.Wait(); err != nil {
			t.Error(err)
		}
	})
}
