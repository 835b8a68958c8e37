package sim

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"sbarbiter/agent"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
)

// Coverage counts what has met what: the state that a core was in, and what it
// was told there.
type Coverage struct {
	met     [len(grids)][]uint32
	first   [len(grids)][]uint16 // the episode in which it was so first, from 1
	episode uint16
}

// grid is one table of pairs: a core's states, and what it is told.
type grid struct {
	core   string
	states []string
	events []string
}

// The grids.
const (
	agentGrid = iota
	groupGrid
	mandateGrid
	leaderGrid
	recoveryGrid
)

var grids = [...]grid{
	agentGrid:   {"agent", postures(), names(agentEvents)},
	groupGrid:   {"arbiter's group", []string{"unborn", "held", "running", "moving", "free", "learning"}, names(commands)},
	mandateGrid: {"arbiter's mandate", []string{"none", "open", "begun", "settled"}, names(commands)},
	leaderGrid:  {"leader", []string{"listening", "busy", "leading"}, append(names(messages), "Tick", "Applied", "Verified", "Lost")},
	recoveryGrid: {
		"arbiter's recovery",
		[]string{"none", "collecting", "undecided", "awaiting", "decided", "confirming", "sparing", "giving up", "readmitting"},
		names(aboutRecoveries),
	},
}

// What cores are told. The orders are the grids'.
var (
	agentEvents = []reflect.Type{
		reflect.TypeFor[agent.Tick](), reflect.TypeFor[agent.SessionUp](), reflect.TypeFor[agent.SessionDown](),
		reflect.TypeFor[agent.Welcomed](), reflect.TypeFor[agent.Answered](), reflect.TypeFor[agent.Nudged](),
		reflect.TypeFor[agent.CallDone](), reflect.TypeFor[agent.PeerHeard](), reflect.TypeFor[agent.Probed](),
		reflect.TypeFor[agent.Storage](), reflect.TypeFor[agent.Found](), reflect.TypeFor[agent.StartDone](),
		reflect.TypeFor[agent.StopDone](), reflect.TypeFor[agent.PowerRead](), reflect.TypeFor[agent.ShotDone](),
		reflect.TypeFor[agent.FencePeer](), reflect.TypeFor[agent.DiskFailed](), reflect.TypeFor[agent.OutdateDone](),
		reflect.TypeFor[agent.InvalidateDone](),
		reflect.TypeFor[agent.Leave](), reflect.TypeFor[agent.SaveFailed](), reflect.TypeFor[agent.Links](),
		reflect.TypeFor[agent.Services](),
	}
	commands = []reflect.Type{
		reflect.TypeFor[arbiter.Lead](), reflect.TypeFor[arbiter.Renounce](), reflect.TypeFor[arbiter.Define](),
		reflect.TypeFor[arbiter.NodeUp](), reflect.TypeFor[arbiter.Acquire](), reflect.TypeFor[arbiter.Started](),
		reflect.TypeFor[arbiter.Release](), reflect.TypeFor[arbiter.Exclude](), reflect.TypeFor[arbiter.OwnWord](),
		reflect.TypeFor[arbiter.Readmit](), reflect.TypeFor[arbiter.Begin](), reflect.TypeFor[arbiter.ReportFence](),
		reflect.TypeFor[arbiter.EndMandate](), reflect.TypeFor[arbiter.Order](), reflect.TypeFor[arbiter.Standby](),
		reflect.TypeFor[arbiter.Maintenance](), reflect.TypeFor[arbiter.Confirm](), reflect.TypeFor[arbiter.Armed](),
		reflect.TypeFor[arbiter.Calm](), reflect.TypeFor[arbiter.Remark](), reflect.TypeFor[arbiter.WitnessBegin](),
		reflect.TypeFor[arbiter.WitnessReport](), reflect.TypeFor[arbiter.GiveUp](),
	}
	messages = []reflect.Type{
		reflect.TypeFor[leader.Hello](), reflect.TypeFor[leader.Beat](), reflect.TypeFor[leader.Acquire](),
		reflect.TypeFor[leader.Release](), reflect.TypeFor[leader.Exclude](), reflect.TypeFor[leader.Readmit](),
		reflect.TypeFor[leader.Begin](), reflect.TypeFor[leader.ReportFence](), reflect.TypeFor[arbiter.Order](),
		reflect.TypeFor[arbiter.Standby](), reflect.TypeFor[arbiter.Maintenance](), reflect.TypeFor[arbiter.Confirm](),
		reflect.TypeFor[arbiter.Define](), reflect.TypeFor[leader.Looked](), reflect.TypeFor[leader.ShotDone](),
		reflect.TypeFor[arbiter.GiveUp](),
	}
)

// aboutRecoveries are what a recovery is told, and what else may come between.
var aboutRecoveries = []reflect.Type{
	reflect.TypeFor[arbiter.Resolve](), reflect.TypeFor[arbiter.Measured](), reflect.TypeFor[arbiter.Unmeasured](),
	reflect.TypeFor[arbiter.MeasureAgain](), reflect.TypeFor[arbiter.Approve](), reflect.TypeFor[arbiter.StepDone](),
	reflect.TypeFor[arbiter.CancelRecovery](), reflect.TypeFor[arbiter.Lead](), reflect.TypeFor[arbiter.NodeUp](),
	reflect.TypeFor[arbiter.Acquire](), reflect.TypeFor[arbiter.Release](), reflect.TypeFor[arbiter.Exclude](),
	reflect.TypeFor[arbiter.OwnWord](), reflect.TypeFor[arbiter.Readmit](),
}

func indexOf(types []reflect.Type, told any) int {
	i := slices.Index(types, reflect.TypeOf(told))
	if i < 0 {
		panic(fmt.Sprintf("sim: the coverage of pairs does not know %T; add it to its list in coverage.go", told))
	}
	return i
}

func names(types []reflect.Type) []string {
	var out []string
	for _, t := range types {
		out = append(out, t.Name())
	}
	return out
}

func postures() []string {
	var out []string
	for p := range agent.Postures {
		out = append(out, p.String())
	}
	return out
}

func newCoverage() *Coverage {
	c := &Coverage{}
	for g := range grids {
		size := len(grids[g].states) * len(grids[g].events)
		c.met[g], c.first[g] = make([]uint32, size), make([]uint16, size)
	}
	return c
}

func (c *Coverage) meet(grid, state, event int) {
	i := state*len(grids[grid].events) + event
	if c.met[grid][i]++; c.met[grid][i] == 1 {
		c.first[grid][i] = c.episode
	}
}

// toldAgent notes what an agent is told, in whatever it is about.
func (w *World) toldAgent(n *Node, ev agent.Event) {
	if ofRecovery(ev) {
		return
	}
	told := indexOf(agentEvents, ev)
	about := w.about(ev)
	for _, id := range w.groups {
		if about == "" || about == id {
			w.met.meet(agentGrid, int(n.agent.Posture(id)), told)
		}
	}
}

// about returns the group that an event is about, or nothing where it is about
// all.
func (w *World) about(ev agent.Event) arbiter.GroupID {
	switch ev := ev.(type) {
	case agent.Found:
		return ev.Group
	case agent.StartDone:
		return ev.Group
	case agent.StopDone:
		return ev.Group
	case agent.OutdateDone:
		return ev.Group
	case agent.InvalidateDone:
		return ev.Group
	case agent.Storage:
		return w.groupOf(ev.Resource)
	case agent.FencePeer:
		return w.groupOf(ev.Resource)
	case agent.DiskFailed:
		return w.groupOf(ev.Resource)
	}
	return ""
}

func (w *World) groupOf(r string) arbiter.GroupID {
	for _, v := range w.disks {
		if v != nil && v.name == r {
			return v.group
		}
	}
	return ""
}

// toldArbiter notes what the replicated state is told.
func (w *World) toldArbiter(state *arbiter.State, cmd arbiter.Command) {
	w.toldRecovery(state, cmd)
	if ofRecovery(cmd) {
		return
	}
	switch cmd.(type) {
	case arbiter.WitnessBegin, arbiter.WitnessReport:
		return // these pairs have no witness that shoots
	}
	told := indexOf(commands, cmd)
	c := state.Clusters[w.Definition.Cluster]
	if c == nil {
		return
	}
	mandate := 0
	if c.Mandate != nil {
		mandate = map[arbiter.Phase]int{arbiter.Open: 1, arbiter.Begun: 2, arbiter.Settled: 3}[c.Mandate.Phase]
	}
	w.met.meet(mandateGrid, mandate, told)
	for _, id := range w.groups {
		if g := c.Groups[id]; g != nil {
			w.met.meet(groupGrid, groupState(c, g), told)
		}
	}
}

// toldRecovery notes what a group's recovery is told.
func (w *World) toldRecovery(state *arbiter.State, cmd arbiter.Command) {
	told := slices.Index(aboutRecoveries, reflect.TypeOf(cmd))
	c := state.Clusters[w.Definition.Cluster]
	if told < 0 || c == nil {
		return
	}
	for i, id := range w.groups {
		if g := c.Groups[id]; g != nil && w.disks[i] != nil {
			w.met.meet(recoveryGrid, recoveryState(g.Recovery), told)
		}
	}
}

func recoveryState(r *arbiter.Recovery) int {
	switch {
	case r == nil:
		return 0
	case r.Phase != arbiter.Carrying:
		return slices.Index([]arbiter.RecoveryPhase{"", arbiter.Collecting, arbiter.Undecided, arbiter.Awaiting, arbiter.Decided, arbiter.Confirming}, r.Phase)
	case r.Cancellable():
		return 6
	case r.Apart():
		return 7
	}
	return 8
}

func groupState(c *arbiter.Cluster, g *arbiter.Group) int {
	switch {
	case c.Learning:
		return 5
	case g.Order != nil:
		return 3
	case g.Lease != nil && g.Lease.Started:
		return 2
	case g.Lease != nil:
		return 1
	case g.Begun:
		return 4
	}
	return 0
}

// toldLeader notes what a leader is told: a message, or what happens to all.
func (w *World) toldLeader(v *voter, told int) {
	state := 2
	switch {
	case len(v.waiting) > 0:
		state = 1
	case v.lead.Listening(v.clock.now()) < w.Definition.Timing.SuspectAfter:
		state = 0
	}
	w.met.meet(leaderGrid, state, told)
}

// What happens to a leader besides messages, in the order of its grid.
var tickTold, appliedTold, verifiedTold, lostTold = len(messages), len(messages) + 1, len(messages) + 2, len(messages) + 3

// Coverage returns what has met what.
func (w *World) Coverage() *Coverage { return w.met }

// Add adds what another run has reached, and returns how many pairs are new.
func (c *Coverage) Add(d *Coverage) int {
	fresh := 0
	for g := range c.met {
		for i, n := range d.met[g] {
			if n > 0 && c.met[g][i] == 0 {
				fresh++
			}
			c.met[g][i] += n
		}
	}
	return fresh
}

// Count returns how many pairs were reached, and how many there are.
func (c *Coverage) Count() (reached, total int) {
	c.each(func(_ Pair, n uint32) {
		total++
		if n > 0 {
			reached++
		}
	})
	return reached, total
}

// Pair is a core's state and what it is told in it.
type Pair struct{ Core, State, Event string }

func (p Pair) String() string { return fmt.Sprintf("%s, %s: %s", p.Core, p.State, p.Event) }

func (c *Coverage) each(do func(Pair, uint32)) {
	for g, t := range grids {
		for i, n := range c.met[g] {
			do(Pair{t.core, t.states[i/len(t.events)], t.events[i%len(t.events)]}, n)
		}
	}
}

// Unreached returns the pairs that were not reached and that nothing explains.
func (c *Coverage) Unreached() []Pair {
	return c.which(func(p Pair, n uint32) bool {
		return n == 0 && explain(impossible, p) == "" && explain(seldom, p) == ""
	})
}

// Refuted returns the pairs that were reached although it is said that they
// cannot be.
func (c *Coverage) Refuted() []Pair {
	return c.which(func(p Pair, n uint32) bool { return n > 0 && explain(impossible, p) != "" })
}

func (c *Coverage) which(wanted func(Pair, uint32) bool) []Pair {
	var out []Pair
	c.each(func(p Pair, n uint32) {
		if wanted(p, n) {
			out = append(out, p)
		}
	})
	return out
}

// Explained returns how many pairs were not reached for a reason, by the reason.
func (c *Coverage) Explained() map[string]int {
	out := map[string]int{}
	c.each(func(p Pair, n uint32) {
		switch why := explain(impossible, p); {
		case n > 0:
		case why != "":
			out["cannot be: "+why]++
		case explain(seldom, p) != "":
			out["seldom: "+explain(seldom, p)]++
		}
	})
	return out
}

// settledAfter is how long a search goes on before a pair that it has not reached is
// held against it.
const settledAfter = 5000 * time.Hour

// LongEnough reports whether a search was long enough to reach whatever can be.
func LongEnough(simulated time.Duration) bool { return simulated >= settledAfter }
