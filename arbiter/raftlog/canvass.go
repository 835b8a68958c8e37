package raftlog

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// canvass finds out whether this voter still leads, from the other voters.
//
// Raft has a question of its own for that, but counts every heartbeat that is
// acknowledged after the question, also one that was sent, and followed, long
// before: a leader that was stopped for a while would believe acknowledgements
// that lay waiting for it. Here a voter's word counts only if it was asked after
// the question was put.
type canvass struct {
	raft      *raft.Raft
	transport raft.Transport
	name      raft.ServerID
	others    []*respondent
	rest      time.Duration // after a voter could not be reached

	quit chan struct{}
	wait sync.WaitGroup

	mu     sync.Mutex // guards the questions and what respondents are due
	open   map[*question]struct{}
	closed bool
}

// question is one caller's. It is answered once, when it leaves canvass.open.
type question struct {
	term   uint64
	votes  int
	answer chan error
}

// respondent is another voter, asked by one goroutine, one thing at a time.
type respondent struct {
	raft.Server
	due  []*question   // put since it was last asked
	wake chan struct{} // there is something due
}

func newCanvass(r *raft.Raft, conf Config) *canvass {
	c := &canvass{
		raft: r, transport: conf.Transport, name: raft.ServerID(conf.Name), rest: conf.Election / 10,
		quit: make(chan struct{}), open: map[*question]struct{}{},
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID != c.name && s.Suffrage == raft.Voter {
			c.others = append(c.others, &respondent{Server: s, wake: make(chan struct{}, 1)})
		}
	}
	return c
}

func (c *canvass) start() {
	for _, other := range c.others {
		c.wait.Go(func() { c.question(other) })
	}
}

// end fails what is open; the goroutines end when their last request does.
func (c *canvass) end() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.lost()
	close(c.quit)
}

// confirm returns nil if this voter led at some moment after the call began.
func (c *canvass) confirm() error {
	if len(c.others) == 0 {
		return c.raft.VerifyLeader().Error()
	}
	term, leads := c.leads()
	if !leads {
		return raft.ErrNotLeader
	}
	if err := <-c.put(term).answer; err != nil {
		return err
	}
	if now, leads := c.leads(); !leads || now != term {
		return raft.ErrLeadershipLost
	}
	return nil
}

// leads returns the term in which this voter leads. The term is read on both
// sides of the state, so that the two belong together.
func (c *canvass) leads() (uint64, bool) {
	term := c.raft.CurrentTerm()
	leads := c.raft.State() == raft.Leader
	return term, leads && c.raft.CurrentTerm() == term
}

// put opens a question to all. Leadership is looked at once more after that:
// if it is lost later, lost finds the question.
func (c *canvass) put(term uint64) *question {
	q := &question{term: term, votes: 1, answer: make(chan error, 1)}
	c.mu.Lock()
	c.open[q] = struct{}{}
	for _, other := range c.others {
		other.due = append(other.due, q)
		other.rouse()
	}
	now, leads := c.leads()
	if c.closed || !leads || now != term {
		c.settle(q, raft.ErrLeadershipLost)
	}
	c.mu.Unlock()
	return q
}

func (o *respondent) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// settle answers a question unless it is answered; c.mu is held.
func (c *canvass) settle(q *question, err error) {
	if _, open := c.open[q]; open {
		delete(c.open, q)
		q.answer <- err
	}
}

// lost answers all open questions: leadership is gone, or was for a moment.
func (c *canvass) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for q := range c.open {
		c.settle(q, raft.ErrLeadershipLost)
	}
}

// question is one respondent's goroutine.
func (c *canvass) question(o *respondent) {
	for {
		select {
		case <-o.wake:
		case <-c.quit:
			return
		}
		asked, term := c.take(o)
		if len(asked) == 0 {
			continue
		}
		follows, err := c.ask(o, term)
		if err == nil {
			c.count(asked, follows)
			continue
		}
		c.giveBack(o, asked)
		select {
		case <-time.After(c.rest):
		case <-c.quit:
			return
		}
	}
}

// take returns what is due and still open, of the newest term.
func (c *canvass) take(o *respondent) (asked []*question, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range o.due {
		if _, open := c.open[q]; !open || q.term < term {
			continue
		}
		if q.term > term {
			asked, term = nil, q.term
		}
		asked = append(asked, q)
	}
	o.due = nil
	return asked, term
}

// ask sends what raft sends as a heartbeat. It goes out only in a term that
// this voter was elected in, so that it can mislead nobody.
func (c *canvass) ask(o *respondent, term uint64) (follows bool, err error) {
	self := c.transport.EncodePeer(c.name, c.transport.LocalAddr())
	heartbeat := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(c.name), Addr: self},
		Term:      term,
		Leader:    self, //nolint:staticcheck // raft itself still sends it
	}
	var reply raft.AppendEntriesResponse
	if err := c.transport.AppendEntries(o.ID, o.Address, &heartbeat, &reply); err != nil {
		return false, err
	}
	return reply.Success && reply.Term == term, nil
}

// count enters one respondent's word under each question it was asked.
func (c *canvass) count(asked []*question, follows bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	majority := (len(c.others)+1)/2 + 1
	for _, q := range asked {
		if !follows {
			c.settle(q, raft.ErrLeadershipLost)
			continue
		}
		if q.votes++; q.votes >= majority {
			c.settle(q, nil)
		}
	}
}

// giveBack has the respondent asked again: it could not be reached.
func (c *canvass) giveBack(o *respondent, asked []*question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.due = append(asked, o.due...)
	o.rouse()
}
