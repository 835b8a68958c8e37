package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/agent/guard"
	"sbarbiter/agent/guard/process"
	"sbarbiter/agent/store"
	"sbarbiter/internal/boottime"
	"sbarbiter/internal/telemetry"
)

// The guard's heap is small and must not make it pause: it is collected seldom,
// and every page of it is locked.
const guardCollectAt = 400

// guardCommand is the second process of a node. It reads no node file: what it
// has to know an agent tells it.
func guardCommand() *cobra.Command {
	dir := "/run/sbarbiter"
	c := &cobra.Command{
		Use:   "guard",
		Short: "Feed the watchdog, and stop what runs here when the agent cannot",
		Long: "guard runs beside the agent on each data node, as a service of its own (sbagent-guard). It feeds the watchdog for as long as the\n" +
			"rights last that the agent has handed over, and when the agent is silent it blocks the groups' addresses, stops them, and resets\n" +
			"the machine, by those deadlines.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(guardCollectAt)
			log := telemetry.New(process.Quiet(os.Stderr), telemetry.Level(os.Getenv(logLevel)), slog.String("part", "guard"))
			boot, err := store.BootID()
			if err != nil {
				return err
			}
			p, err := process.New(process.Config{RuntimeDir: dir, Boot: boot, Log: log})
			if err != nil {
				return err
			}
			if err := process.Harden(); err != nil {
				log.Warn("guard runs less surely than it could", "error", err)
			}
			return p.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&dir, "runtime-dir", dir, "the node file's runtime_dir")
	return c
}

// stepCommand is how the guard calls this program.
func stepCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "step STEP GROUP", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := process.Ordinary(); err != nil {
				return err
			}
			ctx, cancel, err := untilBefore(cmd.Context())
			if err != nil {
				return err
			}
			defer cancel()
			d, err := load(*path)
			if err != nil {
				return err
			}
			return d.Step(ctx, guard.Step(args[0]), args[1])
		},
	}
}

// stepWithin bounds a step that nobody has given a time.
const stepWithin = 10 * time.Second

// untilBefore ends a step a little earlier than the guard would kill it.
func untilBefore(ctx context.Context) (context.Context, context.CancelFunc, error) {
	left := stepWithin
	if s := os.Getenv(process.BeforeEnv); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", process.BeforeEnv, err)
		}
		left = boottime.Instant(n).Sub(boottime.Now())
	}
	ctx, cancel := context.WithTimeout(ctx, left-left/20)
	return ctx, cancel, nil
}
