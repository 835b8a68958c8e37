// Sbctl is the operator's command: it asks a witness how the pairs are, and
// tells it what to do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sbarbiter/internal/ctl"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return ctl.Main(ctx, os.Args[1:], ctl.Console())
}
