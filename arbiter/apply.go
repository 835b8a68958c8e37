package arbiter

import (
	"encoding/json"
	"fmt"
	"slices"

	"sbarbiter/internal/mutant"
)

// Apply carries out one committed command. index is its place in the log.
func (s *State) Apply(index uint64, e Entry) Outcome {
	s.Version.Index = index
	a := &applying{state: s, index: index, entry: e}
	v := a.dispatch()
	return Outcome{Verdict: v, Records: a.records}
}

// Try returns what Apply would answer. It is for a copy of the state that nobody
// needs any more: neither answer nor audit record is kept there.
func (s *State) Try(index uint64, e Entry) Verdict {
	s.Version.Index = index
	a := &applying{state: s, index: index, entry: e, tried: true}
	return a.dispatch()
}

// applying is one run of Apply, or of Try.
type applying struct {
	tried   bool
	state   *State
	index   uint64
	entry   Entry
	records []Record
}

func (a *applying) dispatch() Verdict {
	switch cmd := a.entry.Command.(type) {
	case Lead:
		a.state.Version.Starts++
		a.state.Version.Nonce = cmd.Nonce
		a.state.Leads = lastOf(append(a.state.Leads, Leadership{a.state.Version.Starts, cmd.Nonce, a.index}), keptLeads)
		return done("leadership %d of incarnation %d begins", a.state.Version.Starts, a.state.Version.Incarnation)
	case Renounce:
		return a.renounce(cmd)
	case Define:
		return a.define(cmd)
	case NodeUp:
		return a.nodeUp(cmd)
	case Acquire:
		return a.request(cmd.Caller, func(c *Cluster, n *Node) Verdict { return a.acquire(c, n, cmd) })
	case Started:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.started(c, cmd) })
	case Release:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.release(c, cmd) })
	case Exclude:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.exclude(c, cmd) })
	case OwnWord:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.ownWord(c, cmd) })
	case Readmit:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.readmit(c, cmd) })
	case Begin:
		return a.request(cmd.Caller, func(c *Cluster, n *Node) Verdict { return a.begin(c, n, cmd) })
	case ReportFence:
		return a.request(cmd.Caller, func(c *Cluster, n *Node) Verdict { return a.reportFence(c, n, cmd) })
	case WitnessBegin:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.witnessBegin(c, cmd) })
	case WitnessReport:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.witnessReport(c, cmd) })
	case EndMandate:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.endMandate(c, cmd) })
	case Order:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.order(c, cmd) })
	case Standby:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.standby(c, cmd) })
	case Maintenance:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.maintenance(c, cmd) })
	case GiveUp:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.giveUp(c, cmd) })
	case Confirm:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.confirm(c, cmd) })
	case Rehearse:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.rehearse(c, cmd) })
	case Armed:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.armed(c, cmd) })
	case Calm:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return c.calm(cmd) })
	case Remark:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.remark(c, cmd) })
	}
	return a.dispatchRecovery()
}

func (a *applying) dispatchRecovery() Verdict {
	switch cmd := a.entry.Command.(type) {
	case Resolve:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.resolve(c, cmd) })
	case Show:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.show(c, cmd) })
	case Measured:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.measured(c, cmd) })
	case Unmeasured:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.unmeasured(c, cmd) })
	case MeasureAgain:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return c.measureAgain(cmd) })
	case Approve:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.approve(c, cmd) })
	case StepDone:
		return a.request(cmd.Caller, func(c *Cluster, _ *Node) Verdict { return a.stepDone(c, cmd) })
	case CancelRecovery:
		return a.operate(cmd.Cluster, func(c *Cluster) Verdict { return a.cancel(c, cmd) })
	}
	panic(fmt.Sprintf("arbiter: unknown command %T", a.entry.Command))
}

// request runs a node's command once: a repetition is answered from memory.
func (a *applying) request(caller Caller, do func(*Cluster, *Node) Verdict) Verdict {
	c, n, v := a.identify(caller)
	if v != nil {
		return *v
	}
	a.found(c, caller.Node)
	if v := c.repeated(n, caller, a.entry.Command); v != nil {
		return *v
	}
	if caller.Request != 0 && caller.Request < n.Newest && !mutant.On(mutant.OvertakenHeard) {
		return refuse(Overtaken, "a later request of %s has been answered already; ask again under a new number", caller.Node)
	}
	if caller.Floor < implausible {
		n.Floor = max(n.Floor, caller.Floor)
	}
	out := do(c, n)
	if caller.Request != 0 && !a.tried {
		n.Newest = caller.Request
		n.Answers = lastOf(append(n.Answers, Answer{caller.Request, kindOf(a.entry.Command), out}), keptAnswers)
	}
	return out
}

// repeated answers a request that was answered before. A permission that has
// ended since is not given again.
func (c *Cluster) repeated(n *Node, caller Caller, cmd Command) *Verdict {
	for _, kept := range n.Answers {
		if caller.Request == 0 || kept.Request != caller.Request {
			continue
		}
		if kept.Command != kindOf(cmd) {
			return refused(Overtaken, "request %d of %s was %s; ask again under a new number", caller.Request, caller.Node, kept.Command)
		}
		again := c.stillTrue(caller, kept)
		again.Repeated = true
		return &again
	}
	return nil
}

func (c *Cluster) stillTrue(caller Caller, kept Answer) Verdict {
	m, v := c.Mandate, kept.Verdict
	switch {
	case v.Kind == Granted && c.shotAt(caller.Node):
		return refuse(MandateBegun, "a shot at %s has begun since epoch %d was granted", caller.Node, v.Epoch)
	case v.OK() && kept.Command != kindOf(Release{}) && c.shotAt(caller.Node):
		return refuse(MandateBegun, "a shot at %s has begun since this was answered", caller.Node)
	case v.Kind == Granted && !c.leased(caller, v.Epoch):
		return refuse(NotHolder, "epoch %d was granted to %s and has ended since", v.Epoch, caller.Node)
	case v.Kind == Permitted && (m == nil || m.ID != v.Mandate || m.Phase != Begun || m.ByWitness),
		v.Kind == FenceFirst && (m == nil || m.ID != v.Mandate || m.Phase != Open || m.ByWitness):
		return refuse(MandateOver, "mandate %d is not what it was", v.Mandate)
	}
	return v
}

func (c *Cluster) leased(caller Caller, e Epoch) bool {
	for _, g := range c.Groups {
		if holds(g, caller, e) {
			return true
		}
	}
	return false
}

// identify finds the life behind a request; messages of earlier lives are
// refused whatever they ask.
func (a *applying) identify(caller Caller) (*Cluster, *Node, *Verdict) {
	no := func(v Verdict) (*Cluster, *Node, *Verdict) { return nil, nil, &v }
	c, ok := a.state.Clusters[caller.Cluster]
	if !ok {
		return no(unknownCluster(caller.Cluster))
	}
	n, ok := c.Nodes[caller.Node]
	switch {
	case !ok:
		return no(refuse(UnknownNode, "cluster %s has no node %s; its nodes are %s and %s",
			caller.Cluster, caller.Node, c.Definition.Nodes[0], c.Definition.Nodes[1]))
	case mutant.On(mutant.StaleLifeHeard):
	case slices.Contains(n.Superseded, caller.Boot):
		return no(refuse(StaleBoot, "%s has started anew since boot %s", caller.Node, caller.Boot))
	case n.Boot != caller.Boot || n.Incarnation < caller.Incarnation:
		return no(refuse(NotIntroduced, "%s has not reported under boot %s, agent start %d", caller.Node, caller.Boot, caller.Incarnation))
	case n.Incarnation > caller.Incarnation:
		return no(refuse(StaleAgent, "the agent on %s has been restarted since start %d", caller.Node, caller.Incarnation))
	}
	return c, n, nil
}

func (a *applying) operate(id ClusterID, do func(*Cluster) Verdict) Verdict {
	c, ok := a.state.Clusters[id]
	if !ok {
		return unknownCluster(id)
	}
	return do(c)
}

func unknownCluster(id ClusterID) Verdict {
	return refuse(UnknownCluster, "this witness does not know cluster %s; declare it with sbctl cluster add", id)
}

func unknownGroup(c *Cluster, id GroupID) Verdict {
	return refuse(UnknownGroup, "cluster %s has no group %s", c.Definition.Cluster, id)
}

// record writes a decision into the audit log.
func (a *applying) record(c *Cluster, group GroupID, node NodeID, what string, v Verdict) {
	if a.tried {
		return
	}
	inputs, err := json.Marshal(a.entry.Command)
	if err != nil {
		panic("arbiter: encode a command that came out of the log: " + err.Error())
	}
	r := Record{
		Index: a.index, At: a.entry.At, Cluster: string(c.Definition.Cluster), Group: group, Node: node,
		What: what, Reason: v.Reason, Sentence: v.Sentence, Epoch: v.Epoch, Inputs: string(inputs),
	}
	a.records = append(a.records, r)
	c.Audit = lastOf(append(c.Audit, r), keptRecords)
}

// lastOf keeps the last n elements of s. They stay where they are: a copy of the
// cluster may share them.
func lastOf[T any](s []T, n int) []T { return s[max(0, len(s)-n):] }
