package arbiter_test

import (
	"fmt"
	"slices"
	"testing"

	"sbarbiter/arbiter"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
)

// A recovery survives whatever dies between two of its steps, or inside of one.
// What is done on a machine is played by hands that ask "already done?" first, on a
// copy of DRBD that is just enough to go wrong: the flag counts for one handshake,
// a machine that has started anew has its disks attached and no more.

// copyOf is a node's copy of the one resource.
type copyOf struct {
	primary, services bool
	connecting        bool // told to look for its peer
	joined            bool // its agent has told it so since the machine started
	flag              bool // connected so that its changes are given up
	generation        string
	stale             bool // Inconsistent: declared bad, or the target of a copy
	kept              int  // copies of its data, made before it was overwritten
	dumped            int
	data              string
}

// disaster is what happens at a step.
type disaster struct {
	name string
	// before and after the hands have carried the step out.
	before, after func(w *world, on arbiter.NodeID)
	// unheard: the report of the step gets lost; whoever asks next does it again.
	unheard bool
}

var disasters = []disaster{
	{name: "nothing"},
	{name: "report lost", unheard: true},
	{name: "agent dies before", before: (*world).agentDies},
	{name: "agent dies inside", after: (*world).agentDies, unheard: true},
	{name: "node dies before", before: (*world).nodeDies},
	{name: "node dies inside", after: (*world).nodeDies, unheard: true},
	{name: "other node dies", before: func(w *world, on arbiter.NodeID) { w.nodeDies(w.peer(on)) }},
	{name: "witness dies before", before: func(w *world, _ arbiter.NodeID) { w.witnessDies() }},
	{name: "witness dies after", after: func(w *world, _ arbiter.NodeID) { w.witnessDies() }, unheard: true},
}

// world is a witness, two machines and the copies on them.
type world struct {
	t        *testing.T
	s        *stage
	kind     string // of the fork
	copies   map[arbiter.NodeID]*copyOf
	victim   arbiter.NodeID
	copying  int // how far the copy is; 0: none
	finished bool
	done     []string
}

func newWorld(t *testing.T, kind string, victim arbiter.NodeID) *world {
	w := &world{t: t, s: newStage(), kind: kind, victim: victim, copies: map[arbiter.NodeID]*copyOf{}}
	for _, n := range nodes {
		w.copies[n] = &copyOf{generation: forked[kind][n], primary: true, services: true, joined: true, data: "of " + string(n)}
	}
	for _, line := range []string{
		"define stonith groups=nfs", "node-a up", "node-b up", "node-a acquire nfs in-step", "node-a started nfs", "node-a exclude nfs",
		"resolve nfs discard=" + string(victim),
	} {
		w.play(line)
	}
	return w
}

func (w *world) play(line string) {
	w.t.Helper()
	if got, err := w.s.play(line); err != nil {
		w.t.Fatalf("%s: %s: %v", line, got, err)
	}
}

func (w *world) peer(n arbiter.NodeID) arbiter.NodeID { return nodes[1-slices.Index(nodes, n)] }

func (w *world) group() *arbiter.Group { return w.s.state.Clusters[pair].Groups["nfs"] }

func (w *world) agentDies(on arbiter.NodeID) {
	w.s.nodes[on].start++
	w.s.nodes[on].request = 0
	w.play(string(on) + " up" + w.running(on))
}

// running is what an agent reports of the lease that it holds, if its machine has
// not been started anew.
func (w *world) running(on arbiter.NodeID) string {
	if l := w.group().Lease; l != nil && l.Holder == on && w.copies[on].services {
		return fmt.Sprintf(" runs=nfs@%d", l.Epoch)
	}
	return ""
}

// nodeDies: the machine starts anew, with the disks attached and no more. A copy
// that was under way stops.
func (w *world) nodeDies(on arbiter.NodeID) {
	c := w.copies[on]
	c.primary, c.services, c.connecting, c.flag, c.joined = false, false, false, false, false
	w.copying = 0
	w.s.nodes[on].boot += "+"
	w.s.nodes[on].start++
	w.s.nodes[on].request = 0
	w.play(string(on) + " up")
}

// witnessDies: it comes back with what its log held.
func (w *world) witnessDies() {
	w.s.state = restored(w.t, w.s.state)
	w.s.index++
	w.s.state.Apply(w.s.index, arbiter.Entry{Command: arbiter.Lead{Nonce: w.s.index}})
}

// met lets the two find each other, if both look: by the flag, by the disk that is
// declared bad, or to split once more.
func (w *world) met() {
	v, k := w.copies[w.victim], w.copies[w.peer(w.victim)]
	if !v.connecting || !k.connecting || w.copying > 0 || w.finished {
		return
	}
	switch {
	case v.flag || v.stale:
		v.flag, v.stale, w.copying = false, true, 1
	default:
		v.connecting, k.connecting = false, false
	}
}

// do carries a step out, if it is not done already, and says whether it is.
func (w *world) do(s recovery.Step, task *arbiter.Task) (done bool, failure string) {
	c := w.copies[arbiter.NodeID(s.Node)]
	switch s.Kind {
	case recovery.StopServices:
		c.services = false
	case recovery.Demote:
		if c.services {
			w.t.Error("demoted under services")
		}
		c.primary = false
	case recovery.Disconnect:
		c.connecting, c.flag = false, false
	case recovery.DumpMetadata:
		c.dumped = int(task.Tries)
	case recovery.Snapshot:
		if c.stale {
			w.t.Error("kept after it was overwritten")
		}
		c.kept = int(task.Tries)
	case recovery.Invalidate:
		c.stale = true
	case recovery.Discard:
		if w.copying == 0 {
			c.connecting, c.flag = true, true
		}
	case recovery.Connect:
		c.connecting = true
	case recovery.FollowResync:
		return w.follow()
	case recovery.Measure, recovery.Readmit:
	}
	return true, ""
}

func (w *world) follow() (bool, string) {
	v, k := w.copies[w.victim], w.copies[w.peer(w.victim)]
	k.connecting = true
	switch {
	case w.finished:
		return true, ""
	case w.copying == 0:
		return false, "" // the other side is not there yet
	case w.copying < 3:
		w.copying++
		return false, ""
	}
	if v.kept == 0 || v.dumped == 0 {
		w.t.Error("overwritten without a copy of what it held")
	}
	v.data, v.stale, w.finished, w.copying = k.data, false, true, 0
	return true, ""
}

// turn gives every agent one beat's time. at is told before each step that is
// carried out.
func (w *world) turn(at func(on arbiter.NodeID, task *arbiter.Task) disaster) {
	for _, n := range nodes {
		r := w.group().Recovery
		c := w.copies[n]
		if r == nil {
			return
		}
		if !r.Apart() && r.Phase == arbiter.Carrying && !c.joined {
			c.joined, c.connecting = true, true // as an agent does it once after a start of its machine
			w.met()
		}
		switch task := r.TaskOf(n); {
		case task == nil:
		case task.Round != 0:
			d := at(n, task)
			d.run(d.before, w, n)
			side := sideOf(n, w.kind, 5)
			side.Volumes[0].Generations, side.Role = c.generation, drbd.RoleSecondary
			w.report(d, arbiter.Measured{Caller: w.caller(n), Group: "nfs", Recovery: task.Recovery, Round: task.Round, Side: side})
			d.run(d.after, w, n)
		default:
			w.step(n, task, at(n, task))
		}
		w.met()
	}
	w.ask()
}

func (d disaster) run(what func(*world, arbiter.NodeID), w *world, on arbiter.NodeID) {
	if what != nil {
		what(w, on)
	}
}

func (w *world) step(n arbiter.NodeID, task *arbiter.Task, d disaster) {
	d.run(d.before, w, n)
	var s recovery.Step
	var done bool
	var failure string
	for _, s = range task.Steps(n) {
		done, failure = w.do(s, task)
		w.met()
	}
	done = done && arbiter.NodeID(s.Node) == n
	if s.Kind == recovery.StopServices {
		w.giveBack(n)
	}
	if done || failure != "" {
		w.done = append(w.done, s.String())
		w.report(d, arbiter.StepDone{
			Caller: w.caller(n), Group: "nfs", Recovery: task.Recovery, Tries: task.Tries, Attempt: task.Attempt, Step: task.Step, Failure: failure,
		})
	}
	d.run(d.after, w, n)
}

func (w *world) caller(n arbiter.NodeID) arbiter.Caller {
	life := w.s.nodes[n]
	life.request++
	return arbiter.Caller{Cluster: pair, Node: n, Boot: life.boot, Incarnation: life.start, Request: life.request, Floor: life.floor}
}

// report sends what was done, unless it gets lost on the way.
func (w *world) report(d disaster, cmd arbiter.Command) {
	if d.unheard {
		return
	}
	if _, err := w.s.apply(cmd); err != nil {
		w.t.Fatal(err)
	}
	w.safe()
}

func (w *world) giveBack(n arbiter.NodeID) {
	if l := w.group().Lease; l != nil && l.Holder == n {
		w.play(fmt.Sprintf("%s release nfs", n))
	}
}

// ask lets the survivor take the group, and readmit the other once in step.
func (w *world) ask() {
	keep := w.peer(w.victim)
	if w.group().Lease == nil && w.group().Recovery.Survivor() == keep {
		w.play(fmt.Sprintf("%s acquire nfs", keep))
		w.copies[keep].services = true
	}
	for _, n := range nodes {
		if _, stale := w.group().Excluded[w.peer(n)]; stale && w.finished {
			w.play(fmt.Sprintf("%s readmit nfs %s in-step", n, w.peer(n)))
		}
	}
}

// safe is what must hold after every step.
func (w *world) safe() {
	g := w.group()
	if len(g.Excluded) == 2 {
		w.t.Error("nobody has a good copy any more")
	}
	if l := g.Lease; l != nil && l.Holder == w.victim && l.Epoch > 4 {
		w.t.Errorf("%s is granted the group whose copy is given up", w.victim)
	}
	if w.copies[w.peer(w.victim)].data != "of "+string(w.peer(w.victim)) {
		w.t.Error("the survivor's data is overwritten")
	}
}

// finish goes on to the end.
func (w *world) finish(at func(arbiter.NodeID, *arbiter.Task) disaster) {
	for range 200 {
		r := w.group().Recovery
		if r == nil {
			break
		}
		if r.Phase == arbiter.Decided {
			w.play("approve nfs")
		}
		w.turn(at)
	}
	if got := w.group().Recovered; len(got) != 1 || got[0].Outcome != arbiter.Recovered {
		w.t.Fatalf("it does not end well: %s\n%v", w.s.showRecovery("nfs"), w.done)
	}
	keep := w.peer(w.victim)
	if w.copies[w.victim].data != "of "+string(keep) || len(w.group().Excluded) != 0 {
		w.t.Errorf("the copies: %q and %q, excluded %v", w.copies[w.victim].data, w.copies[keep].data, w.group().Excluded)
	}
	w.safe()
}

// TestRecoverySurvivesAnyDeathAtAnyStep tries every disaster at every step of a plan
// that copies by the bitmap and of one that copies everything, for either victim.
func TestRecoverySurvivesAnyDeathAtAnyStep(t *testing.T) {
	for _, kind := range []string{"fork", "old-fork"} {
		for _, victim := range nodes {
			for at := range 18 { // more than there are measurements and steps
				for _, d := range disasters {
					t.Run(fmt.Sprintf("%s/discard %s/%d %s", kind, victim, at, d.name), func(t *testing.T) {
						w := newWorld(t, kind, victim)
						met := 0
						w.finish(func(_ arbiter.NodeID, task *arbiter.Task) disaster {
							met++
							if met == at+1 {
								return d
							}
							return disasters[0]
						})
					})
				}
			}
		}
	}
}
