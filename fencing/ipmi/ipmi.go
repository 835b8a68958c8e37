// Package ipmi switches a machine through its BMC: IPMI 2.0 over LAN (RMCP+),
// by a session for each command. It answers "what does this BMC say" and
// "has it taken this command", and leaves what that proves to package fencing.
package ipmi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/command/chassis"
	"github.com/bougou/go-ipmi/pkg/types"

	"sbarbiter/fencing"
)

// Driver is the fencing.Fencer of one BMC.
type Driver struct {
	cfg     Config
	address string

	mu   sync.Mutex // guards last, never held while waiting
	last types.CipherSuiteID
}

var (
	_ fencing.Fencer     = (*Driver)(nil)
	_ fencing.Identifier = (*Driver)(nil)
)

// New returns the driver for c. It sends nothing yet.
func New(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ipmi %s: %w", c.Address, err)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	address, err := c.hostPort()
	if err != nil {
		return nil, fmt.Errorf("ipmi %s: %w", c.Address, err)
	}
	return &Driver{cfg: c, address: address}, nil
}

// String returns "ipmi 10.0.0.1:623".
func (d *Driver) String() string { return "ipmi " + d.address }

// Off cuts the power at once, without asking the operating system (chassis
// control "power down", IPMI 2.0 section 28.3).
func (d *Driver) Off(ctx context.Context) error {
	return d.control(ctx, "power off", chassis.ChassisControlPowerDown)
}

// On switches the power on (chassis control "power up").
func (d *Driver) On(ctx context.Context) error {
	return d.control(ctx, "power on", chassis.ChassisControlPowerUp)
}

// Status reads the power (get chassis status, IPMI 2.0 section 28.2).
func (d *Driver) Status(ctx context.Context) (fencing.Power, error) {
	power := fencing.PowerUnknown
	err := d.do(ctx, "read power", func(ctx context.Context, s *session) error {
		res, err := s.client.GetChassisStatus(ctx)
		if err != nil {
			return classify(err)
		}
		power = fencing.PowerOff
		if res.PowerIsOn {
			power = fencing.PowerOn
		}
		return nil
	})
	if err != nil {
		return fencing.PowerUnknown, err
	}
	return power, nil
}

// Machine reads the system's GUID (IPMI 2.0 section 22.14), in the order of its
// bytes on the wire: BMCs do not agree about what that order means.
func (d *Driver) Machine(ctx context.Context) (string, error) {
	machine := ""
	err := d.do(ctx, "read GUID", func(ctx context.Context, s *session) error {
		res, err := s.client.GetSystemGUID(ctx)
		if err != nil {
			return classify(err)
		}
		machine = hex.EncodeToString(res.GUID[:])
		return nil
	})
	return machine, err
}

func (d *Driver) control(ctx context.Context, verb string, c chassis.ChassisControl) error {
	if err := fencing.CheckNotAfter(ctx); err != nil {
		return fmt.Errorf("%s: %s: %w", d, verb, err)
	}
	return d.do(ctx, verb, func(ctx context.Context, s *session) error {
		// The session may have taken a while, or this process a pause.
		if err := fencing.CheckNotAfter(ctx); err != nil {
			return err
		}
		if _, err := s.client.ChassisControl(ctx, c); err != nil {
			return classify(err)
		}
		return nil
	})
}

// do runs one command in a session of its own, and again in a new one as long
// as nothing answers and ctx has time. All commands here may be repeated.
func (d *Driver) do(ctx context.Context, verb string, command func(context.Context, *session) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	sent := false
	tell := func(err error) error {
		if !sent {
			return fmt.Errorf("%w: %w", fencing.ErrNotSent, err)
		}
		return err
	}
	for {
		start := time.Now()
		err := d.once(ctx, func(ctx context.Context, s *session) error {
			sent = true
			return command(ctx, s)
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && !fencing.Permanent(err):
			return fmt.Errorf("%s: %s: %w: %w", d, verb, tell(fencing.ErrUnreachable), ctx.Err())
		// A host that refuses at once is asked again by the caller, if at all.
		case !errors.Is(err, fencing.ErrUnreachable), time.Since(start) < resendAfter:
			return fmt.Errorf("%s: %s: %w", d, verb, tell(err))
		}
	}
}

func (d *Driver) once(ctx context.Context, command func(context.Context, *session) error) error {
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return command(ctx, s)
}

// suites returns the cipher suites in the order in which they are tried.
func (d *Driver) suites() []types.CipherSuiteID {
	if d.cfg.CipherSuite != 0 {
		return []types.CipherSuiteID{types.CipherSuiteID(d.cfg.CipherSuite)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	suites := []types.CipherSuiteID{types.CipherSuiteID17, types.CipherSuiteID3}
	if d.last == types.CipherSuiteID3 {
		slices.Reverse(suites)
	}
	return suites
}

func (d *Driver) remember(suite types.CipherSuiteID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = suite
}
