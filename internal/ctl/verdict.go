package ctl

import (
	"cmp"
	"fmt"
	"strings"

	sbv1 "sbarbiter/proto/sb/v1"
)

// shownFindings is how many findings a headline has room for.
const shownFindings = 2

// headline is the first line that somebody reads: one sentence about the pair.
func (p *pair) headline() string {
	parts := p.running()
	switch p.level() {
	case levelOK:
		parts = append(parts, p.redundancy())
		return strings.Join(parts, ", ")
	case levelDown, levelUnknown:
		parts = nil // what is down comes first
	default:
	}
	all := each(p.found, finding.brief)
	if len(all) == 0 {
		all = p.alarms
	}
	parts = append(parts, all[:min(len(all), shownFindings)]...)
	if more := len(all) - shownFindings; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more below", more))
	}
	return strings.Join(parts, "; ")
}

// brief is a finding as a headline has it: with the line to type where that is the
// only thing to do.
func (f finding) brief() string {
	if f.cause {
		return f.What + "; type: " + f.Do
	}
	return f.What
}

func (p *pair) level() level {
	worst := levelOK
	for _, f := range p.found {
		if f.Level.rank() > worst.rank() {
			worst = f.Level
		}
	}
	if worst == levelOK && len(p.alarms) > 0 {
		return levelAttention
	}
	return worst
}

// worstFirst orders findings: what others follow from, then by their level.
func worstFirst(a, b finding) int {
	switch {
	case a.cause && !b.cause:
		return -1
	case b.cause && !a.cause:
		return 1
	}
	return cmp.Compare(b.Level.rank(), a.Level.rank())
}

// groupSplit finds a split brain that waits for an operator's word.
func (p *pair) groupSplit(g *sbv1.GroupStatus) {
	if split := g.GetSplit(); split != nil {
		p.alarm(levelAttention, split.GetDo(), "%s", split.GetWhat())
		p.found[len(p.found)-1].cause = true
	}
}

// running says which groups run where: "nfs and web run on node-a".
func (p *pair) running() []string {
	on := map[string][]string{}
	for _, g := range p.GetGroups() {
		if p.runs(g) {
			on[g.GetHolder()] = append(on[g.GetHolder()], g.GetName())
		}
	}
	var parts []string
	for _, node := range p.def.GetNodes() {
		if groups := on[node]; len(groups) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s on %s", and(groups), verb(len(groups), "runs", "run"), node))
		}
	}
	return parts
}

// redundancy says what stands by while all is well.
func (p *pair) redundancy() string {
	drbd, holders := false, map[string]bool{}
	for _, g := range p.GetGroups() {
		drbd = drbd || p.declared(g.GetName()).GetDrbd()
		holders[g.GetHolder()] = true
	}
	ready := "ready"
	if drbd {
		ready = "in step"
	}
	for _, node := range p.def.GetNodes() {
		if !holders[node] {
			return fmt.Sprintf("%s is %s", node, ready)
		}
	}
	return "both are " + ready
}

// holding are the leases of a node.
func (p *pair) holding(node string) []*sbv1.GroupStatus {
	var out []*sbv1.GroupStatus
	for _, g := range p.GetGroups() {
		if g.GetHolder() == node {
			out = append(out, g)
		}
	}
	return out
}
