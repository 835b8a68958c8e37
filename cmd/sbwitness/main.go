// Sbwitness is the third host's daemon: it grants, renews and ends the right to
// run a group.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sbarbiter/internal/config"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return exit(command().ExecuteContext(ctx))
}

// errUsage marks errors of the command line.
var errUsage = errors.New("see sbwitness --help")

func exit(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "sbwitness:", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func command() *cobra.Command {
	var d daemon
	c := &cobra.Command{
		Use: "sbwitness", Short: "Witness of sbarbiter: grants fenced leases to pairs of nodes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q means nothing here: %w", args[0], errUsage)
			}
			return nil
		},
		Version: version(), SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", err, errUsage) })
	c.Flags().StringVar(&d.file, "config", config.WitnessFile, "configuration `file`")
	c.Flags().BoolVar(&d.init, "init", false, "make a new state directory, and end")
	return c
}
