package shooter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sbarbiter/fencing"
)

// Revive switches a target on again after a shot that was proven: every device
// that took part, at once, for a machine with two supplies wants both. It must
// not be called before the proof: a supply that comes back early would leave the
// machine running. It returns when all of them read on, or when each has had its
// attempts; the error names those that do not read on.
func (s *Shooter) Revive(ctx context.Context, spec fencing.Spec, shot fencing.Result) error {
	if !shot.Proven {
		return fmt.Errorf("switch %s on: it is not proven off", spec.Target)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(shot.Devices))
	for i, d := range shot.Devices {
		if !d.Tried || s.Fencers[d.Device] == nil || !d.Off && d.Failure == "" {
			continue
		}
		limits, ok := spec.Limits[d.Device]
		if !ok {
			limits = fencing.DefaultLimits()
		}
		wg.Go(func() {
			if err := s.revive(ctx, d.Device, limits); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				errs[i] = fmt.Errorf("%s: %w", d.Device, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("switch %s on: %w", spec.Target, err)
	}
	return nil
}

// revive switches one device on until it says so.
func (s *Shooter) revive(ctx context.Context, name fencing.DeviceName, l fencing.Limits) error {
	ctx, cancel := context.WithTimeout(ctx, l.Total)
	defer cancel()
	err := errors.New("it was not asked")
	for range l.Attempts {
		if err = s.call(ctx, l, s.Fencers[name].On); fencing.Permanent(err) || errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		for end := time.Now().Add(l.Settle); ; {
			var power fencing.Power
			rerr := s.call(ctx, l, func(ctx context.Context) (err error) {
				power, err = s.Fencers[name].Status(ctx)
				return err
			})
			if rerr == nil && power == fencing.PowerOn {
				return nil
			}
			if err == nil || rerr != nil {
				err = errors.Join(rerr, fmt.Errorf("it reads %s", power))
			}
			if !pause(ctx, l.Poll) || time.Now().After(end) {
				break
			}
		}
		if !pause(ctx, l.Retry) {
			break
		}
	}
	return err
}

func (s *Shooter) call(ctx context.Context, l fencing.Limits, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.Call)
	defer cancel()
	done := make(chan answer, 1)
	go func() { done <- answer{err: do(ctx)} }()
	return await(ctx, done).err
}

// pause waits, and reports whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
