package kernel

import (
	"context"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/internal/boottime"
)

// Observation is what Run saw of one resource: [Seen], [Absent], [Unknown] or
// [HandlerSeen].
type Observation interface{ observation() }

// Seen is the state of a resource as of At.
type Seen struct {
	At       boottime.Instant
	Resource drbd.Resource
}

// Absent says that the kernel does not have the resource.
type Absent struct {
	At       boottime.Instant
	Resource string
}

// Unknown says that nothing is known of the resource since then, whatever was
// seen before, until the next Seen or Absent.
type Unknown struct {
	Since    boottime.Instant
	Resource string
	Cause    error
}

// HandlerSeen says that the kernel called a handler, or that one returned.
type HandlerSeen struct {
	At    boottime.Instant
	Event drbd.HelperEvent
}

func (Seen) observation()        {}
func (Absent) observation()      {}
func (Unknown) observation()     {}
func (HandlerSeen) observation() {}

const (
	// firstPause and longestPause bound the wait before the stream is started
	// again; it doubles each time the stream ends without having come to life.
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Run follows DRBD's event stream until ctx ends, and calls emit, from this
// goroutine alone, with every change of the resources that the driver is for.
// One tool process runs all the while; when it ends, or events were lost, each
// resource is Unknown at once and everything is read anew. Run returns nil
// when ctx ended.
func (d *Driver) Run(ctx context.Context, emit func(Observation)) error {
	pause := firstPause
	for {
		alive, err := d.follow(ctx, emit)
		for _, name := range d.cfg.Resources {
			d.dropLive(name)
		}
		if ctx.Err() != nil {
			return nil
		}
		now := boottime.Now()
		for _, name := range d.cfg.Resources {
			emit(Unknown{Since: now, Resource: name, Cause: err})
		}
		d.log.Warn("DRBD event stream broke", "cause", err, "next try in", pause)
		if alive {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}
