package heartbeat

import "math/bits"

const (
	// windowSpan is over how many seqs loss is computed.
	windowSpan = 100
	// windowBits is how far back a seq is remembered; more than windowSpan.
	windowBits = 128
	// inFlight is how many of the newest seqs may be still on their way (on a
	// slower link, or to the peer) before they count as lost.
	inFlight = 2
	// outage is how many seqs in a row a link may miss and still be one that loses
	// some. After more it was down, and its loss is counted anew.
	outage = 9
	// fewest seqs are enough to tell a loss by: one of three is not 33 %.
	fewest = 20
)

// window remembers which of the last windowBits seqs arrived.
type window struct {
	top  uint64 // the highest seq that arrived; 0: none
	lo   uint64 // bit i: top-i arrived
	high uint64 // bit i: top-64-i arrived
}

// add notes seq and reports whether it is the first with this number. What is
// too old to be remembered counts as seen.
func (w *window) add(seq uint64) bool {
	if seq > w.top {
		w.shift(seq - w.top)
		w.top = seq
		w.lo |= 1
		return true
	}
	if w.has(seq) || w.top-seq >= windowBits {
		return false
	}
	if age := w.top - seq; age < 64 {
		w.lo |= 1 << age
	} else {
		w.high |= 1 << (age - 64)
	}
	return true
}

// shift makes room for n newer seqs. Go shifts by 64 and more to zero.
func (w *window) shift(n uint64) {
	if n < 64 {
		w.high = w.high<<n | w.lo>>(64-n)
	} else {
		w.high = w.lo << (n - 64)
	}
	w.lo <<= n
}

func (w *window) has(seq uint64) bool {
	if seq > w.top {
		return false
	}
	age := w.top - seq
	if age < 64 {
		return w.lo>>age&1 == 1
	}
	return w.high>>(age-64)&1 == 1 // an age of windowBits and more shifts to 0
}

// count says how many of the span seqs that end with newest arrived. newest is
// never below the top.
func (w *window) count(newest uint64, span uint64) int {
	c := *w
	c.shift(newest - c.top)
	return bits.OnesCount64(c.lo&mask(span)) + bits.OnesCount64(c.high&mask(span-min(span, 64)))
}

func mask(n uint64) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}
