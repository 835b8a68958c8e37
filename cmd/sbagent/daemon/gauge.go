package daemon

import (
	"context"
	"errors"

	"sbarbiter/agent/runner"
	"sbarbiter/agent/store"
	"sbarbiter/arbiter"
	"sbarbiter/arbiter/leader"
	"sbarbiter/cmd/internal/fences"
	"sbarbiter/drbd/kernel"
	"sbarbiter/timing"
)

// gauge is what this node reports of itself: its numbers as the file has them and
// as the machine makes of them, and what was measured, now or by earlier agents.
func (d *Daemon) gauge(kept *store.File, dog arbiter.Watchdog, driver runner.DRBD, power *runner.Power) runner.Gauge {
	g := runner.Gauge{Kept: kept, Report: leader.Report{ConfigHash: d.Node.Hash(), Timing: d.times(dog)}}
	raw, err := kept.Load()
	switch {
	case err == nil:
		g.Samples = timing.DecodeSamples(raw)
	case !errors.Is(err, store.ErrMissing):
		d.Log.Warn("measurements lost", "error", err, "why", "they begin anew; nothing else rests on them")
	}
	k, _ := driver.(*kernel.Driver)
	g.Examine = func(ctx context.Context) runner.Examination { return d.look(ctx, k, power) }
	if k != nil {
		g.Times = func(ctx context.Context) []timing.DRBD { return d.kernelTimes(ctx, k) }
	}
	return g
}

// times are this node's numbers.
func (d *Daemon) times(dog arbiter.Watchdog) timing.Node {
	n := timing.Node{Name: d.Node.Name, Plan: d.Node.Timing, ReadBack: dog.Timeout, Hardware: dog.Hardware}
	if len(d.Node.Fencing) > 0 {
		n.Fence = fences.Timeout(d.Node.Fencing)
	}
	for _, g := range d.Node.Groups {
		n.Groups = append(n.Groups, timing.Group{Name: g.Name, StartBudget: g.StartTimeout, StopBudget: g.StopTimeout})
	}
	return n
}

// look is what is to be seen of this node while its agent runs.
func (d *Daemon) look(ctx context.Context, driver *kernel.Driver, power *runner.Power) runner.Examination {
	n := d.survey(ctx)
	var e runner.Examination
	if driver != nil {
		d.kernelFacts(ctx, driver, &n)
	}
	d.deviceFacts(ctx, power, &n)
	e.Findings, e.Machine, e.Switches = n.Examine(), n.Machine, n.Switches()
	return e
}

// kernelTimes are what the kernel goes by for each resource.
func (d *Daemon) kernelTimes(ctx context.Context, driver *kernel.Driver) []timing.DRBD {
	var out []timing.DRBD
	for _, g := range d.Node.Groups {
		for _, res := range g.DRBD {
			t, err := driver.Times(ctx, res)
			if err != nil {
				d.Log.Debug("times of DRBD not read", "resource", res, "error", err)
				continue
			}
			out = append(out, t)
		}
	}
	return out
}
