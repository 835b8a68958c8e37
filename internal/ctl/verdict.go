package ctl

import (
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
	all := make([]string, 0, len(p.found))
	for _, f := range p.found {
		all = append(all, f.What)
	}
	if len(all) == 0 {
		all = p.alarms
	}
	parts = append(parts, all[:min(len(all), shownFindings)]...)
	if more := len(all) - shownFindings; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more below", more))
	}
	return strings.Join(parts, "; ")
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
