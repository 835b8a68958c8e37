// Command sbagent runs on each of the two data nodes. It holds the node's leases,
// runs its groups, answers DRBD's handlers and feeds the watchdog.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"sbarbiter/agent/runner/handler"
	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/internal/config"
	"sbarbiter/internal/telemetry"
)

// An agent shares its machine with the service that it is there for. The limit
// makes the collector work harder, not the program fail.
const (
	collectAt   = 50 // percent of growth
	memoryLimit = 24 << 20
)

// logLevel is the environment variable that says from which level up is logged.
const logLevel = "SBARBITER_LOG"

func main() {
	// DRBD's kernel waits for a handler with frozen I/O: nothing else comes first.
	if len(os.Args) > 1 && os.Args[1] == "handler" {
		os.Exit(handler.Main(os.Args[2:], os.Environ(), os.Stderr))
	}
	debug.SetGCPercent(collectAt)
	debug.SetMemoryLimit(memoryLimit)
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return report(command().ExecuteContext(ctx), os.Stderr)
}

// load reads the node file and makes the daemon of it.
func load(path string) (*daemon.Daemon, error) {
	node, err := config.LoadNode(path)
	if err != nil {
		return nil, err
	}
	log := telemetry.New(os.Stderr, telemetry.Level(os.Getenv(logLevel)),
		slog.String(telemetry.Cluster, node.Cluster), slog.String(telemetry.Node, node.Name))
	return &daemon.Daemon{Node: node, Log: log, File: path}, nil
}
