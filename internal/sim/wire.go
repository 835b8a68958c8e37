package sim

import (
	"slices"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/drbd/model"
)

// What DRBD's connection and a resync take, as deploy/drbd configures them: an
// end that hears nothing notices after ping-int and ping-timeout, and looks for
// its peer about every connect-int.
const (
	noticeMin, noticeMax = 1000 * time.Millisecond, 1500 * time.Millisecond
	dialMin, dialMax     = 100 * time.Millisecond, 1200 * time.Millisecond
	hopMin, hopMax       = 80 * time.Microsecond, 600 * time.Microsecond
	pushMin, pushMax     = 50 * time.Millisecond, 400 * time.Millisecond
	newsMin, newsMax     = 5 * time.Millisecond, 30 * time.Millisecond
	pushBlocks           = 8
)

// wire carries what one end sends, in order. It is a TCP stream: what is cut for
// a moment arrives later, unless an end has given the session up by then.
type wire struct {
	queue  []parcel
	last   time.Duration // arrival of the newest
	moving bool
	closed model.Session // this end has hung up; the other end learns of it behind the queue
}

type parcel struct {
	at      time.Duration
	message model.Message
}

// carry sends a message to the other end.
func (c *replica) carry(m model.Message) {
	q := &c.wire
	q.last = max(q.last, c.v.w.now+c.v.w.between(hopMin, hopMax))
	q.queue = append(q.queue, parcel{q.last, m})
	c.move()
}

func (c *replica) hangUp(s model.Session) {
	c.wire.closed = s
	c.move()
}

// move delivers what has arrived, and comes back for the rest.
func (c *replica) move() {
	q := &c.wire
	if q.moving || len(q.queue) == 0 && q.closed == 0 {
		return
	}
	at := c.v.w.now + hopMin
	if len(q.queue) > 0 {
		at = q.queue[0].at
	}
	q.moving = true
	c.v.w.sched(at-c.v.w.now, c.arrival)
}

func (c *replica) arrives() {
	c.wire.moving = false
	c.deliver()
}

// deliver hands over what has arrived. What a cut, or a machine that stands
// still, keeps back stays queued; [World.reach] moves it again.
func (c *replica) deliver() {
	q, to := &c.wire, c.other()
	for len(q.queue) > 0 && q.queue[0].at <= c.v.w.now {
		if !c.v.w.carries(c.n, to.n) {
			return
		}
		m := q.queue[0].message
		q.queue = slices.Delete(q.queue, 0, 1)
		to.step(model.Receive{Message: m})
	}
	if len(q.queue) == 0 && q.closed != 0 && c.v.w.carries(c.n, to.n) {
		s := q.closed
		q.closed = 0
		to.step(model.LinkDown{Session: s})
	}
	c.move()
}

// carries reports whether what a node has sent reaches the other one now.
func (w *World) carries(from, to *Node) bool {
	return w.wire[from.host] && to.running && !to.frozen
}

// reach looks whether the connections between the nodes can live, after
// something that may have changed it.
func (w *World) reach() {
	a, b := w.nodes[A], w.nodes[B]
	linked := w.carries(a, b) && w.carries(b, a)
	for _, v := range w.disks {
		if v != nil {
			v.reach(linked)
		}
	}
}

func (v *volume) reach(linked bool) {
	for _, c := range v.ends {
		c.move()
	}
	if v.linked == linked {
		v.dial()
		return
	}
	v.linked = linked
	v.changes++
	changes := v.changes
	for _, c := range v.ends {
		s := c.drbd.Session()
		if s == 0 {
			continue
		}
		if !linked {
			c.notice(s, v.w.between(noticeMin, noticeMax), func() bool { return v.changes == changes })
			continue
		}
		// The other end may have given the session up meanwhile: then this one's
		// next packet is refused.
		c.notice(s, 2*hopMax, func() bool { return c.other().drbd.Session() != s })
	}
	v.dial()
}

// notice ends this end's session after a while, if it is still lost then.
func (c *replica) notice(s model.Session, after time.Duration, lost func() bool) {
	c.n.local(after, func() {
		if c.drbd.Session() == s && lost() {
			c.step(model.LinkDown{Session: s})
		}
	})
}

// dial makes a connection where both ends look for one.
func (v *volume) dial() {
	if v.dialing || !v.wanted() {
		return
	}
	v.dialing = true
	v.w.after(v.w.between(dialMin, dialMax), func() {
		v.dialing = false
		if v.wanted() {
			v.connect()
		}
	})
}

func (v *volume) wanted() bool {
	for _, c := range v.ends {
		if !v.linked || !c.drbd.On() || c.drbd.Conn() != drbd.ConnConnecting || c.drbd.Session() != 0 {
			return false
		}
	}
	return true
}

func (v *volume) connect() {
	v.session++
	ties := v.w.rng.IntN(2)
	for i, c := range v.ends {
		c.wire = wire{moving: c.wire.moving, last: c.wire.last}
		c.step(model.LinkUp{Session: v.session, BreaksTies: i == ties})
	}
}
