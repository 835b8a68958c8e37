// Package pair starts the whole of sbarbiter in the lab and answers "is it
// right?": two agents with DRBD under them, a witness, BMCs and a writer, all
// of them the programs and files that an operator installs.
//
// It drives them as an operator would, with sbctl, and judges by what others
// saw: the writer's acknowledgements, the BMCs' switches, the daemons' own
// logs in one timeline. What to break, and what has to follow, is left to the
// scenarios.
package pair

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// Names in the pair's configuration.
const (
	Cluster      = "nfs1"
	Group        = "nfs"
	GroupAddress = "10.90.0.100"
)

// Config says what to start. The zero value is the standard pair.
type Config struct {
	Binaries string    // directory of built programs; "" builds them
	Log      io.Writer // the lab's events as they happen; nil for none
	LogDir   string    // takes consoles and witness log at Close; "" drops them
	// Edit changes a configuration file before it is laid; nil for none. name
	// is node-a.yaml, node-b.yaml, cluster.yaml or witness.yaml.
	Edit func(host, name, text string) string
	// Accepted is a finding that this pair has from its start, or part of it.
	Accepted string
	// DiskSize is the size of the replicated disk in bytes; 0 is the lab's own.
	DiskSize int64
	// Watch is given the timeline as soon as the hosts are up; nil for none.
	Watch func(*Timeline)
}

// Pair is a running pair.
type Pair struct {
	*lab.Lab

	cfg      Config
	since    time.Time
	changed  map[string]bool // files that are not as they were laid
	timeline *Timeline
	closing  sync.Once
}

// greenWithin is how long a healthy pair may take until it says so.
const greenWithin = 60 * time.Second

// Start builds what has to be built and returns when the group runs on one
// node with full redundancy. ctx bounds the start only. Close must be called;
// it also happens when the process dies.
func Start(ctx context.Context, cfg Config) (*Pair, error) {
	if err := lab.Ready(); err != nil {
		return nil, fmt.Errorf("start pair: %w", err)
	}
	bin, err := Programs(ctx, cfg.Binaries)
	if err != nil {
		return nil, fmt.Errorf("start pair: %w", err)
	}
	p := &Pair{cfg: cfg, since: time.Now(), changed: map[string]bool{}}
	if err := p.start(ctx, bin); err != nil {
		p.Close()
		return nil, fmt.Errorf("start pair: %w", err)
	}
	return p, nil
}

func (p *Pair) start(ctx context.Context, bin string) error {
	host, err := p.prepare(ctx, bin)
	if err != nil {
		return err
	}
	if p.Lab, err = lab.Start(ctx, host); err != nil {
		return err
	}
	p.timeline = newTimeline(p.Lab)
	if p.cfg.Watch != nil {
		p.cfg.Watch(p.timeline)
	}
	ctx, cancel := context.WithTimeout(ctx, greenWithin)
	defer cancel()
	if err := p.WaitGreen(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, p.timeline.Text(time.Time{}))
	}
	return p.Begin(ctx)
}

// Close ends and removes everything. It may be called twice.
func (p *Pair) Close() {
	p.closing.Do(func() {
		if p.Lab != nil {
			p.Lab.Close()
		}
	})
}

// Timeline is what all hosts said, in one order.
func (p *Pair) Timeline() *Timeline { return p.timeline }

// poll calls f until it returns nil; the error after ctx is f's last.
func poll(ctx context.Context, every time.Duration, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		case <-time.After(every):
		}
	}
}
