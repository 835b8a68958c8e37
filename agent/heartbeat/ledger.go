package heartbeat

import (
	"time"

	"sbarbiter/internal/boottime"
)

// Identity is one life of the peer's agent.
type Identity struct {
	Boot        string
	Incarnation uint64
}

// outcome is what becomes of an authentic datagram.
type outcome int

const (
	delivered   outcome = iota // the first with this seq: handed on
	duplicate                  // another link was faster
	late                       // first seen, but something newer was handed on before
	replayed                   // this link has had it already
	outdated                   // of a life of the peer that is over
	conflicting                // somebody else lives under the peer's name
)

// track is what is known of one link.
type track struct {
	seen      window
	since     uint64           // loss is counted from this seq on: an outage was before it
	clock     boottime.Instant // of the peer, in the newest datagram
	lastEcho  boottime.Instant // newest clock of ours that came back
	echo      echo             // newest, about this life of ours
	echoSent  uint64           // our newest seq when it came
	stats     LinkStats
	failingAt boottime.Instant // first of an unbroken row of failed sends
	told      bool             // that the link cannot be used
}

// ledger says which datagrams count, and keeps the figures. It is told the time
// and does no I/O.
type ledger struct {
	own   uint64 // our incarnation
	peer  Identity
	first uint64 // first seq accepted of this life of the peer
	top   uint64 // newest one, over all links
	links []track

	// over holds the boots of the peer that have ended, each with the last sign
	// of life. They are dropped for good, whatever incarnation they claim.
	over map[string]sign
}

type sign struct{ incarnation, seq uint64 }

func (s sign) before(o sign) bool {
	return s.incarnation < o.incarnation || s.incarnation == o.incarnation && s.seq < o.seq
}

func newLedger(own, peerFloor uint64, links []Link) *ledger {
	l := &ledger{own: own, peer: Identity{Incarnation: peerFloor}, over: make(map[string]sign)}
	for _, k := range links {
		l.links = append(l.links, track{stats: LinkStats{Name: k.Name}})
	}
	return l
}

// observe takes an authentic datagram that came on a link at an instant; sent
// is our newest seq.
func (l *ledger) observe(link int, at boottime.Instant, d *datagram, sent uint64) outcome {
	t := &l.links[link]
	if o := l.admit(d); o != delivered {
		t.stats.Outdated++
		return o
	}
	newest, back := d.seq > t.seen.top, d.seq > max(t.seen.top, l.first-1)+outage
	if !t.seen.add(d.seq) {
		t.stats.Replays++
		return replayed
	}
	t.stats.Received++
	if back {
		t.since = d.seq
	}
	if newest {
		t.stats.LastReceived = at
		t.clock = d.clock
		l.hear(t, at, d, sent)
	}
	switch {
	case d.seq > l.top:
		l.top = d.seq
		return delivered
	case l.seenElsewhere(link, d.seq):
		return duplicate
	}
	t.stats.Late++
	return late
}

// admit asks whether d comes from the life of the peer that counts, or begins a
// new one: a boot id never seen, or the same, with a higher incarnation.
func (l *ledger) admit(d *datagram) outcome {
	who := Identity{Boot: d.boot, Incarnation: d.incarnation}
	if who == l.peer {
		return delivered
	}
	if last, ended := l.over[d.boot]; ended {
		now := sign{d.incarnation, d.seq}
		if !last.before(now) {
			return outdated
		}
		l.over[d.boot] = now
		return conflicting
	}
	unknown := l.peer.Boot == ""
	switch {
	case d.incarnation > l.peer.Incarnation, unknown && d.incarnation == l.peer.Incarnation:
		l.begin(who, d.seq)
		return delivered
	case d.boot != l.peer.Boot && !unknown && d.incarnation == l.peer.Incarnation:
		return conflicting
	case d.boot != l.peer.Boot && d.echo.incarnation == l.own:
		// A recording from before our start could not echo this life of ours:
		// somebody lives there whose counter went back.
		return conflicting
	}
	return outdated
}

func (l *ledger) begin(who Identity, seq uint64) {
	if l.peer.Boot != "" && l.peer.Boot != who.Boot {
		l.over[l.peer.Boot] = sign{l.peer.Incarnation, l.top}
	}
	l.peer, l.first, l.top = who, seq, 0
	for i := range l.links {
		t := &l.links[i]
		t.seen, t.since, t.clock, t.echo, t.echoSent = window{}, 0, 0, echo{}, 0
	}
}

func (l *ledger) seenElsewhere(link int, seq uint64) bool {
	for i := range l.links {
		if i != link && l.links[i].seen.has(seq) {
			return true
		}
	}
	return false
}

// hear takes what the peer says about our own datagrams on this link.
func (l *ledger) hear(t *track, at boottime.Instant, d *datagram, sent uint64) {
	e := d.echo
	if e.incarnation != l.own || e.newest > sent || e.clock > at {
		return
	}
	t.echo, t.echoSent = e, sent
	if e.clock <= t.lastEcho {
		return
	}
	t.lastEcho = e.clock
	t.stats.Confirmed = e.clock
	if e.hold == holdUnknown {
		return
	}
	rtt := max(0, at.Sub(e.clock)-time.Duration(e.hold)*time.Microsecond)
	if t.stats.RTT == 0 {
		t.stats.RTT = rtt
		return
	}
	t.stats.RTT += (rtt - t.stats.RTT) / 8 // smoothed as TCP does it (RFC 6298)
}

// answer is the echo for a datagram that leaves now.
func (l *ledger) answer(link int, now boottime.Instant) echo {
	t := &l.links[link]
	if l.top == 0 {
		return echo{}
	}
	received, span := l.arrived(t)
	e := echo{
		incarnation: l.peer.Incarnation, newest: l.top,
		received: uint8(received), span: uint8(span), clock: t.clock, hold: holdUnknown,
	}
	if us := now.Sub(t.stats.LastReceived).Microseconds(); t.clock != 0 && us >= 0 && us < int64(holdUnknown) {
		e.hold = uint32(us)
	}
	return e
}

// arrived counts, of the peer's last seqs on any link, those that this link
// brought. What an outage has taken, which is over and was told as such, is no loss
// of a link that is back.
func (l *ledger) arrived(t *track) (received, span int) {
	end := l.top
	if t.seen.top != 0 && end-t.seen.top <= inFlight {
		end = t.seen.top
	}
	if end < l.first {
		return 0, 0
	}
	n := min(windowSpan, end-max(l.first, t.since)+1)
	return t.seen.count(end, n), int(n)
}

// sentLoss is the share of our datagrams that the peer misses on this link:
// those it told of, and those it would have told of had it heard them.
func (t *track) sentLoss() float64 {
	if t.echo.incarnation == 0 {
		return 0
	}
	unheard := float64(t.echoSent - t.echo.newest)
	if unheard <= inFlight {
		unheard = 0
	}
	unheard = min(unheard, windowSpan)
	told := min(float64(t.echo.span), windowSpan-unheard)
	missed := unheard
	if t.echo.span > 0 {
		missed += told * float64(t.echo.span-t.echo.received) / float64(t.echo.span)
	}
	if unheard+told == 0 {
		return 0
	}
	return 100 * missed / (unheard + told)
}

// report copies the figures of all links.
func (l *ledger) report() []LinkStats {
	out := make([]LinkStats, len(l.links))
	for i := range l.links {
		t := &l.links[i]
		out[i] = t.stats
		if received, span := l.arrived(t); span >= fewest {
			out[i].ReceivedLossPercent = 100 * float64(span-received) / float64(span)
		}
		out[i].SentLossPercent = t.sentLoss()
	}
	return out
}
