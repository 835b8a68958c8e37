package agent

import (
	"errors"
	"fmt"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Phase is how far a group is on this node.
type Phase string

// The phases of a group on a node.
const (
	Quarantine Phase = "quarantine" // nothing is done before a witness has answered
	Stopped    Phase = "stopped"
	Starting   Phase = "starting"
	Running    Phase = "running"
	Stopping   Phase = "stopping"
)

// group is what the machine knows of one group.
type group struct {
	cfg   GroupConfig
	id    arbiter.GroupID
	phase Phase

	right     right
	peerOutAt boottime.Instant // what the witness has recorded of the peer's copy changed last
	wasUp     bool             // services have run under this right
	granted   arbiter.Basis
	barred    bool
	stopBy    boottime.Instant // a stop ends in a reset
	stops     uint64           // number of the last one ordered
	attempt   attempt
	failed    string
	failures  int // since it has run here last
	backoff   boottime.Instant

	bid     *bid
	release *call
	receipt arbiter.Epoch // the latest that this life of the agent has given back
	earlier arbiter.Epoch // the latest that an earlier life may have taken

	answer   leader.GroupAnswer // the witness's latest
	answerAt boottime.Instant   // send time of the beat it answers
	services []leader.Service

	promised promise
	excl     exclusion
	readmit  *call
	outdate  *outdating
	demoteAt boottime.Instant
	thawAt   boottime.Instant // no write waited without a handler at
	stranded bool             // said that nobody may take over
	split    string           // the resource that DRBD has called split, until it is connected
	joined   bool             // DRBD looks for its peer, or did so in this boot
	followed bool             // its resync was looked after last: this copy was given up
	carries  int              // by the hands, under way
	parting  bool             // DRBD is being disconnected
	doubting []string         // the resources whose copies are being invalidated
	renewed  bool             // they were, in this life of the agent, and the two were not in step since
	undone   string           // why it could not be
	sole     bool             // it may have what no other copy has: what becomes of it is for a recovery
	joinAt   boottime.Instant
	meetBy   boottime.Instant // the peer, if it is there
	errand   *errand          // of a recovery; nil: none
	tenured  tenured
}

// right is the permission to run a group: a lease, or the peer's promise for
// the same epoch, each with the instant at which it runs out.
type right struct {
	epoch   arbiter.Epoch
	since   boottime.Instant // what the witness said before is about another one
	sent    boottime.Instant // of the latest request that has made it longer
	lease   boottime.Instant
	promise boottime.Instant
	refused string // by the witness, which has told us why
	failed  string // why the group could not be started under it
}

func (r *right) until() boottime.Instant { return max(r.lease, r.promise) }

// resume takes over from the agent before this one: services are not touched.
func (g *group) resume(r HeldRight) {
	g.right = right{epoch: r.Epoch, sent: r.Sent, lease: r.Lease, promise: r.Promise}
	g.phase, g.wasUp, g.barred = Running, r.Started, r.Barred
	if !r.Started || r.Stopping {
		g.phase = Stopping // a start or a stop was cut short; what came of it is not known
	}
}

// hot reports whether services may be running or data be writable here.
func (g *group) hot() bool {
	return g.phase == Starting || g.phase == Running || g.phase == Stopping
}

func (g *group) drbd() bool { return len(g.cfg.Resources) > 0 }

// hardStop is when the watchdog is fed for the last time for g.
func (m *Machine) hardStop(g *group) boottime.Instant { return g.right.until().Add(-m.cfg.back()) }

// softStop is when services are stopped, so that they are down by the hard stop.
func (m *Machine) softStop(g *group) boottime.Instant {
	return m.hardStop(g).Add(-m.timing.Stop)
}

// inOffice reports whether g runs here by right.
func (m *Machine) inOffice(now boottime.Instant, g *group) bool {
	return (g.phase == Running || g.phase == Starting) && now < m.hardStop(g)
}

// guard stops a group whose right is running out, and resets the machine when
// that has not worked in time.
func (m *Machine) guard(now boottime.Instant, g *group) {
	if !g.hot() {
		return
	}
	if now >= m.hardStop(g) {
		m.do(Reset{fmt.Sprintf("group %s is not confirmed down and its right under epoch %d ends in %v", g.id, g.right.epoch, g.right.until().Sub(now))})
		return
	}
	if g.phase == Stopping && !g.stopBy.IsZero() && now >= g.stopBy {
		m.do(Reset{fmt.Sprintf("group %s is not confirmed down %v after its stop was ordered", g.id, m.timing.Stop)})
		return
	}
	lost := g.right.refused != "" && now >= mutant.Weak(mutant.RefusalVoidsPromise, g.right.promise.Add(-m.cfg.back()-m.timing.Stop), 0)
	if g.phase == Stopping || !lost && now < m.softStop(g) {
		return
	}
	why := "neither the witness nor the peer has confirmed the right to run it in time"
	if lost {
		why = g.right.refused
	}
	m.stop(now, g, why)
}

func (m *Machine) stop(now boottime.Instant, g *group, why string) {
	if g.phase == Stopping || g.phase == Stopped {
		return
	}
	g.phase = mutant.Weak(mutant.StopTakenForDone, Stopping, Stopped)
	m.saveBoot()
	m.note(g, "stopping", why)
	m.orderStop(now, g, why)
}

// orderStop gives a stop its time: renewals that go on do not lengthen it.
func (m *Machine) orderStop(now boottime.Instant, g *group, why string) {
	g.stopBy = min(now.Add(m.timing.Stop), m.hardStop(g))
	m.doStop(g, why)
}

func (m *Machine) doStop(g *group, why string) {
	g.stops++
	m.do(Stop{Group: g.id, Order: g.stops, Reason: why, Before: g.stopBy})
}

// onStopped: only a stop that is confirmed ends a right, and only the last one
// ordered: what an earlier one has seen down may have been started again since.
func (m *Machine) onStopped(now boottime.Instant, ev StopDone) {
	g := m.by[ev.Group]
	if g == nil || g.phase != Stopping || ev.Order != g.stops && !mutant.On(mutant.OldStopBelieved) {
		return
	}
	if !ev.Down {
		why := errors.Join(ev.Err, errors.New("services or DRBD are not confirmed down")).Error()
		m.note(g, "stop failed", why+"; the machine is reset when the right ends").Alarm = true
		m.doStop(g, "again")
		return
	}
	m.note(g, "stopped", "confirmed down")
	g.phase, g.barred = Stopped, false
	m.dropHandlers(g, "the group is stopped")
	m.giveBack(now, g, "stopped")
}

// giveBack sends the stop receipt, again and again until it is answered.
func (m *Machine) giveBack(now boottime.Instant, g *group, why string) {
	epoch, started, failed := g.right.epoch, g.wasUp, g.right.failed
	g.right, g.granted, g.wasUp = right{}, arbiter.Basis{}, false
	m.saveBoot()
	if epoch == 0 {
		return
	}
	m.remember(g, func(gm *GroupMemory) { gm.GivenBack = gm.Epoch == epoch })
	if failed != "" {
		why = failed
	}
	m.sendReceipt(now, g, arbiter.Release{Group: g.id, Epoch: epoch, Started: started, Failed: failed != "", Reason: why})
}

// giveBackAgain gives back what the witness takes this node to hold, and what it will
// not run: the receipt of an earlier life has not arrived, or the grant was never taken,
// for its answer was lost. Nobody else asks while that is so, and a node that does not
// ask itself, or is refused, would keep the group from both.
func (m *Machine) giveBackAgain(now boottime.Instant, g *group) {
	a := &g.answer
	if g.phase != Stopped || g.right.epoch != 0 || g.release != nil || a.Holder != m.cfg.Node || g.answerAt != m.answered || !m.witnessNear(now) {
		return
	}
	gm := m.mem.Groups[g.id]
	switch {
	case gm.Holder != m.cfg.Node || gm.Epoch != a.Epoch || g.receipt == gm.Epoch:
		return
	case g.bid != nil && (g.bid.call != nil || g.bid.last == ""):
		return // it may be granted to it once more
	}
	why := "stopped before this agent's start"
	if gm.GivenBack && mutant.On(mutant.ReceiptLost) {
		return
	}
	if !gm.GivenBack {
		if gm.Epoch <= g.earlier || g.bid == nil && !m.standby || mutant.On(mutant.UntakenKept) {
			return // it may have run under it, or has not asked yet whether it may
		}
		why = "it was never taken"
		m.remember(g, func(gm *GroupMemory) { gm.GivenBack = true })
	}
	m.sendReceipt(now, g, arbiter.Release{Group: g.id, Epoch: gm.Epoch, Reason: why})
}

// dateLives notes, at the first answer that this life hears, what it cannot know not to
// have been taken by an earlier one: what is in its store, and, where that or the file
// that dies with the boot was empty, all that was granted until now.
func (m *Machine) dateLives(g *group, a leader.GroupAnswer) {
	if !g.answerAt.IsZero() {
		return
	}
	g.earlier = m.mem.Groups[g.id].Epoch
	if m.blank {
		g.earlier = max(g.earlier, a.Epoch)
	}
}

func (m *Machine) sendReceipt(now boottime.Instant, g *group, r arbiter.Release) {
	g.receipt = r.Epoch
	g.release = m.call(now, &call{
		message: func(id arbiter.RequestID) leader.Message {
			r.Caller = m.caller(id)
			return leader.Release{Seen: m.mem.Seen, Release: r}
		},
		done: func(_ boottime.Instant, _ *call, v arbiter.Verdict) {
			g.release = nil
			m.note(g, "given back", v.Sentence)
		},
	})
}

// onFound is told what an agent that has just started finds running, and what its
// guard has begun to stop.
func (m *Machine) onFound(now boottime.Instant, ev Found) {
	g := m.by[ev.Group]
	switch {
	case g == nil:
	case ev.ByGuard && g.phase == Stopping && !g.stopBy.IsZero():
		// It is being stopped. Begun anew by every word of the guard's, it would
		// never be the last stop ordered that ends.
	case g.phase == Stopping:
		m.orderStop(now, g, "a start or a stop was cut short")
	case ev.Up && g.phase == Stopped:
		// Nobody gave this node the right in this boot. There is no deadline to
		// count from, so it is stopped at once.
		g.right.sent, g.right.lease = now, now.Add(m.cfg.back()+m.timing.Stop)
		g.phase = Starting
		m.note(g, "found running", "there is no right to it on this node").Alarm = true
		m.stop(now, g, "it was found running without a right")
	case !ev.Up && (g.phase == Running || g.phase == Starting):
		m.note(g, "found stopped", "its services are not running any more").Alarm = true
		m.stop(now, g, "it was found stopped")
	}
}

// saveBoot stores the rights held, for an agent that is restarted in this boot.
func (m *Machine) saveBoot() {
	b := &BootMemory{Boot: m.cfg.Boot, Cleared: m.cleared, Orderly: m.orderly, Groups: map[arbiter.GroupID]HeldRight{}}
	for _, g := range m.groups {
		if g.joined {
			b.Joined = append(b.Joined, g.id)
		}
		if g.followed {
			b.Followed = append(b.Followed, g.id)
		}
		if g.hot() {
			b.Groups[g.id] = HeldRight{Epoch: g.right.epoch, Sent: g.right.sent, Lease: g.right.lease, Promise: g.right.promise, Started: g.wasUp, Stopping: g.phase == Stopping, Barred: g.barred}
		}
	}
	m.do(SaveBoot{b})
}

// feed feeds the watchdog while no group runs here or each has a right.
func (m *Machine) feed(now boottime.Instant) {
	if now.Sub(m.feedAt) < m.timing.Renew {
		return
	}
	m.feedAt = pace(m.feedAt, now, m.timing.Renew)
	before := now.Add(m.cfg.Watchdog.Timeout)
	for _, g := range m.groups {
		if g.hot() {
			before = min(before, m.hardStop(g))
		}
	}
	before = mutant.Weak(mutant.FedAfterTheEnd, before, now.Add(m.cfg.Watchdog.Timeout))
	if now < before && m.cfg.Watchdog.Armed {
		m.do(Feed{before})
	}
}
