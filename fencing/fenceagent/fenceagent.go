// Package fenceagent switches a machine with one of the ClusterLabs fence agents,
// unchanged: a program that is given its options as key=value lines on standard
// input, and answers by its exit code. It answers "what does the agent say", and
// leaves what that proves to package fencing.
//
// Passwords go to the agent on standard input. What the agent does with them is
// its own affair: some hand them on in the arguments of another program.
package fenceagent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/program"
	"sbarbiter/internal/secret"
)

// DefaultTimeout stands for a Config.Timeout of 0. An agent that switches off
// waits until the device says off.
const DefaultTimeout = 20 * time.Second

const statusOff = 2 // exit code of "status"

// Reserved are options that belong to the driver, or would have the agent write
// the passwords down.
var Reserved = []string{"action", "option", "verbose", "verbose_level", "debug", "debug_file"}

// Config describes one agent and its options.
type Config struct {
	Agent   string // absolute path
	Options map[string]string
	// Secrets are options whose values are kept elsewhere. They are read at each
	// use, so that a new password needs no restart.
	Secrets map[string]secret.Source
	// Timeout bounds one call, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
// Whether the agent knows the options, [Describe] can tell.
func (c Config) Validate() error {
	var errs []error
	if !filepath.IsAbs(c.Agent) {
		errs = append(errs, fmt.Errorf("agent: %q must be an absolute path", c.Agent))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		switch {
		case slices.Contains(Reserved, name):
			errs = append(errs, fmt.Errorf("options: %s cannot be set", name))
		case name == "" || strings.ContainsAny(name, "=\n\r ") || strings.ContainsAny(c.Options[name], "\n\r"):
			errs = append(errs, fmt.Errorf("options: %q cannot be written on one line", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		if _, twice := c.Options[name]; twice {
			errs = append(errs, fmt.Errorf("options: %s is given in a file as well", name))
		}
		if err := c.Secrets[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Driver is the fencing.Fencer of one agent.
type Driver struct{ cfg Config }

var _ fencing.Fencer = (*Driver)(nil)

// New returns the driver for c. It runs nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("fence agent %s: %w", c.Agent, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return &Driver{cfg: c}, nil
}

// String returns the agent's path.
func (d *Driver) String() string { return d.cfg.Agent }

// Off has the agent switch off. The agent waits for the effect by itself, so one
// that is killed meanwhile has mostly sent the command.
func (d *Driver) Off(ctx context.Context) error { return d.order(ctx, "off") }

// On has the agent switch on.
func (d *Driver) On(ctx context.Context) error { return d.order(ctx, "on") }

// Status has the agent read the power.
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	out, hide, err := d.run(ctx, "status")
	if err != nil {
		return fencing.PowerUnknown, err
	}
	said := strings.ToUpper(string(out.Stdout))
	// The code 2 is also how a shell and an interpreter say that they cannot run the
	// agent, and how many programs say "wrong usage". An agent that prints the
	// status must print the same; one that prints none must not complain.
	switch off, on := strings.Contains(said, "STATUS: OFF"), strings.Contains(said, "STATUS: ON"); {
	case out.Code == 0 && !off:
		return fencing.PowerOn, nil
	case out.Code == statusOff && !on && (off || strings.TrimSpace(out.Stderr) == ""):
		return fencing.PowerOff, nil
	}
	return fencing.PowerUnknown, d.refusal("status", out, hide)
}

func (d *Driver) order(ctx context.Context, action string) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s %s: %w", d, action, err)
	}
	out, hide, err := d.run(ctx, action)
	if err == nil && out.Code != 0 {
		err = d.refusal(action, out, hide)
	}
	return err
}

// refusal says how a call failed. An agent has one code for every failure, and
// may repeat what it was given.
func (d *Driver) refusal(action string, out program.Outcome, hide []string) error {
	err := fmt.Errorf("%s %s: exit code %d", d, action, out.Code)
	said := out.LastLine()
	for _, h := range hide {
		said = strings.ReplaceAll(said, h, "***")
	}
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// run calls the agent. It returns the secrets that were given to it, to be kept
// out of what is shown.
func (d *Driver) run(ctx context.Context, action string) (program.Outcome, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	input, hide, err := d.input(action)
	if err != nil {
		return program.Outcome{}, nil, fmt.Errorf("%s %s: %w: %w", d, action, fencing.ErrConfig, err)
	}
	out, err := program.Run(ctx, program.Call{Path: d.cfg.Agent, Input: input})
	switch {
	case err == nil:
		return out, hide, nil
	case errors.Is(err, program.ErrNotTrusted):
		err = fmt.Errorf("%w: %w", fencing.ErrConfig, err)
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", fencing.ErrUnreachable, err)
	}
	return out, hide, fmt.Errorf("%s %s: %w", d, action, err)
}

// input is what the agent reads: one option a line.
func (d *Driver) input(action string) (text []byte, hide []string, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "action=%s\n", action)
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Options)) {
		fmt.Fprintf(&b, "%s=%s\n", name, d.cfg.Options[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Secrets)) {
		value, err := d.cfg.Secrets[name].Line()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, value)
		hide = append(hide, value)
	}
	return []byte(b.String()), hide, nil
}
