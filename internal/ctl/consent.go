package ctl

import (
	"bufio"
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
	reply, err := a.question(question + " [y/N] ")
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
// answer.
func (a *app) question(text string) (string, error) {
	if _, err := a.Err.Write([]byte(forTerminal(text, false))); err != nil {
		return "", err //nolint:wrapcheck // the terminal is gone: there is nobody to tell more
	}
	if a.lines == nil {
		a.lines = bufio.NewReader(a.In)
	}
	line, err := a.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read your answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

func yesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("yes", "y", false, "do not ask, I have seen the plan")
}
