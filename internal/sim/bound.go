package sim

import (
	"time"

	"sbarbiter/timing"
)

// What a recovery may take besides what the timing rule promises.
const (
	slowBoot     = 25 * time.Second // of a machine that boots slowly
	startBackoff = 30 * time.Second // a node that could not start a group asks again after that at the latest: the agent's
	startTakes   = 2 * time.Second  // promotion and services, here
	shotTakes    = 3 * time.Second  // by a power switch that works, here
	resyncTakes  = volumeBlocks/pushBlocks*pushMax + dialMax + noticeMax
	voters       = electionMax + 2*time.Second // a witness that is started anew, and elects
)

// Timing is the pair as the timing rule sees it.
func (o *Options) Timing() timing.Pair {
	t := o.Definition.Timing
	p := timing.Pair{
		TTL: t.TTL, Promise: t.Promise, Renew: t.Renew, RPCTimeout: t.RPCTimeout, SuspectAfter: t.SuspectAfter,
		FenceTimeout: t.FenceTimeout, STONITH: timing.Means(o.Definition.Stonith), Watchdog: timing.Means(o.Definition.Watchdog),
	}
	for id := range o.Definition.Groups {
		p.Groups = append(p.Groups, timing.GroupRules{Name: string(id), AtE2: true})
	}
	for _, id := range o.Definition.Nodes {
		n := timing.Node{
			Name: string(id), ReadBack: o.Watchdog, Hardware: true,
			Plan: timing.Plan{
				TTL: t.TTL, Promise: t.Promise, Renew: t.Renew, RPCTimeout: t.RPCTimeout, SuspectAfter: t.SuspectAfter,
				Stop: o.Stop, Watchdog: o.Watchdog, Reset: o.Reset, Late: o.Late,
			},
		}
		if o.Definition.Stonith {
			n.Fence = shotTakes
		}
		for _, g := range p.Groups {
			n.Groups = append(n.Groups, timing.Group{
				Name: g.Name, StartBudget: startTakes, StopBudget: time.Second,
				DRBD: []timing.DRBD{{Resource: resource(db), PingInt: noticeMin, PingTimeout: noticeMax - noticeMin}},
			})
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p
}

// recovery is how long a pair may take to recover once everything is mended:
// first the machines come back, then the group does, by the slowest of the ways
// that the timing rule knows, and then the copies are in step.
func (w *World) recovery() time.Duration {
	t := w.Definition.Timing
	machines := w.Options.Reset + lookedAfter + slowBoot + w.Boot
	var group time.Duration
	for _, b := range w.Timing().Bounds() {
		group = max(group, b.Parts.Total())
	}
	group += timing.Guard(t.Promise) // of a node that has just started, which counts as given
	return machines + voters + max(group, t.StartGate+startBackoff) + resyncTakes
}
