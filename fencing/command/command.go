// Package command lets any program switch a machine. It answers "what does the
// program say", and leaves what that proves to package fencing.
//
// The program is called as
//
//	PROGRAM [ARG...] on|off|status
//
// with FENCE_ACTION (the same word) and FENCE_TARGET (the node) in an otherwise
// bare environment (PATH, LANG=C), without input. It speaks by its exit code:
//
//	on, off   0  the command was accepted
//	status    0  the power is on
//	          2  the power is off
//
// Every other code, a signal, or no end within the time given means "unknown";
// the last line of its standard error is shown to people. The program runs in a
// process group of its own, which is killed when the call ends, whatever it left
// running there; when the executor itself dies, the kernel kills the program but
// not what it started. So it should do its work in the foreground. It must answer
// a status by asking the device, and it may be called again, or twice at once.
package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/program"
)

// DefaultTimeout stands for a Config.Timeout of 0.
const DefaultTimeout = 10 * time.Second

const statusOff = 2 // exit code of "status"

// Config describes one program.
type Config struct {
	Program string // absolute path
	Args    []string
	Target  fencing.Target
	// Timeout bounds one call, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
// The program itself is looked at when it is called.
func (c Config) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Program) {
		errs = append(errs, fmt.Errorf("program: %q must be an absolute path", c.Program))
	}
	if c.Target == "" {
		errs = append(errs, errors.New("target: empty; name the node whose power it switches"))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Driver is the fencing.Fencer of one program.
type Driver struct{ cfg Config }

var _ fencing.Fencer = (*Driver)(nil)

// New returns the driver for c. It runs nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("fence command %s: %w", c.Program, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return &Driver{cfg: c}, nil
}

// String returns "command /usr/local/sbin/plug".
func (d *Driver) String() string { return "command " + d.cfg.Program }

// Off runs the program with "off".
func (d *Driver) Off(ctx context.Context) error { return d.order(ctx, "off") }

// On runs the program with "on".
func (d *Driver) On(ctx context.Context) error { return d.order(ctx, "on") }

// Status runs the program with "status".
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	out, err := d.run(ctx, "status")
	if err != nil {
		return fencing.PowerUnknown, err
	}
	switch out.Code {
	case 0:
		return fencing.PowerOn, nil
	case statusOff:
		return fencing.PowerOff, nil
	}
	return fencing.PowerUnknown, d.refusal("status", out)
}

func (d *Driver) order(ctx context.Context, action string) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s %s: %w", d, action, err)
	}
	out, err := d.run(ctx, action)
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return d.refusal(action, out)
	}
	return nil
}

func (d *Driver) refusal(action string, out program.Outcome) error {
	err := fmt.Errorf("%s %s: exit code %d", d, action, out.Code)
	if said := out.LastLine(); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// run calls the program and returns how it ended; an error if it did not, or
// not by itself.
func (d *Driver) run(ctx context.Context, action string) (program.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	out, err := program.Run(ctx, program.Call{
		Path: d.cfg.Program, Args: append(slices.Clone(d.cfg.Args), action),
		Env: []string{"FENCE_ACTION=" + action, "FENCE_TARGET=" + string(d.cfg.Target)},
	})
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, program.ErrNotTrusted):
		return out, fmt.Errorf("%s %s: %w: %w", d, action, fencing.ErrConfig, err)
	case ctx.Err() != nil:
		return out, fmt.Errorf("%s %s: %w: %w", d, action, fencing.ErrUnreachable, err)
	}
	return out, fmt.Errorf("%s %s: %w", d, action, err)
}
