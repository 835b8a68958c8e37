package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
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
