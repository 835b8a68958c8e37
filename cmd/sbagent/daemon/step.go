package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/service"
	"sbarbiter/drbd"
	"sbarbiter/internal/config"
)

// Step does one of the guard's steps to a group, in a process of its own. nil
// says that it was seen done. It looks at the machine and at nothing that an
// agent may remember, and may be repeated.
func (d *Daemon) Step(ctx context.Context, step guard.Step, name string) error {
	i := slices.IndexFunc(d.Node.Groups, func(g config.Group) bool { return g.Name == name })
	if i < 0 {
		return fmt.Errorf("%s of group %s: the node file does not have it", step, name)
	}
	g := d.Node.Groups[i]
	switch step {
	case guard.Services:
		return d.stopUnits(ctx, g, ground(g), len(g.Services))
	case guard.Unmount:
		return d.stopUnits(ctx, g, 0, ground(g))
	case guard.Demote:
		return d.demoted(ctx, g)
	case guard.Join:
		return d.each(g, func(driver driver, res string) error { return driver.Connect(ctx, res, drbd.KeepMyData) })
	}
	return fmt.Errorf("%s of group %s: there is no such step", step, name)
}

// ground is how many services are file systems or lie beneath one.
func ground(g config.Group) int {
	for i, s := range slices.Backward(g.Services) {
		if _, ok := s.Spec.(config.Filesystem); ok {
			return i + 1
		}
	}
	return 0
}

func (d *Daemon) stopUnits(ctx context.Context, g config.Group, from, to int) error {
	stack, err := d.stack(g, from, to)
	if err != nil {
		return err
	}
	if stopped := stack.Stop(ctx, d.say); !stopped.Down {
		return errors.Join(stopped.Err, errors.New("not all of it was seen stopped"))
	}
	return nil
}

// demoted demotes every resource and looks at the whole group once more.
func (d *Daemon) demoted(ctx context.Context, g config.Group) error {
	backward := g
	backward.DRBD = slices.Clone(g.DRBD)
	slices.Reverse(backward.DRBD)
	if err := d.each(backward, func(driver driver, res string) error { return driver.Demote(ctx, res) }); err != nil {
		return err
	}
	stack, err := d.stack(g, 0, len(g.Services))
	if err != nil {
		return err
	}
	if units := stack.State(ctx); !units.AllStopped() {
		return fmt.Errorf("not all of %s was seen stopped: %+v", g.Name, units)
	}
	return nil
}

// driver is what a step needs of DRBD.
type driver interface {
	Demote(ctx context.Context, resource string) error
	Connect(ctx context.Context, resource string, option drbd.ConnectOption) error
}

// each does something to every resource of a group, whatever becomes of the
// others.
func (d *Daemon) each(g config.Group, do func(driver, string) error) error {
	driver, err := d.drbd()
	if err != nil || driver == nil {
		return err
	}
	var errs []error
	for _, res := range g.DRBD {
		errs = append(errs, do(driver, res))
	}
	return errors.Join(errs...)
}

func (d *Daemon) say(s service.Step) {
	if s.Err != nil {
		d.Log.Warn("step failed", "what", string(s.Action)+" "+s.Unit, "took", s.Took.String(), "error", s.Err)
		return
	}
	d.Log.Info("step", "what", string(s.Action)+" "+s.Unit, "took", s.Took.String())
}
