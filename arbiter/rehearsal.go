package arbiter

import (
	"maps"
	"slices"
	"strings"
)

// rehearse lets one node switch the other off and on again, to see that it can:
// in a maintenance window, and never a node that holds anything. Nobody is granted
// anything meanwhile, so the target cannot become a holder under the shot.
func (a *applying) rehearse(c *Cluster, cmd Rehearse) Verdict {
	v := c.mayRehearse(cmd.Node, cmd.ExecutorHeard)
	if v == nil {
		c.Mandates++
		c.Mandate = &Mandate{
			ID: c.Mandates, Target: cmd.Node, Boot: c.Nodes[cmd.Node].Boot, Executor: c.Definition.Peer(cmd.Node), Phase: Open, Rehearsal: true,
		}
		d := done("mandate %d: %s is to switch %s off and on again, to see that it can, says %s", c.Mandates, c.Mandate.Executor, cmd.Node, cmd.By)
		d.Mandate = c.Mandates
		v = &d
	}
	a.record(c, "", cmd.Node, "rehearsal", *v)
	return *v
}

func (c *Cluster) mayRehearse(node NodeID, executorHeard bool) *Verdict {
	if _, known := c.Nodes[node]; !known {
		return refused(UnknownNode, "cluster %s has no node %s", c.Definition.Cluster, node)
	}
	executor := c.Definition.Peer(node)
	switch {
	case c.Learning:
		return refused(WitnessLearning, "this witness is learning what the nodes know")
	case !c.Maintenance:
		return refused(NoMaintenance, "a fence device is rehearsed in a maintenance window only; begin one with: sbctl maintenance on --for 30m")
	case c.Mandate != nil:
		return refused(MandateUnderWay, "mandate %d against %s is under way", c.Mandate.ID, c.Mandate.Target)
	case !executorHeard:
		return refused(NotInStep, "%s, which would switch %s off, has not been heard", executor, node)
	}
	return c.holdsNothing(node)
}

// holdsNothing refuses to shoot a holder for an exercise.
func (c *Cluster) holdsNothing(node NodeID) *Verdict {
	for _, id := range slices.Sorted(maps.Keys(c.Groups)) {
		if l := c.Groups[id].Lease; l != nil && l.Holder == node {
			return refused(HoldsGroup, "%s holds %s; end maintenance, move it away (sbctl standby %s), then try again", node, id, node)
		}
	}
	return nil
}

// mayBeginRehearsal re-checks everything at the moment of the shot.
func (c *Cluster) mayBeginRehearsal(m *Mandate) Verdict {
	no := c.holdsNothing(m.Target)
	switch {
	case no != nil:
	case !c.Maintenance:
		no = refused(NoMaintenance, "maintenance is over")
	case c.Nodes[m.Target].Boot != m.Boot:
		no = refused(MandateOver, "%s has started anew", m.Target)
	default:
		return Verdict{Kind: Permitted, Mandate: m.ID, Holder: m.Target, Sentence: sentence("mandate %d: %s switches %s off and on again now", m.ID, m.Executor, m.Target)}
	}
	c.Mandate = nil
	return refuse(MandateOver, "the rehearsal is off: %s", no.Sentence)
}

// rehearsed takes what was seen: which devices went from on to off, and whether
// they are on again.
func (c *Cluster) rehearsed(m *Mandate, cmd ReportFence, at int64) Verdict {
	was, turned, now := map[string]string{}, map[string]bool{}, map[string]string{}
	for _, r := range append(slices.Clone(m.Readings), cmd.Readings...) {
		if r.Power != "on" && r.Power != "off" {
			continue
		}
		turned[r.Device] = turned[r.Device] || was[r.Device] == "on" && r.Power == "off"
		was[r.Device], now[r.Device] = r.Power, r.Power
	}
	maps.DeleteFunc(turned, func(_ string, off bool) bool { return !off })
	devices := slices.Sorted(maps.Keys(turned))
	c.close(cmd)
	switch {
	case cmd.Alive && len(devices) > 0 && c.Nodes[m.Target].Boot == m.Boot:
		return refuse(TargetAlive, "rehearsal: %s was heard after its power had been read as off: that reading is wrong", m.Target)
	case len(devices) == 0:
		return refuse(NotProven, "rehearsal: %s was not seen going off: %s", m.Target, orElse(cmd.Failure, "no device was read as on before and off after it"))
	}
	c.proved(m.Target, devices, at)
	for _, device := range devices {
		if now[device] != "on" {
			return refuse(NotProven, "rehearsal: %s was seen going off, but %s does not say that it is on again; switch it on by hand (%s)", m.Target, device, orElse(cmd.Failure, "no error"))
		}
	}
	return done("rehearsal: %s was seen going off and on again by %s", m.Target, strings.Join(devices, " and "))
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
