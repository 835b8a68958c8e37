package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/agent/runner"
	"sbarbiter/agent/runner/handler"
	"sbarbiter/doctor"
	"sbarbiter/drbd/kernel"
	"sbarbiter/internal/pki"
)

const (
	handlerProgram = "/usr/sbin/sbagent handler"
	// checkWithin bounds the look at DRBD's configuration.
	checkWithin = 30 * time.Second
	// soon is when a certificate's end is worth a word.
	soon = 30 * 24 * time.Hour
)

// drbd makes the driver for the node's resources, nil where there are none.
func (d *Daemon) drbd() (*kernel.Driver, error) {
	var resources []string
	for _, g := range d.Node.Groups {
		resources = append(resources, g.DRBD...)
	}
	if len(resources) == 0 {
		return nil, nil
	}
	return kernel.New(kernel.Config{Resources: resources, HandlerCommand: d.handlerCommand(), Log: d.Log})
}

// handlerCommand is what DRBD's configuration has for each handler, before the
// handler's name.
func (d *Daemon) handlerCommand() string {
	socket := d.Node.RuntimeDir + "/" + handler.SocketName
	if socket == handler.DefaultSocket {
		return handlerProgram
	}
	return handlerProgram + " --socket=" + socket
}

// examine refuses to start where the agent could not keep its word. One that
// takes over from an agent before it goes on, with an alarm: refusing would only
// have this machine reset.
func (d *Daemon) examine(ctx context.Context, src *pki.Source, driver runner.DRBD, mem memory) error {
	if mem.holding() {
		return nil
	}
	k, _ := driver.(*kernel.Driver)
	return d.findings(ctx, src, k)
}

func (d *Daemon) findings(ctx context.Context, src *pki.Source, driver *kernel.Driver) error {
	errs := []error{d.Host(d.Node)}
	d.expiry(src)
	if driver != nil {
		errs = append(errs, d.preflight(ctx, driver))
	}
	return errors.Join(errs...)
}

// preflight attaches the disks, which connects and promotes nothing, and looks at what
// is in force.
func (d *Daemon) preflight(ctx context.Context, driver *kernel.Driver) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	for _, u := range d.attach(ctx, driver) {
		d.Log.Warn("disks not attached", "resource", u.Resource, "error", u.Err)
	}
	violations, err := driver.Preflight(ctx)
	if err != nil {
		return fmt.Errorf("check DRBD's configuration: %w", err)
	}
	var errs []error
	for _, v := range violations {
		errs = append(errs, fmt.Errorf("DRBD: %s", v))
	}
	return errors.Join(errs...)
}

// attach attaches the disks of all groups, and returns those that could not be.
func (d *Daemon) attach(ctx context.Context, driver *kernel.Driver) []doctor.Unattached {
	var out []doctor.Unattached
	for _, g := range d.Node.Groups {
		for _, res := range g.DRBD {
			if err := driver.Attach(ctx, res); err != nil {
				out = append(out, doctor.Unattached{Resource: res, Err: err.Error()})
			}
		}
	}
	return out
}

// caches notes of which groups DRBD's configuration says that their disks lose
// nothing with the power. Unknown is not protected.
func (d *Daemon) caches(ctx context.Context, driver runner.DRBD, groups []agent.GroupConfig) {
	k, _ := driver.(*kernel.Driver)
	if k == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	for i, g := range groups {
		protected := len(g.Resources) > 0
		for _, res := range g.Resources {
			ok, err := k.CacheProtected(ctx, res)
			if err != nil {
				d.Log.Warn("it is not known whether disks lose their cache with the power; they count as if", "resource", res, "error", err)
			}
			protected = protected && ok
		}
		groups[i].Protected = protected
	}
}

func (d *Daemon) expiry(src *pki.Source) {
	if src == nil {
		return
	}
	c, err := src.Current()
	if err == nil && time.Until(c.NotAfter) < soon {
		d.Log.Warn("certificate expires soon", "alarm", true, "not_after", c.NotAfter.Format(time.RFC3339),
			"why", "issue a new one: "+d.issue())
	}
}
