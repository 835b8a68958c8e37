// Package leader is one leadership of a witness: the judgement of time that
// never enters the replicated state. It hears beats, keeps a deadline per lease,
// decides which command a request becomes and when a renewal may be answered.
//
// It does nothing itself. The shell hands it events with the time, carries out
// the actions it returns, in order, and feeds the results back. It owns no
// clock, no goroutine and no lock; it is not safe for concurrent use.
package leader

import (
	"cmp"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Ticket names one request of the shell; its answer carries the same.
type Ticket uint64

// Token names one proposal or verification under way.
type Token uint64

// Action is something the shell has to do. The set is closed.
type Action interface{ action() }

// Propose puts a command into the log. The shell answers with [Leader.Applied],
// or, once a barrier has shown what became of it, with [Leader.Lost].
type Propose struct {
	Token   Token
	Command arbiter.Command
}

// Verify asks the engine whether this witness is still the leader, as of after
// now. The shell answers with [Leader.Verified].
type Verify struct{ Token Token }

// Reply answers a request.
type Reply struct {
	Ticket Ticket
	Answer Answer
}

// Notify tells a node that something about its cluster has changed.
type Notify struct {
	Cluster arbiter.ClusterID
	Node    arbiter.NodeID
	Why     string
}

func (Propose) action() {}
func (Verify) action()  {}
func (Reply) action()   {}
func (Notify) action()  {}

// Answer is what a request is answered with: a verdict, a beat's answer, or
// neither, which means "unknown, ask again".
type Answer struct {
	Version arbiter.Version
	Verdict *arbiter.Verdict
	Beat    *BeatAnswer
}

// Unknown reports whether the answer says nothing.
func (a Answer) Unknown() bool { return a.Verdict == nil && a.Beat == nil }

// Leader is one leadership. Use [New] when the engine's barrier has passed.
type Leader struct {
	since    boottime.Instant // has listened since
	awake    boottime.Instant // last event
	wall     int64            // Unix seconds at the last tick
	version  arbiter.Version
	leads    []arbiter.Leadership
	hands    map[arbiter.ClusterID][]arbiter.NodeID // that this host can shoot
	desks    map[arbiter.ClusterID]*desk
	order    []*desk // the same, by name
	tokens   Token
	underWay map[Token]*proposal
	batch    []*request // what waits for the next verification
	checking []*request // what the verification under way covers
	actions  []Action
}

// proposal is a command under way; request is nil for the leader's own.
type proposal struct {
	desk    *desk
	request *request
	command arbiter.Command
	at      boottime.Instant
}

type request struct {
	ticket   Ticket
	at       boottime.Instant // received
	message  Message
	verified bool
	noted    arbiter.Command // the last command that a beat became on its way
}

// Message is a request from outside. The set is closed: the arbiter's commands
// that nodes and operators send, and [Beat].
type Message interface{}

// New begins a leadership at now over a state whose every entry has been
// applied. Every held lease counts as just renewed, and nobody has been heard.
func New(now boottime.Instant, version arbiter.Version, clusters []*arbiter.Cluster) *Leader {
	l := &Leader{
		since: now, awake: now, version: version,
		desks: map[arbiter.ClusterID]*desk{}, underWay: map[Token]*proposal{},
	}
	for _, c := range clusters {
		l.update(now, c)
	}
	return l
}

// Opening returns the first command of a leadership, to be applied before New.
func Opening(nonce uint64) arbiter.Command { return arbiter.Lead{Nonce: nonce} }

// Remembers says which leaderships the witness's memory holds: a copy restored
// from a backup is known by the ones that it lacks. The shell says it after New
// and again after a command that touched every cluster.
func (l *Leader) Remembers(leads []arbiter.Leadership) { l.leads = leads }

// Request takes a message of a node or an operator.
func (l *Leader) Request(now boottime.Instant, ticket Ticket, m Message) []Action {
	l.wake(now)
	l.handle(now, &request{ticket: ticket, at: now, message: m})
	return l.take()
}

// Applied takes the outcome of a proposal, with the cluster as it is now (nil
// where the command names none).
func (l *Leader) Applied(now boottime.Instant, t Token, out arbiter.Outcome, version arbiter.Version, c *arbiter.Cluster) []Action {
	l.wake(now)
	p := l.close(t, version, now, c)
	if p == nil {
		return l.take()
	}
	l.concluded(now, p, out.Verdict)
	if p.request != nil {
		v := out.Verdict
		l.reply(p.request, Answer{Verdict: &v})
	}
	l.resume(now, p.desk)
	return l.take()
}

// Lost says that the outcome of a proposal will never be known; the cluster is
// handed over as a barrier has shown it.
func (l *Leader) Lost(now boottime.Instant, t Token, version arbiter.Version, c *arbiter.Cluster) []Action {
	l.wake(now)
	p := l.close(t, version, now, c)
	if p == nil {
		return l.take()
	}
	if p.request != nil {
		l.reply(p.request, Answer{})
	}
	l.resume(now, p.desk)
	return l.take()
}

// Replaced takes clusters and version after a command that touched all of them.
func (l *Leader) Replaced(now boottime.Instant, version arbiter.Version, clusters []*arbiter.Cluster) []Action {
	l.wake(now)
	l.advance(version)
	for _, c := range clusters {
		l.update(now, c)
	}
	return l.take()
}

// Verified takes the answer to a verification.
func (l *Leader) Verified(now boottime.Instant, _ Token, leader bool) []Action {
	l.wake(now)
	covered := l.checking
	l.checking = nil
	for _, r := range covered {
		if !leader {
			l.reply(r, Answer{})
			continue
		}
		r.verified = true
		l.handle(now, r)
	}
	l.verify()
	return l.take()
}

// Tick lets time pass; wall is the time of day in Unix seconds, which only ends
// maintenance.
func (l *Leader) Tick(now boottime.Instant, wall int64) []Action {
	l.wall = wall
	l.wake(now)
	for _, d := range l.desks {
		if !d.dated {
			d.recount(wall)
		}
	}
	for _, d := range l.order {
		if d.busy == nil {
			l.due(now, d)
		}
	}
	return l.take()
}

// wake notices that the leader itself was late: then it has heard nobody and
// knows nothing about deadlines, like a new one.
func (l *Leader) wake(now boottime.Instant) {
	gap := now.Sub(l.awake)
	l.awake = now
	late := false
	for _, d := range l.order {
		late = late || gap > d.c.Definition.Timing.Renew
	}
	if !late || mutant.On(mutant.LateLeaderGoesOn) {
		return
	}
	l.since = now
	for _, d := range l.order {
		d.restart(now)
	}
}

func (l *Leader) take() []Action {
	out := l.actions
	l.actions = nil
	return out
}

// Reuse takes back the actions that a call has returned, from a caller that has done
// all of them.
func (l *Leader) Reuse(actions []Action) {
	clear(actions)
	l.actions = actions[:0]
}

func (l *Leader) do(a Action) {
	if l.actions == nil {
		l.actions = make([]Action, 0, 2) // few steps take more
	}
	l.actions = append(l.actions, a)
}

func (l *Leader) reply(r *request, a Answer) {
	a.Version = l.version
	l.do(Reply{Ticket: r.ticket, Answer: a})
}

func (l *Leader) refuse(r *request, reason arbiter.Reason, sentence string) {
	l.reply(r, Answer{Verdict: &arbiter.Verdict{Kind: arbiter.Refused, Reason: reason, Sentence: sentence}})
}

// propose starts a command. Its cluster answers nothing else until the outcome
// is known: so no renewal can be answered while the command that ends its lease
// is on its way.
func (l *Leader) propose(now boottime.Instant, d *desk, r *request, c arbiter.Command) {
	l.tokens++
	p := &proposal{desk: d, request: r, command: c, at: now}
	l.underWay[l.tokens] = p
	if d != nil {
		d.busy = p
	}
	l.do(Propose{Token: l.tokens, Command: c})
}

func (l *Leader) close(t Token, version arbiter.Version, now boottime.Instant, c *arbiter.Cluster) *proposal {
	p := l.underWay[t]
	delete(l.underWay, t)
	l.advance(version)
	if c != nil {
		l.update(now, c)
	}
	if p != nil && p.desk != nil {
		p.desk.busy = nil
	}
	return p
}

// advance never goes back: an agent that has seen a later version would take this
// witness for an old copy of itself.
func (l *Leader) advance(version arbiter.Version) {
	if l.version.Newer(version) {
		l.version = version
	}
}

// resume handles what had to wait for a proposal.
func (l *Leader) resume(now boottime.Instant, d *desk) {
	if d == nil {
		return
	}
	for len(d.queue) > 0 && d.busy == nil {
		r := d.queue[0]
		d.queue = d.queue[1:]
		l.handle(now, r)
	}
}

func (l *Leader) verify() {
	if len(l.batch) == 0 || len(l.checking) > 0 {
		return
	}
	l.checking, l.batch = l.batch, nil
	l.tokens++
	l.do(Verify{Token: l.tokens})
}

func (l *Leader) update(now boottime.Instant, c *arbiter.Cluster) {
	id := c.Definition.Cluster
	d := l.desks[id]
	if d == nil {
		d = newDesk(now)
		l.desks[id] = d
		d.take(now, c)
		l.order = append(l.order, d)
		slices.SortFunc(l.order, func(a, b *desk) int { return cmp.Compare(a.c.Definition.Cluster, b.c.Definition.Cluster) })
		return
	}
	d.take(now, c)
}

// Silence is how long after a wake-up nobody may be called silent.
func silence(now, heard, since boottime.Instant) time.Duration {
	return now.Sub(max(heard, since))
}
