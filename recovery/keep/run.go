package keep

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"sbarbiter/internal/program"
)

// errNoTool says that a program is not installed.
var errNoTool = errors.New("it is not installed")

// toolLimit bounds a call of a snapshot program.
const toolLimit = 60 * time.Second

// Tools runs programs by their names; nil stands for this machine's own.
type Tools func(ctx context.Context, name string, args ...string) (string, error)

func (t Tools) run(ctx context.Context, name string, args ...string) (string, error) {
	if t != nil {
		return t(ctx, name, args...)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, errNoTool)
	}
	ctx, cancel := context.WithTimeout(ctx, toolLimit)
	defer cancel()
	o, err := program.Run(ctx, program.Call{Path: path, Args: args})
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	if o.Code != 0 {
		return "", fmt.Errorf("run %s %s: exit %d: %s", name, strings.Join(args, " "), o.Code, o.LastLine())
	}
	return strings.TrimSpace(string(o.Stdout)), nil
}

// label names a snapshot after what it is of.
func (v Volume) label() string {
	return fmt.Sprintf("kept-%s-%s-%s-%d", v.Group, v.Recovery, v.Resource, v.Number)
}
