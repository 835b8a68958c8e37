package lab

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

type powerOp int

const (
	opOn powerOp = iota
	opOff
	opCycle
	opQuit // off, and the supervisor ends
)

// powerOrder is one use of the power switch. done is closed when the node is
// as it was ordered to be.
type powerOrder struct {
	op   powerOp
	why  string
	done chan struct{}
}

// machine is the power supply and firmware of a node: it alone starts and
// ends the node's processes. Its loop owns everything but the atomics, which
// are copies for others to read.
type machine struct {
	name  string
	boot  func() (*group, error)
	note  func(format string, args ...any)
	order chan powerOrder
	ended chan struct{}

	current atomic.Pointer[group]
	boots   atomic.Int64
}

func newMachine(name string, boot func() (*group, error), note func(string, ...any)) *machine {
	return &machine{name: name, boot: boot, note: note, order: make(chan powerOrder), ended: make(chan struct{})}
}

// rails is what the loop remembers.
type rails struct {
	on      bool
	cut     bool      // killed, and not gone yet
	fresh   bool      // the next start follows a cut
	since   time.Time // last start, or the moment power was cut
	fails   int
	waiting []chan struct{}
}

// run is the machine's loop; it ends with an opQuit.
func (m *machine) run() {
	defer close(m.ended)
	var r rails
	for {
		var gone <-chan struct{}
		if g := m.current.Load(); g != nil {
			gone = g.gone
		}
		select {
		case o := <-m.order:
			m.obey(&r, o)
			if o.op == opQuit {
				m.finish(&r)
				return
			}
		case <-gone:
			m.afterEnd(&r)
		}
	}
}

func (m *machine) obey(r *rails, o powerOrder) {
	g := m.current.Load()
	r.on = o.op == opOn || o.op == opCycle
	r.fails = 0
	r.waiting = append(r.waiting, o.done)
	switch {
	case g != nil && r.cut: // afterEnd goes on
	case g != nil && o.op == opOn:
		r.release()
	case g != nil:
		m.note("power cut (%s)", o.why)
		r.since, r.cut = time.Now(), true
		g.kill()
	case r.on:
		m.start(r, "power on ("+o.why+")")
	default:
		m.note("power cut (%s), of a machine that is off", o.why)
		r.release()
	}
}

// afterEnd sees that the process group is gone: because it was cut, or by
// itself, which a firmware answers with a new boot.
func (m *machine) afterEnd(r *rails) {
	m.current.Store(nil)
	r.fresh, r.cut = r.cut, false
	if r.fresh {
		m.note("power is off, %d ms after the cut", time.Since(r.since).Milliseconds())
	} else if time.Since(r.since) < time.Second {
		r.fails++
	}
	if !r.on {
		r.release()
		return
	}
	if r.fails >= 3 {
		r.on = false
		m.note("ended %d times within a second of its start: left off", r.fails)
		return
	}
	if r.fresh {
		m.start(r, "power on again")
		return
	}
	m.start(r, "firmware boots the node: its kernel had ended or reset itself")
}

func (m *machine) start(r *rails, why string) {
	r.since = time.Now()
	g, err := m.boot()
	if err != nil {
		r.on = false
		m.note("cannot boot: %v", err)
		r.release()
		return
	}
	m.current.Store(g)
	m.boots.Add(1)
	m.note("%s", why)
	r.release()
}

func (m *machine) finish(r *rails) {
	if g := m.current.Load(); g != nil {
		g.kill()
		<-g.gone
		m.current.Store(nil)
	}
	r.release()
}

func (r *rails) release() {
	for _, w := range r.waiting {
		close(w)
	}
	r.waiting = nil
}

// press hands an order in; the result is closed when it has been carried out.
func (m *machine) press(op powerOp, why string) <-chan struct{} {
	o := powerOrder{op: op, why: why, done: make(chan struct{})}
	select {
	case m.order <- o:
	case <-m.ended:
		close(o.done)
	}
	return o.done
}

func (m *machine) use(ctx context.Context, op powerOp, why string) error {
	select {
	case <-m.press(op, why):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("switch power of %s: %w", m.name, ctx.Err())
	}
}
