package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// consent asks whether what was shown shall be done. Where nobody can be asked,
// only --yes counts.
func (a *app) consent(cmd *cobra.Command, yes answered, question string) error {
	if yes {
		return nil
	}
	if !a.Asks {
		return usage(cmd, "nothing was done: there is nobody to ask here; add --yes if the plan above is right")
	}
	reply, err := a.question(cmd.Context(), question+" [y/N] ")
	if err != nil {
		return err
	}
	if r := strings.ToLower(reply); r != "y" && r != "yes" {
		return &refusal{sentence: "nothing was done, as you wish"}
	}
	return nil
}

// answered is the answer given beforehand.
type answered bool

// question puts a question and reads one line; the end of the input is an empty
// answer. Whoever breaks it off says no: the keyboard is read by then, and may be until
// the process ends.
func (a *app) question(ctx context.Context, text string) (string, error) {
	if _, err := a.Err.Write([]byte(forTerminal(text, false))); err != nil {
		return "", err //nolint:wrapcheck // the terminal is gone: there is nobody to tell more
	}
	if a.lines == nil {
		a.lines = bufio.NewReader(a.In)
	}
	var line string
	read := make(chan error, 1)
	go func() {
		typed, err := a.lines.ReadString('\n')
		line = typed
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read your answer: %w", err)
		}
		return strings.TrimSpace(line), nil
	case <-ctx.Done():
		a.say("")
		return "", &refusal{sentence: "nothing was done: it was broken off"}
	}
}

func yesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("yes", "y", false, "do not ask, I have seen the plan")
}
