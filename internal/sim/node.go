package sim

import (
	"fmt"
	"reflect"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/fencing"
	"sbarbiter/internal/boottime"
)

const (
	mostLate    = 50 * time.Millisecond // of a process, before it acts
	probeEvery  = 500 * time.Millisecond
	dialEvery   = 200 * time.Millisecond
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
	clock     *clock
	frozen    bool        // stopped from outside
	dying     bool        // a reset is on its way
	deferred  []happening // until it goes on
	bite      *timer      // of the watchdog, a device that goes on counting whatever happens to the processor
	shot      bool        // off or booting by its peer's shot
	bmc       bmc
	gateway   bool
	services  []*service // by group
	handlers  []*handler
	call      agent.CallID
	startFail bool             // starts fail
	stopFail  bool             // stops do not end
	newsLate  time.Duration    // that the agent hears of DRBD's changes
	slowBoot  time.Duration    // added to a boot
	stoppedAt boottime.Instant // its clock, with the machine; 0: not
	stood     int              // the boot in which its clock stood still last
	dogless   bool             // it has no watchdog
	dawdles   bool             // the feeder of its watchdog is to stand still in the last feed
	dawdled   bool             // and did
	office    office           // what the checks of shots know of it
	snag      *snag            // of its next message of some kind
	fatal     bool             // its agent dies when it next stores something
	obstinate bool             // its DRBD does not outdate its disk

	// the disk
	memory      []byte
	incarnation arbiter.Incarnation
	saving      []byte

	// the agent's process, and what dies with the boot
	agent    *agent.Machine
	due      *timer        // of what the agent does by time alone
	late     time.Duration // by how much its process is, next time
	probes   *timer
	dials    *timer
	monitors *timer
	unread   int // seconds since the peer's power switch was read
	bootMem  *agent.BootMemory
	life     int
	paused   bool // the process alone is stopped
	busy     bool
	pumping  bool
	queue    []agent.Event
	rest     []happening // until the process goes on
	session  session
	newest   uint64 // number of the peer's beat heard last
	track    fencing.Track
	shooting *shooting
	mandate  arbiter.MandateID // of it
	heard    int               // life of the peer's agent heard last
	saves    int
	actions  tally
}

type service struct {
	up     bool // any of them may be running
	number int  // of the start or stop under way; 0: none
	stops  bool // it is a stop
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
		w: w, host: h, id: arbiter.NodeID(h.String()), gateway: true, clock: w.newClock(),
	}
	n.bmc.n = n
	n.bite = w.timer(func() { n.Reset("the watchdog was not fed") })
	n.due, n.probes, n.dials = w.timer(n.tick), w.timer(n.probe), w.timer(n.dial)
	n.monitors = w.timer(n.monitor)
	n.idle()
	return n
}

// idle is the state of a machine that runs nothing.
func (n *Node) idle() {
	n.services, n.handlers = make([]*service, len(n.w.groups)), nil
	for i := range n.services {
		n.services[i] = &service{}
	}
}

func (n *Node) service(g arbiter.GroupID) *service { return n.services[n.w.index(g)] }

// ID returns the node's name.
func (n *Node) ID() arbiter.NodeID { return n.id }

// Saves returns how often its agent has stored its memory.
func (n *Node) Saves() int { return n.saves }

// Actions returns how often its agent has asked for each kind of action.
func (n *Node) Actions() map[string]int {
	out := map[string]int{}
	for _, c := range n.actions {
		out[c.kind.String()] = c.count
	}
	return out
}

// tally counts by kind. There are few kinds, and those of most steps come first.
type tally []counted

type counted struct {
	kind  reflect.Type
	count int
}

func (t *tally) add(what any) {
	kind := reflect.TypeOf(what)
	for i := range *t {
		if (*t)[i].kind == kind {
			(*t)[i].count++
			return
		}
	}
	*t = append(*t, counted{kind, 1})
}

// Runs reports whether services of a group may be running.
func (n *Node) Runs(g arbiter.GroupID) bool { return n.running && n.service(g).up }

// Serves reports whether clients reach the group's services.
func (n *Node) Serves(g arbiter.GroupID) bool {
	s := n.service(g)
	return n.running && s.up && !n.dying && !n.frozen && !s.barred && s.number == 0
}

// Up reports whether the machine runs.
func (n *Node) Up() bool { return n.running && !n.dying }

// local does something on the machine as it is now; a machine stopped from
// outside does it when it goes on.
func (n *Node) local(d time.Duration, do func()) {
	n.w.sched(d, &local{n: n, boot: n.boots, do: do})
}

// unless does something later, if nothing has made it pointless.
func (n *Node) unless(over func() bool, d time.Duration, do func()) {
	n.w.sched(d, &local{n: n, boot: n.boots, do: do, over: over})
}

// whenAwake does something in this boot, once the machine goes on.
func (n *Node) whenAwake(boot int, do func()) {
	l := local{n: n, boot: boot, do: do}
	l.happen()
}

// local is something that happens on a machine, in this boot or not at all, and
// perhaps in a process.
type local struct {
	n       *Node
	boot    int
	process int // 0: none
	do      func()
	over    func() bool // nil: never over
}

func (l *local) happen() {
	n := l.n
	switch {
	case l.pointless():
	case n.frozen:
		n.deferred = append(n.deferred, l)
	case l.process != 0 && n.paused:
		n.rest = append(n.rest, l)
	default:
		l.do()
	}
}

func (l *local) pointless() bool {
	n := l.n
	return n.boots != l.boot || !n.running || l.process != 0 && l.process != n.life || l.over != nil && l.over()
}

// powerOn starts the machine after the delay.
func (n *Node) powerOn(after time.Duration) {
	n.boots++
	boot := n.boots
	n.power = true
	n.w.after(after+n.slowBoot, func() {
		if n.boots != boot || !n.power {
			return
		}
		n.running, n.frozen, n.shot, n.dying, n.stoppedAt = true, false, false, false, 0
		n.clock.reset(boottime.Instant(5 * time.Second))
		n.bootMem, n.dawdled, n.office = nil, false, office{}
		n.bite.stop()
		n.idle()
		n.attach()
		n.w.line(n.host.String(), "", "up", "")
		n.StartAgent()
	})
}

// die ends everything that runs on the machine.
func (n *Node) die() {
	n.KillAgent()
	n.running, n.frozen, n.deferred = false, false, nil
	n.bite.stop()
	n.boots++
	n.idle()
	n.detach()
}

// Unplug cuts the machine's power, and its management controller's.
func (n *Node) Unplug() {
	n.power, n.bmc.dead = false, true
	n.bmc.boots++
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
	n.w.checkSteady(n, "is reset")
	n.dying = true
	n.KillAgent()
	boots := n.boots
	least := time.Duration(0)
	if n.w.Worst || n.dawdled {
		least = n.w.Options.Reset
	}
	n.w.after(n.w.between(least, n.w.Options.Reset), func() { // what runs may go on until then
		if n.boots == boots && n.running {
			n.die()
			n.powerOn(n.w.Boot)
		}
	})
}

// ShutDown is an operator's poweroff: the agent leaves, then the machine ends.
func (n *Node) ShutDown() { n.give(agent.Leave{Why: "shutdown", Down: true}) }

// Freeze stops the whole machine, or lets it go on.
func (n *Node) Freeze(frozen bool) {
	if !n.running {
		return
	}
	n.frozen = frozen
	n.w.reach()
	for !n.frozen && len(n.deferred) > 0 {
		l := n.deferred[0]
		n.deferred = n.deferred[1:]
		l.happen()
	}
	n.pump()
}

// PauseAgent stops the agent's process alone, or lets it go on.
func (n *Node) PauseAgent(paused bool) {
	n.paused = paused
	for !n.paused && len(n.rest) > 0 {
		l := n.rest[0]
		n.rest = n.rest[1:]
		l.happen()
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
	if now := n.clock.now(); now >= before {
		n.Reset("the feeder of the watchdog was late")
	} else if n.dawdles && n.lastFeed(now) {
		n.dawdle(before)
	} else {
		n.bite.set(n.clock.until(now.Add(n.w.Watchdog)))
	}
}

func (n *Node) bootID() arbiter.BootID {
	return arbiter.BootID(fmt.Sprintf("%s-boot-%d", n.id, n.boots))
}
