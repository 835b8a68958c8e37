// Command bench measures the whole in the lab: how long a takeover takes and
// where the time goes, how long a planned switchover interrupts writing, what
// the daemons need of memory and network. Each figure is a line on the standard
// output, RESULT and JSON, the median of several rounds; progress goes to the
// standard error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/chaos-tests/pair"
)

func main() {
	bin := flag.String("bin", "", "directory of built programs (default: build them)")
	rounds := flag.Int("rounds", 5, "rounds of each measurement")
	only := flag.String("only", "", "one measurement alone: idle, memory, switchover, failover, isolated, stopped, killed, slow-bmc, dead-bmc, auto-resolve, preview or overhead")
	fencing := flag.Bool("fencing", false, "measure what becomes of a holder whose agent is silent or whose controller is slow or dead, and nothing else")
	recovers := flag.Bool("recovery", false, "measure the way back from a split brain, and nothing else")
	verbose := flag.Bool("v", false, "print the timeline of each round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	suite, cfg := theWhole, pair.Config{Binaries: *bin}
	switch {
	case *fencing:
		suite = theSilent
	case *recovers:
		suite, cfg.DiskSize, cfg.Edit = theForked, forkedVolume, forked
	}
	err := run(ctx, cfg, suite, *only, *rounds, *verbose)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a pair being measured.
type bench struct {
	*pair.Pair
	verbose bool
}

// figures are the results of one round by name, in the units that the names
// end with.
type figures map[string]float64

// limits are what the figures must not exceed.
var limits = figures{
	"silenced_started_s": 2.5, "slow_bmc_started_s": 4.5, "over_bound_s": 0, "both_active_s": 0, "shots": 1, "unshot": 0,
	"failover_s": 5, "switchover_gap_s": 2, "isolated_after_fence_s": 1,
	"auto_resolve_s": 3, "preview_s": 10, "overhead_ratio": 2,
	"agent_pss_mib": 25, "witness_pss_mib": 25, "packets_per_s": 50, "kb_per_s": 20,
}

// measurement is one of a suite's.
type measurement struct {
	name    string
	measure func(*bench, context.Context) (figures, error)
}

// The suites: the pair as a whole, holders whose agent or controller is lost, and
// copies that have split.
var (
	theWhole = []measurement{
		{"idle", (*bench).idle},
		{"memory", (*bench).memory},
		{"switchover", (*bench).switchover},
		{"failover", (*bench).failover},
		{"isolated", (*bench).isolated},
	}
	theSilent = []measurement{
		{"stopped", (*bench).stopped},
		{"killed", (*bench).killed},
		{"slow-bmc", (*bench).slowly},
		{"dead-bmc", (*bench).unshot},
	}
	theForked = []measurement{
		{"auto-resolve", (*bench).autoResolve},
		{"overhead", (*bench).overhead},
		{"preview", (*bench).preview},
	}
)

func run(ctx context.Context, cfg pair.Config, suite []measurement, only string, rounds int, verbose bool) error {
	if err := lab.Ready(); err != nil {
		return err
	}
	began := time.Now()
	p, err := pair.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	fmt.Fprintf(os.Stderr, "pair started in %.1f s\n", time.Since(began).Seconds())
	b := &bench{p, verbose}
	for _, m := range suite {
		if only != "" && only != m.name {
			continue
		}
		all, err := b.repeat(ctx, m.name, rounds, func(ctx context.Context) (figures, error) { return m.measure(b, ctx) })
		if err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
		report(m.name, all)
	}
	return nil
}

// repeat measures some rounds, each on a mended pair.
func (b *bench) repeat(ctx context.Context, name string, rounds int, measure func(context.Context) (figures, error)) ([]figures, error) {
	var all []figures
	for i := range rounds {
		if err := b.Mend(ctx); err != nil {
			return nil, err
		}
		round, cancel := context.WithTimeout(ctx, 2*time.Minute)
		f, err := measure(round)
		if err == nil {
			err = b.Report(round).Violations()
		}
		cancel()
		if err != nil || b.verbose {
			fmt.Fprintf(os.Stderr, "%s", b.Timeline().Text(b.Since()))
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s, round %d of %d: %v\n", name, i+1, rounds, f)
		all = append(all, f)
	}
	return all, nil
}

// report prints the medians and says which of them are above their limit.
func report(name string, all []figures) {
	out := map[string]any{"bench": name, "rounds": len(all)}
	var over []string
	for key := range all[0] {
		m := median(all, key)
		out[key] = m
		if limit, ok := limits[key]; ok && m > limit {
			over = append(over, fmt.Sprintf("%s %.2f > %g", key, m, limit))
		}
	}
	slices.Sort(over)
	out["over_limit"] = append([]string{}, over...)
	var line strings.Builder
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		panic("bench: a map of numbers has no JSON: " + err.Error())
	}
	fmt.Printf("RESULT %s", line.String())
}

func median(all []figures, key string) float64 {
	var values []float64
	for _, f := range all {
		if v, ok := f[key]; ok {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return math.Round(1000*values[len(values)/2]) / 1000
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
