// Package sim answers "do the guarantees hold when everything goes wrong at
// once?" It runs the production cores of one witness and two agents on one
// thread, on simulated time, with machines, clocks, networks, disks, power
// switches and applications that fail by order or by seed, and checks after
// every step what must never happen.
//
// The same seed gives the same run. It leaves real I/O, goroutines and kernels
// to the other tests, and models of DRBD only what arbitration can notice.
package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
)

// Host is one of the machines.
type Host int

// The hosts.
const (
	A Host = iota
	B
	W  // the witness
	W2 // its second
	W3 // and third voter
)

func (h Host) String() string {
	return [...]string{"node-a", "node-b", "witness", "witness2", "witness3"}[h]
}

// Options are what a run starts from.
type Options struct {
	Seed       uint64
	Definition arbiter.Definition
	Stop       time.Duration // the agents' budgets, as agent.Timing
	Reset      time.Duration
	Late       time.Duration
	Watchdog   time.Duration // timeout; 0: none
	Boot       time.Duration // from reset or power on to a running agent
	Stepping   bool          // through calm times too
	Voters     int           // of the witness: 1 or 3
	Worst      bool          // every reset takes as long as it may
	Hands      bool          // the witness's hosts reach the power switches
	Far        bool          // and the nodes do not
}

// World is one run.
type World struct {
	Options
	now       time.Duration
	heap      heap
	timers    []*timer
	due       []time.Duration // each of them
	app       *timer
	seq       uint64
	rng       *rand.Rand
	source    *rand.PCG // of rng
	clocks    []*clock
	calm      bool
	leapt     time.Duration // in all: true time is now and this
	looks     *looks        // at it while it is calm
	ways      [hosts][hosts][links]way
	wire      [2]bool       // of the replication link, by sender
	stirred   time.Duration // the last line of the timeline
	nodes     [2]*Node
	witness   *Witness
	groups    []arbiter.GroupID
	disks     []*volume     // by group; nil: it has none
	epoch     arbiter.Epoch // the highest granted
	granted   map[arbiter.Epoch]grant
	begun     begun
	leased    []arbiter.Epoch // by group: the lease seen last
	restored  uint32          // incarnation of a witness's copy that was put in its place; 0: none
	lines     []Line
	broken    []string
	void      void           // the last mandate that must not begin any more
	lastCopy  bool           // it was excluded at the word of a node whose own copy was excluded
	storeLost bool           // of an agent
	idle      bool           // nobody writes anything
	quiet     bool           // but for one scheme, the episode leaves the nodes alone with each other
	falseWord bool           // an operator has said that a node is off which is not, and was believed
	excepted  string         // what the guarantees except, and ended the run
	faults    map[string]int // that happened, by kind
	met       *Coverage
	steady    bool // nothing may stop
	Steps     int
}

// Line is one line of the timeline.
type Line struct {
	At        time.Duration
	Host      string
	Group     arbiter.GroupID
	What, Why string
}

func (l Line) String() string {
	return fmt.Sprintf("%9.3f %-8s %-4s %-20s %s", l.At.Seconds(), l.Host, l.Group, l.What, l.Why)
}

// New returns a world with everything switched off.
func New(o Options) *World {
	w := &World{
		Options: o, source: rand.NewPCG(o.Seed, 7), wire: [2]bool{true, true},
		faults: map[string]int{}, met: newCoverage(),
	}
	w.rng = rand.New(w.source)
	for id := range o.Definition.Groups {
		w.groups = append(w.groups, id)
	}
	sortGroups(w.groups)
	w.granted, w.leased = map[arbiter.Epoch]grant{}, make([]arbiter.Epoch, len(w.groups))
	w.witness = newWitness(w)
	for h := A; h <= B; h++ {
		w.nodes[h] = newNode(w, h)
	}
	w.nodes[A].peer, w.nodes[B].peer = w.nodes[B], w.nodes[A]
	w.disks = make([]*volume, len(w.groups))
	for i, id := range w.groups {
		if o.Definition.Groups[id].DRBD {
			w.disks[i] = newVolume(w, id)
		}
	}
	w.app = w.timer(w.applications)
	w.app.set(0)
	return w
}

// Start switches everything on and declares the cluster.
func (w *World) Start() {
	w.witness.start(0)
	w.At(100*time.Millisecond, "", func() {
		w.declare()
	})
	w.nodes[A].powerOn(200 * time.Millisecond)
	w.nodes[B].powerOn(230 * time.Millisecond)
}

// declare declares the cluster, as soon as there is somebody to take it.
func (w *World) declare() {
	v := w.witness.leading()
	if v == nil {
		w.after(100*time.Millisecond, w.declare)
		return
	}
	v.request(arbiter.Define{Definition: w.Definition, By: "operator"}, nil)
}

// index returns a group's place in what is kept by group.
func (w *World) index(g arbiter.GroupID) int { return slices.Index(w.groups, g) }

// Node returns a node.
func (w *World) Node(h Host) *Node { return w.nodes[h] }

// Now returns the time that was stepped through.
func (w *World) Now() time.Duration { return w.now }

// True returns the time: what was stepped through and what was leapt over.
func (w *World) True() time.Duration { return w.now + w.leapt }

// At does something at a time; what it is called goes on the timeline.
func (w *World) At(at time.Duration, what string, do func()) {
	w.after(at-w.now, func() {
		if what != "" {
			w.line("fault", "", what, "")
		}
		do()
	})
}

func (w *World) after(d time.Duration, do func()) { w.sched(d, once(do)) }

func (w *World) sched(d time.Duration, what happening) {
	w.seq++
	w.heap.push(event{w.now + max(d, 0), w.seq, what})
}

// next returns when something happens next, and the timer it is of, if any.
func (w *World) next() (time.Duration, *timer) {
	at, due := never, (*timer)(nil)
	if len(w.heap) > 0 {
		at = w.heap[0].at
	}
	first := -1
	for i, t := range w.due {
		if t < at {
			at, first = t, i
		}
	}
	if first >= 0 {
		due = w.timers[first]
	}
	return at, due
}

// Run goes on until a time, or until something is broken.
func (w *World) Run(until time.Duration) {
	w.RunUntil(until, func() bool { return false })
	w.now = max(w.now, until)
}

// RunUntil goes on until ok, at most until the time given; it returns the time.
func (w *World) RunUntil(limit time.Duration, ok func() bool) (time.Duration, bool) {
	for !ok() {
		at, due := w.next()
		if at > limit || w.ended() {
			return w.now, false
		}
		w.step(at, due)
	}
	return w.now, true
}

// ended reports whether the run goes no further.
func (w *World) ended() bool { return len(w.broken) > 0 || w.excepted != "" }

func (w *World) step(at time.Duration, due *timer) {
	w.now = at
	w.Steps++
	if due != nil {
		due.stop()
		due.run()
	} else {
		w.heap.pop().what.happen()
	}
	w.check()
}

func (w *World) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// Witness returns the witness.
func (w *World) Witness() *Witness { return w.witness }

func (w *World) line(host string, g arbiter.GroupID, what, why string) {
	w.stirred = w.now
	w.lines = append(w.lines, Line{w.True(), host, g, what, why})
}

func (w *World) note(n *Node, a *agent.Note) {
	what := a.What
	if a.Alarm {
		what = "! " + what
	}
	w.line(n.host.String(), a.Group, what, a.Why)
}

// Broken returns what must not happen and did.
func (w *World) Broken() []string { return w.broken }

// Lines returns the timeline.
func (w *World) Lines() []Line { return w.lines }

// Timeline returns the timeline as text.
func (w *World) Timeline() string {
	var b strings.Builder
	for _, l := range w.lines {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

// Faults returns how often each kind of fault has happened.
func (w *World) Faults() map[string]int { return w.faults }

// Said returns how often a line of a host says what, after a time.
func (w *World) Said(h Host, what string, after time.Duration) int {
	n := 0
	for _, l := range w.lines {
		if l.At >= after && l.Host == h.String() && strings.Contains(l.What, what) {
			n++
		}
	}
	return n
}
