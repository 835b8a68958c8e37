package shooter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/fencing"
)

// What a Monitor uses where its fields are zero.
const (
	DefaultInterval = 30 * time.Second
	DefaultTimeout  = 5 * time.Second

	// soonEvery lies between two readings of a device that is wanted soon.
	soonEvery = 2 * time.Second
)

// Monitor reads every device at an interval: it tells early that a password has
// expired, and finds the "on" that a later "off" needs as proof.
type Monitor struct {
	Shooter  *Shooter
	Interval time.Duration // between two readings of a device; DefaultInterval if 0
	Timeout  time.Duration // of one reading; DefaultTimeout if 0
	// Observe, if set, is told every observation. Calls come from several
	// goroutines and must return soon.
	Observe func(Observation)
	// Soon, if set, says that a device should not wait for its interval.
	Soon func(fencing.DeviceName) bool

	mu   sync.Mutex // guards last, never held while waiting
	last map[fencing.DeviceName]Observation
}

// Run reads each device at once and then every Interval, until ctx ends. It
// returns nil then. A device that hangs delays no other one.
func (m *Monitor) Run(ctx context.Context) error {
	if m.Interval < 0 || m.Timeout < 0 {
		return fmt.Errorf("monitor fence devices: interval %v and timeout %v must not be negative", m.Interval, m.Timeout)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range m.Shooter.devices() {
		g.Go(func() error {
			m.follow(ctx, name)
			return nil
		})
	}
	return g.Wait()
}

// Last returns the newest observation of each device, sorted by device. A
// device that was not read yet is missing.
func (m *Monitor) Last() []Observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	var obs []Observation
	for _, name := range m.Shooter.devices() {
		if o, ok := m.last[name]; ok {
			obs = append(obs, o)
		}
	}
	return slices.Clip(obs)
}

func (m *Monitor) follow(ctx context.Context, name fencing.DeviceName) {
	interval, timeout := orDefault(m.Interval, DefaultInterval), orDefault(m.Timeout, DefaultTimeout)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var hanging <-chan answer // a call that did not end when it was told to
	for {
		var o Observation
		o, hanging = m.read(ctx, name, timeout, hanging)
		if ctx.Err() != nil {
			return // an answer to "stop" is no news about the device
		}
		m.keep(o)
		if !m.rest(ctx, name, ticker.C) {
			return
		}
	}
}

// rest waits until a device is to be read again; false is the end.
func (m *Monitor) rest(ctx context.Context, name fencing.DeviceName, due <-chan time.Time) bool {
	var soon <-chan time.Time
	if m.Soon != nil {
		t := time.NewTicker(soonEvery)
		defer t.Stop()
		soon = t.C
	}
	for {
		select {
		case <-due:
			return true
		case <-soon:
			if m.Soon(name) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// read asks the device once, unless an earlier call still hangs in its driver:
// no second one is piled upon it.
func (m *Monitor) read(ctx context.Context, name fencing.DeviceName, timeout time.Duration, hanging <-chan answer) (Observation, <-chan answer) {
	if hanging != nil {
		select {
		case <-hanging: // too old to be an answer
		default:
			err := fmt.Errorf("%w: an earlier call still hangs in the driver", fencing.ErrUnreachable)
			return m.Shooter.observe(name, answer{err: err}), hanging
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	call := ask(ctx, m.Shooter.Fencers[name])
	a := await(ctx, call)
	if !a.hangs {
		call = nil
	}
	return m.Shooter.observe(name, a), call
}

func (m *Monitor) keep(o Observation) {
	m.mu.Lock()
	if m.last == nil {
		m.last = map[fencing.DeviceName]Observation{}
	}
	m.last[o.Device] = o
	m.mu.Unlock()
	if m.Observe != nil {
		m.Observe(o)
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}
