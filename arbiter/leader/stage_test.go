package leader_test

import (
	"testing"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/internal/boottime"
)

const (
	cluster arbiter.ClusterID = "nfs1"
	data    arbiter.GroupID   = "data"
	nodeA   arbiter.NodeID    = "node-a"
	nodeB   arbiter.NodeID    = "node-b"

	step = 50 * time.Millisecond
)

var durations = arbiter.Timing{
	TTL: 20 * time.Second, Promise: 20 * time.Second, Renew: 250 * time.Millisecond, RPCTimeout: 250 * time.Millisecond,
	SuspectAfter: time.Second, FenceTimeout: 15 * time.Second,
}

// stage is a leadership with an engine in memory and a clock that a story moves.
type stage struct {
	t       *testing.T
	now     boottime.Instant
	wall    int64
	state   *arbiter.State
	l       *leader.Leader
	ticket  leader.Ticket
	answers map[leader.Ticket]leader.Answer
	log     []arbiter.Command // everything proposed
	notices []leader.Notify
	looks   []leader.Look
	shots   []leader.Shoot
	reaches []arbiter.NodeID // with this witness's own fence devices

	slowLog    bool // proposals wait for settle
	slowVerify bool // verifications wait for verify
	proposed   []leader.Propose
	verifying  []leader.Verify

	callers map[arbiter.NodeID]*arbiter.Caller
	beats   map[arbiter.NodeID]uint64
}

// newStage is a declared cluster, both of whose nodes have reported.
func newStage(t *testing.T, change ...func(*arbiter.Definition)) *stage {
	s := &stage{
		t: t, now: boottime.Instant(time.Hour), wall: 1_700_000_000, state: arbiter.NewState(),
		answers: map[leader.Ticket]leader.Answer{},
		callers: map[arbiter.NodeID]*arbiter.Caller{}, beats: map[arbiter.NodeID]uint64{},
	}
	def := arbiter.Definition{
		Cluster: cluster, Nodes: [2]arbiter.NodeID{nodeA, nodeB}, Timing: durations, Stonith: true,
		Groups: map[arbiter.GroupID]arbiter.GroupDefinition{data: {DRBD: true, MinimumGrade: arbiter.E2}},
	}
	for _, c := range change {
		c(&def)
	}
	s.elect()
	s.must(arbiter.Define{Definition: def, By: "alice"})
	for _, n := range def.Nodes {
		s.callers[n] = &arbiter.Caller{Cluster: cluster, Node: n, Boot: arbiter.BootID("boot-" + n), Incarnation: 1}
		s.must(leader.Hello{Sender: s.sender(n)})
	}
	return s
}

// elect begins a new leadership over the same state.
func (s *stage) elect() {
	s.index(leader.Opening(uint64(len(s.state.Leads) + 1)))
	var all []*arbiter.Cluster
	for _, c := range s.state.Clusters {
		all = append(all, c.Clone())
	}
	s.l = leader.New(s.now, s.state.Version, all)
	s.l.Remembers(s.state.Leads)
	s.l.Reaches(map[arbiter.ClusterID][]arbiter.NodeID{cluster: s.reaches})
	s.proposed, s.verifying = nil, nil
}

func (s *stage) index(c arbiter.Command) arbiter.Outcome {
	return s.state.Apply(s.state.Version.Index+1, arbiter.Entry{Command: c})
}

func (s *stage) perform(actions []leader.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case leader.Propose:
			s.log = append(s.log, a.Command)
			s.proposed = append(s.proposed, a)
			if !s.slowLog {
				s.settle()
			}
		case leader.Verify:
			s.verifying = append(s.verifying, a)
			if !s.slowVerify {
				s.verify(true)
			}
		case leader.Reply:
			if _, twice := s.answers[a.Ticket]; twice && a.Ticket != 0 {
				s.t.Errorf("ticket %d is answered twice", a.Ticket)
			}
			s.answers[a.Ticket] = a.Answer
		case leader.Notify:
			s.notices = append(s.notices, a)
		case leader.Look:
			s.looks = append(s.looks, a)
		case leader.Shoot:
			s.shots = append(s.shots, a)
		}
	}
}

// settle commits the oldest proposal.
func (s *stage) settle() {
	p := s.proposed[0]
	s.proposed = s.proposed[1:]
	out := s.index(p.Command)
	actions := s.l.Applied(s.now, p.Token, out, s.state.Version, s.cluster())
	if _, all := p.Command.(arbiter.Renounce); all {
		s.l.Remembers(s.state.Leads)
		actions = append(actions, s.l.Replaced(s.now, s.state.Version, []*arbiter.Cluster{s.cluster()})...)
	}
	s.perform(actions)
}

// lose lets the oldest proposal get lost; with applied it had an effect all the
// same.
func (s *stage) lose(applied bool) {
	p := s.proposed[0]
	s.proposed = s.proposed[1:]
	if applied {
		s.index(p.Command)
	}
	s.perform(s.l.Lost(s.now, p.Token, s.state.Version, s.cluster()))
}

func (s *stage) verify(leads bool) {
	v := s.verifying[0]
	s.verifying = s.verifying[1:]
	s.perform(s.l.Verified(s.now, v.Token, leads))
}

func (s *stage) cluster() *arbiter.Cluster {
	if c := s.state.Clusters[cluster]; c != nil {
		return c.Clone()
	}
	return nil
}

// pass lets time pass without a gap.
func (s *stage) pass(d time.Duration) {
	for end := s.now.Add(d); s.now < end; {
		s.now = min(s.now.Add(step), end)
		s.tick()
	}
}

func (s *stage) tick() { s.perform(s.l.Tick(s.now, s.wall)) }

// passWith is pass while nodes send beats.
func (s *stage) passWith(d time.Duration, beats ...func()) {
	for end := s.now.Add(d); s.now < end; {
		s.pass(min(durations.Renew, end.Sub(s.now)))
		for _, b := range beats {
			b()
		}
	}
}

// send hands a message in and returns its ticket.
func (s *stage) send(m leader.Message) leader.Ticket {
	s.ticket++
	s.perform(s.l.Request(s.now, s.ticket, m))
	return s.ticket
}

// say sends a message that is answered at once, and returns the verdict.
func (s *stage) say(m leader.Message) arbiter.Verdict {
	s.t.Helper()
	a, ok := s.answers[s.send(m)]
	if !ok || a.Verdict == nil {
		s.t.Fatalf("%T is answered with %+v", m, a)
	}
	return *a.Verdict
}

func (s *stage) must(m leader.Message) arbiter.Verdict {
	s.t.Helper()
	v := s.say(m)
	if !v.OK() {
		s.t.Fatalf("%T is refused: %s", m, v.Sentence)
	}
	return v
}

func (s *stage) sender(n arbiter.NodeID) leader.Sender { return leader.Sender{Caller: *s.callers[n]} }

func (s *stage) caller(n arbiter.NodeID) arbiter.Caller {
	s.callers[n].Request++
	return *s.callers[n]
}

func fit() arbiter.Evidence {
	return arbiter.Evidence{
		Disks:      []arbiter.Disk{{Volume: "r0/0", Own: arbiter.UpToDate, Peer: arbiter.UpToDate, Connected: true}},
		References: 1, Needed: 1,
	}
}

func (s *stage) acquire(n arbiter.NodeID) leader.Acquire {
	return leader.Acquire{Acquire: arbiter.Acquire{Caller: s.caller(n), Group: data, Evidence: fit()}}
}

// grant gives the group to n.
func (s *stage) grant(n arbiter.NodeID) arbiter.Epoch {
	s.t.Helper()
	v := s.must(s.acquire(n))
	if v.Kind != arbiter.Granted {
		s.t.Fatalf("%s is not granted the group: %s", n, v.Sentence)
	}
	return v.Epoch
}

func (s *stage) beatOf(n arbiter.NodeID, e arbiter.Epoch) leader.Beat {
	s.beats[n]++
	return leader.Beat{
		Sender: s.sender(n), Number: s.beats[n], References: 1, Needed: 1,
		Groups: []leader.GroupBeat{{Group: data, Epoch: e, Phase: "stopped", Evidence: fit()}},
	}
}

// beat sends one and returns what it says of the group, nil if it is not
// answered.
func (s *stage) beat(n arbiter.NodeID, e arbiter.Epoch) *leader.GroupAnswer {
	return s.answerOf(s.send(s.beatOf(n, e)))
}

func (s *stage) answerOf(t leader.Ticket) *leader.GroupAnswer {
	a, ok := s.answers[t]
	if !ok || a.Beat == nil {
		return nil
	}
	return &a.Beat.Groups[0]
}

func (s *stage) beating(n arbiter.NodeID, e arbiter.Epoch) func() {
	return func() { s.beat(n, e) }
}

func (s *stage) remaining() time.Duration {
	return s.l.Views(s.now)[0].Leases[data]
}

func (s *stage) proposedOf(like func(arbiter.Command) bool) (n int) {
	for _, c := range s.log {
		if like(c) {
			n++
		}
	}
	return n
}

func is[C arbiter.Command](c arbiter.Command) bool {
	_, ok := c.(C)
	return ok
}
