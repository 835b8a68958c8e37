package agent

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Machine is the state of one agent. It is owned by one goroutine.
type Machine struct {
	cfg    Config
	timing Timing
	mem    *Memory
	groups []*group
	by     map[arbiter.GroupID]*group

	started    boottime.Instant // this agent
	last       boottime.Instant // step
	gapAt      boottime.Instant // the last gap ended here; 0: none
	turnedAway arbiter.Reason   // by the witness, when this agent introduced itself
	spoken     bool             // a witness has welcomed this agent on this session
	cleared    bool             // a witness or the peer has spoken in this boot: the quarantine is over

	requests arbiter.RequestID
	asks     uint64  // to the peer's agent
	calls    []*call // in the order of their numbers

	session   bool
	helloAt   boottime.Instant // the next
	beatAt    boottime.Instant // last sent to the witness
	beats     uint64
	beatSent  sendTimes
	answered  boottime.Instant // send time of the last beat that was answered
	witnessed leader.PeerView  // of the peer, in that answer
	standby   bool

	witnessRate rate
	rateOf      arbiter.Version // whose clock that is

	peer  peer
	links []leader.Link
	refs  map[string]bool // reference addresses, and whether they answer
	reach int             // how many do
	disks []Storage       // as DRBD has last said; there are few

	shot     *shot
	landsBy  boottime.Instant // a shot that was given up may hit the peer until then
	flying   flight           // a proven one of which something may
	drill    *drill
	drilled  arbiter.MandateID // the latest rehearsal begun
	declined arbiter.MandateID // the latest that this node has no device for
	// unfinished is the latest mandate that an agent before this one had begun, and
	// not seen to its end; 0: none.
	unfinished arbiter.MandateID
	feedAt     boottime.Instant
	disagrees  bool   // with the witness about durations
	hasty      bool   // the witness gives a shot less time than the devices may take
	blank      bool   // its store, or what the boot keeps, was empty when it started
	orderly    bool   // the machine's boot before this one ended in order
	leaving    string // why this agent ends for good
	down       bool   // because its machine does
	left       bool
	bindsTo    boottime.Instant // what was promised before this agent's start binds until then
	dirty      bool             // memory must be stored before the step's words leave
	actions    []Action
}

// call is a request to the witness whose answer is awaited. An unknown outcome
// is asked again under the same number.
type call struct {
	id      arbiter.RequestID
	sentAt  boottime.Instant // first
	retryAt boottime.Instant
	message func(arbiter.RequestID) leader.Message
	done    func(now boottime.Instant, c *call, v arbiter.Verdict)
	// unknown is told that the outcome is not known; false: do not ask again.
	unknown func(now boottime.Instant) bool
}

// New returns the machine of an agent that starts at now. mem is nil where the
// store was empty.
func New(now boottime.Instant, cfg Config, mem *Memory, boot *BootMemory) *Machine {
	m := &Machine{
		cfg: cfg, timing: cfg.Timing, mem: mem, started: now, last: now,
		by:   map[arbiter.GroupID]*group{},
		refs: map[string]bool{},
	}
	if mem == nil {
		m.mem = NewMemory()
		m.mem.Fresh = true
	}
	if m.unfinished = m.mem.Reviving; slices.Contains(m.mem.Mandates, m.mem.Begun) { // what the witness's host has begun is its own to end
		m.unfinished = m.mem.Begun
	}
	m.orderly = boot.Orderly || m.mem.Left != "" && m.mem.Left != cfg.Boot
	m.mem.Left = ""
	m.mem.Promise = max(m.mem.Promise, cfg.Timing.Promise)
	m.bindsTo, m.dirty = now.Add(mutant.Weak(mutant.PromiseForgotten, arbiter.Guard(m.mem.Promise), 0)), true
	m.blank = m.mem.Fresh || !boot.Cleared
	m.cleared = boot.Cleared || mutant.On(mutant.QuarantineSkipped)
	m.peer.number = uint64(cfg.Incarnation) << 32 // an answer to an earlier life's beat answers none of this one's
	for _, gc := range cfg.Groups {
		g := &group{cfg: gc, id: gc.ID, phase: Stopped, joined: slices.Contains(boot.Joined, gc.ID), followed: slices.Contains(boot.Followed, gc.ID)}
		g.promised.mandate = m.mem.Begun // what an earlier life promised, it may have promised last
		if gm := m.mem.Groups[gc.ID]; gm.Holder == cfg.Peer {
			g.promised.epoch = gm.Epoch
		}
		if r, ok := boot.Groups[gc.ID]; ok {
			g.resume(r)
			m.recall(gc.ID, r)
		}
		m.groups = append(m.groups, g)
		m.by[gc.ID] = g
	}
	return m
}

// recall adds to a memory that was lost, or is an old copy, what this node still
// runs by the file that dies with the boot.
func (m *Machine) recall(id arbiter.GroupID, r HeldRight) {
	m.mem.Floor = max(m.mem.Floor, r.Epoch)
	if gm := m.mem.Groups[id]; gm.Epoch < r.Epoch {
		gm.Holder, gm.Epoch, gm.GivenBack = m.cfg.Node, r.Epoch, false
		m.mem.Groups[id] = gm
	}
}

// Step takes an event at now and returns what has to be done, in order.
func (m *Machine) Step(now boottime.Instant, ev Event) []Action {
	m.wake(now)
	m.handle(now, ev)
	m.tick(now)
	return m.take()
}

// wake notices that this agent was stopped or paused for longer than its timers
// allow for: first the barrier, then the question.
func (m *Machine) wake(now boottime.Instant) {
	gap := now.Sub(m.last)
	m.last = now
	if gap > m.cfg.gap() {
		m.interrupted(now, fmt.Sprintf("no step for %v", gap))
	}
}

// interrupted raises the barrier on every group: what this agent believed of the
// time is not true any more.
func (m *Machine) interrupted(now boottime.Instant, how string) {
	m.gapAt, m.beatAt = now, 0
	for _, g := range m.groups {
		if g.phase == Running && !g.barred {
			g.barred = true
			m.do(Barrier{g.id})
			m.saveBoot()
		}
	}
	m.note(nil, "was stopped", how+"; groups are blocked until their right is confirmed")
	m.abortShot("the agent was stopped for a while")
}

func (m *Machine) handle(now boottime.Instant, ev Event) {
	switch ev := ev.(type) {
	case Tick:
	case SessionUp, SessionDown, Welcomed, Answered, Nudged:
		m.onWitness(now, ev)
	case CallDone:
		m.onCall(now, ev)
	case PeerHeard:
		m.onPeer(now, ev)
	case Probed:
		m.onProbe(now, ev)
	case Storage:
		m.onStorage(now, ev)
	case Found:
		m.onFound(now, ev)
	case StartDone:
		m.onStarted(now, ev)
	case StopDone:
		m.onStopped(now, ev)
	case PowerRead:
		m.onPower(now, ev)
	case ShotDone:
		m.onShot(now, ev)
	case Revived:
		m.onRevived(ev)
	case FencePeer:
		m.onFencePeer(now, ev)
	case SideMeasured:
		m.onSide(now, ev)
	case Carried:
		m.onCarried(now, ev)
	case DiskFailed:
		m.onDiskFailed(ev)
	case SplitSeen:
		m.onSplit(ev)
	case OutdateDone:
		m.onOutdated(ev)
	case InvalidateDone:
		m.onInvalidated(now, ev)
	case Links:
		m.links = ev.Links
	case Services:
		if g := m.by[ev.Group]; g != nil {
			g.services = ev.Services
		}
	case Leave:
		m.leaving, m.down = ev.Why, ev.Down
		m.note(nil, "leaving", ev.Why)
	case SaveFailed:
		m.note(nil, "cannot store", fmt.Sprintf("%v; nothing is promised or asked until it can", ev.Err)).Alarm = true
		m.dirty = true
	default:
		panic(fmt.Sprintf("agent: unknown event %T", ev))
	}
}

// tick does what time alone makes due.
func (m *Machine) tick(now boottime.Instant) {
	for _, g := range m.groups {
		m.guard(now, g)
		m.startAgain(now, g)
		m.tenure(now, g)
		m.join(now, g)
		m.exclusions(now, g)
		m.ask(now, g)
		m.giveBackAgain(now, g)
		m.strand(now, g)
		m.recover(now, g)
	}
	if now > m.bindsTo && m.mem.Promise != m.cfg.Timing.Promise {
		m.mem.Promise, m.dirty = m.cfg.Timing.Promise, true
	}
	m.leave(now)
	m.stray(now)
	m.retry(now)
	m.fencing(now)
	m.hello(now)
	m.beat(now)
	m.tell(now)
	m.feed(now)
}

// pace returns when something that is done every so often counts as done, so
// that a late step does not slow the rest down.
func pace(last, now boottime.Instant, every time.Duration) boottime.Instant {
	if next := last.Add(every); now.Sub(next) < every {
		return next
	}
	return now
}

// Reuse takes back what Step has returned, from a caller that has done all of it.
func (m *Machine) Reuse(actions []Action) {
	clear(actions)
	m.actions = actions[:0]
}

func (m *Machine) do(a Action) {
	if m.actions == nil {
		m.actions = make([]Action, 0, 6) // few steps take more
	}
	m.actions = append(m.actions, a)
}

// take returns the actions of this step. Memory that has changed is stored
// before any of them.
func (m *Machine) take() []Action {
	out := m.actions
	m.actions = nil
	if m.dirty {
		m.dirty = false
		out = slices.Insert(out, mutant.Weak(mutant.SavedLate, 0, len(out)), Action(Save{m.mem.Encode()}))
	}
	return out
}

// note writes a line of the timeline and returns it for additions.
func (m *Machine) note(g *group, what, why string) *Note {
	n := &Note{What: what, Why: why}
	if g != nil {
		n.Group = g.id
	}
	m.do(n)
	return n
}

// remember changes what is known of a group, for the store.
func (m *Machine) remember(g *group, change func(*GroupMemory)) {
	was := m.mem.Groups[g.id]
	is := was
	change(&is)
	if is == was {
		return
	}
	m.mem.Groups[g.id] = is
	m.mem.Floor = max(m.mem.Floor, is.Epoch)
	m.dirty = true
}

func (m *Machine) caller(id arbiter.RequestID) arbiter.Caller {
	return arbiter.Caller{
		Cluster: m.cfg.Cluster, Node: m.cfg.Node, Boot: m.cfg.Boot, Incarnation: m.cfg.Incarnation,
		Request: id, Floor: m.mem.Floor,
	}
}

// call asks the witness something until there is an answer, or unknown says to
// leave it.
func (m *Machine) call(now boottime.Instant, c *call) *call {
	m.requests++
	c.id, c.sentAt = m.requests, now
	m.calls = append(m.calls, c)
	m.send(now, c)
	return c
}

func (m *Machine) send(now boottime.Instant, c *call) {
	c.retryAt = now.Add(4 * m.timing.RPCTimeout) // the runner answers earlier
	c.sentAt = mutant.Weak(mutant.VerdictFromResend, c.sentAt, now)
	m.do(Call{Request: c.id, Message: c.message(c.id), Timeout: m.timing.RPCTimeout})
}

// dropCall asks no more, and hears no answer.
func (m *Machine) dropCall(c *call) {
	m.calls = slices.DeleteFunc(m.calls, func(other *call) bool { return other == c })
}

func (m *Machine) onCall(now boottime.Instant, ev CallDone) {
	i := slices.IndexFunc(m.calls, func(c *call) bool { return c.id == ev.Request })
	if i < 0 {
		return
	}
	c := m.calls[i]
	if ev.Err == nil && ev.Verdict.Reason == arbiter.NotIntroduced {
		m.spoken, m.helloAt = false, 0
	}
	if ev.Err == nil && ev.Verdict.Reason == arbiter.Overtaken {
		m.requests++ // nothing came of it: it is another request now
		c.id, c.sentAt = m.requests, now
		m.send(now, c)
		return
	}
	unknown := ev.Err != nil || ev.Version.Incarnation < m.mem.Seen.Incarnation && !mutant.On(mutant.OldIncarnationHeard) || ev.Verdict.Reason == arbiter.NotIntroduced
	if unknown && (c.unknown == nil || c.unknown(now)) {
		c.retryAt = now.Add(m.timing.Renew)
		return
	}
	m.dropCall(c)
	if unknown {
		return
	}
	m.see(ev.Version)
	c.done(now, c, ev.Verdict)
}

func (m *Machine) retry(now boottime.Instant) {
	for _, c := range m.calls {
		if now >= c.retryAt && m.session {
			m.send(now, c)
		}
	}
}

// see keeps the highest version of a witness. Its place in the log is stored
// with the next change of anything else.
func (m *Machine) see(v arbiter.Version) {
	if !m.mem.Seen.Newer(v) {
		return
	}
	was := m.mem.Seen
	m.mem.Seen = v
	if was.Incarnation != v.Incarnation || was.Starts != v.Starts {
		m.dirty = true
	}
}

func (m *Machine) onProbe(now boottime.Instant, ev Probed) {
	was, known := m.refs[ev.Address]
	m.refs[ev.Address] = ev.OK
	if known && was == ev.OK {
		return
	}
	m.reach = m.reached()
	what := "reference answers"
	if !ev.OK {
		what = "reference lost"
	}
	m.note(nil, what, fmt.Sprintf("%s; %d of the %d needed answer%s", ev.Address, m.references(), m.cfg.Needed, m.whoIsIsolated(now)))
}

// whoIsIsolated tells a gateway that is down for everybody from a node that is
// cut off, by the peer's own word or the witness's.
func (m *Machine) whoIsIsolated(now boottime.Instant) string {
	var theirs, needed int
	switch {
	case m.references() >= m.cfg.Needed:
		return ""
	case m.hearsBeats(now):
		theirs, needed = m.peer.beat.References, m.peer.beat.Needed
	case m.witnessNear(now) && m.witnessed.Heard:
		theirs, needed = m.witnessed.References, m.witnessed.Needed
	default:
		return "; nobody else is heard: this node is isolated"
	}
	if theirs < needed {
		return "; nor does " + string(m.cfg.Peer) + " reach them: they are down for everybody"
	}
	return "; " + string(m.cfg.Peer) + " reaches them: this node is isolated"
}

// references returns how many reference addresses answer.
func (m *Machine) references() int { return m.reach }

func (m *Machine) reached() int {
	n := 0
	for _, ok := range m.refs {
		if ok {
			n++
		}
	}
	return n
}
