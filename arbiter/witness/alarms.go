package witness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/doctor"
	"sbarbiter/timing"
)

// alarms says what is wrong with a cluster: what happened, to what, and what to
// do. It reads a view and changes nothing.
func alarms(v leader.View, listening time.Duration) []string {
	var out []string
	alarm := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	c := v.Cluster
	groups := slices.Sorted(maps.Keys(c.Groups))
	for _, id := range groups { // before what merely follows from it
		if split := splitOf(v, id); split != nil {
			alarm("%s; type: %s", split.GetWhat(), split.GetDo())
		}
	}
	if c.Learning {
		missing := unreported(c)
		have := "has"
		if len(missing) > 1 {
			have = "have"
		}
		alarm("%s: nothing is granted before %s %s reported; start sbagent there", c.Definition.Cluster, strings.Join(missing, " and "), have)
	}
	for _, id := range c.Definition.Nodes {
		nodeAlarms(v, id, listening, alarm)
		keptAlarms(v, id, alarm)
	}
	for _, id := range groups {
		groupAlarms(v, id, alarm)
		recoveryAlarm(v, id, alarm)
	}
	flapAlarms(v, alarm)
	for _, r := range v.Pair().Rules() {
		timingAlarm(r, alarm)
	}
	if m := c.Mandate; m != nil && m.Phase != arbiter.Open {
		alarm("mandate %d: %s shoots %s; what becomes of it is waited for", m.ID, m.Shooter(), orEither(m.Target))
	}
	return out
}

// timingAlarm says which rule of timing does not hold, or soon will not.
func timingAlarm(r timing.Rule, alarm func(string, ...any)) {
	of := ""
	if r.Subject != "" {
		of = " of " + r.Subject
	}
	switch r.State() {
	case timing.Broken:
		alarm("timing%s does not hold: %s; %s; %s", of, r, r.Why, r.Change)
	case timing.Tight:
		alarm("timing%s has little slack left: %s; before it is gone: %s", of, r, r.Change)
	}
}

func orEither(node arbiter.NodeID) string {
	if node == "" {
		return "the other node, and perhaps that one it"
	}
	return string(node)
}

// unreported names the nodes that a learning witness waits for.
func unreported(c *arbiter.Cluster) []string {
	var names []string
	for _, id := range c.Definition.Nodes {
		if !c.Nodes[id].Reported {
			names = append(names, string(id))
		}
	}
	return names
}

func nodeAlarms(v leader.View, id arbiter.NodeID, listening time.Duration, alarm func(string, ...any)) {
	n, heard := v.Cluster.Nodes[id], v.Nodes[id]
	silent := min(heard.Silent, listening)
	switch {
	case n.Boot == "":
		alarm("%s has never been heard; start sbagent there and look at its journal", id)
	case silent >= v.Cluster.Definition.Timing.SuspectAfter:
		alarm("%s has not been heard for %v; see whether it is up, reaches this witness, and runs sbagent (systemctl status sbagent)", id, silent.Round(100*time.Millisecond))
	case heard.Heard && heard.Beat.References < heard.Beat.Needed:
		alarm("%s reaches %d of the %d reference addresses that it needs; look at its network", id, heard.Beat.References, heard.Beat.Needed)
	}
	if n.Twins {
		alarm("two machines use the identity of %s; switch one off, then declare the cluster again with sbctl cluster add", id)
	}
	if r := lastReport(v.Cluster, id); r != nil && (r.Reason == arbiter.RolledBack || r.Reason == arbiter.Implausible) {
		alarm("%s", r.Sentence)
	}
	peer := v.Cluster.Definition.Peer(id)
	for _, l := range heard.Beat.Links {
		// A peer that is heard nowhere has an alarm of its own, and no bad cable; one that
		// has not looked at its links yet has just started, and is about to be heard.
		if !l.HearsPeer && !v.Suspects(id) && !v.Suspects(peer) && len(v.Nodes[peer].Beat.Links) > 0 {
			alarm("%s hears nothing of %s on link %s; look at cable, address and firewall", id, peer, l.Name)
		}
	}
}

// lastReport returns the latest decision about a node's introduction.
func lastReport(c *arbiter.Cluster, node arbiter.NodeID) *arbiter.Record {
	for i := range slices.Backward(c.Audit) {
		if r := &c.Audit[i]; r.Node == node && r.What == "report" {
			return r
		}
	}
	return nil
}

func groupAlarms(v leader.View, id arbiter.GroupID, alarm func(string, ...any)) {
	g := v.Cluster.Groups[id]
	for _, node := range v.Cluster.Definition.Nodes {
		if e, ok := g.Excluded[node]; ok {
			alarm("%s", staleCopy(v, id, node, e))
		}
		if failed := g.Failed[node]; failed != "" {
			alarm("%s could not be started on %s: %s; repair that; while nobody else runs it %s tries again by itself, and sbctl switchover %s --to %s moves it back",
				id, node, failed, node, id, node)
		}
	}
	switch l := g.Lease; {
	case l != nil && l.Unshot != "":
		alarm("%s: %s could not be shot: %s; once you have seen that it is off, type: sbctl fence confirm %s", id, l.Holder, l.Unshot, l.Holder)
	case l != nil && v.Leases[id] < 0:
		alarm("%s: the lease %d of %s ran out %v ago; %s", id, l.Epoch, l.Holder, (-v.Leases[id]).Round(100*time.Millisecond), waitingFor(v, id))
	case l == nil && g.Begun:
		alarm("%s runs nowhere; %s", id, waitingFor(v, id))
	}
}

func numbers(e arbiter.Exclusion) string {
	switch {
	case e.Number == 0:
		return fmt.Sprintf("its own record %d", e.OwnWord)
	case e.By == "":
		return fmt.Sprintf("exclusion %s", e.Number)
	}
	return fmt.Sprintf("exclusion %s, at the word of %s under epoch %d", e.Number, e.By, e.Epoch)
}

// waiting says in one sentence what a group, or the cluster, is waiting for.
func waiting(v leader.View, group arbiter.GroupID) string {
	if group != "" {
		return waitingFor(v, group)
	}
	var out []string
	for _, id := range slices.Sorted(maps.Keys(v.Cluster.Groups)) {
		out = append(out, string(id)+": "+waitingFor(v, id))
	}
	return strings.Join(out, "; ")
}

func waitingFor(v leader.View, id arbiter.GroupID) string {
	c, g := v.Cluster, v.Cluster.Groups[id]
	switch m := c.Mandate; {
	case c.Learning:
		return fmt.Sprintf("the report of %s is waited for", strings.Join(unreported(c), " and "))
	case m != nil && m.Phase == arbiter.Open:
		return fmt.Sprintf("%s may shoot %s (mandate %d) and has not begun", m.Shooter(), m.Target, m.ID)
	case m != nil:
		return fmt.Sprintf("%s has begun to shoot %s (mandate %d); its report is waited for", m.Shooter(), orEither(m.Target), m.ID)
	case g.Recovery != nil && g.Recovery.Phase != arbiter.Awaiting && g.Lease == nil:
		return recovering(g.Recovery)
	case g.Order != nil && g.Lease != nil:
		return fmt.Sprintf("%s is to give it back, so that %s can take it", g.Lease.Holder, g.Order.To)
	case g.Order != nil:
		return fmt.Sprintf("%s is to ask for it", g.Order.To)
	case g.Lease != nil && v.Leases[id] >= 0 && !v.Suspects(g.Lease.Holder):
		return whileHeld(v, id)
	}
	if word := standingIn(c, id); word != "" && g.Lease == nil {
		return word
	}
	if way := withoutTheGoodCopy(v, id); way != "" {
		return way
	}
	return lastAnswer(c, id)
}

// whileHeld says what a group that runs is waiting for all the same.
func whileHeld(v leader.View, id arbiter.GroupID) string {
	g := v.Cluster.Groups[id]
	held := fmt.Sprintf("%s holds it under epoch %d for another %v", g.Lease.Holder, g.Lease.Epoch, v.Leases[id].Round(100*time.Millisecond))
	split := splitOf(v, id)
	switch {
	case split != nil:
		return fmt.Sprintf("%s; type: %s; meanwhile %s", split.GetWhat(), split.GetDo(), held)
	case g.Recovery != nil && g.Recovery.Phase == arbiter.Carrying:
		return recovering(g.Recovery) + "; meanwhile " + held
	}
	return "nothing: " + held
}

// keptAlarms says what is about to be lost, or to stand in a recovery's way, of the
// copies that a node keeps.
func keptAlarms(v leader.View, node arbiter.NodeID, alarm func(string, ...any)) {
	r := v.Nodes[node].Report
	if r == nil {
		return
	}
	for _, f := range r.Findings {
		if f.Subject == doctor.KeptCopies && f.Severity != doctor.Note {
			alarm("%s: kept copies: %s; %s; %s", node, f.What, f.Why, f.Fix)
		}
	}
}

// flapAlarms says that nothing is taken over, or nobody shot, because it happened
// too often lately.
func flapAlarms(v leader.View, alarm func(string, ...any)) {
	c := v.Cluster
	if limit := c.Definition.ShotsPerHour; limit > 0 && c.Shots >= limit {
		alarm("%d shots have begun within the hour, and shots_per_hour allows no more: nobody is shot before the first of them is an hour old; find out why nodes are lost so often", c.Shots)
	}
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		l := c.Groups[id].Lease
		if left := v.Held[id]; l != nil && left > 0 && v.Suspects(l.Holder) {
			alarm("%s: %s took it over and is lost again within hold_time; nobody takes it over for another %v; look at both nodes; once you have seen that %s is off, type: sbctl fence confirm %s",
				id, l.Holder, left.Round(time.Second), l.Holder, l.Holder)
		}
	}
}
