package lab

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Event is something that the lab did or saw, at the lab's own clock.
type Event struct {
	At   time.Time
	Host string // node-a, node-b, witness, gateway, bmc-a, bmc-b or lab
	What string
}

// eventLog is the one list of events; safe for use by many goroutines.
type eventLog struct {
	start time.Time
	out   io.Writer

	mu     sync.Mutex
	events []Event
}

func (l *eventLog) note(host, format string, args ...any) {
	e := Event{At: time.Now(), Host: host, What: fmt.Sprintf(format, args...)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	// The log is for eyes only; what it cannot take is in Events.
	_, _ = fmt.Fprintf(l.out, "%8.3f %-8s %s\n", e.At.Sub(l.start).Seconds(), host, e.What)
}

// Events returns everything noted so far, oldest first.
func (l *Lab) Events() []Event {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	return slices.Clone(l.log.events)
}

// Note adds an event of the caller's own to the list.
func (l *Lab) Note(host, format string, args ...any) { l.log.note(host, format, args...) }
