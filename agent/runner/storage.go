package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/service"
	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/drbd/kernel"
)

// connection says whether a resource looked connected when it was last seen.
type connection bool

const connected connection = true

const (
	bringUpWithin = 20 * time.Second
	// findWithin is how long an answer is waited for that says what runs here.
	findWithin = 5 * time.Second
	findAgain  = 200 * time.Millisecond
)

func (r *Runner) watchDRBD() error {
	return r.parts.DRBD.Run(r.ctx, func(o kernel.Observation) {
		switch o := o.(type) {
		case kernel.Seen:
			r.post(storage(o.Resource))
		case kernel.Absent:
			r.post(agent.Storage{Resource: o.Resource})
		case kernel.Unknown:
			r.log.Warn("DRBD's state is not known", "resource", o.Resource, "error", o.Cause)
			r.post(agent.Storage{Resource: o.Resource})
		case kernel.HandlerSeen:
			if code, ok := o.Event.Status.Exited(); o.Event.Returned && (!ok || code != 0) {
				r.log.Info("handler ended", "resource", o.Event.Resource, "handler", string(o.Event.Handler), "status", o.Event.Status.String())
			}
		}
	})
}

// storage says what one look at a resource means to the machine.
func storage(res drbd.Resource) agent.Storage {
	s := agent.Storage{
		Resource: res.Name, Known: true,
		Primary: !res.AllVolumes(drbd.RoleSecondary), Frozen: res.Frozen(),
	}
	for _, v := range res.Volumes {
		d := arbiter.Disk{Volume: fmt.Sprintf("%s/%d", res.Name, v.Number), Own: arbiter.DiskState(v.Disk)}
		replicates := false
		if p, ok := peerVolume(res, v.Number); ok {
			d.Peer = arbiter.DiskState(p.PeerDisk)
			replicates = res.Connected() && runs(p.Replication)
		}
		d.Connected = replicates
		s.Recorded = s.Recorded || recorded(drbd.DiskState(d.Peer), replicates)
		s.Disks = append(s.Disks, d)
	}
	return s
}

func peerVolume(res drbd.Resource, number int) (drbd.PeerVolume, bool) {
	if res.Peer == nil {
		return drbd.PeerVolume{}, false
	}
	for _, p := range res.Peer.Volumes {
		if p.Number == number {
			return p, true
		}
	}
	return drbd.PeerVolume{}, false
}

// runs reports whether the handshake is over: before it, what is said of the
// peer's disk is what was recorded about it.
func runs(r drbd.ReplState) bool {
	return r != "" && r != drbd.ReplOff && r != drbd.ReplUnrecognised
}

// recorded reports whether DRBD takes the peer's copy for stale or missing, so
// that it goes on without it and calls no handler.
func recorded(peer drbd.DiskState, replicates bool) bool {
	if replicates {
		return peer != drbd.DiskUpToDate
	}
	switch peer {
	case drbd.DiskOutdated, drbd.DiskInconsistent, drbd.DiskDiskless, drbd.DiskFailed:
		return true
	}
	return false
}

// bringUp configures resources that the kernel does not have yet. It promotes
// nothing.
func (r *Runner) bringUp() {
	ctx, cancel := context.WithTimeout(r.ctx, bringUpWithin)
	defer cancel()
	for _, g := range r.cfg.Groups {
		for _, res := range g.Resources {
			// Without it the machine knows no disk, and asks for nothing.
			_ = r.timed(g, "up "+res, func() error { return r.parts.DRBD.Up(ctx, res) })
		}
	}
}

// find looks for what runs of a group before anybody may grant anything. What
// stays unknown counts as running.
func (r *Runner) find(g Group) agent.Found {
	ctx, cancel := context.WithTimeout(r.ctx, findWithin)
	defer cancel()
	for {
		state := r.look(ctx, g)
		if state != service.Unknown || ctx.Err() != nil {
			return agent.Found{Group: g.ID, Up: state != service.Stopped}
		}
		select {
		case <-ctx.Done():
		case <-time.After(findAgain):
		}
	}
}

// look says whether anything of a group runs or is Primary here.
func (r *Runner) look(ctx context.Context, g Group) service.State {
	survey := g.Services.State(ctx)
	state := service.Stopped
	if !survey.AllStopped() {
		state = service.Unknown
	}
	for _, u := range survey {
		if u.State == service.Running {
			return service.Running
		}
	}
	for _, name := range g.Resources {
		res, err := r.parts.DRBD.Read(ctx, name)
		switch {
		case errors.Is(err, kernel.ErrUnconfigured) || errors.Is(err, kernel.ErrNoDriver):
			// What the kernel does not have is not Primary.
		case err != nil:
			r.log.Warn("DRBD's state is not known", "resource", name, "error", err)
			state = service.Unknown
		case !res.AllVolumes(drbd.RoleSecondary):
			return service.Running
		}
	}
	return state
}

// observe keeps of an event what a later start needs to know.
func (r *Runner) observe(ev agent.Event) {
	s, ok := ev.(agent.Storage)
	if !ok {
		return
	}
	r.seen[s.Resource] = false
	for _, d := range s.Disks {
		if d.Connected {
			r.seen[s.Resource] = connected
		}
	}
}
