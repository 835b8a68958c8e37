package sim

import (
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// witnessTick is how often the leader is told the time.
const witnessTick = 50 * time.Millisecond

// Witness is one voter: the replicated state on a disk, and its leadership.
type Witness struct {
	w       *World
	state   *arbiter.State
	lead    *leader.Leader // nil: does not lead
	life    int
	rate    float64
	offset  time.Duration
	tickets map[leader.Ticket]func(leader.Answer)
	ticket  leader.Ticket
	pending []pending
	freeAt  time.Duration // the disk
}

type pending struct {
	token   leader.Token
	command arbiter.Command
}

func newWitness(w *World) *Witness {
	return &Witness{
		w: w, state: arbiter.NewState(), rate: 1 + (w.rng.Float64()-0.5)*0.009,
		offset: w.between(time.Minute, time.Hour), tickets: map[leader.Ticket]func(leader.Answer){},
	}
}

func (x *Witness) clock() boottime.Instant {
	return boottime.Instant(x.offset + time.Duration(float64(x.w.now)*x.rate))
}

// State returns what the witness remembers of the cluster.
func (x *Witness) State() *arbiter.Cluster { return x.state.Clusters[x.w.Definition.Cluster] }

// start begins a leadership after the delay.
func (x *Witness) start(after time.Duration) {
	x.life++
	life := x.life
	x.w.after(after, func() {
		if x.life != life {
			return
		}
		x.apply(leader.Opening(x.w.rng.Uint64()))
		x.lead = leader.New(x.clock(), x.state.Version, x.clusters())
		x.w.line(W.String(), "", "leads", "")
		x.tick(life)
	})
}

// Crash kills the witness's process; what its disk has is kept, and of the
// commands under way some.
func (x *Witness) Crash() {
	x.life++
	for _, p := range x.pending {
		if x.w.rng.IntN(2) == 0 {
			x.apply(p.command)
		}
	}
	x.lead, x.pending, x.tickets = nil, nil, map[leader.Ticket]func(leader.Answer){}
	for _, n := range x.w.nodes {
		n.hangUp(x.life)
	}
}

// Restart brings the witness back with all it remembers.
func (x *Witness) Restart() {
	if x.lead == nil {
		x.start(x.w.between(300*time.Millisecond, 2*time.Second))
	}
}

// Forget restarts the witness with an empty disk.
func (x *Witness) Forget() {
	x.Crash()
	x.state = arbiter.NewState()
	x.apply(arbiter.Define{Definition: x.w.Definition, By: "operator"})
	x.Restart()
}

func (x *Witness) clusters() []*arbiter.Cluster {
	var out []*arbiter.Cluster
	for _, c := range x.state.Clusters {
		out = append(out, c.Clone())
	}
	return out
}

func (x *Witness) tick(life int) {
	if x.life != life {
		return
	}
	x.perform(x.lead.Tick(x.clock(), int64(x.w.now.Seconds())))
	x.w.after(witnessTick, func() { x.tick(life) })
}

// request hands a message to the leader; reply may be nil.
func (x *Witness) request(m leader.Message, reply func(leader.Answer)) {
	if x.lead == nil {
		return
	}
	x.ticket++
	if reply != nil {
		x.tickets[x.ticket] = reply
	}
	x.perform(x.lead.Request(x.clock(), x.ticket, m))
}

// Order hands an operator's command to the witness and puts the answer on the
// timeline.
func (x *Witness) Order(m leader.Message) {
	x.request(m, func(a leader.Answer) {
		if a.Verdict != nil {
			x.w.line("operator", "", string(a.Verdict.Kind), a.Verdict.Sentence)
		}
	})
}

func (x *Witness) perform(actions []leader.Action) {
	life := x.life
	for _, a := range actions {
		switch a := a.(type) {
		case leader.Propose:
			x.pending = append(x.pending, pending{a.Token, a.Command})
			x.freeAt = max(x.freeAt, x.w.now) + x.w.between(500*time.Microsecond, 4*time.Millisecond)
			x.w.after(x.freeAt-x.w.now, func() { x.commit(life) })
		case leader.Verify:
			x.w.after(x.w.between(100*time.Microsecond, time.Millisecond), func() {
				if x.life == life {
					x.perform(x.lead.Verified(x.clock(), a.Token, true))
				}
			})
		case leader.Reply:
			if reply := x.tickets[a.Ticket]; reply != nil {
				reply(a.Answer)
			}
			delete(x.tickets, a.Ticket)
		case leader.Notify:
			x.notify(a)
		}
	}
}

// commit applies the oldest command under way.
func (x *Witness) commit(life int) {
	if x.life != life || len(x.pending) == 0 {
		return
	}
	p := x.pending[0]
	x.pending = x.pending[1:]
	out := x.apply(p.command)
	_, all := p.command.(arbiter.Renounce)
	var c *arbiter.Cluster
	if known := x.State(); known != nil && !all {
		c = known.Clone()
	}
	x.perform(x.lead.Applied(x.clock(), p.token, out, x.state.Version, c))
	if all {
		x.perform(x.lead.Replaced(x.clock(), x.state.Version, x.clusters()))
	}
}

func (x *Witness) apply(c arbiter.Command) arbiter.Outcome {
	out := x.state.Apply(x.state.Version.Index+1, arbiter.Entry{Command: c, At: x.w.now.Milliseconds()})
	for _, r := range out.Records {
		x.w.line(W.String(), r.Group, r.What, string(r.Reason)+" "+r.Sentence)
	}
	return out
}

func (x *Witness) notify(a leader.Notify) {
	for _, n := range x.w.nodes {
		if n.id == a.Node {
			n.fromWitness(func() { n.nudged(a.Why) })
		}
	}
}
