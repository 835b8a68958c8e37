package model

import (
	"fmt"

	"sbarbiter/drbd"
)

// A rig is two nodes and what is between them. Nothing moves by itself: tests
// say when messages arrive.
type rig struct {
	t       reporter
	nodes   [2]*Node
	wires   [2][]Message // sent by node i, not yet delivered
	closed  [2]bool      // node i hung up, its peer does not know
	link    bool
	session Session
	tie     int // who breaks ties on the next connection
	next    uint64
	log     []string // handlers called, commands answered: "a:fence-peer"
	answers map[CommandID]Answer
	results map[RequestID]IODone
	asked   [2][]Called // handlers that somebody waits for
	after   func()      // looks at the nodes after every step
}

// reporter is what the tests of one story and of many have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

const (
	a = 0
	b = 1
)

var names = [2]string{"a", "b"}

func newRig(t reporter, s Settings) *rig {
	if s.Blocks == nil {
		s.Blocks = []int{64}
	}
	r := &rig{t: t, link: true, tie: b, answers: map[CommandID]Answer{}, results: map[RequestID]IODone{}}
	r.nodes[a], r.nodes[b] = Pair(s)
	return r
}

// startedRig has both nodes up, connected and in sync.
func startedRig(t reporter, s Settings) *rig {
	r := newRig(t, s)
	for i := range r.nodes {
		r.start(i)
	}
	r.settle()
	return r
}

func (r *rig) start(i int) {
	r.step(i, Boot{})
	r.do(i, Up)
}

func (r *rig) step(i int, ev Event) {
	for _, e := range r.nodes[i].Step(ev) {
		switch e := e.(type) {
		case Send:
			r.wires[i] = append(r.wires[i], e.Message)
		case HangUp:
			r.closed[i] = true
		case Called:
			r.log = append(r.log, names[i]+":"+string(e.Handler))
			if e.Token != 0 {
				r.asked[i] = append(r.asked[i], e)
			}
		case Answered:
			r.answers[e.ID] = e.Answer
		case IODone:
			r.results[e.ID] = e
		}
	}
	if r.after != nil {
		r.after()
	}
}

// do gives a command and returns its number.
func (r *rig) do(i int, v Verb) CommandID {
	r.next++
	id := CommandID(r.next)
	r.step(i, Command{ID: id, Verb: v})
	return id
}

// must gives a command, lets everything settle, and wants it done.
func (r *rig) must(i int, v Verb) {
	r.t.Helper()
	r.wants(i, v, Done)
}

func (r *rig) wants(i int, v Verb, want Answer) {
	r.t.Helper()
	id := r.do(i, v)
	r.settle()
	if got, ok := r.answers[id]; !ok || got != want {
		r.t.Fatalf("%s on %s: answer %d (answered: %t), want %d", v, names[i], got, ok, want)
	}
}

// write writes and returns the request's number.
func (r *rig) write(i int, block Block) RequestID {
	r.next++
	r.step(i, Write{ID: RequestID(r.next), At: Place{0, block}, Stamp: Stamp(r.next)})
	return RequestID(r.next)
}

func (r *rig) acked(id RequestID) bool { return r.results[id].Result == IODoneOK }

// deliver moves one message of node i to its peer; false if there is none.
func (r *rig) deliver(i int) bool {
	if len(r.wires[i]) == 0 || !r.link {
		return false
	}
	m := r.wires[i][0]
	r.wires[i] = r.wires[i][1:]
	r.step(1-i, Receive{m})
	return true
}

// connect makes a connection if both wait for one.
func (r *rig) connect() bool {
	waiting := func(i int) bool {
		n := r.nodes[i]
		return n.On() && n.Conn() == drbd.ConnConnecting && n.Session() == 0
	}
	if !r.link || !waiting(a) || !waiting(b) {
		return false
	}
	r.session++
	r.wires, r.closed = [2][]Message{}, [2]bool{}
	for i := range r.nodes {
		r.step(i, LinkUp{Session: r.session, BreaksTies: r.tie == i})
	}
	return true
}

// notice tells a node that its peer hung up, after all that was sent arrived.
func (r *rig) notice() bool {
	for i := range r.nodes {
		if r.closed[i] && len(r.wires[i]) == 0 && r.link {
			r.closed[i] = false
			r.step(1-i, LinkDown{r.session})
			return true
		}
	}
	return false
}

// settle lets everything happen that happens by itself: messages, resyncs,
// reconnects. Handlers are not answered.
func (r *rig) settle() {
	for range 5000 {
		moved := r.deliver(a) || r.deliver(b) || r.notice() || r.push() || r.connect()
		if !moved {
			return
		}
	}
	r.t.Fatal("the two nodes never come to rest")
}

func (r *rig) push() bool {
	for i, n := range r.nodes {
		for v := range n.volumes {
			if n.Unsynced(VolumeNumber(v)) > 0 {
				r.step(i, Sync{VolumeNumber(v), 5})
				return true
			}
		}
	}
	return false
}

// cut breaks the link; what was under way is lost, and both ends notice.
func (r *rig) cut() {
	r.link = false
	r.wires, r.closed = [2][]Message{}, [2]bool{}
	for i := range r.nodes {
		r.step(i, LinkDown{r.session})
	}
}

func (r *rig) heal() {
	r.link = true
	r.settle()
}

// crash stops a node; lost says which cached blocks do not survive.
func (r *rig) crash(i int, lost []Place) {
	r.step(i, Crash{Lost: lost})
	r.wires[i], r.closed[i], r.asked[i] = nil, false, nil
	r.wires[1-i] = nil
	r.step(1-i, LinkDown{r.session})
}

// exit ends the oldest handler that node i waits for.
func (r *rig) exit(i, code int) {
	r.t.Helper()
	if len(r.asked[i]) == 0 {
		r.t.Fatalf("%s waits for no handler; called were %v", names[i], r.log)
	}
	c := r.asked[i][0]
	r.asked[i] = r.asked[i][1:]
	r.step(i, HandlerDone{Token: c.Token, Exit: code})
}

func (r *rig) called(what string) int {
	count := 0
	for _, l := range r.log {
		if l == what {
			count++
		}
	}
	return count
}

func (r *rig) state(i int) State { return r.nodes[i].Volume(0) }

// gi formats a generation as the tables do, without leading zeros.
func gi(g Generation) string {
	return fmt.Sprintf("%X:%X:%X:%X", uint64(g.Current), uint64(g.Bitmap), uint64(g.ancestor(0)), uint64(g.ancestor(1)))
}

// wantInSync wants both connected, good and equal.
func (r *rig) wantInSync() {
	r.t.Helper()
	for i, n := range r.nodes {
		s := r.state(i)
		if !n.allConnected() || s.Disk != drbd.DiskUpToDate || s.PeerDisk != drbd.DiskUpToDate || n.OutOfSync(0) != nil {
			r.t.Fatalf("%s is not in sync: %+v, out of sync %v", names[i], s, n.OutOfSync(0))
		}
	}
	for block := range r.nodes[a].volumes[0].disk.blocks() {
		at := Place{0, Block(block)}
		if r.nodes[a].Content(at) != r.nodes[b].Content(at) {
			r.t.Fatalf("block %d differs", block)
		}
	}
}

func (r *rig) wantConn(i int, want drbd.ConnState) {
	r.t.Helper()
	if got := r.nodes[i].Conn(); got != want {
		r.t.Fatalf("%s is %s, want %s", names[i], got, want)
	}
}
