package kernel

import (
	"context"
	"fmt"
	"time"

	"sbarbiter/drbd"
)

const (
	// auditEvery is the time between two comparisons of the stream with 8.4's
	// /proc/drbd. Reading that costs no process.
	auditEvery = 500 * time.Millisecond
	// auditPatience is how many comparisons in a row, without a line of the
	// stream between them, must fail before the stream counts as stuck.
	auditPatience = 3
)

// audit compares what the stream says with /proc/drbd, so that a tool that
// hangs does not pass old state off as the present one. It also shows changes
// of a single volume's role, of which 8.4 prints no event. DRBD 9 has no such
// file to compare with.
func (s *stream) audit(ctx context.Context) error {
	s.refresh(ctx)
	if s.family != drbd.Family84 || !s.tracker.Complete() {
		return nil
	}
	p, err := s.d.proc(ctx)
	if err != nil {
		return err
	}
	for _, name := range s.d.cfg.Resources {
		r, ok, err := s.tracker.Resource(name)
		if !ok || err != nil {
			continue
		}
		now, ok := r.AtProc(p)
		if !ok || agree(r, now) {
			delete(s.differs, name)
			continue
		}
		if s.differs[name]++; s.differs[name] >= auditPatience {
			return fmt.Errorf("event stream of %s is stuck: it says %s; /proc/drbd says %s", name, describe(r), describe(now))
		}
	}
	return nil
}

// agree compares what both sources show at every moment.
func agree(a, b drbd.Resource) bool {
	return a.Role == b.Role && a.ConnState() == b.ConnState() && a.WorstDisk() == b.WorstDisk()
}

// refresh shows the watched resources of which a volume's own role is not what
// was last shown.
func (s *stream) refresh(ctx context.Context) {
	if s.family != drbd.Family84 || !s.tracker.Complete() {
		return
	}
	for _, name := range s.d.cfg.Resources {
		shown, ok := s.d.liveResource(name)
		if !ok {
			continue
		}
		now := s.d.withProc(ctx, s.family, shown)
		for i, v := range now.Volumes {
			if v.Role != shown.Volumes[i].Role {
				s.changed[name] = true
			}
		}
	}
	s.show(ctx)
}
