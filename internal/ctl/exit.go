package ctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// The exit codes.
const (
	ExitDone    = 0
	ExitFailed  = 1 // it could not be done, or is not known to have been done
	ExitUsage   = 2 // what was typed, or a file that was named, makes no sense
	ExitRefused = 3 // the witness, or the operator at the last question, said no
)

// usageError is a mistake in what was typed.
type usageError struct {
	err  error
	path string // of the command
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), cmd.CommandPath()}
}

// refusal is a "no" that keeps somebody safe.
type refusal struct {
	reason   arbiter.Reason // "": nobody asked the witness
	sentence string
}

func (r *refusal) Error() string {
	if r.reason == "" {
		return r.sentence
	}
	return fmt.Sprintf("refused (%s): %s", r.reason, r.sentence)
}

// errReported is a failure that has been told in full.
var errReported = errors.New("reported")

// report tells how it ended, on the standard error, and chooses the exit code.
func (a *app) report(err error) int {
	var wrong *usageError
	var no *refusal
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, errReported):
		return ExitFailed
	case errors.As(err, &wrong):
		a.say("sbctl: %v", err)
		a.write("see: " + wrong.path + " --help")
		return ExitUsage
	case errors.As(err, &no):
		a.say("sbctl: %s", shownAs(err.Error()))
		if do := advice[no.reason]; do != "" {
			a.say("what to do: %s", strings.ReplaceAll(do, "GROUP", first(a.group, "GROUP")))
		}
		return ExitRefused
	}
	a.say("sbctl: %v", err)
	return ExitFailed
}

// say talks to the person, not to the next program.
func (a *app) say(format string, args ...any) {
	a.write(addressed(fmt.Sprintf(format, args...), a.among))
}

func (a *app) write(talk string) {
	fmt.Fprintln(a.Err, forTerminal(talk, colourful(a.Asks && a.Colours)))
}

type verdictJSON struct {
	Kind     string `json:"kind"`
	Reason   string `json:"reason"` // "" unless refused
	Sentence string `json:"sentence"`
}

// outcome prints a verdict and turns a refusal into its error.
func (a *app) outcome(v *sbv1.Verdict) error {
	if a.as == jsonLines {
		if err := a.json(verdictJSON{v.GetKind(), v.GetReason(), addressed(v.GetSentence(), a.among)}); err != nil {
			return err
		}
	}
	if v.GetKind() == string(arbiter.Refused) || v.GetKind() == "" {
		return &refusal{arbiter.Reason(v.GetReason()), v.GetSentence()}
	}
	if a.as == table {
		return a.print("%s\n", shownAs(v.GetSentence()))
	}
	return nil
}
