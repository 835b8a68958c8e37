package ctl

import (
	"context"
	"os"
	"os/signal"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain also lets the test binary be sbctl itself, so that scripts run it as
// a process with exit codes and terminals of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sbctl": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(Main(ctx, os.Args[1:], Console()))
	}})
}
