package keep

import (
	"context"
	"crypto/sha256"
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

// label is the name of what a driver makes.
func (v Volume) label() string {
	if v.Label == "" { // kept before labels were written down
		return v.words()
	}
	return v.Label
}

func (v Volume) words() string {
	return fmt.Sprintf("kept-%s-%s-%s-%d", v.Group, v.Recovery, v.Resource, v.Number)
}

const longestWords = 45 // of a label; the device mapper takes 127 bytes with the group's name, each dash counted twice

// newLabel names a snapshot after what it is of. Names may have dashes in them, so that
// two volumes could be called the same by their names alone, and whoever clears up after
// the one would remove the other's: the end tells them apart. Underscores may stand for
// LVM's own parts.
func (v Volume) newLabel() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d", v.Group, v.Recovery, v.Resource, v.Number))
	words := strings.ReplaceAll(v.words(), "_", "-")
	return fmt.Sprintf("%s-%x", words[:min(len(words), longestWords)], sum[:6])
}
