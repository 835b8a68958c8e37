package timing

import (
	"fmt"
	"time"
)

// Bound is the longest that something may last, and what it adds up from.
type Bound struct {
	Group string // "": every group
	After string // what has happened
	Parts Sum
	// Never says why nothing ends it by itself; "" where Parts do.
	Never string
	// Unless says when it does not hold.
	Unless string
}

// String is the bound in one line.
func (b Bound) String() string {
	if b.Never != "" {
		return b.After + ": until somebody acts; " + b.Never
	}
	return fmt.Sprintf("%s: %s", b.After, seconds(b.Parts.Total()))
}

// seconds is a time as people say it, never less than it is.
func seconds(d time.Duration) string {
	tenths := (d + 100*time.Millisecond - 1) / (100 * time.Millisecond)
	return fmt.Sprintf("%d.%d s", tenths/10, tenths%10)
}

// Bounds are the longest interruptions of each group, whichever node holds it; none
// while no node has said what it takes.
func (p Pair) Bounds() []Bound {
	if len(p.Nodes) == 0 {
		return nil
	}
	var out []Bound
	for _, g := range p.Groups {
		for _, b := range []Bound{p.powerCut(g), p.deadDevice(g), p.byWitness(g), p.secondFailure(g), p.isolation(g), p.switchover(g), p.standbyLost(g)} {
			if len(b.Parts) > 0 || b.Never != "" {
				b.Group = g.Name
				out = append(out, b)
			}
		}
	}
	return append(out, p.bothActive())
}

// worst is what the slower of the nodes says of a group.
func (p Pair) worst(group string, measure func(Node, Group) Term) Term {
	var worst Term
	for _, n := range p.Nodes {
		for _, g := range n.Groups {
			if t := measure(n, g); g.Name == group && t.Time >= worst.Time {
				worst = t
			}
		}
	}
	return worst
}

// took is what was measured, or what is allowed where nothing was.
func took(what string, m Measured, allowed time.Duration) Term {
	if m.Known() {
		return Term{What: fmt.Sprintf("%s (measured %d times)", what, m.Count), Time: m.P999, Measured: true}
	}
	return Term{What: what + " (allowed)", Time: allowed}
}

func (p Pair) start(group string) Term {
	return p.worst(group, func(_ Node, g Group) Term { return took("start", g.Start, g.StartBudget) })
}

func (p Pair) shot() Term {
	var worst Term
	for _, n := range p.Nodes {
		if t := took("shot", n.Shot, n.Fence); n.Fence > 0 && t.Time >= worst.Time {
			worst = t
		}
	}
	return worst
}

func (p Pair) canShoot() bool { return bool(p.STONITH) && p.shot().Time > 0 }

// silence is from the last sign of life until a mandate may be given: a node is
// heard by its DRBD connection as well, so the kernel must have noticed too.
func (p Pair) silence(g GroupRules) Sum {
	quiet := Sum{{What: "suspect_after", Time: p.SuspectAfter}}
	notice := p.worst(g.Name, func(_ Node, g Group) Term {
		d, which := g.notice()
		return Term{What: "ping-int and ping-timeout of " + which, Time: d}
	})
	if notice.Time > p.SuspectAfter {
		quiet = Sum{notice}
	}
	if g.Delay > 0 {
		quiet = append(quiet, Term{What: "takeover_delay", Time: g.Delay})
	}
	return append(quiet, Term{What: "next ask", Time: p.Renew}, Term{What: "its answer", Time: p.RPCTimeout})
}

// byPower is from a failure to a service that runs elsewhere, by a shot.
func (p Pair) byPower(g GroupRules) Sum {
	return append(p.silence(g), p.shot(), Term{What: "permission and report", Time: 2 * p.RPCTimeout}, p.start(g.Name))
}

// byClock is the same by lease and watchdog alone. The other node beats on until it
// suspects, and each of its beats promises to take no grant that rests on the clock: it
// waits for that as well.
func (p Pair) byClock(g GroupRules) Sum {
	wait := Sum{{What: "the last renewal's way", Time: p.RPCTimeout}, {What: "lease, watchdog and margin", Time: Guard(p.TTL)}}
	if own := (Sum{{What: "suspect_after", Time: p.SuspectAfter}, {What: "the other node's own promise", Time: Guard(p.Promise)}}); own.Total() > wait.Total() {
		wait = own
	}
	if p.canShoot() {
		if tried := p.silence(g).Total() + Guard(p.FenceTimeout); tried+p.RPCTimeout > wait.Total() {
			wait = Sum{{What: "the last renewal's way", Time: p.RPCTimeout}, {What: "a shot that fails as late as it can", Time: tried}}
		}
	}
	return append(wait, Term{What: "next ask", Time: p.Renew}, Term{What: "its answer", Time: p.RPCTimeout}, p.start(g.Name))
}

// clockCounts reports whether a lost holder of the group is believed dead by the
// clock, or why not.
func (p Pair) clockCounts(g GroupRules) (bool, string) {
	if !p.Watchdog {
		return false, "fencing: in cluster.yaml does not have watchdog"
	}
	if !g.AtE2 {
		return false, "minimum_grade asks for more than E2"
	}
	for _, n := range p.Nodes {
		switch {
		case n.ReadBack == 0:
			return false, n.Name + " has no armed watchdog"
		case !n.Hardware && !bool(p.PauseRisk):
			return false, n.Name + "'s watchdog stands still with its machine, and accept_pause_risk is not set"
		}
	}
	return true, ""
}

func (p Pair) powerCut(g GroupRules) Bound {
	b := Bound{After: "no service after a power cut"}
	if p.canShoot() {
		b.Parts, b.Unless = p.byPower(g), "the fence device dies with its host"
		return b
	}
	return p.untilClock(b, g)
}

func (p Pair) untilClock(b Bound, g GroupRules) Bound {
	if ok, why := p.clockCounts(g); !ok {
		b.Never = why
		return b
	}
	b.Parts = p.byClock(g)
	return b
}

// deadDevice is a power cut that takes the fence device along.
func (p Pair) deadDevice(g GroupRules) Bound {
	if !p.canShoot() {
		return Bound{}
	}
	return p.untilClock(Bound{After: "no service after a power cut that takes the fence device along"}, g)
}

// byWitness is a power cut after which only the witness's host reaches the fence
// device, as when its path is the link that was lost.
func (p Pair) byWitness(g GroupRules) Bound {
	if !p.canShoot() || !bool(p.WitnessShoots) {
		return Bound{}
	}
	parts := append(p.silence(g), Term{What: "the peer's shot, which fails as late as it can", Time: Guard(p.FenceTimeout)},
		Term{What: "the shot of the witness's host (allowed)", Time: p.FenceTimeout}, Term{What: "next ask and its answer", Time: p.Renew + p.RPCTimeout}, p.start(g.Name))
	return Bound{After: "no service after a power cut when only the witness's host reaches the fence device", Parts: parts, Unless: "the fence device dies with its host"}
}

// secondFailure is a holder that is lost right after it has taken over.
func (p Pair) secondFailure(g GroupRules) Bound {
	if p.HoldTime == 0 {
		return Bound{}
	}
	b := p.powerCut(g)
	b.After = "no service when the node that took over is lost as well within hold_time"
	if b.Never == "" {
		b.Parts = append(Sum{{What: "hold_time", Time: Guard(p.HoldTime)}}, b.Parts...)
	}
	return b
}

// isolation is a holder that lives and reaches nobody.
func (p Pair) isolation(g GroupRules) Bound {
	b := Bound{After: "no service after isolation"}
	if p.canShoot() {
		b.Parts, b.Unless = p.byPower(g), "its fence device is cut off too; then as if it had died"
		return b
	}
	return p.untilClock(b, g)
}

func (p Pair) switchover(g GroupRules) Bound {
	stop := p.worst(g.Name, func(_ Node, g Group) Term { return took("stop", g.Stop, g.StopBudget) })
	return Bound{
		After: "no service during a switchover",
		Parts: Sum{stop, {What: "receipt, next ask and its answer", Time: p.Renew + 2*p.RPCTimeout}, p.start(g.Name)},
	}
}

// standbyLost is how long writes stall when the other node is lost: until the
// kernel has noticed, and its copy is excluded.
func (p Pair) standbyLost(g GroupRules) Bound {
	notice := p.worst(g.Name, func(_ Node, g Group) Term {
		d, which := g.notice()
		return Term{What: "ping-int and ping-timeout of " + which, Time: d}
	})
	if notice.Time == 0 {
		return Bound{}
	}
	return Bound{
		After:  "writes stall after the other node is lost",
		Parts:  Sum{notice, {What: "exclusion", Time: p.RPCTimeout}},
		Unless: "no witness answers and the other node lives",
	}
}

// bothActive is how long both nodes may run a group: the longest breach of a
// lease rule, where the clock alone proves anything.
func (p Pair) bothActive() Bound {
	b := Bound{After: "both nodes active", Parts: Sum{{What: "power, a receipt, or a lease with its watchdog come first"}}}
	if !p.Watchdog {
		return b
	}
	for _, n := range p.Nodes {
		for _, r := range n.leaseRules(n.Plan.TTL, n.Plan.Promise) {
			if over := -r.Slack(); over > b.Parts.Total() {
				b.Parts = one(r.Name+" of "+n.Name+" is too short", over)
			}
		}
		if n.ReadBack != 0 && !n.Hardware && bool(p.PauseRisk) {
			b.Unless = "a machine is paused from outside, which accept_pause_risk accepts"
		}
	}
	return b
}
