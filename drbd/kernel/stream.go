package kernel

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/internal/boottime"
)

// stream turns one run of events2 into observations.
type stream struct {
	d       *Driver
	family  drbd.Family
	emit    func(Observation)
	tracker drbd.Tracker
	changed map[string]bool // watched resources to be shown
	differs map[string]int  // audits in a row that contradicted the stream
}

// follow runs one stream to its end. Alive reports whether it got as far as
// the present state.
func (d *Driver) follow(ctx context.Context, emit func(Observation)) (alive bool, err error) {
	f, err := d.Family(ctx)
	if err != nil {
		return false, err
	}
	cmd := drbd.For(f).Events()
	c := d.command(f, cmd)
	var stderr limitedBuffer
	c.Stderr = &stderr
	c.WaitDelay = pipeGrace
	stdout, err := c.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("run %q: %w", cmd, err)
	}
	if err := c.Start(); err != nil {
		return false, fmt.Errorf("run %q: %w: %w", cmd, ErrNoDriver, err)
	}
	batches := make(chan []string)
	quit := make(chan struct{})
	go pump(stdout, batches, quit)
	s := stream{d: d, family: f, emit: emit, changed: map[string]bool{}, differs: map[string]int{}}
	err = s.loop(ctx, batches)
	killGroup(c)
	_ = stdout.Close() // so that pump ends, whoever else has the pipe
	close(quit)
	for range batches { // until pump has ended
	}
	if waitErr := c.Wait(); err == nil {
		err = fmt.Errorf("run %q: it ended (%s): %s", cmd, ended(waitErr), strings.TrimSpace(stderr.String()))
	}
	return s.tracker.Complete(), err
}

// pump sends the lines of r, those together that arrived together, until r
// ends or quit is closed. Then it closes batches.
func pump(r io.Reader, batches chan<- []string, quit <-chan struct{}) {
	defer close(batches)
	b := bufio.NewReaderSize(r, 64<<10)
	var batch []string
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			return // what was cut off in the middle of a line is no event
		}
		batch = append(batch, line)
		if waiting, _ := b.Peek(b.Buffered()); slices.Contains(waiting, '\n') {
			continue
		}
		select {
		case batches <- batch:
			batch = nil
		case <-quit:
			return
		}
	}
}

// loop takes in lines until the stream breaks; it returns nil when it ended.
func (s *stream) loop(ctx context.Context, batches <-chan []string) error {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case batch, ok := <-batches:
			if !ok {
				return nil
			}
			err = s.take(ctx, batch)
		case <-tick.C:
			err = s.audit(ctx)
		case <-s.d.poke:
			s.refresh(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// take applies a batch and shows what came of it: one change of state is
// printed as several lines, and halves of it never existed.
func (s *stream) take(ctx context.Context, batch []string) error {
	clear(s.differs)
	for _, line := range batch {
		if err := s.line(ctx, line); err != nil {
			return err
		}
	}
	s.show(ctx)
	return nil
}

func (s *stream) line(ctx context.Context, line string) error {
	e, err := drbd.ParseEvent(line)
	if err != nil {
		return err
	}
	h, isHelper, err := e.Helper()
	if err != nil {
		return err
	}
	if isHelper && s.watches(h.Resource) {
		s.show(ctx) // what led to the call comes before it
		s.emit(HandlerSeen{At: boottime.Now(), Event: h})
	}
	changed, err := s.tracker.Apply(e)
	if err != nil {
		return err
	}
	if e.Action == drbd.ActionDumpEnd {
		for _, name := range s.d.cfg.Resources {
			s.changed[name] = true
		}
	}
	if changed && s.watches(e.Resource) {
		s.changed[e.Resource] = true
	}
	return nil
}

func (s *stream) watches(name string) bool { return slices.Contains(s.d.cfg.Resources, name) }

// show emits every watched resource that changed, once the present state has
// been read in full.
func (s *stream) show(ctx context.Context) {
	if !s.tracker.Complete() {
		return
	}
	for _, name := range s.d.cfg.Resources {
		if s.changed[name] {
			s.showOne(ctx, name)
		}
	}
	clear(s.changed)
}

func (s *stream) showOne(ctx context.Context, name string) {
	now := boottime.Now()
	r, ok, err := s.tracker.Resource(name)
	switch {
	case err != nil:
		s.d.dropLive(name)
		s.emit(Unknown{Since: now, Resource: name, Cause: err})
	case !ok:
		s.d.dropLive(name)
		s.emit(Absent{At: now, Resource: name})
	default:
		r = s.d.withProc(ctx, s.family, r)
		s.d.setLive(r)
		s.emit(Seen{At: now, Resource: r})
	}
}

// ended says how a process that should go on for ever came to its end.
func ended(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
