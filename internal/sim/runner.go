package sim

import (
	"errors"
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

var errNoAnswer = errors.New("no answer")

// session is the agent's stream to the witness.
type session struct {
	up      bool
	life    int           // of the witness
	heardAt time.Duration // from the witness
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
	n.agent = agent.New(n.clock(), n.config(), mem, agent.DecodeBootMemory(n.bootMem, n.bootID()))
	n.w.line(n.host.String(), "", "agent starts", fmt.Sprintf("start %d", n.incarnation))
	for _, id := range n.w.groups {
		n.give(agent.Found{Group: id, Up: n.services[id].up})
		n.tellStorage(id)
	}
	for _, h := range n.handlers {
		n.give(agent.FencePeer{Call: h.call, Resource: h.resource})
	}
	n.probe(n.life)
	n.dial(n.life)
	n.tick(n.life)
}

func (n *Node) config() agent.Config {
	def := n.w.Definition
	cfg := agent.Config{
		Cluster: def.Cluster, Node: n.id, Peer: n.peer.id, Boot: n.bootID(), Incarnation: n.incarnation,
		Needed: 1, CanFence: def.Stonith,
		Timing:   agent.Timing{Timing: def.Timing, Stop: n.w.Stop, Reset: n.w.Options.Reset, Late: n.w.Late},
		Watchdog: arbiter.Watchdog{Armed: n.w.Watchdog > 0, Hardware: true, Timeout: n.w.Watchdog},
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
	n.session = session{}
}

// proc does something in the agent's process.
func (n *Node) proc(d time.Duration, do func()) {
	life := n.life
	n.local(d, func() { n.ifAlive(life, do) })
}

func (n *Node) ifAlive(life int, do func()) {
	switch {
	case n.life != life:
	case n.paused:
		before := n.rest
		n.rest = func() {
			if before != nil {
				before()
			}
			n.ifAlive(life, do)
		}
	default:
		do()
	}
}

func (n *Node) tick(life int) {
	n.ifAlive(life, func() {
		n.give(agent.Tick{})
		n.proc(agentTick, func() { n.tick(life) })
	})
}

func (n *Node) probe(life int) {
	n.ifAlive(life, func() {
		n.give(agent.Probed{Address: "gateway", OK: n.gateway})
		n.proc(probeEvery, func() { n.probe(life) })
	})
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
		n.queue = n.queue[1:]
		n.perform(n.agent.Step(n.clock(), ev))
	}
	n.pumping = false
}

// perform carries actions out; a save takes its time, and what follows waits.
func (n *Node) perform(actions []agent.Action) {
	for i, a := range actions {
		n.actions[fmt.Sprintf("%T", a)]++
		if s, ok := a.(agent.Save); ok {
			n.busy, n.saving = true, s.Memory
			n.saves++
			n.proc(n.w.between(200*time.Microsecond, 3*time.Millisecond), func() {
				n.busy, n.memory, n.saving = false, s.Memory, nil
				n.perform(actions[i+1:])
				n.pump()
			})
			return
		}
		boot := n.boots
		n.do(a)
		if n.boots != boot {
			return
		}
	}
}

func (n *Node) do(a agent.Action) {
	switch a := a.(type) {
	case agent.SaveBoot:
		n.bootMem = a.Memory
	case agent.Hello:
		n.toWitness(a.Hello, n.welcomed)
	case agent.Beat:
		n.toWitness(a.Beat, n.answered)
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
		n.services[a.Group].barred = true
	case agent.Lift:
		n.services[a.Group].barred = false
	case agent.Demote:
		n.demoteStray(a.Resource)
	case agent.Outdate:
		n.outdate(a.Group)
	case agent.ReadPower:
		n.peer.bmc.read(n, a)
	case agent.Shoot:
		n.peer.bmc.shoot(n, a)
	case agent.Left:
		n.w.line(n.host.String(), "", "has left", "the machine goes down in order")
		n.die()
	case agent.Hold:
		n.peer.bmc.held = a.Mandate
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

// dial keeps a session with the witness.
func (n *Node) dial(life int) {
	n.ifAlive(life, func() {
		x := n.w.witness
		switch {
		case n.session.up && n.w.now-n.session.heardAt > 2*time.Second:
			n.hangUp(0)
		case !n.session.up && x.lead != nil && !n.w.cut[Path{n.host, W, 0}] && !n.w.cut[Path{W, n.host, 0}]:
			n.session = session{up: true, life: x.life, heardAt: n.w.now}
			n.give(agent.SessionUp{})
		}
		n.proc(200*time.Millisecond, func() { n.dial(life) })
	})
}

// hangUp ends the session; the node learns of a witness's death only over a way
// that is open.
func (n *Node) hangUp(witness int) {
	if !n.session.up || witness != 0 && n.w.cut[Path{W, n.host, 0}] {
		return
	}
	n.session = session{}
	n.give(agent.SessionDown{Why: "the stream broke"})
}

// toWitness sends a message on the session; answer gets what comes back.
func (n *Node) toWitness(m leader.Message, answer func(leader.Answer)) {
	x, s := n.w.witness, n.session
	if !s.up {
		return
	}
	life := n.life
	n.w.send(Path{n.host, W, 0}, func() {
		if x.life != s.life {
			return
		}
		x.request(m, func(a leader.Answer) {
			n.fromWitness(func() {
				if n.life == life && n.session.life == s.life {
					answer(a)
				}
			})
		})
	})
}

func (n *Node) fromWitness(do func()) {
	boot := n.boots
	n.w.send(Path{W, n.host, 0}, func() {
		n.whenAwake(boot, func() {
			n.session.heardAt = n.w.now
			do()
		})
	})
}

func (n *Node) nudged(why string) {
	if n.session.up {
		n.give(agent.Nudged{Why: why})
	}
}

func (n *Node) welcomed(a leader.Answer) {
	if a.Verdict != nil {
		n.give(agent.Welcomed{Verdict: *a.Verdict, Version: a.Version})
	}
}

func (n *Node) answered(a leader.Answer) {
	switch {
	case a.Beat != nil:
		n.give(agent.Answered{Answer: *a.Beat, Version: a.Version, Clock: n.w.witness.clock()})
	case a.Verdict != nil:
		n.welcomed(a) // a refusal: the witness does not know this life
	}
}

func (n *Node) rpc(a agent.Call) {
	open := true
	n.toWitness(a.Message, func(ans leader.Answer) {
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

// tell sends a beat on both heartbeat links; the first to arrive is handed on.
func (n *Node) tell(b agent.PeerBeat) {
	p, life, echo := n.peer, n.life, n.heard
	taken := false
	for link := range 2 {
		boot := p.boots
		n.w.send(Path{n.host, p.host, link}, func() {
			p.whenAwake(boot, func() {
				if taken || p.agent == nil {
					return
				}
				taken = true
				if life >= p.heard {
					p.heard = life
					p.give(agent.PeerHeard{Link: fmt.Sprint("link ", link), Fresh: echo == p.life, Beat: b})
				}
			})
		})
	}
}
