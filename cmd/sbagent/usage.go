package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sbarbiter/internal/archive"
)

// The exit codes, as sbctl's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // what was typed makes no sense
)

// usageError is a mistake in what was typed.
type usageError struct {
	err  error
	path string // of the command
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// report tells how it ended and chooses the exit code.
func report(err error, to io.Writer) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(to, "sbagent:", err)
	var some *archive.Incomplete
	if errors.As(err, &some) {
		return archive.ExitIncomplete
	}
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(to, "see: %s --help\n", wrong.path)
		return exitUsage
	}
	return exitFailed
}

// strict makes what is wrong with arguments and flags of cmd, and of all below it, a
// mistake in usage, and has a command that is only a name for others say so.
func strict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{err, cmd.CommandPath()} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{fmt.Errorf("nothing was done: %w", wanted(cmd, args)), cmd.CommandPath()}
			}
			return nil
		}
	}
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			return &usageError{fmt.Errorf("nothing was done: %w", wanted(cmd, args)), cmd.CommandPath()}
		}
	}
	for _, below := range cmd.Commands() {
		strict(below)
	}
}

// wanted says what cmd does not take in args, and how it is called.
func wanted(cmd *cobra.Command, args []string) error {
	switch {
	case cmd.HasAvailableSubCommands() && len(args) > 0:
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Errorf("there is no command %q; did you mean %s %s?", cmd.CommandPath()+" "+args[0], cmd.CommandPath(), near[0])
		}
		return fmt.Errorf("there is no command %q", cmd.CommandPath()+" "+args[0])
	case cmd.HasAvailableSubCommands():
		return errors.New("say what to do")
	}
	return fmt.Errorf("want %s, not %d argument(s)", cmd.UseLine(), len(args))
}
