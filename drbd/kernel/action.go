package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/drbd"
)

const (
	// settleFor is how long a state may take to show after the tool said done.
	settleFor = 2 * time.Second
	// settleStep is the time between two looks at it.
	settleStep = 50 * time.Millisecond
)

// action is one change of a resource: what to run, and when it is done.
type action struct {
	verb     string
	commands func(drbd.Commands, drbd.Target) []drbd.Command
	done     func(drbd.Resource) bool
	// absent says whether a resource that the kernel does not have is the end
	// that was wanted.
	absent bool
	// always runs the commands even where done holds already.
	always bool
	// refuse, if set, says no before anything is run.
	refuse func(drbd.Resource) error
	// explain, if set, gives a refusal its meaning for this action.
	explain func(drbd.Resource, error) error
}

// Promote makes this node Primary on every volume of the resource. It kills
// nobody and forces nothing. It may take as long as the fence-peer handler
// does. If one volume of several is refused, those before it are demoted again;
// and all of them, where the peer came back while the handler ran and has begun
// to overwrite this copy: the kernel promotes that one too.
func (d *Driver) Promote(ctx context.Context, resource string) error {
	err := d.act(ctx, resource, action{
		verb:     "promote",
		commands: drbd.Commands.Primary,
		refuse:   stale,
		done:     func(r drbd.Resource) bool { return r.AllVolumes(drbd.RolePrimary) },
	})
	if err != nil {
		return err
	}
	r, err := d.Now(ctx, resource)
	if err == nil {
		err = stale(r)
	}
	if err == nil {
		return nil
	}
	if undo := d.Demote(ctx, resource); undo != nil {
		return fmt.Errorf("%w after %w; taking it back: %w", ErrPartlyPromoted, err, undo)
	}
	return err
}

// PromoteOutdated promotes a copy that is to stand in for a better one which is lost, as
// [Driver.Promote] does where DRBD calls it good. One that DRBD has recorded as outdated is
// promoted by force, which begins a new generation. Only a resource that is StandAlone is:
// fence-peer's no does not stop that, and nobody must come between.
func (d *Driver) PromoteOutdated(ctx context.Context, resource string) error {
	r, err := d.Now(ctx, resource)
	if err != nil {
		return fmt.Errorf("promote %s: %w", resource, err)
	}
	if stale(r) == nil {
		return d.Promote(ctx, resource)
	}
	return d.act(ctx, resource, action{
		verb:     "promote",
		commands: drbd.Commands.PrimaryForced,
		refuse: func(r drbd.Resource) error {
			switch {
			case !r.WorstDisk().AtLeast(drbd.DiskOutdated):
				return fmt.Errorf("%w: %s", ErrNeedUpToDate, describe(r))
			case r.ConnState() != drbd.ConnStandAlone:
				return fmt.Errorf("%w: %s", ErrConnected, describe(r))
			}
			return nil
		},
		done: func(r drbd.Resource) bool { return r.AllVolumes(drbd.RolePrimary) },
	})
}

// stale refuses to promote what is no good copy. The kernel promotes also the
// target of a resync, and a node whose disk has just failed, on its peer's data.
func stale(r drbd.Resource) error {
	if len(r.Volumes) > 0 && !r.WorstDisk().AtLeast(drbd.DiskConsistent) {
		return fmt.Errorf("%w: %s", ErrNeedUpToDate, describe(r))
	}
	return nil
}

// Demote makes this node Secondary on every volume of the resource.
// ErrHeldOpen while anything still uses one of them. It asks the kernel even
// where every volume is Secondary already: a promotion that an earlier process
// left waiting in the kernel would else be overlooked, and win later.
func (d *Driver) Demote(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "demote",
		commands: drbd.Commands.Secondary,
		done:     func(r drbd.Resource) bool { return r.AllVolumes(drbd.RoleSecondary) },
		absent:   true,
		always:   true,
	})
}

// Outdate records on this node's own disks that they are not to be used, and
// returns nil only after every one was read back as Outdated (or Inconsistent,
// which is worse). ErrConnected while the peer is connected: 8.4's kernel then
// says done and changes nothing. ErrIsPrimary on a Primary.
func (d *Driver) Outdate(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "outdate",
		commands: drbd.Commands.Outdate,
		done:     outdated,
		explain: func(r drbd.Resource, err error) error {
			switch {
			case r.Role == drbd.RolePrimary && errors.Is(err, ErrNeedUpToDate):
				return ErrIsPrimary
			case r.Connected() && errors.Is(err, ErrNotDone):
				return ErrConnected
			}
			return err
		},
	})
}

func outdated(r drbd.Resource) bool {
	for _, v := range r.Volumes {
		if v.Disk != drbd.DiskOutdated && v.Disk != drbd.DiskInconsistent {
			return false
		}
	}
	return len(r.Volumes) > 0
}

// Disconnect ends the connection to the peer and every attempt at it. On a
// connected Primary with fencing, DRBD records the peer as outdated in the same
// step, and calls no handler.
func (d *Driver) Disconnect(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "disconnect",
		commands: drbd.Commands.Disconnect,
		done:     func(r drbd.Resource) bool { return r.ConnState() == drbd.ConnStandAlone },
		absent:   true,
	})
}

// Connect lets the resource look for its peer. It is done when the connection
// is not StandAlone any more, not when the peer was found. With
// drbd.DiscardMyData it is ErrAlready unless the connection was StandAlone,
// since the flag cannot be added to one that exists.
func (d *Driver) Connect(ctx context.Context, resource string, option drbd.ConnectOption) error {
	looking := func(r drbd.Resource) bool {
		return r.ConnState() != drbd.ConnStandAlone && r.ConnState() != drbd.ConnDisconnecting
	}
	return d.act(ctx, resource, action{
		verb: "connect",
		commands: func(c drbd.Commands, t drbd.Target) []drbd.Command {
			if cmd, ok := d.connectLine(c, resource, option); ok {
				return []drbd.Command{cmd}
			}
			return c.Connect(t, option)
		},
		done: looking,
		refuse: func(r drbd.Resource) error {
			if option == drbd.DiscardMyData && looking(r) {
				return ErrAlready
			}
			return nil
		},
	})
}

// Invalidate declares this node's whole copy bad, so that the next connection
// copies everything from the peer. There is no way back. A copy that is
// Inconsistent already may have a bitmap that calls parts of it good, which nothing
// shows: the kernel is asked all the same. It refuses while it looks for the peer.
func (d *Driver) Invalidate(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "invalidate",
		commands: drbd.Commands.Invalidate,
		done:     invalidated,
		always:   true,
	})
}

func invalidated(r drbd.Resource) bool {
	for _, v := range r.Volumes {
		if v.Disk != drbd.DiskInconsistent {
			return false
		}
	}
	return len(r.Volumes) > 0
}

// Attach configures the resource in the kernel and attaches its disks. It lets
// DRBD look for nobody: when that is safe, [Driver.Connect] is for. A resource
// that is there already, with its disks, is left as it is, connection and all.
func (d *Driver) Attach(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "bring up",
		commands: drbd.Commands.Attach,
		done:     func(r drbd.Resource) bool { return r.WorstDisk().AtLeast(drbd.DiskNegotiating) },
	})
}

// Down takes the resource out of the kernel. A Primary that nobody uses is
// demoted by it; ErrHeldOpen if somebody does.
func (d *Driver) Down(ctx context.Context, resource string) error {
	return d.act(ctx, resource, action{
		verb:     "take down",
		commands: func(c drbd.Commands, t drbd.Target) []drbd.Command { return c.Down(t.Resource) },
		done:     func(drbd.Resource) bool { return false },
		absent:   true,
	})
}

// act holds the resource's slot while it asks, acts and verifies.
func (d *Driver) act(ctx context.Context, resource string, a action) error {
	s := d.slots[resource]
	if s == nil {
		return fmt.Errorf("%s %s: this driver is not configured for it", a.verb, resource)
	}
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w: %w", a.verb, resource, ErrBusy, context.Cause(ctx))
	}
	err := d.perform(ctx, resource, a)
	select {
	case d.poke <- struct{}{}: // let a running stream show what came of it
	default:
	}
	var stuck *stuckError
	if !errors.As(err, &stuck) {
		<-s.busy
	} else {
		// Until that command has left the kernel nobody may start another one.
		go func() {
			<-stuck.gone
			<-s.busy
		}()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", a.verb, resource, err)
	}
	return nil
}

func (d *Driver) perform(ctx context.Context, resource string, a action) error {
	f, err := d.Family(ctx)
	if err != nil {
		return err
	}
	before, err := d.Now(ctx, resource)
	if errors.Is(err, ErrUnconfigured) {
		if a.absent {
			return nil
		}
		before, err = drbd.Resource{Name: resource}, nil
	}
	if err != nil {
		return err
	}
	if a.refuse != nil {
		if err := a.refuse(before); err != nil {
			return err
		}
	}
	if a.done(before) && !a.always {
		return nil
	}
	err = d.runAll(ctx, f, before, a)
	if err == nil {
		return d.verify(ctx, resource, a)
	}
	// DRBD may have dropped by itself, since the look before, what was to be ended.
	if a.absent && errors.Is(err, ErrUnconfigured) && d.verify(ctx, resource, a) == nil {
		return nil
	}
	return err
}

// runAll runs an action's commands in order until one is refused.
func (d *Driver) runAll(ctx context.Context, f drbd.Family, before drbd.Resource, a action) error {
	target := drbd.TargetOf(f, before)
	cmds := a.commands(drbd.For(f), target)
	if len(cmds) == 0 {
		return fmt.Errorf("no volume's minor is known: %w", ErrUnconfigured)
	}
	for i, cmd := range cmds {
		ans, err := d.run(ctx, f, cmd)
		if err != nil {
			return err
		}
		res := ans.result(f)
		d.log.Info("told DRBD", "resource", before.Name, "command", cmd.String(), "outcome", res.Outcome)
		if res.Outcome == drbd.OutcomeDone {
			continue
		}
		err = errorOf(cmd, res)
		if a.explain != nil {
			err = explained(a.explain(before, err), err)
		}
		if cmd.Args[0] == "primary" && i > 0 {
			return d.rollBack(ctx, f, target, i, err)
		}
		return err
	}
	return nil
}

// explained gives err the meaning that the action found in it.
func explained(meaning, err error) error {
	if errors.Is(err, meaning) {
		return err
	}
	return fmt.Errorf("%w (%w)", meaning, err)
}

// rollBack demotes the first n volumes again after the next was refused.
func (d *Driver) rollBack(ctx context.Context, f drbd.Family, t drbd.Target, n int, cause error) error {
	// Also when the caller's time is over: a half-promoted resource is worse.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.ExecTimeout)
	defer cancel()
	t.Minors = t.Minors[:n]
	for _, cmd := range drbd.For(f).Secondary(t) {
		ans, err := d.run(ctx, f, cmd)
		if err != nil {
			return fmt.Errorf("%w after %w; taking it back: %w", ErrPartlyPromoted, cause, err)
		}
		if res := ans.result(f); res.Outcome != drbd.OutcomeDone {
			return fmt.Errorf("%w after %w; taking it back: %w", ErrPartlyPromoted, cause, errorOf(cmd, res))
		}
	}
	return cause
}

// verify reads the state until it shows what was wanted.
func (d *Driver) verify(ctx context.Context, resource string, a action) error {
	settled := time.NewTimer(settleFor)
	defer settled.Stop()
	for {
		r, err := d.Now(ctx, resource)
		switch {
		case errors.Is(err, ErrUnconfigured) && a.absent, err == nil && a.done(r):
			return nil
		case err == nil:
			err = fmt.Errorf("%w: %s", ErrNotDone, describe(r))
		}
		if a.explain != nil && r.Name != "" && errors.Is(err, ErrNotDone) {
			if meaning := a.explain(r, err); !errors.Is(err, meaning) {
				return explained(meaning, err)
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-settled.C:
			return err
		case <-time.After(settleStep):
		}
	}
}

func describe(r drbd.Resource) string {
	return fmt.Sprintf("it is %s, %s, disk %s", r.Role, r.ConnState(), r.WorstDisk())
}

// Now reads the state afresh in the cheapest way: 8.4's /proc/drbd where the
// running stream has shown which minors are the resource's, else as [Driver.Read].
func (d *Driver) Now(ctx context.Context, resource string) (drbd.Resource, error) {
	if live, ok := d.liveResource(resource); ok {
		p, err := d.proc(ctx)
		if err != nil {
			return drbd.Resource{}, err
		}
		if now, ok := live.AtProc(p); ok && p.Family == drbd.Family84 {
			return now, nil
		}
	}
	return d.Read(ctx, resource)
}
