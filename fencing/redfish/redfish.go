// Package redfish switches a machine through its management controller's
// Redfish service (DSP0266): HTTPS, PowerState and the action
// ComputerSystem.Reset of one system. It answers "what does this service say"
// and "has it taken this command", and leaves what that proves to package
// fencing.
//
// There is no way to talk to a service that has not shown who it is: its
// certificate is signed by a configured authority, or is a configured one.
package redfish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sbarbiter/fencing"
)

// The types of reset that are used (DSP0268, ComputerSystem). The power is cut
// at once: an operating system that is asked may refuse.
const (
	forceOff = "ForceOff"
	turnOn   = "On"
)

// Driver is the fencing.Fencer of one system.
type Driver struct{ cfg Config }

var (
	_ fencing.Fencer     = (*Driver)(nil)
	_ fencing.Identifier = (*Driver)(nil)
)

// New returns the driver for c. It sends nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("redfish %v: %w", c.Address, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Auth == "" {
		c.Auth = Session
	}
	return &Driver{cfg: c}, nil
}

// String returns "redfish 10.0.0.1:443 System".
func (d *Driver) String() string {
	return strings.TrimSpace("redfish " + d.cfg.Address.String() + " " + d.cfg.System)
}

// Off cuts the power at once.
func (d *Driver) Off(ctx context.Context) error { return d.reset(ctx, forceOff, fencing.PowerOff) }

// On switches the power on.
func (d *Driver) On(ctx context.Context) error { return d.reset(ctx, turnOn, fencing.PowerOn) }

// Status reads PowerState.
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	power := fencing.PowerUnknown
	err := d.read(ctx, "power", func(s *system) (err error) {
		power, err = s.power()
		return err
	})
	return power, err
}

// Machine reads the system's UUID.
func (d *Driver) Machine(ctx context.Context) (string, error) {
	machine := ""
	err := d.read(ctx, "UUID", func(s *system) error {
		machine = s.UUID
		return nil
	})
	return machine, err
}

// read reads the system's resource, and take what is wanted of it.
func (d *Driver) read(ctx context.Context, what string, take func(*system) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	err := d.within(ctx, func(c *client) error {
		s, err := c.system(ctx)
		if err != nil {
			return err
		}
		return take(s)
	})
	if err != nil {
		return fmt.Errorf("%s: read %s: %w", d, what, ended(ctx, err))
	}
	return nil
}

// reset orders one type of reset that makes the power become want.
func (d *Driver) reset(ctx context.Context, kind string, want fencing.Power) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s: %s: %w", d, kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	sent := false
	err := d.within(ctx, func(c *client) error {
		s, err := c.system(ctx)
		if err != nil {
			return err
		}
		if err := c.allows(ctx, s, kind); err != nil {
			return err
		}
		// The way here may have taken a while, or this process a pause.
		if err := fencing.CheckNotAfter(ctx); err != nil {
			return err
		}
		sent = true
		err = c.post(ctx, s.Actions.Reset.Target, map[string]string{"ResetType": kind}, nil)
		var refusal *refusedError
		if errors.As(err, &refusal) && refusal.conflict() {
			// Some services refuse what is already so.
			if is, serr := c.powerNow(ctx); serr == nil && is == want {
				return nil
			}
		}
		return err
	})
	if err == nil {
		return nil
	}
	err = ended(ctx, err)
	if !sent {
		err = fmt.Errorf("%w: %w", fencing.ErrNotSent, err)
	}
	return fmt.Errorf("%s: %s: %w", d, kind, err)
}

// ended adds why ctx has ended, if it has.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil || fencing.Permanent(err) || errors.Is(err, fencing.ErrTooLate) {
		return err
	}
	return fmt.Errorf("%w: %w: %w", fencing.ErrUnreachable, ctx.Err(), err)
}

// system is the part of a ComputerSystem that is used.
type system struct {
	PowerState string
	UUID       string
	Actions    struct {
		Reset resetAction `json:"#ComputerSystem.Reset"`
	}
}

type resetAction struct {
	Target     string   `json:"target"`
	Allowable  []string `json:"ResetType@Redfish.AllowableValues"`
	ActionInfo string   `json:"@Redfish.ActionInfo"`
}

// power reads PowerState. A machine on its way may still write, or write again.
func (s *system) power() (fencing.Power, error) {
	switch s.PowerState {
	case "On", "PoweringOn", "PoweringOff", "Paused":
		return fencing.PowerOn, nil
	case "Off":
		return fencing.PowerOff, nil
	}
	return fencing.PowerUnknown, fmt.Errorf("PowerState %.40q is not understood", s.PowerState)
}

// system finds the system's resource and reads it.
func (c *client) system(ctx context.Context) (*system, error) {
	if c.path == "" {
		path, err := c.find(ctx)
		if err != nil {
			return nil, err
		}
		c.path = path
	}
	s := &system{}
	return s, c.get(ctx, c.path, s)
}

func (c *client) powerNow(ctx context.Context) (fencing.Power, error) {
	s, err := c.system(ctx)
	if err != nil {
		return fencing.PowerUnknown, err
	}
	return s.power()
}

// find returns the path of the configured system, or of the only one.
func (c *client) find(ctx context.Context) (string, error) {
	var all struct {
		Members []struct {
			ID string `json:"@odata.id"`
		}
	}
	if err := c.get(ctx, "/redfish/v1/Systems", &all); err != nil {
		return "", err
	}
	var names []string
	for _, m := range all.Members {
		name := m.ID[strings.LastIndexByte(m.ID, '/')+1:]
		if name == c.cfg.System || c.cfg.System == "" && len(all.Members) == 1 {
			return m.ID, nil
		}
		names = append(names, name)
	}
	if c.cfg.System == "" {
		return "", fmt.Errorf("%w: the service has %d systems (%s); name one in system", fencing.ErrConfig, len(names), strings.Join(names, ", "))
	}
	return "", fmt.Errorf("%w: the service has no system %q; it has %s", fencing.ErrConfig, c.cfg.System, strings.Join(names, ", "))
}

// allows reports whether the service takes a type of reset: its word stands in
// the resource, or in the action's own description.
func (c *client) allows(ctx context.Context, s *system, kind string) error {
	r := s.Actions.Reset
	if r.Target == "" {
		return fmt.Errorf("%w: the system offers no ComputerSystem.Reset to this user", fencing.ErrConfig)
	}
	values := r.Allowable
	if len(values) == 0 && r.ActionInfo != "" {
		var info struct {
			Parameters []struct {
				Name            string
				AllowableValues []string
			}
		}
		if err := c.get(ctx, r.ActionInfo, &info); err != nil {
			return err
		}
		for _, p := range info.Parameters {
			if p.Name == "ResetType" {
				values = p.AllowableValues
			}
		}
	}
	// A service that names none may take any.
	if len(values) > 0 && !slices.Contains(values, kind) {
		return fmt.Errorf("%w: the service takes no %s, only %s", fencing.ErrConfig, kind, strings.Join(values, ", "))
	}
	return nil
}
