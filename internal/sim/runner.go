package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/fencing"
)

var errNoAnswer = errors.New("no answer")

// session is the agent's stream to the witness.
type session struct {
	up      bool
	voter   *voter
	reign   int           // of the voter
	heardAt time.Duration // from it
}

// StartAgent starts the agent's process.
func (n *Node) StartAgent() {
	if !n.running || n.dying || n.agent != nil {
		return
	}
	n.life++
	n.incarnation++
	n.heard = 0
	var mem *agent.Memory
	if n.memory != nil {
		m, err := agent.DecodeMemory(n.memory)
		if err != nil {
			panic(err)
		}
		mem = m
	}
	boot := n.bootMem
	if boot == nil {
		boot = &agent.BootMemory{Boot: n.bootID()}
	}
	n.agent = agent.New(n.clock.now(), n.config(), mem, boot)
	n.w.line(n.host.String(), "", "agent starts", fmt.Sprintf("start %d", n.incarnation))
	for _, id := range n.w.groups {
		n.give(agent.Found{Group: id, Up: n.service(id).up})
		n.tellStorage(id)
	}
	for _, h := range n.handlers {
		n.give(agent.FencePeer{Call: h.call, Resource: h.resource})
	}
	n.probe()
	n.dial()
	if n.w.Definition.Stonith {
		n.monitor()
	}
	n.pump()
}

func (n *Node) config() agent.Config {
	def := n.w.Definition
	cfg := agent.Config{
		Cluster: def.Cluster, Node: n.id, Peer: n.peer.id, Boot: n.bootID(), Incarnation: n.incarnation,
		Needed: 1, CanFence: def.Stonith,
		Timing:   agent.Timing{Timing: def.Timing, Stop: n.w.Stop, Reset: n.w.Options.Reset, Late: n.w.Late},
		Watchdog: arbiter.Watchdog{Armed: n.w.Watchdog > 0 && !n.dogless, Hardware: true, Timeout: n.w.Watchdog},
	}
	for _, id := range n.w.groups {
		g := agent.GroupConfig{ID: id}
		if def.Groups[id].DRBD {
			g.Resources = []string{resource(id)}
		}
		cfg.Groups = append(cfg.Groups, g)
	}
	return cfg
}

// KillAgent ends the agent's process. A save under way may have reached the
// disk.
func (n *Node) KillAgent() {
	if n.saving != nil && n.w.rng.IntN(2) == 0 {
		n.memory = n.saving
	}
	n.life++
	n.agent, n.queue, n.busy, n.saving, n.rest, n.paused = nil, nil, false, nil, nil, false
	n.session, n.shooting, n.track = session{}, nil, fencing.Track{}
	n.due.stop()
	n.probes.stop()
	n.dials.stop()
	n.monitors.stop()
	n.unread = monitorEvery
}

// proc does something in the agent's process.
func (n *Node) proc(d time.Duration, do func()) {
	n.w.sched(d, &local{n: n, boot: n.boots, process: n.life, do: do})
}

// steps reports whether the agent's process runs.
func (n *Node) steps() bool { return n.agent != nil && !n.frozen && !n.paused }

// tick lets the agent do what time has made due.
func (n *Node) tick() {
	if n.steps() && !n.busy {
		n.late = n.w.vary(0, mostLate)
		n.give(agent.Tick{})
	}
}

// arm waits for what the agent does next by time alone.
func (n *Node) arm() {
	if !n.steps() || n.busy {
		n.due.stop()
		return
	}
	n.due.set(max(n.clock.until(n.agent.Due()), atOnce) + n.late)
}

// atOnce is how soon a process comes back to what it has left.
const atOnce = 100 * time.Microsecond

func (n *Node) probe() {
	n.probes.set(probeEvery)
	if n.steps() {
		n.give(agent.Probed{Address: "gateway", OK: n.gateway})
	}
}

// give hands an event to the agent.
func (n *Node) give(ev agent.Event) {
	if n.agent == nil {
		return
	}
	n.queue = append(n.queue, ev)
	n.pump()
}

func (n *Node) pump() {
	if n.pumping {
		return
	}
	n.pumping = true
	for len(n.queue) > 0 && !n.busy && !n.frozen && !n.paused {
		ev := n.queue[0]
		n.queue = slices.Delete(n.queue, 0, 1)
		n.w.toldAgent(n, ev)
		m := n.agent
		actions := m.Step(n.clock.now(), ev)
		if n.perform(actions) {
			m.Reuse(actions)
		}
	}
	n.pumping = false
	n.arm()
}

// perform carries actions out; a save takes its time, and what follows waits. It
// reports whether all of them have been.
func (n *Node) perform(actions []agent.Action) (done bool) {
	for i, a := range actions {
		n.actions.add(a)
		if s, ok := a.(agent.Save); ok {
			n.busy, n.saving = true, s.Memory
			n.saves++
			if n.fatal {
				n.dieSaving()
				return false
			}
			n.proc(n.w.between(200*time.Microsecond, 3*time.Millisecond), func() {
				n.busy, n.memory, n.saving = false, s.Memory, nil
				n.perform(actions[i+1:])
				n.pump()
			})
			return false
		}
		boot := n.boots
		n.do(a)
		if n.boots != boot {
			return false
		}
	}
	return true
}

func (n *Node) do(a agent.Action) {
	switch a := a.(type) {
	case agent.SaveBoot:
		n.bootMem = a.Memory
		n.w.checkRights()
	case agent.Hello:
		n.toWitness(a.Hello, (*question).welcomed)
	case agent.Beat:
		n.toWitness(a.Beat, (*question).answered)
	case agent.Call:
		n.rpc(a)
	case agent.Tell:
		n.tell(a.Beat)
	case agent.Adopt:
		n.incarnation = a.Incarnation
	case agent.Start:
		n.startGroup(a)
	case agent.Stop:
		n.stopGroup(a)
	case agent.Barrier:
		n.service(a.Group).barred = true
	case agent.Lift:
		n.service(a.Group).barred = false
	case agent.Demote:
		n.demoteStray(a.Resource)
	case agent.Outdate:
		n.outdate(a.Group)
	case agent.Invalidate:
		n.invalidate(a)
	case agent.Measure:
		n.measure(a)
	case agent.Carry:
		n.carryOut(a, 0, agent.Carried{})
	case agent.BreakOff: // what is carried out here takes no time to speak of
	case agent.Part:
		n.part(a.Group)
	case agent.Join:
		n.join(a)
	case agent.ReadPower:
		n.readPower(a)
	case agent.Shoot:
		n.shoot(a)
	case agent.Left:
		n.w.line(n.host.String(), "", "has left", "the machine goes down in order")
		n.die()
	case agent.SwitchOn: // what is off here is looked after by somebody
	case agent.Hold:
		n.holdShot(a)
	case agent.Exit:
		n.exit(a)
	case agent.Feed:
		n.feed(a.Before)
	case agent.Reset:
		n.Reset(a.Reason)
	case *agent.Note:
		n.w.note(n, a)
	default:
		panic(fmt.Sprintf("sim: unknown action %T", a))
	}
}

// dial keeps a session with a voter that leads, or thinks that it does.
func (n *Node) dial() {
	n.dials.set(dialEvery)
	switch {
	case !n.steps():
	case n.session.up && n.w.now-n.session.heardAt > 2*time.Second:
		n.hangUp()
	case !n.session.up:
		if v := n.findLeader(); v != nil {
			n.session = session{up: true, voter: v, reign: v.reign, heardAt: n.w.now}
			n.give(agent.SessionUp{})
		}
	}
}

func (n *Node) findLeader() *voter {
	var found *voter
	for _, v := range n.w.witness.voters {
		reached := v.lead != nil && n.w.open(Path{n.host, v.host, 0}) && n.w.open(Path{v.host, n.host, 0})
		if reached && (found == nil || n.w.rng.IntN(2) == 0) {
			found = v
		}
	}
	return found
}

// lost is told that a voter leads no more; the node learns of it only over a way
// that is open.
func (n *Node) lost(v *voter) {
	if n.session.up && n.session.voter == v && n.w.open(Path{v.host, n.host, 0}) {
		n.hangUp()
	}
}

func (n *Node) hangUp() {
	n.session = session{}
	n.give(agent.SessionDown{Why: "the stream broke"})
}

// question is a message to the witness on its way there, and its answer on the
// way back.
type question struct {
	n       *Node
	life    int // of the agent
	voter   *voter
	reign   int
	message leader.Message
	take    func(*question, leader.Answer)
	through bool          // whatever has become of the way meanwhile
	arrived time.Duration // at the witness
}

// toWitness sends a message on the session; take gets what comes back.
func (n *Node) toWitness(m leader.Message, take func(*question, leader.Answer)) {
	s := n.session
	if !s.up {
		return
	}
	q := &question{n: n, life: n.life, voter: s.voter, reign: s.reign, message: m, take: take}
	if !n.snags(q) {
		n.w.send(Path{n.host, s.voter.host, 0}, q)
	}
}

func (q *question) happen() {
	q.arrived = q.n.w.now
	if q.voter.reign == q.reign && (q.through || q.n.w.open(Path{q.n.host, q.voter.host, 0})) {
		q.voter.request(q.message, q)
	}
}

func (q *question) replied(a leader.Answer) {
	if b := a.Beat; b != nil {
		q.n.office.spoke = max(q.n.office.spoke, q.arrived)
		if slices.ContainsFunc(b.Groups, func(g leader.GroupAnswer) bool { return g.Renewed != 0 }) {
			q.n.w.renewedBy(q.n, q.voter, q.arrived)
		}
	}
	q.n.fromWitness(q.voter, &postcard{asked: q, answer: a})
}

// postcard is what the witness sends to a node: an answer, or a nudge.
type postcard struct {
	n      *Node
	from   Host
	boot   int
	here   bool // has arrived, and waits for the machine to go on
	asked  *question
	answer leader.Answer // to it
	nudge  string
}

func (n *Node) fromWitness(v *voter, p *postcard) {
	p.n, p.from, p.boot = n, v.host, n.boots
	n.w.send(Path{v.host, n.host, 0}, p)
}

func (p *postcard) read() {
	n, q := p.n, p.asked
	if q == nil {
		n.nudged(p.nudge)
	} else if s := n.session; n.life == q.life && s.voter == q.voter && s.reign == q.reign {
		q.take(q, p.answer)
	}
}

func (p *postcard) happen() {
	n := p.n
	switch {
	case !p.here && !n.w.open(Path{p.from, n.host, 0}), n.boots != p.boot, !n.running:
	case n.frozen:
		p.here = true
		n.deferred = append(n.deferred, p)
	default:
		n.session.heardAt = n.w.now
		p.read()
	}
}

func (n *Node) nudged(why string) {
	if n.session.up {
		n.give(agent.Nudged{Why: why})
	}
}

func (q *question) welcomed(a leader.Answer) {
	if a.Verdict != nil {
		q.n.give(agent.Welcomed{Verdict: *a.Verdict, Version: a.Version})
	}
}

func (q *question) answered(a leader.Answer) {
	switch {
	case a.Beat != nil:
		q.n.give(agent.Answered{Answer: *a.Beat, Version: a.Version, Clock: q.voter.clock.now()})
	case a.Verdict != nil:
		q.welcomed(a) // a refusal: the witness does not know this life
	}
}

func (n *Node) rpc(a agent.Call) {
	open := true
	n.toWitness(a.Message, func(_ *question, ans leader.Answer) {
		if !open || ans.Verdict == nil {
			return
		}
		open = false
		n.give(agent.CallDone{Request: a.Request, Verdict: *ans.Verdict, Version: ans.Version})
	})
	n.proc(a.Timeout, func() {
		if open {
			open = false
			n.give(agent.CallDone{Request: a.Request, Err: errNoAnswer})
		}
	})
}
