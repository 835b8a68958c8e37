package sim

import (
	"math/bits"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

// What voters among themselves take, roughly as hashicorp/raft on a local
// network: beats, elections, and how long one that hears no majority goes on
// believing that it leads. Beats go into a calm world's period.
const (
	voterBeat                = 100 * time.Millisecond
	electionMin, electionMax = 400 * time.Millisecond, 900 * time.Millisecond
	patienceMin, patienceMax = 500 * time.Millisecond, 4 * time.Second
	syncMin, syncMax         = 500 * time.Microsecond, 4 * time.Millisecond
	fullDiskAfter            = 5 * time.Millisecond
)

// record is a command in a voter's log.
type record struct {
	term    uint64
	command arbiter.Command
	at      time.Duration // it was proposed
}

// voter is one process of the witness with its disk: a log that is replicated
// with terms, elections and commitment by majority. One alone is a majority.
type voter struct {
	x     *Witness
	host  Host
	clock *clock

	// the disk
	term  uint64
	vote  Host // in this term; 0: for nobody
	log   []record
	blank bool // it was lost: no vote before the log is back

	// the process
	up       bool
	life     int
	paused   bool
	awake    boottime.Instant // told its leadership something last, on its clock
	deferred []func()
	full     bool
	leads    bool // in this term, as far as it knows
	commit   int
	votes    uint // of this candidate, by voter
	match    []int
	next     []int
	acked    []uint64        // rounds, by voter
	heardAt  []time.Duration // by voter
	patience time.Duration
	round    uint64
	synced   time.Duration // the disk is free at
	election *timer
	beats    *timer

	// the leadership
	lead      *leader.Leader
	reign     int // number of the leadership that answers, or answered last
	opening   int // index of its first command
	due       *timer
	tickets   map[leader.Ticket]asker
	ticket    leader.Ticket
	waiting   map[int]leader.Token // by index
	verifying []verification
	shooting  *shooting
}

// verification is the question whether this voter still leads, as of a round of
// beats that began after it.
type verification struct {
	token leader.Token
	round uint64
}

func newVoter(x *Witness, h Host) *voter {
	v := &voter{x: x, host: h, clock: x.w.newClock()}
	v.clock.reset(boottime.Instant(x.w.between(time.Minute, time.Hour)))
	v.due, v.election, v.beats = x.w.timer(v.tick), x.w.timer(v.elapsed), x.w.timer(v.beat)
	return v
}

func (v *voter) alone() bool { return len(v.x.voters) == 1 }

func (v *voter) index() int { return int(v.host - W) }

func (v *voter) majority(count int) bool { return 2*count > len(v.x.voters) }

// run does something in the process, or once it goes on.
func (v *voter) run(do func()) {
	if v.paused {
		v.deferred = append(v.deferred, do)
		return
	}
	do()
}

// later does something in this life of the process.
func (v *voter) later(d time.Duration, do func()) {
	v.x.w.sched(d, &chore{v, v.life, do})
}

// chore is something that a voter's process does later, in this life of it.
type chore struct {
	v    *voter
	life int
	do   func()
}

func (c *chore) happen() {
	if c.v.paused {
		c.v.deferred = append(c.v.deferred, c.happen)
	} else if c.v.life == c.life {
		c.do()
	}
}

func (v *voter) start(after time.Duration) {
	v.life++
	v.later(after, func() {
		v.up = true
		v.follow(v.term)
		if v.alone() {
			v.campaign()
		}
	})
}

func (v *voter) crash() {
	v.resign()
	v.life++
	v.up, v.paused, v.deferred = false, false, nil
	v.election.stop()
	if v.alone() { // of the commands under way some have reached the disk
		keep := v.commit + v.x.w.rng.IntN(len(v.log)-v.commit+1)
		v.log = v.log[:keep]
	}
}

func (v *voter) pause(paused bool) {
	v.paused = paused
	for !v.paused && len(v.deferred) > 0 {
		do := v.deferred[0]
		v.deferred = v.deferred[1:]
		do()
	}
	v.arm()
}

// follow makes the voter a follower in a term.
func (v *voter) follow(term uint64) {
	if term > v.term {
		v.term, v.vote = term, 0
	}
	v.resign()
	v.await()
}

// resign ends a leadership: nobody who waits learns anything.
func (v *voter) resign() {
	if v.lead != nil || v.leads {
		v.x.w.line(v.host.String(), "", "leads no more", "")
	}
	v.leads, v.lead, v.verifying, v.shooting = false, nil, nil, nil
	v.tickets, v.waiting = map[leader.Ticket]asker{}, map[int]leader.Token{}
	v.due.stop()
	v.beats.stop()
	for _, n := range v.x.w.nodes {
		n.lost(v)
	}
}

func (v *voter) await() {
	if !v.alone() {
		v.election.set(v.x.w.vary(electionMin, electionMax))
	}
}

// elapsed: nobody has been heard who leads.
func (v *voter) elapsed() {
	if v.leads {
		return
	}
	v.await()
	if v.up && !v.paused && !v.leads && !v.blank {
		v.campaign()
	}
}

func (v *voter) campaign() {
	v.term++
	v.vote, v.votes = v.host, 1<<v.index()
	ask := ballot{v.term, v.host, v.life, len(v.log), v.lastTerm()}
	v.tell(func(o *voter) { o.asked(v, ask) })
	v.elected()
}

func (v *voter) lastTerm() uint64 { return v.termAt(len(v.log)) }

func (v *voter) termAt(index int) uint64 {
	if index == 0 {
		return 0
	}
	return v.log[index-1].term
}

// tell does something at every other voter, a message's time later.
func (v *voter) tell(what func(o *voter)) {
	for _, o := range v.x.voters {
		if o != v {
			v.send(o, func() { what(o) })
		}
	}
}

// reaches reports whether what this voter has sent arrives at another one now.
func (v *voter) reaches(o *voter) bool { return v.x.w.open(Path{v.host, o.host, 0}) && o.up }

func (v *voter) send(o *voter, what func()) {
	v.x.w.send(Path{v.host, o.host, 0}, once(func() {
		if v.reaches(o) {
			o.run(func() {
				if o.up {
					what()
				}
			})
		}
	}))
}

// ballot asks for a vote.
type ballot struct {
	term      uint64
	candidate Host
	life      int // of the candidate's process: its connections end with it
	last      int
	lastTerm  uint64
}

func (v *voter) asked(by *voter, b ballot) {
	if b.term > v.term {
		v.follow(b.term)
	}
	newer := b.lastTerm > v.lastTerm() || b.lastTerm == v.lastTerm() && b.last >= len(v.log)
	if b.term != v.term || v.blank || !newer || v.vote != 0 && v.vote != b.candidate {
		return
	}
	v.vote = b.candidate
	v.await()
	v.later(v.x.w.vary(syncMin, syncMax), func() {
		v.send(by, func() {
			if by.term == b.term && by.life == b.life && !by.leads {
				by.votes |= 1 << v.index()
				by.elected()
			}
		})
	})
}

// elected begins to lead, once a majority has voted for this voter.
func (v *voter) elected() {
	if v.leads || !v.majority(bits.OnesCount(v.votes)) {
		return
	}
	n := len(v.x.voters)
	v.leads = true
	v.match, v.next, v.acked, v.heardAt = make([]int, n), make([]int, n), make([]uint64, n), make([]time.Duration, n)
	for i := range n {
		v.next[i], v.heardAt[i] = len(v.log)+1, v.x.w.now
	}
	v.patience = v.x.w.between(patienceMin, patienceMax)
	v.opening = v.store(leader.Opening(v.x.w.rng.Uint64()))
	v.beat()
}

// store appends a command to the own log and returns its index.
func (v *voter) store(c arbiter.Command) int {
	v.log = append(v.log, record{v.term, c, v.x.w.now})
	index, term := len(v.log), v.term
	v.synced = max(v.synced, v.x.w.now) + v.x.w.vary(syncMin, syncMax+v.x.slow)
	v.later(v.synced-v.x.w.now, func() {
		if v.leads && v.term == term {
			v.match[v.index()] = max(v.match[v.index()], index)
			v.advance()
		}
	})
	return index
}

func (v *voter) propose(t leader.Token, c arbiter.Command) {
	if v.full {
		v.later(fullDiskAfter, func() {
			if v.lead != nil {
				v.lost(t)
			}
		})
		return
	}
	v.waiting[v.store(c)] = t
	v.spread()
}

func (v *voter) verify(t leader.Token) {
	if v.alone() {
		v.later(v.x.w.vary(100*time.Microsecond, time.Millisecond), func() {
			if v.lead != nil {
				v.x.w.toldLeader(v, verifiedTold)
				v.perform(v.lead.Verified(v.clock.now(), t, true))
			}
		})
		return
	}
	v.round++
	v.verifying = append(v.verifying, verification{t, v.round})
	v.spread()
}

// beat tells the followers that this voter leads, and gives up where too few of
// them have been heard for long.
func (v *voter) beat() {
	if !v.leads || v.alone() {
		return
	}
	v.beats.set(voterBeat)
	if v.paused {
		return
	}
	heard := 1
	for i, at := range v.heardAt {
		if i != v.index() && v.x.w.now-at < v.patience {
			heard++
		}
	}
	if !v.majority(heard) {
		v.follow(v.term)
		return
	}
	v.spread()
}
