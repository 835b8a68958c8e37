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

// SbctlAtNodes runs sbctl as Sbctl does, with a way to the nodes.
func (p *Pair) SbctlAtNodes(ctx context.Context, args ...string) (Answer, error) {
	config, err := p.SbctlConfig()
	if err != nil {
		return Answer{}, err
	}
	return Run(p.Lab.Witness.Command(ctx, "sbctl", append([]string{"--config", config}, args...)...))
}

// SbctlConfig is a file for sbctl's --config: it has this pair's witness, and how its
// nodes are reached, which preview and salvage ask directly.
func (p *Pair) SbctlConfig() (string, error) {
	shell, err := p.Lab.Shell()
	if err != nil {
		return "", err
	}
	home := p.Lab.Witness.Dir()
	name := filepath.Join(home, "sbctl.yaml")
	text := fmt.Sprintf("witness: [%q]\npki: %q\nshell: [\"%s\"]\n", lab.WitnessAddr+":7443", filepath.Join(home, "operator"), strings.Join(shell, `", "`))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("say how the nodes are reached: %w", err)
	}
	return name, nil
}

// SbctlHere is a directory with a program sbctl in it, for whoever types: it is the
// operator's of this pair, in whatever directory he is.
func (p *Pair) SbctlHere() (string, error) {
	config, err := p.SbctlConfig()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(p.Lab.Dir(), "operator")
	argv := p.Lab.Witness.Command(context.Background(), "sbctl", "--config", config).Args
	script := "#!/bin/sh\nexec '" + strings.Join(argv, "' '") + "' \"$@\"\n"
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "sbctl"), []byte(script), 0o700)); err != nil {
		return "", fmt.Errorf("make an sbctl to type: %w", err)
	}
	return dir, nil
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
