package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sbarbiter/chaos-tests/lab"
)

// memory is the daemons' proportional share of memory.
func (b *bench) memory(ctx context.Context) (figures, error) {
	f := figures{}
	for _, n := range b.Nodes() {
		for key, unit := range map[string]string{"agent_pss_mib": "sbagent", "guard_pss_mib": "sbagent-guard"} {
			out, code, err := n.Run(ctx, "cat /proc/$(systemctl show -P MainPID "+unit+")/smaps_rollup")
			if err == nil && code != 0 {
				err = fmt.Errorf("exit %d: %s", code, out)
			}
			if err != nil {
				return nil, fmt.Errorf("measure %s of %s: %w", unit, n.Name, err)
			}
			mib, err := pss(out)
			if err != nil {
				return nil, err
			}
			f[key] = max(f[key], mib)
		}
	}
	witness, err := b.witnessProcess()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(witness, "smaps_rollup"))
	if err != nil {
		return nil, fmt.Errorf("measure the witness: %w", err)
	}
	f["witness_pss_mib"], err = pss(string(text))
	return f, err
}

// pss finds the proportional set size in smaps_rollup (proc(5)), in MiB.
func pss(rollup string) (float64, error) {
	for line := range strings.Lines(rollup) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "Pss:" {
			kib, err := strconv.ParseFloat(words[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("find Pss in smaps_rollup: %.200q", rollup)
}

// witnessProcess is the witness's directory in /proc.
func (b *bench) witnessProcess() (string, error) {
	want := filepath.Join(b.Dir(), "bin", "sbwitness")
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return "", fmt.Errorf("find the witness: %w", err)
	}
	for _, l := range links {
		if exe, err := os.Readlink(l); err == nil && exe == want {
			return filepath.Dir(l), nil
		}
	}
	return "", fmt.Errorf("find the witness: no process runs %s", want)
}

const idleFor = 10 * time.Second

// idle counts what goes over each node's cables while the service rests.
func (b *bench) idle(ctx context.Context) (figures, error) {
	holder, err := b.Holder(ctx)
	if err != nil {
		return nil, err
	}
	if err := holder.Must(ctx, "systemctl kill -s STOP "+lab.WriterUnit); err != nil {
		return nil, err
	}
	defer func() {
		// A node that cannot be asked is mended before the next round.
		_ = holder.Must(ctx, "systemctl kill -s CONT "+lab.WriterUnit)
	}()
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	before, err := b.traffic(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, idleFor); err != nil {
		return nil, err
	}
	after, err := b.traffic(ctx)
	if err != nil {
		return nil, err
	}
	f := figures{}
	for name, t := range after {
		d := t.Sub(before[name])
		f["packets_per_s"] = max(f["packets_per_s"], float64(d.Packets)/idleFor.Seconds())
		f["kb_per_s"] = max(f["kb_per_s"], float64(d.Bytes)/1000/idleFor.Seconds())
	}
	return f, nil
}

func (b *bench) traffic(ctx context.Context) (map[lab.NodeName]lab.Traffic, error) {
	all := map[lab.NodeName]lab.Traffic{}
	for _, n := range b.Nodes() {
		m, err := n.ManagementTraffic(ctx)
		if err != nil {
			return nil, err
		}
		r, err := n.ReplicationTraffic(ctx)
		if err != nil {
			return nil, err
		}
		all[n.Name] = lab.Traffic{Packets: m.Packets + r.Packets, Bytes: m.Bytes + r.Bytes}
	}
	return all, nil
}
