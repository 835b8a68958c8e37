package sim

import (
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// Witness is the service that the nodes ask: one voter or three. Its state is
// what the committed commands make; each voter has a log of its own.
type Witness struct {
	w       *World
	voters  []*voter
	state   *arbiter.State
	known   *arbiter.Cluster // in it
	disks   int              // it has had
	applied int              // commands committed, and carried out once
	backup  *copied          // of a lone voter's disk
	last    *voter           // that has led last
	Changes int              // of leadership
	slow    time.Duration    // at most, on top of what a disk takes
	listens time.Duration    // whoever leads has listened since
	wasOpen arbiter.Mandate  // before the command that was carried out last; zero: none was
	shown   time.Duration    // a copy of its disk was shown to be an old one at; 0: not yet
}

// copied is a copy of a lone voter's disk.
type copied struct {
	state *arbiter.State
	log   []record
}

func newWitness(w *World) *Witness {
	x := &Witness{w: w, state: arbiter.NewState()}
	for i := range max(1, w.Voters) {
		x.voters = append(x.voters, newVoter(x, W+Host(i)))
	}
	x.last = x.voters[0]
	return x
}

// asker waits for the answer to a request.
type asker interface{ replied(leader.Answer) }

type askerFunc func(leader.Answer)

func (f askerFunc) replied(a leader.Answer) { f(a) }

// State returns what the committed commands have made of the cluster.
func (x *Witness) State() *arbiter.Cluster { return x.known }

// learn looks the cluster up after whatever has changed the state.
func (x *Witness) learn() { x.known = x.state.Clusters[x.w.Definition.Cluster] }

// open returns the mandate that is open, if one is.
func (x *Witness) open() arbiter.Mandate {
	if c := x.State(); c != nil && c.Mandate != nil && c.Mandate.Phase == arbiter.Open && !c.Mandate.Rehearsal {
		return *c.Mandate
	}
	return arbiter.Mandate{}
}

// start starts every voter.
func (x *Witness) start(after time.Duration) {
	for _, v := range x.voters {
		v.start(after)
	}
}

// leading returns the voter that answers, the newest where an old one does not
// know yet; nil: none does.
func (x *Witness) leading() *voter {
	var best *voter
	for _, v := range x.voters {
		if v.lead != nil && (best == nil || v.term > best.term) {
			best = v
		}
	}
	return best
}

// Crash kills every voter's process. What is on their disks is kept.
func (x *Witness) Crash() {
	for _, v := range x.voters {
		v.crash()
	}
}

// Restart brings every voter back that is not up.
func (x *Witness) Restart() {
	for _, v := range x.voters {
		if !v.up {
			v.start(x.w.between(300*time.Millisecond, 2*time.Second))
		}
	}
}

// CrashLeader kills the voter that leads, or has led last, and RestartLeader
// brings it back.
func (x *Witness) CrashLeader() { x.leader().crash() }

func (x *Witness) leader() *voter {
	if v := x.leading(); v != nil {
		return v
	}
	return x.last
}

// Part cuts the voter that leads off from the other ones, or mends that. The
// nodes reach it all the same.
func (x *Witness) Part(cut bool) {
	old := x.leader()
	for _, v := range x.voters {
		for _, o := range x.voters {
			if v != o && (!cut || v == old || o == old) {
				x.w.CutPath(Path{v.host, o.host, 0}, cut)
			}
		}
	}
}

// Pause stops the leading voter's process, or lets every voter go on.
func (x *Witness) Pause(paused bool) {
	if paused {
		x.leader().pause(true)
		return
	}
	for _, v := range x.voters {
		v.pause(false)
	}
}

// Fill makes the leading voter's disk full, or gives every voter room.
func (x *Witness) Fill(full bool) {
	if full {
		x.leader().full = true
		return
	}
	for _, v := range x.voters {
		v.full = false
	}
}

// Forget restarts the witness with an empty disk: a lone voter's memory is lost;
// one of three gets it back from the others before it votes again.
func (x *Witness) Forget() {
	if len(x.voters) > 1 {
		v := x.voters[x.w.rng.IntN(len(x.voters))]
		if !slices.ContainsFunc(x.voters, func(o *voter) bool { return o.blank || !o.up }) {
			v.crash()
			v.log, v.term, v.vote, v.blank = nil, 0, 0, true
			v.start(x.w.between(300*time.Millisecond, 2*time.Second))
		}
		return
	}
	x.begin(&copied{state: arbiter.NewState()})
	x.apply(arbiter.Define{Definition: x.w.Definition, By: "operator"})
}

// begin restarts a lone voter with another disk.
func (x *Witness) begin(c *copied) {
	v := x.voters[0]
	v.crash()
	x.disks++
	x.state, v.log, x.applied, v.commit = c.state, c.log, len(c.log), len(c.log)
	x.learn()
	v.start(x.w.between(300*time.Millisecond, 2*time.Second))
}

// Backup copies a lone voter's disk, and Restore puts the copy in its place.
func (x *Witness) Backup() {
	if len(x.voters) == 1 {
		x.backup = &copied{cloneState(x.state), slices.Clone(x.voters[0].log[:x.applied])}
	}
}

// Restore puts the copy that Backup has made in the disk's place.
func (x *Witness) Restore() {
	if x.backup == nil {
		return
	}
	x.begin(x.backup)
	x.backup = nil
	x.w.restored, x.shown = x.state.Version.Incarnation, 0
}

// old is how long a copy of the witness's disk may go on after it was shown to be
// one: what was on its way is carried out, and a new incarnation takes its time.
const oldFor = 5 * time.Second

// unnoticed reports whether the witness goes by an old copy of its disk, and
// nobody could know yet.
func (x *Witness) unnoticed() bool {
	return x.w.restored != 0 && x.state.Version.Incarnation == x.w.restored && (x.shown == 0 || x.w.now-x.shown < oldFor)
}

// look notices a message that shows a copy of the disk to be an old one.
func (x *Witness) looks(m leader.Message) {
	if b, ok := m.(leader.Beat); ok && x.shown == 0 && x.w.restored != 0 && x.state.Misses(b.Seen) {
		x.shown = x.w.now
	}
}

func cloneState(s *arbiter.State) *arbiter.State {
	c := &arbiter.State{Version: s.Version, Leads: slices.Clone(s.Leads), Clusters: maps.Clone(s.Clusters)}
	for id, cluster := range c.Clusters {
		c.Clusters[id] = cluster.Clone()
	}
	return c
}

// mend ends everything that is wrong with the witness.
func (x *Witness) mend() {
	x.slow = 0
	x.backup = nil
	x.Part(false)
	x.Pause(false)
	x.Fill(false)
	x.Restart()
}

func (x *Witness) clusters() []*arbiter.Cluster {
	var out []*arbiter.Cluster
	for _, c := range x.state.Clusters {
		out = append(out, c.Clone())
	}
	return out
}

// Order hands an operator's command to the witness and puts the answer on the
// timeline.
func (x *Witness) Order(m leader.Message) {
	v := x.leading()
	if v == nil {
		return
	}
	v.request(m, askerFunc(func(a leader.Answer) {
		if a.Verdict != nil {
			x.w.line("operator", "", string(a.Verdict.Kind), a.Verdict.Sentence)
		}
	}))
}

// carryOut applies the command at an index of the committed log, once: whoever
// commits it first.
func (x *Witness) carryOut(index int, c arbiter.Command) arbiter.Outcome {
	if index <= x.applied {
		return arbiter.Outcome{}
	}
	x.applied = index
	return x.apply(c)
}

func (x *Witness) apply(c arbiter.Command) arbiter.Outcome {
	x.w.toldArbiter(x.state, c)
	x.wasOpen = x.open()
	out := x.state.Apply(x.state.Version.Index+1, arbiter.Entry{Command: c, At: x.w.True().Milliseconds()})
	x.learn()
	for _, r := range out.Records {
		x.w.line(W.String(), r.Group, r.What, string(r.Reason)+" "+r.Sentence)
	}
	x.w.checkGrants(x.State())
	return out
}

// perform carries a leadership's actions out.
func (v *voter) perform(actions []leader.Action) {
	term, lead := v.term, v.lead
	v.wake()
	for _, a := range actions {
		if v.lead == nil || v.term != term {
			return
		}
		switch a := a.(type) {
		case leader.Propose:
			v.propose(a.Token, a.Command)
		case leader.Verify:
			v.verify(a.Token)
		case leader.Reply:
			if reply := v.tickets[a.Ticket]; reply != nil {
				delete(v.tickets, a.Ticket)
				reply.replied(a.Answer)
			}
		case leader.Notify:
			v.notify(a)
		case leader.Look:
			v.look(a)
		case leader.Shoot:
			v.shoot(a)
		}
	}
	lead.Reuse(actions)
	v.arm()
}

// wake notes that a leader was late itself: it counts as new. What it stood still for is
// not all of that, since it had perhaps nothing to do before.
func (v *voter) wake() {
	now := v.clock.now()
	if v == v.x.last && now.Sub(v.awake) > v.x.w.Definition.Timing.Renew { // not a deposed leader that wakes up
		v.x.listens = v.x.w.now
	}
	v.awake = now
}

// arm waits for what the leader does next by time alone.
func (v *voter) arm() {
	if v.lead == nil || v.paused {
		v.due.stop()
		return
	}
	v.due.set(v.clock.until(v.lead.Due()))
}

func (v *voter) tick() {
	if v.lead != nil && !v.paused {
		v.x.w.toldLeader(v, tickTold)
		v.perform(v.lead.Tick(v.clock.now(), int64(v.x.w.True()/time.Second)))
	}
}

// request hands a message to the leader; reply may be nil.
func (v *voter) request(m leader.Message, reply asker) {
	if v.paused {
		v.run(func() { v.take(m, reply) })
		return
	}
	v.take(m, reply)
}

func (v *voter) take(m leader.Message, reply asker) {
	if v.lead == nil {
		return
	}
	v.ticket++
	if reply != nil {
		v.tickets[v.ticket] = reply
	}
	v.x.looks(m)
	switch m.(type) {
	case leader.Looked, leader.ShotDone: // the pairs of the grid have no witness that shoots
	default:
		if ofRecovery(m) {
			break
		}
		v.x.w.toldLeader(v, indexOf(messages, m))
	}
	v.perform(v.lead.Request(v.clock.now(), v.ticket, m))
}

func (v *voter) notify(a leader.Notify) {
	for _, n := range v.x.w.nodes {
		if n.id == a.Node && n.session.voter == v {
			n.fromWitness(v, &postcard{nudge: a.Why})
		}
	}
}

// opened begins a leadership: its first command has been carried out.
func (v *voter) opened() {
	x := v.x
	v.lead = leader.New(v.clock.now(), x.state.Version, x.clusters())
	v.lead.Remembers(x.state.Leads)
	v.lead.Reaches(x.w.reaches())
	x.last, x.listens, v.awake = v, x.w.now, v.clock.now()
	x.Changes++
	v.reign = x.Changes
	x.w.line(v.host.String(), "", "leads", "")
	v.arm()
}

// concluded tells the leader what became of a command.
func (v *voter) concluded(t leader.Token, c arbiter.Command, out arbiter.Outcome) {
	x := v.x
	_, all := c.(arbiter.Renounce)
	var known *arbiter.Cluster
	if k := x.State(); k != nil && !all {
		known = k.Clone()
	}
	x.w.toldLeader(v, appliedTold)
	v.perform(v.lead.Applied(v.clock.now(), t, out, x.state.Version, known))
	if all && v.lead != nil {
		v.lead.Remembers(x.state.Leads)
		v.perform(v.lead.Replaced(v.clock.now(), x.state.Version, x.clusters()))
	}
}

// lost tells the leader that a command was not stored.
func (v *voter) lost(t leader.Token) {
	var known *arbiter.Cluster
	if k := v.x.State(); k != nil {
		known = k.Clone()
	}
	v.x.w.toldLeader(v, lostTold)
	v.perform(v.lead.Lost(v.clock.now(), t, v.x.state.Version, known))
}
