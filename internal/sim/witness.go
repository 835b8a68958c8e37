package sim

import (
	"reflect"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// Witness is one voter: the replicated state on a disk, and its leadership.
type Witness struct {
	w       *World
	state   *arbiter.State
	lead    *leader.Leader // nil: does not lead
	life    int
	clock   *clock
	due     *timer
	tickets map[leader.Ticket]asker
	ticket  leader.Ticket
	pending []pending
	freeAt  time.Duration // the disk
}

type pending struct {
	token   leader.Token
	command arbiter.Command
}

func newWitness(w *World) *Witness {
	x := &Witness{w: w, state: arbiter.NewState(), clock: w.newClock(), tickets: map[leader.Ticket]asker{}}
	x.clock.reset(boottime.Instant(w.between(time.Minute, time.Hour)))
	x.due = w.timer(x.tick)
	return x
}

// asker waits for the answer to a request.
type asker interface{ replied(leader.Answer) }

type askerFunc func(leader.Answer)

func (f askerFunc) replied(a leader.Answer) { f(a) }

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
		x.lead = leader.New(x.clock.now(), x.state.Version, x.clusters())
		x.w.line(W.String(), "", "leads", "")
		x.arm()
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
	x.lead, x.pending, x.tickets = nil, nil, map[leader.Ticket]asker{}
	x.due.stop()
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

func (x *Witness) tick() {
	x.w.toldLeader(x, tickTold)
	x.perform(x.lead.Tick(x.clock.now(), int64(x.w.True()/time.Second)))
}

// arm waits for what the leader does next by time alone.
func (x *Witness) arm() {
	if x.lead == nil {
		x.due.stop()
		return
	}
	x.due.set(x.clock.until(x.lead.Due()))
}

// request hands a message to the leader; reply may be nil.
func (x *Witness) request(m leader.Message, reply asker) {
	if x.lead == nil {
		return
	}
	x.ticket++
	if reply != nil {
		x.tickets[x.ticket] = reply
	}
	x.w.toldLeader(x, messageIndex[reflect.TypeOf(m)])
	x.perform(x.lead.Request(x.clock.now(), x.ticket, m))
}

// Order hands an operator's command to the witness and puts the answer on the
// timeline.
func (x *Witness) Order(m leader.Message) {
	x.request(m, askerFunc(func(a leader.Answer) {
		if a.Verdict != nil {
			x.w.line("operator", "", string(a.Verdict.Kind), a.Verdict.Sentence)
		}
	}))
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
			x.w.after(x.w.vary(100*time.Microsecond, time.Millisecond), func() {
				if x.life == life {
					x.w.toldLeader(x, verifiedTold)
					x.perform(x.lead.Verified(x.clock.now(), a.Token, true))
				}
			})
		case leader.Reply:
			if reply := x.tickets[a.Ticket]; reply != nil {
				reply.replied(a.Answer)
			}
			delete(x.tickets, a.Ticket)
		case leader.Notify:
			x.notify(a)
		}
	}
	x.arm()
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
	x.w.toldLeader(x, appliedTold)
	x.perform(x.lead.Applied(x.clock.now(), p.token, out, x.state.Version, c))
	if all {
		x.perform(x.lead.Replaced(x.clock.now(), x.state.Version, x.clusters()))
	}
}

func (x *Witness) apply(c arbiter.Command) arbiter.Outcome {
	x.w.toldArbiter(x.state, c)
	out := x.state.Apply(x.state.Version.Index+1, arbiter.Entry{Command: c, At: x.w.True().Milliseconds()})
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
