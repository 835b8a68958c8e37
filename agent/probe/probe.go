// Package probe answers "does this reference address reply?", again and again,
// with one ICMP echo per address and interval. What the answers mean, and whether
// a node is isolated, is judged by others.
//
// The echo is made here, on golang.org/x/net/icmp. Of prometheus-community/pro-bing
// v0.9.1 it was seen that it repeats a send for ever, at full speed and deaf to its
// context, where a route is "prohibit" (EACCES); it also keeps a record of every
// lost echo while it runs, and wakes up some twenty times a second.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"sbarbiter/internal/boottime"
)

// DefaultInterval is the time from one echo to the next.
const DefaultInterval = time.Second

// ErrNoReply is an Observation's error when nothing came within the timeout.
var ErrNoReply = errors.New("no reply")

// Target is an address to ask.
type Target struct {
	Address netip.Addr
	Source  netip.Addr // to ask from; the zero Addr leaves it to the routes
}

// String is the address, as an operator writes it.
func (t Target) String() string { return t.Address.String() }

// Observation is what became of one echo.
type Observation struct {
	Target Target
	At     boottime.Instant // when it was known
	OK     bool             // it replied
	RTT    time.Duration    // 0 unless OK
	Err    error            // why not: ErrNoReply, or what the kernel said; nil if OK
}

// Prober asks its targets.
type Prober struct {
	Targets  []Target
	Interval time.Duration // 0: DefaultInterval
	Timeout  time.Duration // for one reply, at most Interval; 0: Interval
}

// Validate says what is wrong with p.
func (p Prober) Validate() error {
	p = p.withDefaults()
	if len(p.Targets) == 0 {
		return errors.New("probe: no reference addresses: name at least one")
	}
	seen := make(map[Target]bool)
	for _, t := range p.Targets {
		if a := t.Address; !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("probe: reference %v: name one host's unicast address", a)
		}
		if t.Source.IsValid() && t.Source.Unmap().Is4() != t.Address.Unmap().Is4() {
			return fmt.Errorf("probe: reference %v from %v: one is IPv4, the other IPv6", t.Address, t.Source)
		}
		if seen[t] {
			return fmt.Errorf("probe: reference %v is named twice", t.Address)
		}
		seen[t] = true
	}
	if p.Interval < 0 || p.Timeout < 0 || p.Timeout > p.Interval {
		return fmt.Errorf("probe: timeout %v must be above zero and at most the interval, %v", p.Timeout, p.Interval)
	}
	return nil
}

func (p Prober) withDefaults() Prober {
	if p.Interval == 0 {
		p.Interval = DefaultInterval
	}
	if p.Timeout == 0 {
		p.Timeout = p.Interval
	}
	return p
}

// Run asks every target at once and then once per interval, until ctx ends. emit
// is called from one goroutine: as soon as a reply comes, at the timeout of an
// echo that got none, or at once where an echo could not be sent. Nothing that
// happens to an echo ends Run; a Prober that does not validate does.
func (p Prober) Run(ctx context.Context, emit func(Observation)) error {
	if err := p.Validate(); err != nil {
		return err
	}
	p = p.withDefaults()
	seen := make(chan Observation)
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range p.Targets {
		g.Go(func() error {
			p.follow(ctx, t, seen)
			return nil
		})
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case o := <-seen:
				emit(o)
			}
		}
	})
	return g.Wait()
}

// follow asks one target. The socket is kept until it fails.
func (p Prober) follow(ctx context.Context, t Target, seen chan<- Observation) {
	e := &echoer{target: t}
	defer e.close()
	tick := time.NewTicker(p.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		rtt, err := e.ask(ctx, p.Timeout)
		o := Observation{Target: t, At: boottime.Now(), OK: err == nil, RTT: rtt, Err: err}
		if ctx.Err() != nil {
			return // cut short, which says nothing about the target
		}
		select {
		case seen <- o:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
