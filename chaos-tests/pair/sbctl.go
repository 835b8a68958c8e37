package pair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sbarbiter/chaos-tests/lab"
)

// Exit codes of sbctl.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2
	ExitRefused = 3 // for safety
)

// Answer is what a program printed and how it ended.
type Answer struct {
	Out, Err string
	Exit     int
}

// Text is all that the program said, for people.
func (a Answer) Text() string { return strings.TrimSpace(a.Out + a.Err) }

// Sbctl runs sbctl as the operator would, on the witness's host. An error
// means that it could not be run at all.
func (p *Pair) Sbctl(ctx context.Context, args ...string) (Answer, error) {
	all := append([]string{"--witness", lab.WitnessAddr + ":7443", "--pki", "operator"}, args...)
	return Run(p.Lab.Witness.Command(ctx, "sbctl", all...))
}

// SbctlConfig is a file for sbctl's --config that says how the nodes are reached here:
// preview and salvage ask them directly.
func (p *Pair) SbctlConfig() (string, error) {
	argv, err := p.Lab.Shell()
	if err != nil {
		return "", err
	}
	name := filepath.Join(p.Lab.Witness.Dir(), "sbctl.yaml")
	if err := os.WriteFile(name, fmt.Appendf(nil, "shell: [%s]\n", `"`+strings.Join(argv, `", "`)+`"`), 0o600); err != nil {
		return "", fmt.Errorf("say how the nodes are reached: %w", err)
	}
	return name, nil
}

// Run performs a command; a non-zero exit is an answer, not an error.
func Run(cmd *exec.Cmd) (Answer, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	a := Answer{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		a.Exit = exit.ExitCode()
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("run %s: %w: %s", strings.Join(cmd.Args, " "), err, a.Text())
	}
	return a, nil
}
