package leader

import (
	"sbarbiter/arbiter"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/mutant"
)

// Sender is who sends a message, and the highest version of a witness it has
// seen.
type Sender struct {
	Caller arbiter.Caller
	Seen   arbiter.Version
}

// The messages of nodes. Each carries the command that it may become.
type (
	// Hello introduces one life of an agent.
	Hello struct {
		Sender
		Report arbiter.Report
	}
	// Acquire asks for a group.
	Acquire struct {
		arbiter.Acquire
		Seen arbiter.Version
	}
	// Release gives a group back.
	Release struct {
		arbiter.Release
		Seen arbiter.Version
	}
	// Exclude excludes the peer's copy.
	Exclude struct {
		arbiter.Exclude
		Seen arbiter.Version
	}
	// Readmit clears an exclusion.
	Readmit struct {
		arbiter.Readmit
		Seen arbiter.Version
	}
	// Begin asks to shoot.
	Begin struct {
		arbiter.Begin
		Seen  arbiter.Version
		Clock boottime.Instant // the executor's, when it sent this; 0: not known
	}
	// ReportFence says how a shot ended.
	ReportFence struct {
		arbiter.ReportFence
		Seen  arbiter.Version
		Clock boottime.Instant // the executor's, when it sent this
	}
)

// Beat renews a node's leases and says what it sees.
type Beat struct {
	Sender
	Number     uint64
	Groups     []GroupBeat
	Links      []Link
	References int
	Needed     int
	Report     *Report // nil: as it was
}

// GroupBeat is the part of a beat about one group.
type GroupBeat struct {
	Group    arbiter.GroupID
	Epoch    arbiter.Epoch // renewed; 0: not the holder
	Phase    string
	Running  bool // services run
	Wants    bool
	Evidence arbiter.Evidence
	Services []Service
	// Parted: DRBD was let look for its peer, and has given up; or is not let, for this copy
	// is not to be believed, and may have what no other has.
	Parted bool
	// Split: DRBD itself has said that the two copies have split, in its handler's call, or
	// its data have, of a copy that is not let look.
	// Without that it may have been told by hand to look for its peer no more. Idle: the
	// agent has seen them as one, and its own side has not been Primary since.
	Split, Idle bool

	Carrying *Carrying // a step of a recovery; nil: none
}

// Link is the state of one heartbeat link, as its receiver sees it.
type Link struct {
	Name      string
	HearsPeer bool
	LostIn    int // percent
	LostOut   int
}

// Service is the state of one service of a group.
type Service struct{ Name, State string }

// BeatAnswer answers a beat.
type BeatAnswer struct {
	Number      uint64
	Groups      []GroupAnswer
	Definition  *arbiter.Definition // nobody changes it; nil: the one before still holds
	Maintenance bool
	Standby     bool
	Peer        PeerView
	Rehearse    arbiter.MandateID // the receiver is to switch the other node off and on again
}

// GroupAnswer is the part of an answer about one group.
type GroupAnswer struct {
	Group    arbiter.GroupID
	Renewed  arbiter.Epoch // 0: not renewed
	Reason   arbiter.Reason
	Sentence string
	Holder   arbiter.NodeID
	Epoch    arbiter.Epoch
	MoveTo   arbiter.NodeID // a planned switchover
	Own      arbiter.Exclusion
	Cleared  uint64 // highest own word of the node's that a readmission has named
	Peer     arbiter.Exclusion
	// Task is what a recovery wants of the node now; nil: nothing.
	Task *arbiter.Task
	// Apart: only a recovery's steps let DRBD look for its peer.
	Apart bool
}

// PeerView is what the leader last heard of the other node.
type PeerView struct {
	Heard              bool
	References, Needed int
}

func (b *Beat) group(id arbiter.GroupID) *GroupBeat {
	for i := range b.Groups {
		if b.Groups[i].Group == id {
			return &b.Groups[i]
		}
	}
	return nil
}

// addressee returns the cluster of a message, and its sender if that is a node.
func addressee(m Message) (id arbiter.ClusterID, who Sender, isNode bool) {
	node := func(c arbiter.Caller, seen arbiter.Version) (arbiter.ClusterID, Sender, bool) {
		return c.Cluster, Sender{c, seen}, true
	}
	switch m := m.(type) {
	case Hello:
		return node(m.Caller, m.Seen)
	case Beat:
		return node(m.Caller, m.Seen)
	case Acquire:
		return node(m.Caller, m.Seen)
	case Release:
		return node(m.Caller, m.Seen)
	case Exclude:
		return node(m.Caller, m.Seen)
	case Readmit:
		return node(m.Caller, m.Seen)
	case Begin:
		return node(m.Caller, m.Seen)
	case Measured:
		return node(m.Caller, m.Seen)
	case StepDone:
		return node(m.Caller, m.Seen)
	case ReportFence:
		return node(m.Caller, m.Seen)
	case arbiter.Order:
		return m.Cluster, Sender{}, false
	case arbiter.Standby:
		return m.Cluster, Sender{}, false
	case arbiter.Maintenance:
		return m.Cluster, Sender{}, false
	case arbiter.GiveUp:
		return m.Cluster, Sender{}, false
	case arbiter.Confirm:
		return m.Cluster, Sender{}, false
	case arbiter.Rehearse:
		return m.Cluster, Sender{}, false
	case arbiter.Resolve:
		return m.Cluster, Sender{}, false
	case arbiter.Approve:
		return m.Cluster, Sender{}, false
	case arbiter.CancelRecovery:
		return m.Cluster, Sender{}, false
	case arbiter.Define:
		return m.Definition.Cluster, Sender{}, false
	case Looked:
		return m.Cluster, Sender{}, false
	case ShotDone:
		return m.Cluster, Sender{}, false
	}
	return "", Sender{}, false
}

// beat handles a beat: what must be durable first, then, behind a verification
// that began after it arrived, the renewals.
func (l *Leader) beat(now boottime.Instant, d *desk, r *request, b Beat) {
	node := b.Caller.Node
	h := d.heard[node]
	if h.beat.Caller.Incarnation == b.Caller.Incarnation && b.Number < h.beat.Number {
		l.reply(r, Answer{}) // overtaken by a later one on another stream
		return
	}
	h.beat = b
	h.isolated(r.at)
	if b.Report != nil {
		h.report = b.Report
	}
	if h.first.IsZero() {
		h.first = r.at
	}
	if m := d.c.Mandate; m != nil && m.Target == node && m.Phase == arbiter.Open && !m.Rehearsal && !mutant.On(mutant.RenewalVoidsNothing) {
		d.queue = append([]*request{r}, d.queue...)
		l.propose(now, d, nil, arbiter.EndMandate{
			Cluster: b.Caller.Cluster, Mandate: m.ID, Phase: arbiter.Open, Reason: string(node) + " has been heard again",
		})
		return
	}
	if cmd := d.note(b); cmd != nil && cmd != r.noted {
		r.noted = cmd // once: what is refused now would be refused again
		d.queue = append([]*request{r}, d.queue...)
		l.propose(now, d, nil, cmd)
		return
	}
	if l.ledSince(r) {
		l.reply(r, Answer{Beat: d.answer(now, r.at, b)})
	}
}

// ledSince reports whether this witness is known to have led after r arrived. If
// not, it is asked for, and r is handled again then.
func (l *Leader) ledSince(r *request) bool {
	if r.verified || mutant.On(mutant.NotVerified) {
		return true
	}
	l.batch = append(l.batch, r)
	l.verify()
	return false
}

// note returns the command that makes something a beat says durable: a node's
// own word about its copy, that services have been started, that its watchdog is
// not what a takeover would rest on, or that the slack of its timing has shrunk.
func (d *desk) note(b Beat) arbiter.Command {
	if d.c.Learning {
		return nil
	}
	b.Caller.Request = 0 // a beat is no request: another one's number must not answer it
	for _, gb := range b.Groups {
		g := d.c.Groups[gb.Group]
		if g == nil {
			continue
		}
		if w := gb.Evidence.OwnWord; g.NewWord(b.Caller.Node, w) {
			return arbiter.OwnWord{Caller: b.Caller, Group: gb.Group, Number: w}
		}
		if l := g.Lease; l != nil && !l.Started && gb.Running && l.Holder == b.Caller.Node && l.Boot == b.Caller.Boot && l.Epoch == gb.Epoch {
			return arbiter.Started{Caller: b.Caller, Group: gb.Group, Epoch: gb.Epoch}
		}
		if l := g.Lease; l != nil && l.Watchdog != gb.Evidence.Watchdog && l.Holder == b.Caller.Node && l.Boot == b.Caller.Boot && l.Epoch == gb.Epoch {
			return arbiter.Armed{Caller: b.Caller, Group: gb.Group, Epoch: gb.Epoch, Watchdog: gb.Evidence.Watchdog}
		}
	}
	if h := d.heard[b.Caller.Node]; b.Report != nil || h.again {
		cmd := d.crossing(b.Caller.Node)
		h.again = cmd != nil
		return cmd
	}
	return nil
}

// answer renews what may be renewed and says what the witness knows.
func (d *desk) answer(now, received boottime.Instant, b Beat) *BeatAnswer {
	node := b.Caller.Node
	peer := d.c.Definition.Peer(node)
	out := &BeatAnswer{
		Number: b.Number, Definition: &d.c.Definition, Maintenance: d.c.Maintenance, Standby: d.c.Nodes[node].Standby,
		Groups: make([]GroupAnswer, 0, len(b.Groups)),
	}
	if h := d.heard[peer]; h != nil && !d.suspected(now, peer) {
		out.Peer = PeerView{Heard: true, References: h.beat.References, Needed: h.beat.Needed}
	}
	if m := d.c.Mandate; m != nil && m.Rehearsal && m.Phase == arbiter.Open && m.Executor == node {
		out.Rehearse = m.ID
	}
	for _, gb := range b.Groups {
		if d.c.Groups[gb.Group] != nil {
			out.Groups = append(out.Groups, d.answerGroup(received, b.Caller, gb))
		}
	}
	return out
}

func (d *desk) answerGroup(received boottime.Instant, caller arbiter.Caller, gb GroupBeat) GroupAnswer {
	g := d.c.Groups[gb.Group]
	peer := d.c.Definition.Peer(caller.Node)
	if d.c.Learning {
		// Nobody is excluded or holds anything, as far as is known: a node must
		// not take that for news.
		return GroupAnswer{Group: gb.Group, Reason: arbiter.WitnessLearning, Sentence: "this witness is learning what the nodes know"}
	}
	a := GroupAnswer{Group: gb.Group, Own: g.Excluded[caller.Node], Cleared: g.Cleared[caller.Node], Peer: g.Excluded[peer]}
	if g.Lease != nil {
		a.Holder, a.Epoch = g.Lease.Holder, g.Lease.Epoch
	}
	if g.Order != nil {
		a.MoveTo = g.Order.To
	}
	a.Task, a.Apart = g.TaskOf(caller.Node), g.Recovery.Apart()
	if gb.Epoch == 0 {
		return a
	}
	a.Reason, a.Sentence = d.mayRenew(g, caller, gb)
	if a.Reason == "" {
		d.renew(received, gb.Group, gb.Epoch)
		a.Renewed = gb.Epoch
	}
	return a
}

func (d *desk) mayRenew(g *arbiter.Group, caller arbiter.Caller, gb GroupBeat) (arbiter.Reason, string) {
	l, m := g.Lease, d.c.Mandate
	switch {
	case l != nil && l.Holder != caller.Node:
		return arbiter.GrantedToPeer, string(gb.Group) + " was granted to " + string(l.Holder)
	case l == nil || l.Epoch != gb.Epoch || l.Boot != caller.Boot:
		return arbiter.NotHolder, string(caller.Node) + " does not hold " + string(gb.Group) + " any more"
	case m != nil && (m.Target == caller.Node || m.Target == "") && m.Phase != arbiter.Open && !mutant.On(mutant.RenewedAfterBegin):
		return arbiter.MandateBegun, "a shot at " + string(caller.Node) + " has begun"
	}
	return "", ""
}
