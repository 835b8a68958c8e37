package sim

import (
	"fmt"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
)

const (
	agentTick   = 50 * time.Millisecond
	probeEvery  = 500 * time.Millisecond
	handlerEnds = 60 * time.Second
)

// Node is a data node: its machine, kernel, services and agent.
type Node struct {
	w    *World
	host Host
	id   arbiter.NodeID
	peer *Node

	// the machine
	power     bool
	running   bool // booted
	boots     int
	rate      float64
	offset    time.Duration // of its clock, at true time 0, in this boot
	frozen    bool          // stopped from outside
	dying     bool          // a reset is on its way
	deferred  []func()
	bittenAt  time.Duration // when the watchdog bites; 0: not armed
	shot      bool          // off or booting by its peer's shot
	bmc       bmc
	gateway   bool
	services  map[arbiter.GroupID]*service
	handlers  []*handler
	call      agent.CallID
	startFail bool          // starts fail
	stopFail  bool          // stops do not end
	newsLate  time.Duration // that the agent hears of DRBD's changes
	netDown   bool          // DRBD is not to look for its peer

	// the disk
	memory      []byte
	incarnation arbiter.Incarnation
	saving      []byte

	// the agent's process, and what dies with the boot
	agent   *agent.Machine
	bootMem []byte
	life    int
	paused  bool // the process alone is stopped
	busy    bool
	pumping bool
	queue   []agent.Event
	rest    func()
	session session
	heard   int // life of the peer's agent heard last
	saves   int
	actions map[string]int
}

type service struct {
	up     bool // any of them may be running
	number int  // of the start or stop under way; 0: none
	last   int
	barred bool
}

func (s *service) next() int {
	s.last++
	s.number = s.last
	return s.number
}

func newNode(w *World, h Host) *Node {
	n := &Node{
		w: w, host: h, id: arbiter.NodeID(h.String()), rate: 1 + (w.rng.Float64()-0.5)*0.009,
		gateway: true, actions: map[string]int{},
	}
	n.bmc.n = n
	n.idle()
	return n
}

// idle is the state of a machine that runs nothing.
func (n *Node) idle() {
	n.services, n.handlers = map[arbiter.GroupID]*service{}, nil
	for _, id := range n.w.groups {
		n.services[id] = &service{}
	}
}

// ID returns the node's name.
func (n *Node) ID() arbiter.NodeID { return n.id }

// Saves returns how often its agent has stored its memory.
func (n *Node) Saves() int { return n.saves }

// Actions returns how often its agent has asked for each kind of action.
func (n *Node) Actions() map[string]int { return n.actions }

// Runs reports whether services of a group may be running.
func (n *Node) Runs(g arbiter.GroupID) bool { return n.running && n.services[g].up }

// Serves reports whether clients reach the group's services.
func (n *Node) Serves(g arbiter.GroupID) bool {
	return n.Runs(g) && !n.dying && !n.frozen && !n.services[g].barred && n.services[g].number == 0
}

// Up reports whether the machine runs.
func (n *Node) Up() bool { return n.running && !n.dying }

func (n *Node) clock() boottime.Instant {
	return boottime.Instant(n.offset + time.Duration(float64(n.w.now)*n.rate))
}

// local does something on the machine as it is now; a machine stopped from
// outside does it when it goes on.
func (n *Node) local(d time.Duration, do func()) {
	boot := n.boots
	n.w.after(d, func() { n.whenAwake(boot, do) })
}

func (n *Node) whenAwake(boot int, do func()) {
	switch {
	case n.boots != boot || !n.running:
	case n.frozen:
		n.deferred = append(n.deferred, func() { n.whenAwake(boot, do) })
	default:
		do()
	}
}

// powerOn starts the machine after the delay.
func (n *Node) powerOn(after time.Duration) {
	n.boots++
	boot := n.boots
	n.power = true
	n.w.after(after, func() {
		if n.boots != boot || !n.power {
			return
		}
		n.running, n.frozen, n.shot, n.dying = true, false, false, false
		n.offset = -time.Duration(float64(n.w.now)*n.rate) + 5*time.Second
		n.bootMem, n.bittenAt = nil, 0
		n.idle()
		n.attach()
		n.w.line(n.host.String(), "", "up", "")
		n.StartAgent()
	})
}

// die ends everything that runs on the machine.
func (n *Node) die() {
	n.KillAgent()
	n.running, n.frozen, n.deferred, n.bittenAt = false, false, nil, 0
	n.boots++
	n.idle()
	n.detach()
}

// Unplug cuts the machine's power, and its management controller's.
func (n *Node) Unplug() {
	n.power, n.bmc.dead = false, true
	n.die()
}

// Crash stops the machine for good; its power stays on.
func (n *Node) Crash() { n.die() }

// Plug gives the machine its power back, or starts it again.
func (n *Node) Plug() {
	n.bmc.dead = false
	if !n.running {
		n.powerOn(n.w.Boot)
	}
}

// Reset resets the machine; it boots again.
func (n *Node) Reset(why string) {
	if !n.running {
		return
	}
	if n.dying {
		return
	}
	n.w.line(n.host.String(), "", "RESET", why)
	n.dying = true
	n.KillAgent()
	boots := n.boots
	n.w.after(n.w.between(0, n.w.Options.Reset), func() { // what runs may go on until then
		if n.boots == boots && n.running {
			n.die()
			n.powerOn(n.w.Boot)
		}
	})
}

// ShutDown is an operator's poweroff: the agent leaves, then the machine ends.
func (n *Node) ShutDown() { n.give(agent.Leave{Why: "shutdown"}) }

// Freeze stops the whole machine, or lets it go on.
func (n *Node) Freeze(frozen bool) {
	if !n.running {
		return
	}
	n.frozen = frozen
	n.w.reach()
	for !n.frozen && len(n.deferred) > 0 {
		do := n.deferred[0]
		n.deferred = n.deferred[1:]
		do()
	}
	n.pump()
}

// PauseAgent stops the agent's process alone, or lets it go on.
func (n *Node) PauseAgent(paused bool) {
	n.paused = paused
	if !paused && n.rest != nil {
		rest := n.rest
		n.rest = nil
		rest()
	}
	n.pump()
}

// Gateway makes the reference address answer this node, or not.
func (n *Node) Gateway(ok bool) { n.gateway = ok }

// FailStarts makes starts fail.
func (n *Node) FailStarts(fail bool) { n.startFail = fail }

// FailStops makes stops hang.
func (n *Node) FailStops(fail bool) { n.stopFail = fail }

// feed feeds the watchdog.
func (n *Node) feed(before boottime.Instant) {
	if n.clock() >= before {
		n.Reset("the feeder of the watchdog was late")
		return
	}
	chained := n.bittenAt != 0
	n.bittenAt = n.w.now + time.Duration(float64(n.w.Watchdog)/n.rate)
	if !chained {
		n.bite(n.boots)
	}
}

// bite waits for the watchdog, a device that goes on counting whatever happens
// to the machine's processor.
func (n *Node) bite(boot int) {
	n.w.after(n.bittenAt-n.w.now, func() {
		switch {
		case n.boots != boot || !n.running:
		case n.w.now >= n.bittenAt:
			n.Reset("the watchdog was not fed")
		default:
			n.bite(boot)
		}
	})
}

func (n *Node) bootID() arbiter.BootID {
	return arbiter.BootID(fmt.Sprintf("%s-boot-%d", n.id, n.boots))
}
