package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// stopped stops the holder's agent where it stands. What it has started runs on
// beside it, until the machine is shot.
func (b *bench) stopped(ctx context.Context) (figures, error) { return b.silenced(ctx, "STOP") }

// killed ends the holder's agent for good.
func (b *bench) killed(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	dead := "mkdir -p /run/systemd/system/sbagent.service.d && printf '[Service]\\nRestart=no\\n' >/run/systemd/system/sbagent.service.d/dead.conf && systemctl daemon-reload"
	if err := holder.Must(ctx, dead); err != nil {
		return nil, err
	}
	return b.silenced(ctx, "KILL")
}

// silenced sends the holder's agent a signal and times the takeover from then on.
// The node itself says when: its clock is the lab's.
func (b *bench) silenced(ctx context.Context, signal string) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	out, code, err := holder.Run(ctx, "p=$(systemctl show -P MainPID sbagent); date +%s%N; kill -s "+signal+" $p")
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, out)
	}
	if err != nil {
		return nil, fmt.Errorf("silence the agent of %s: %w", holder.Name, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("silence the agent of %s: %w", holder.Name, err)
	}
	at := time.Unix(0, ns)
	writes, err := b.takenOver(ctx, b.Peer(holder))
	if err != nil {
		return nil, err
	}
	f := b.steps(at, b.Peer(holder))
	if _, ok := f["failover_s"]; !ok {
		return nil, fmt.Errorf("the log of %s does not tell when the service was started", b.Peer(holder).Name)
	}
	r := b.Report(ctx)
	return figures{
		"mandate_s": f["mandate_s"], "off_seen_s": f["off_seen_s"], "granted_s": f["granted_s"], "silenced_started_s": f["failover_s"],
		"writes_s": seconds(writes.Sub(at)), "both_active_s": seconds(r.DualActive), "shots": float64(len(r.Shots)),
	}, nil
}

// slowly is the same with power controllers that take two seconds.
func (b *bench) slowly(ctx context.Context) (figures, error) {
	for _, bmc := range b.BMCs {
		bmc.Break(&lab.BMCFault{Late: 2 * time.Second})
	}
	f, err := b.stopped(ctx)
	if err != nil {
		return nil, err
	}
	f["slow_bmc_started_s"] = f["silenced_started_s"]
	delete(f, "silenced_started_s")
	return f, nil
}

// unshot cuts the holder's power together with its controller's. The time until the
// service is started elsewhere is held to the bound that sbctl timing has promised.
func (b *bench) unshot(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	err = b.Change(ctx, "cluster.yaml", func(text string) string {
		return strings.Replace(text, "fencing: stonith", "fencing: [stonith, watchdog]\naccept_pause_risk: true", 1)
	})
	if err != nil {
		return nil, err
	}
	if err := b.WaitRedundant(ctx); err != nil {
		return nil, err
	}
	bound, err := b.Bound(ctx, pair.AfterPowerCutWithDevice)
	if err != nil {
		return nil, err
	}
	b.KillBMC(holder.Name)
	at := time.Now()
	if err := holder.PowerCut(ctx); err != nil {
		return nil, err
	}
	writes, err := b.takenOver(ctx, b.Peer(holder))
	if err != nil {
		return nil, err
	}
	f := b.steps(at, b.Peer(holder))
	started, ok := f["failover_s"]
	if !ok {
		return nil, fmt.Errorf("the log of %s does not tell when the service was started", b.Peer(holder).Name)
	}
	r := b.Report(ctx)
	return figures{
		"dead_bmc_started_s": started, "bound_s": seconds(bound), "over_bound_s": max(0, started-seconds(bound)), "granted_s": f["granted_s"],
		"writes_s": seconds(writes.Sub(at)), "both_active_s": seconds(r.DualActive), "unshot": float64(len(r.Shots)),
	}, nil
}
