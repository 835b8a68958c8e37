package lab

import (
	"time"

	"sbarbiter/chaos-tests/lab/record"
)

const (
	silence  = time.Second      // longer between two reports of a process, and it was not active between them
	smallest = time.Millisecond // what one report within the other's span counts
)

// span is a time in which one process of a node's writer was active.
type span struct {
	node     string
	from, to time.Time
}

// spans joins the reports of one kind, which are in order of time, into spans.
func spans(reports []heard, kind record.Kind) []span {
	var done []span
	open := map[string]*span{} // by run
	for _, h := range reports {
		if h.Kind != kind {
			continue
		}
		s := open[h.Record.Run]
		if s != nil && h.at.Sub(s.to) < silence {
			s.to = h.at
			continue
		}
		if s != nil {
			done = append(done, *s)
		}
		open[h.Record.Run] = &span{node: h.Record.Node, from: h.at, to: h.at}
	}
	for _, s := range open {
		done = append(done, *s)
	}
	return done
}

// overlap adds up the times in which spans of both nodes run at once.
func overlap(reports []heard, kind record.Kind) time.Duration {
	var sum time.Duration
	all := spans(reports, kind)
	for _, a := range all {
		for _, b := range all {
			if a.node < b.node {
				sum += common(a, b)
			}
		}
	}
	return sum
}

func common(a, b span) time.Duration {
	from, to := a.from, a.to
	if b.from.After(from) {
		from = b.from
	}
	if b.to.Before(to) {
		to = b.to
	}
	if to.Before(from) {
		return 0
	}
	return max(to.Sub(from), smallest)
}
