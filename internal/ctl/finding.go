package ctl

import (
	"fmt"
	"slices"
	"time"

	sbv1 "sbarbiter/proto/sb/v1"
)

// level is how bad it is.
type level string

const (
	levelOK        level = "ok"        // everything runs and either node may die
	levelAttention level = "attention" // everything runs, but not everything may die
	levelDown      level = "down"      // something is not known to run
	levelUnknown   level = "unknown"   // no witness answered
)

func (l level) rank() int {
	return slices.Index([]level{levelOK, levelAttention, levelUnknown, levelDown}, l)
}

// finding is one thing that keeps a cluster from being all right.
type finding struct {
	Level level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do"` // "": the sentence says it, or nothing is to be done

	// cause: most of the others follow from it, so it is said first.
	cause bool
	// alarmed: the witness has an alarm of its own for this, which also says what
	// it waits for.
	alarmed bool
}

// lossy is the share of lost beats, in percent, from which a link does not count
// as redundancy.
const lossy = 10

// pair is a cluster's status with what is needed to judge it.
type pair struct {
	*sbv1.ClusterStatus
	def   *sbv1.Definition
	nodes map[string]*sbv1.NodeStatus
	found []finding
	// alarms are the witness's.
	alarms []string
}

// examine finds everything that keeps a cluster from being all right, the worst
// first.
func examine(status *sbv1.ClusterStatus) *pair {
	p := &pair{ClusterStatus: status, def: status.GetDefinition(), nodes: map[string]*sbv1.NodeStatus{}, alarms: status.GetAlarms()}
	for _, n := range status.GetNodes() {
		p.nodes[n.GetName()] = n
	}
	for _, g := range status.GetGroups() {
		p.groupRuns(g)
		p.groupSplit(g)
	}
	p.wholeCluster()
	for _, n := range status.GetNodes() {
		p.node(n)
	}
	for _, g := range status.GetGroups() {
		p.groupCopies(g)
	}
	slices.SortStableFunc(p.found, worstFirst)
	return p
}

func (p *pair) find(l level, do, format string, args ...any) {
	p.found = append(p.found, finding{Level: l, What: fmt.Sprintf(format, args...), Do: do})
}

// alarm finds something that the witness has an alarm of its own for.
func (p *pair) alarm(l level, do, format string, args ...any) {
	p.find(l, do, format, args...)
	p.found[len(p.found)-1].alarmed = true
}

// listed are the findings to show beside the witness's alarms: all where there
// are none.
func (p *pair) listed() []finding {
	if len(p.alarms) == 0 {
		return p.found
	}
	return slices.DeleteFunc(slices.Clone(p.found), func(f finding) bool { return f.alarmed })
}

// heard reports whether the witness hears the node.
func (p *pair) heard(name string) bool {
	n := p.nodes[name]
	return n != nil && n.GetSilentNs() >= 0 && n.GetSilentNs() < p.def.GetTiming().GetSuspectAfterNs()
}

func (p *pair) peer(name string) string {
	for _, n := range p.def.GetNodes() {
		if n != name {
			return n
		}
	}
	return ""
}

// heardByPeer reports whether the other node, which the witness hears, hears the
// node on some link.
func (p *pair) heardByPeer(name string) bool {
	other := p.peer(name)
	return p.heard(other) && slices.ContainsFunc(p.nodes[other].GetLinks(), (*sbv1.LinkStatus).GetHearsPeer)
}

// runs reports whether the group is known to run: its holder is heard, here or by
// the other node.
func (p *pair) runs(g *sbv1.GroupStatus) bool {
	h := g.GetHolder()
	return h != "" && g.GetStarted() && (p.heard(h) || p.heardByPeer(h))
}

// groupRuns asks whether somebody runs the group, and for how long yet.
func (p *pair) groupRuns(g *sbv1.GroupStatus) {
	name, holder := g.GetName(), g.GetHolder()
	switch {
	case holder == "":
		p.unheld(g)
	case !p.heard(holder):
		p.silentHolder(g)
	case !g.GetStarted():
		p.find(levelDown, "sbctl why "+name, "%s is starting %s", holder, name)
	case g.GetOrderTo() != "":
		p.find(levelAttention, "", "%s is being moved from %s to %s", name, holder, g.GetOrderTo())
	}
}

func (p *pair) unheld(g *sbv1.GroupStatus) {
	name := g.GetName()
	m := p.GetMandate()
	switch {
	case p.GetLearning() && p.says(g, "running") != "":
		p.alarm(levelAttention, "", "%s says that it runs %s", p.says(g, "running"), name)
	case p.GetLearning():
		p.alarm(levelDown, "", "nobody is known to run %s", name)
	case g.GetOrderTo() != "":
		p.alarm(levelDown, "", "nobody runs %s: it is on its way to %s", name, g.GetOrderTo())
	case m != nil && m.GetGroup() == name:
		p.alarm(levelDown, "", "nobody runs %s: %s", name, mandateWords(m))
	case p.declared(name).GetManual():
		p.find(levelDown, fmt.Sprintf("sbctl switchover %s --to %s", name, first(p.declared(name).GetPreferred(), p.def.GetNodes()[0])),
			"nobody runs %s: only an operator starts it", name)
	case g.GetLast().GetCause() != "":
		p.alarm(levelDown, "sbctl why "+name, "nobody runs %s", name)
	default:
		p.find(levelDown, "sbctl why "+name, "nobody has run %s yet", name)
	}
}

// says returns the node that says of itself that the group is in that phase.
func (p *pair) says(g *sbv1.GroupStatus, phase string) string {
	for _, on := range g.GetNodes() {
		if on.GetPhase() == phase && p.heard(on.GetNode()) {
			return on.GetNode()
		}
	}
	return ""
}

func (p *pair) declared(group string) *sbv1.GroupDefinition {
	for _, d := range p.def.GetGroups() {
		if d.GetName() == group {
			return d
		}
	}
	return nil
}

// silentHolder judges a group whose holder is not heard. That alone proves
// nothing: the holder may stand by its peer's word.
func (p *pair) silentHolder(g *sbv1.GroupStatus) {
	name, holder := g.GetName(), g.GetHolder()
	other := p.peer(holder)
	confirm := fmt.Sprintf("look at %s; once you have seen that it is off: sbctl fence confirm %s --reason '...'", holder, holder)
	switch left := time.Duration(g.GetRemainingNs()); {
	case p.heardByPeer(holder):
		p.alarm(levelAttention, "mend the network between "+holder+" and the witness",
			"%s, which holds %s, is silent here but heard by %s, so it stays in office", holder, name, other)
	case !p.heard(other):
		p.alarm(levelUnknown, "look at the witness's network; the nodes go on by themselves while they hear each other",
			"nothing is known of %s: neither %s, which holds it, nor %s is heard here", name, holder, other)
	case g.GetUnshot() != "":
		p.alarm(levelDown, confirm, "nobody is known to run %s: %s holds it, is silent and could not be shot: %s", name, holder, g.GetUnshot())
	case left > 0:
		p.alarm(levelDown, "", "nobody is known to run %s: %s holds it and is silent; its lease runs for %s", name, holder, span(left))
	default:
		p.alarm(levelDown, confirm, "nobody is known to run %s: %s holds it and is silent", name, holder)
	}
}

func (p *pair) wholeCluster() {
	if p.GetLearning() {
		p.alarm(levelAttention, "start sbagent on both nodes; it reports by itself",
			"the witness is learning what the nodes know and grants nothing before both have reported")
	}
	if p.GetMaintenance() {
		until := "until it is switched off"
		if t := p.GetMaintenanceUntil(); t != 0 {
			until = "until " + hour(t)
		}
		p.find(levelAttention, "sbctl maintenance off", "maintenance %s: nothing is taken over", until)
	}
	if m := p.GetMandate(); m != nil {
		p.find(levelAttention, "", "mandate %d: %s", m.GetId(), mandateWords(m))
	}
	if p.def.GetWatchdog() && !p.def.GetStonith() {
		for _, g := range p.GetGroups() {
			w := p.nodes[g.GetHolder()].GetWatchdog()
			if p.heard(g.GetHolder()) && w.GetArmed() && !w.GetHardware() && !p.def.GetAcceptPauseRisk() {
				p.find(levelAttention, "use a hardware watchdog, or power fencing",
					"%s's watchdog stops with its machine, so %s cannot be taken over from it", g.GetHolder(), g.GetName())
			}
		}
	}
}

func (p *pair) node(n *sbv1.NodeStatus) {
	name := n.GetName()
	if n.GetTwins() {
		p.alarm(levelAttention, "switch one off, then declare the cluster again: sbctl cluster add -f cluster.yaml",
			"two machines use the identity of %s", name)
	}
	if n.GetStandby() {
		p.find(levelAttention, "sbctl unstandby "+name, "%s is in standby and takes no groups", name)
	}
	if !p.heard(name) {
		p.silentNode(n)
		return
	}
	p.isolation(n)
	if p.def.GetWatchdog() && p.holds(name) && !n.GetWatchdog().GetArmed() {
		p.find(levelAttention, "look at its log: journalctl -u sbagent", "%s holds a group and its watchdog is not armed", name)
	}
	p.links(n)
}

func (p *pair) holds(name string) bool {
	return slices.ContainsFunc(p.GetGroups(), func(g *sbv1.GroupStatus) bool { return g.GetHolder() == name })
}

func (p *pair) silentNode(n *sbv1.NodeStatus) {
	name := n.GetName()
	if p.holds(name) {
		return // the group's finding says it
	}
	do := "is it on, is its network up, does sbagent run there?"
	switch {
	case n.GetBoot() == "":
		p.alarm(levelAttention, "start sbagent there", "%s has never reported", name)
	case n.GetSilentNs() < 0:
		p.alarm(levelAttention, do, "%s has not been heard since this witness began to listen", name)
	default:
		p.alarm(levelAttention, do, "%s is silent for %s", name, span(time.Duration(n.GetSilentNs())))
	}
}

// links looks at what the node hears of its peer, if that is there to be heard.
func (p *pair) links(n *sbv1.NodeStatus) {
	name, other := n.GetName(), p.peer(n.GetName())
	if !p.heard(other) {
		return
	}
	if p.justStarted(name) {
		p.find(levelAttention, "wait a second or two: its agent has just started", "%s has not said yet what it hears on its heartbeat links", name)
	}
	for _, l := range n.GetLinks() {
		switch {
		case !l.GetHearsPeer() && p.justStarted(other): // it is about to be heard
		case !l.GetHearsPeer():
			p.alarm(levelAttention, "look at cable, switch and firewall of that link", "%s hears nothing of %s on link %s", name, other, l.GetName())
		case l.GetLostInPercent() >= lossy:
			p.find(levelAttention, "look at cable, switch and firewall of that link", "link %s from %s to %s loses %d %% of the beats",
				l.GetName(), other, name, l.GetLostInPercent())
		}
	}
}

// justStarted reports whether a node's agent has not looked at its links yet: none
// starts without one.
func (p *pair) justStarted(name string) bool {
	return slices.ContainsFunc(p.GetNodes(), func(n *sbv1.NodeStatus) bool { return n.GetName() == name && len(n.GetLinks()) == 0 })
}

func onNode(g *sbv1.GroupStatus, node string) *sbv1.GroupOnNode {
	for _, on := range g.GetNodes() {
		if on.GetNode() == node {
			return on
		}
	}
	return nil
}

func connection(d *sbv1.Disk) string {
	if d.GetConnected() {
		return "connected"
	}
	return "not connected"
}

// isolation tells a gateway that is down for everybody from a node that is cut
// off: the first moves nothing, and its cause is elsewhere.
func (p *pair) isolation(n *sbv1.NodeStatus) {
	if n.GetReferences() >= n.GetNeeded() {
		return
	}
	other := p.nodes[p.peer(n.GetName())]
	if p.heard(other.GetName()) && other.GetReferences() < other.GetNeeded() {
		if n.GetName() == p.def.GetNodes()[0] { // once for both
			p.alarm(levelAttention, "mend the gateway; nothing is moved meanwhile, and nothing can be taken over",
				"the reference addresses answer neither node: they are down for everybody")
		}
		return
	}
	p.alarm(levelAttention, "mend its network", "%s is isolated: it reaches %d of the %d reference addresses it needs",
		n.GetName(), n.GetReferences(), n.GetNeeded())
}
