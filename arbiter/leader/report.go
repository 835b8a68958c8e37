package leader

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/doctor"
	"sbarbiter/internal/boottime"
	"sbarbiter/timing"
)

// Report is what a node says of itself besides what is decided on.
type Report struct {
	ConfigHash string
	Timing     timing.Node // the name is the sender's
	Examined   bool        // Findings are of an examination, and not missing
	Findings   []doctor.Finding
	Machine    string            // DMI's UUID of the node
	Switches   map[string]string // the machine that each of its fence devices switches, by the device's word
}

// Pair is all that is known of a cluster's timing. Nodes that have not reported
// are not in it.
func Pair(def arbiter.Definition, reports map[arbiter.NodeID]*Report) timing.Pair {
	t := def.Timing
	p := timing.Pair{
		TTL: t.TTL, Promise: t.Promise, Renew: t.Renew, RPCTimeout: t.RPCTimeout, SuspectAfter: t.SuspectAfter, FenceTimeout: t.FenceTimeout, HoldTime: def.HoldTime,
		STONITH: timing.Means(def.Stonith), Watchdog: timing.Means(def.Watchdog), PauseRisk: timing.Means(def.AcceptPauseRisk),
	}
	for _, id := range slices.Sorted(maps.Keys(def.Groups)) {
		g := def.Groups[id]
		p.Groups = append(p.Groups, timing.GroupRules{Name: string(id), Delay: g.TakeoverDelay, AtE2: g.MinimumGrade <= arbiter.E2})
	}
	for _, id := range def.Nodes {
		if r := reports[id]; r != nil {
			n := r.Timing
			n.Name = string(id)
			p.Nodes = append(p.Nodes, n)
		}
	}
	return p
}

// define takes other durations, unless a node that is heard could not keep them: it
// would stop what it runs, and give every grant back.
func (l *Leader) define(now boottime.Instant, d *desk, r *request, m arbiter.Define) {
	heard := map[arbiter.NodeID]*Report{}
	for id, h := range d.heard {
		if !d.suspected(now, id) {
			heard[id] = h.report
		}
	}
	slack := map[string]time.Duration{}
	for _, rule := range Pair(d.c.Definition, heard).Rules() {
		slack[rule.Name+" "+rule.Subject] = rule.Slack()
	}
	for _, rule := range Pair(m.Definition, heard).Rules() {
		was, known := slack[rule.Name+" "+rule.Subject]
		if rule.Weight == timing.Required && rule.State() == timing.Broken && (!known || rule.Slack() < was) {
			l.refuse(r, arbiter.BadDefinition, fmt.Sprintf("the %s of %s would not hold: %s; %s", rule.Name, rule.Subject, rule, rule.Change))
			return
		}
	}
	l.propose(now, d, r, m)
}

// reconsider has what the nodes have said of themselves held against a new definition.
func (d *desk) reconsider() {
	for _, h := range d.heard {
		h.again = h.report != nil
	}
}

// crossing returns the command that writes down that the slack of a rule has
// shrunk or come back since that was last written down, or nil.
func (d *desk) crossing(node arbiter.NodeID) arbiter.Command {
	only := map[arbiter.NodeID]*Report{node: d.heard[node].report}
	for _, r := range Pair(d.c.Definition, only).Rules() {
		key := r.Name + " " + r.Subject
		if r.Subject == "" {
			key = r.Name
		}
		was := timing.State(d.c.Slack[key])
		if was == "" {
			was = timing.Holds
		}
		if is := r.Settled(was); is != was {
			return arbiter.Remark{
				Cluster: d.c.Definition.Cluster, Node: node, Rule: key, State: string(is), Sentence: crossed(r, is),
			}
		}
	}
	return nil
}

func crossed(r timing.Rule, is timing.State) string {
	of := r.Name
	if r.Subject != "" {
		of += " of " + r.Subject
	}
	switch is {
	case timing.Broken:
		return fmt.Sprintf("timing: the rule %s does not hold any more: %s; %s; %s", of, r, r.Why, r.Change)
	case timing.Tight:
		return fmt.Sprintf("timing: the slack of %s has shrunk: %s; before it is gone: %s", of, r, r.Change)
	}
	return fmt.Sprintf("timing: the rule %s holds again: %s", of, r)
}
