package sim

import (
	"time"

	"sbarbiter/arbiter/leader"
)

// snag keeps the next message of one kind that a node sends to the witness for a
// while. It arrives all the same, and first: what was sent before a way was cut
// may come out of a switch's queue behind it.
type snag struct {
	is   func(leader.Message) bool
	late time.Duration
	then func() // when it has left
}

// is tells messages of one kind.
func is[T leader.Message](m leader.Message) bool {
	_, ok := m.(T)
	return ok
}

// snags reports whether it keeps the message.
func (n *Node) snags(q *question) bool {
	s := n.snag
	if s == nil || !s.is(q.message) {
		return false
	}
	n.snag, q.through = nil, true
	n.w.line("fault", "", string(n.id)+" is slow to be heard", "the message is on its way for "+s.late.String())
	n.w.sched(s.late, q)
	n.w.after(0, s.then)
	return true
}

// when does something as soon as something is so, if that is before the end.
func (w *World) when(so func() bool, end time.Duration, do func()) {
	l := &lookout{w, so, end, do}
	l.happen()
}

// lookout looks again and again whether something is so.
type lookout struct {
	w   *World
	so  func() bool
	end time.Duration
	do  func()
}

func (l *lookout) happen() {
	switch {
	case l.w.now >= l.end:
	case l.so():
		l.do()
	default:
		l.w.sched(lookEvery, l)
	}
}

const lookEvery = 5 * time.Millisecond
