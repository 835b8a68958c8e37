package ctl

import (
	"fmt"
	"slices"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// groupCopies asks whether the other node could run the group, and whether all
// of it runs well where it does.
func (p *pair) groupCopies(g *sbv1.GroupStatus) {
	name := g.GetName()
	p.standsIn(g)
	for _, e := range g.GetExclusions() {
		p.alarm(levelAttention, p.mendCopy(g, e), "%s's copy of %s is stale (%s)", e.GetNode(), name, exclusionWords(e))
	}
	for _, on := range g.GetNodes() {
		if on.GetFailed() != "" {
			p.alarm(levelAttention, fmt.Sprintf("mend the cause; while nobody else runs it %[2]s tries again by itself; to move it back: sbctl switchover %[1]s --to %[2]s", name, on.GetNode()),
				"%s could not start %s: %s", on.GetNode(), name, on.GetFailed())
		}
		for _, s := range on.GetServices() {
			if s.GetState() == "failed" {
				p.find(levelAttention, fmt.Sprintf("look at it on %s, or move the group: sbctl switchover %s", on.GetNode(), name),
					"service %s of %s has failed on %s", s.GetName(), name, on.GetNode())
			}
		}
	}
	if p.declared(name).GetDrbd() && len(g.GetExclusions()) == 0 && g.GetSplit() == nil {
		p.disks(g)
	}
}

// standsIn finds an operator's word that a machine is lost, and that it is not carried
// out yet.
func (p *pair) standsIn(g *sbv1.GroupStatus) {
	s := g.GetStandIn()
	if s == nil || g.GetHolder() != "" && !stale(g, s.GetNode()) {
		return
	}
	p.alarm(levelAttention, fmt.Sprintf("nothing, if that is so; to take it back: sbctl group init %s --cancel --word %d", g.GetName(), s.GetWord()),
		"%s's copy of %s is to stand in for that of %s, which %s has declared lost", s.GetNode(), g.GetName(), s.GetLost(), s.GetBy())
}

func stale(g *sbv1.GroupStatus, node string) bool {
	return slices.ContainsFunc(g.GetExclusions(), func(e *sbv1.ExclusionStatus) bool { return e.GetNode() == node })
}

// mendCopy says how a stale copy becomes a good one, or does without the good one.
func (p *pair) mendCopy(g *sbv1.GroupStatus, e *sbv1.ExclusionStatus) string {
	name, node, other := g.GetName(), e.GetNode(), p.peer(e.GetNode())
	split := g.GetSplit()
	switch {
	case g.GetStandIn().GetNode() == node:
		return fmt.Sprintf("nothing: it is to stand in for %s's", other)
	case split != nil && e.GetLost():
		return fmt.Sprintf("what only %s has is not overwritten before a recovery, by you or by a policy, has kept it; where the two have split, type: %s", node, split.GetDo())
	case split != nil:
		return "where the two have split, DRBD does not resynchronise it by itself; type: " + split.GetDo()
	case e.GetLost():
		return fmt.Sprintf("what only %s has is not overwritten before a recovery, by you or by a policy, has kept it; if the two have split: sbctl resolve %s --keep %s", node, name, other)
	case len(g.GetExclusions()) == 1 && g.GetHolder() == "" && p.heard(node) && !p.heard(other) && !p.heardByPeer(other):
		return fmt.Sprintf("start %s, which has the good one; if its machine is lost for good: sbctl group init %s --keep %s --lost", other, name, node)
	}
	return fmt.Sprintf("it is readmitted once DRBD has resynchronised it; on %s: drbdadm status", node)
}

// disks reports the first volume of the group that is not in step.
func (p *pair) disks(g *sbv1.GroupStatus) {
	for _, node := range p.def.GetNodes() {
		if !p.heard(node) || !p.heard(p.peer(node)) {
			continue
		}
		on := onNode(g, node)
		if len(on.GetDisks()) == 0 {
			p.find(levelAttention, "on "+node+": drbdadm status", "%s reports no disk of %s", node, g.GetName())
			return
		}
		for _, d := range on.GetDisks() {
			if d.GetOwn() != string(arbiter.UpToDate) || d.GetPeer() != string(arbiter.UpToDate) || !d.GetConnected() {
				p.find(levelAttention, "on "+node+": drbdadm status", "%s is not in step: %s on %s is %s, its peer %s, %s",
					g.GetName(), d.GetVolume(), node, d.GetOwn(), d.GetPeer(), connection(d))
				return
			}
		}
	}
}
