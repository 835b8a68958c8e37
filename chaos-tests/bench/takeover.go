package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

// failover cuts the holder's power and times every step until the service is
// started on the other node and has written.
func (b *bench) failover(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	if err := holder.PowerCut(ctx); err != nil {
		return nil, err
	}
	writes, err := b.takenOver(ctx, b.Peer(holder))
	if err != nil {
		return nil, err
	}
	f := b.steps(at, b.Peer(holder))
	f["writes_s"] = seconds(writes.Sub(at))
	if _, ok := f["failover_s"]; !ok {
		return nil, fmt.Errorf("the log of %s does not tell when the service was started", b.Peer(holder).Name)
	}
	return f, nil
}

// steps are the moments of a takeover, in the new holder's words, counted
// from the fault.
func (b *bench) steps(from time.Time, n *lab.Node) figures {
	f := figures{}
	for _, e := range b.Timeline().Entries(from) {
		if e.Host != string(n.Name) {
			continue
		}
		for key, prefix := range map[string]string{
			"suspected_s": "heartbeats lost", "mandate_s": "mandate", "off_seen_s": "seen off", "granted_s": "granted",
			"promoted_s": "promote ", "mounted_s": "start filesystem", "address_s": "start address", "failover_s": "start systemd",
		} {
			if _, seen := f[key]; !seen && strings.HasPrefix(e.What, prefix) {
				f[key] = seconds(e.At.Sub(from))
			}
		}
	}
	return f
}

// takenOver waits until the node has acknowledged a record, and says when.
func (b *bench) takenOver(ctx context.Context, n *lab.Node) (time.Time, error) {
	for {
		for _, a := range b.Truth.Acks() {
			if a.Node == string(n.Name) {
				return a.At, nil
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return time.Time{}, fmt.Errorf("wait for %s to write: %w", n.Name, err)
		}
	}
}

// switchover moves the group by order and measures how long nobody wrote.
func (b *bench) switchover(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	a, err := b.Sbctl(ctx, "switchover", pair.Group, "--yes")
	if err != nil {
		return nil, err
	}
	if a.Exit != pair.ExitDone {
		return nil, fmt.Errorf("sbctl switchover: exit %d: %s", a.Exit, a.Text())
	}
	if _, err := b.takenOver(ctx, b.Peer(holder)); err != nil {
		return nil, err
	}
	return figures{"switchover_gap_s": seconds(b.Report(ctx).Gap)}, nil
}

// isolated pulls the holder's cables. What counts is the time from the proof
// that it is off to the service on the other node.
func (b *bench) isolated(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	if err := b.Isolate(ctx, holder.Name); err != nil {
		return nil, err
	}
	writes, err := b.takenOver(ctx, b.Peer(holder))
	if err != nil {
		return nil, err
	}
	f := b.steps(at, b.Peer(holder))
	return figures{
		"isolated_after_fence_s": f["failover_s"] - f["off_seen_s"],
		"off_seen_s":             f["off_seen_s"],
		"started_s":              f["failover_s"],
		"writes_s":               seconds(writes.Sub(at)),
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
