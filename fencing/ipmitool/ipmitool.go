// Package ipmitool switches a machine through its BMC with the program ipmitool:
// the second way to speak IPMI 2.0 over LAN, for a BMC with which the first one
// does not get on. It answers "what does this BMC say" and leaves what that
// proves to package fencing.
//
// The password goes through a pipe: it is in no argument, no environment and no
// file of ours.
package ipmitool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"sbarbiter/fencing"
	"sbarbiter/internal/program"
	"sbarbiter/internal/secret"
)

// What a zero field of Config stands for.
const (
	DefaultProgram = "/usr/bin/ipmitool"
	DefaultTimeout = 5 * time.Second
)

// IPMI 2.0 limits user names and passwords to so many bytes.
const (
	maxUser     = 16
	maxPassword = 20
)

// Config describes one BMC.
type Config struct {
	Address netip.AddrPort
	User    string
	// Password is read at each use, so that a new one needs no restart.
	Password secret.Source
	// CipherSuite is 3 (SHA1) or 17 (SHA256), or 0 to try 17 and then 3.
	CipherSuite uint8
	// Program is the absolute path of ipmitool. DefaultProgram if empty.
	Program string
	// Timeout bounds one command, together with the caller's context.
	// DefaultTimeout if 0.
	Timeout time.Duration
}

// Validate returns an error that names every field that cannot be used, or nil.
func (c Config) Validate() error {
	var errs []error
	if !c.Address.IsValid() || c.Address.Port() == 0 {
		errs = append(errs, fmt.Errorf("address: %v is no address with a port", c.Address))
	}
	if c.User == "" || len(c.User) > maxUser || strings.HasPrefix(c.User, "-") {
		errs = append(errs, fmt.Errorf("user: %q must have 1 to %d bytes and not begin with -", c.User, maxUser))
	}
	if err := c.Password.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("password: %w", err))
	}
	switch c.CipherSuite {
	case 0, 3, 17:
	default:
		errs = append(errs, fmt.Errorf("cipher suite: %d is not supported; use 17, 3, or 0 to try both", c.CipherSuite))
	}
	if c.Program != "" && !filepath.IsAbs(c.Program) {
		errs = append(errs, fmt.Errorf("program: %q must be an absolute path", c.Program))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: %v must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Driver is the fencing.Fencer of one BMC.
type Driver struct {
	cfg Config

	mu   sync.Mutex // guards last, never held while waiting
	last uint8      // the cipher suite that worked
}

var (
	_ fencing.Fencer     = (*Driver)(nil)
	_ fencing.Identifier = (*Driver)(nil)
)

// New returns the driver for c. It runs nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ipmitool %v: %w", c.Address, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Program == "" {
		c.Program = DefaultProgram
	}
	return &Driver{cfg: c}, nil
}

// String returns "ipmitool 10.0.0.1:623".
func (d *Driver) String() string { return "ipmitool " + d.cfg.Address.String() }

// Off cuts the power at once, without asking the operating system.
func (d *Driver) Off(ctx context.Context) error { return d.order(ctx, "off") }

// On switches the power on.
func (d *Driver) On(ctx context.Context) error { return d.order(ctx, "on") }

// Status reads the power.
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	out, err := d.run(ctx, reads, "chassis", "power", "status")
	if err != nil {
		return fencing.PowerUnknown, err
	}
	switch said := strings.TrimSpace(string(out.Stdout)); said {
	case "Chassis Power is on":
		return fencing.PowerOn, nil
	case "Chassis Power is off":
		return fencing.PowerOff, nil
	default:
		return fencing.PowerUnknown, fmt.Errorf("%s: read power: the answer %.80q is not understood", d, said)
	}
}

// Machine reads the system's GUID as ipmitool prints it: "System GUID  : 1b4e...".
func (d *Driver) Machine(ctx context.Context) (string, error) {
	out, err := d.run(ctx, reads, "mc", "guid")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "System GUID" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", nil
}

func (d *Driver) order(ctx context.Context, verb string) error {
	_, err := d.run(ctx, switches, "chassis", "power", verb)
	return err
}

// effect is what a command does.
type effect bool

const (
	reads    effect = false
	switches effect = true
)

// run speaks one command, with each cipher suite until the BMC takes one.
func (d *Driver) run(ctx context.Context, does effect, words ...string) (program.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	fail := func(err error) (program.Outcome, error) {
		return program.Outcome{}, fmt.Errorf("%s: %s: %w", d, strings.TrimPrefix(strings.Join(words, " "), "chassis "), err)
	}
	password, err := d.cfg.Password.Line()
	if err == nil && len(password) > maxPassword {
		err = fmt.Errorf("%s: longer than the %d bytes of IPMI 2.0", d.cfg.Password, maxPassword)
	}
	if err != nil {
		return fail(fmt.Errorf("%w: password: %w", fencing.ErrConfig, err))
	}
	suites := d.suites()
	for _, suite := range suites {
		if does == switches {
			// The suite before may have taken a while.
			if err := fencing.CheckNotAfter(ctx); err != nil {
				return fail(err)
			}
		}
		out, err := program.Run(ctx, d.call(suite, password, words))
		switch {
		case errors.Is(err, program.ErrNotTrusted):
			return fail(fmt.Errorf("%w: %w; apt-get install ipmitool, or name it in program", fencing.ErrConfig, err))
		case err != nil && ctx.Err() != nil:
			return fail(fmt.Errorf("%w: %w", fencing.ErrUnreachable, err))
		case err != nil:
			return fail(err)
		case out.Code == 0:
			d.remember(suite)
			return out, nil
		case refusesSuite(out.Stderr):
			continue
		}
		return fail(classify(out))
	}
	return fail(fmt.Errorf("%w: %w: the BMC accepts none of the cipher suites %v; allow 17 or 3 there", fencing.ErrConfig, fencing.ErrNotSent, suites))
}

// call is one call of ipmitool, which reads the password from descriptor 3. It
// is told to say more (-v): otherwise a wrong password looks like a dead BMC.
func (d *Driver) call(suite uint8, password string, words []string) program.Call {
	return program.Call{
		Path: d.cfg.Program,
		Args: append([]string{
			"-v", "-I", "lanplus", "-H", d.cfg.Address.Addr().String(), "-p", strconv.Itoa(int(d.cfg.Address.Port())),
			"-U", d.cfg.User, "-L", "OPERATOR", "-C", strconv.Itoa(int(suite)), "-N", "1", "-R", "2",
			"-f", "/dev/fd/3",
		}, words...),
		Pipe: []byte(password + "\n"),
	}
}

func (d *Driver) suites() []uint8 {
	if d.cfg.CipherSuite != 0 {
		return []uint8{d.cfg.CipherSuite}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == 3 {
		return []uint8{3, 17}
	}
	return []uint8{17, 3}
}

func (d *Driver) remember(suite uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = suite
}

// refusesSuite reports whether another cipher suite may help. It goes by what
// ipmitool prints of the BMC's answer to "open session".
func refusesSuite(said string) bool {
	return strings.Contains(said, "open session response message") &&
		(strings.Contains(said, "algorithm") || strings.Contains(said, "cipher suite"))
}

// classify adds the sentinel that the caller can act on.
func classify(out program.Outcome) error {
	said := out.LastLine()
	for _, refusal := range []string{"RAKP 2 HMAC is invalid", "unauthorized name", "RAKP 4 message has invalid integrity check value"} {
		if strings.Contains(out.Stderr, refusal) {
			return fmt.Errorf("%w: %w: user or password is wrong; correct them in the password file or at the BMC (%s)", fencing.ErrAuth, fencing.ErrNotSent, refusal)
		}
	}
	switch {
	case strings.Contains(out.Stderr, "nsufficient privilege") || strings.Contains(out.Stderr, "unauthorized role or privilege"):
		return fmt.Errorf("%w: the user may not switch the power; give it the operator privilege on the LAN channel (%s)", fencing.ErrAuth, said)
	case strings.Contains(out.Stderr, "Unable to establish IPMI v2 / RMCP+ session"):
		return fmt.Errorf("%w: %w: %s", fencing.ErrUnreachable, fencing.ErrNotSent, said)
	}
	return fmt.Errorf("ipmitool: exit code %d: %s", out.Code, said)
}
