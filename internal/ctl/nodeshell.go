package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/internal/archive"
)

// defaultShell reaches a node as its administrators do. What a node knows of its
// files is too much for a witness's log, and is nobody's business but theirs.
var defaultShell = []string{"ssh", "-C", "-o", "BatchMode=yes", "root@{node}"}

// reachedBy is where to look when no node can be asked.
const reachedBy = "shell: in " + settingsFile + " says how they are reached"

// noCommand is the first exit code by which a shell, or ssh with its 255, says that
// the command has not run. What is below is the command's own.
const noCommand = 126

// nodeError is what sbagent on a node had to say about why it failed.
type nodeError struct {
	node  string
	code  int
	words string
}

func (e *nodeError) Error() string { return fmt.Sprintf("ask %s: %s", e.node, e.words) }

// incomplete reports whether an archive is whole but for what the error names.
func incomplete(err error) bool {
	var n *nodeError
	var some *archive.Incomplete
	return errors.As(err, &some) || errors.As(err, &n) && n.code == archive.ExitIncomplete
}

// onNode runs sbagent on a node.
func (a *app) onNode(ctx context.Context, node string, in io.Reader, out io.Writer, args ...string) error {
	s, err := a.settle()
	if err != nil {
		return err
	}
	shell := s.Shell
	if len(shell) == 0 {
		shell = defaultShell
	}
	var argv []string
	for _, word := range shell {
		argv = append(argv, strings.ReplaceAll(word, "{node}", node))
	}
	for _, word := range append([]string{"sbagent", "recovery"}, args...) {
		argv = append(argv, shellWord(word))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	if err := cmd.Run(); err != nil {
		words := strings.TrimPrefix(strings.TrimSpace(said.String()), "sbagent: ")
		var exit *exec.ExitError
		if errors.As(err, &exit) && words != "" {
			return &nodeError{node: node, code: exit.ExitCode(), words: words}
		}
		if errors.As(err, &exit) && 0 < exit.ExitCode() && exit.ExitCode() < noCommand {
			return &nodeError{node: node, code: exit.ExitCode(), words: fmt.Sprintf("sbagent %s there has ended with exit code %d, and what it said about it has not come here: see that shell: in %s passes standard error on",
				strings.Join(args[:1], " "), exit.ExitCode(), s.file)}
		}
		if words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		return fmt.Errorf("ask %s (%s; set shell: in %s if that is not how it is reached): %w", node, strings.Join(argv[:len(shell)], " "), s.file, err)
	}
	return nil
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellWord makes one word of s for the shell on the other side.
func shellWord(s string) string {
	if harmless.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// askNode runs sbagent on a node and reads what it prints.
func (a *app) askNode(ctx context.Context, node string, to any, args ...string) error {
	var out bytes.Buffer
	if err := a.onNode(ctx, node, nil, &out, args...); err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), to); err != nil {
		return fmt.Errorf("ask %s: its answer cannot be read: %w", node, err)
	}
	return nil
}

// nodesFlag names the two nodes for those whose witness does not answer.
func nodesFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringSlice("nodes", nil, "the two nodes, where no witness can be asked for them")
}

// pairOf are the two nodes of a group's cluster, as named or as the witness has
// them.
func (a *app) pairOf(cmd *cobra.Command, group string, named []string) ([2]string, error) {
	if len(named) > 0 {
		slices.Sort(named)
		if len(named) != 2 || named[0] == named[1] {
			return [2]string{}, usage(cmd, "--nodes wants the two nodes of the pair, as --nodes node-a,node-b")
		}
		return [2]string(named), nil
	}
	w, err := a.witness(cmd.Context())
	if err != nil {
		return [2]string{}, fmt.Errorf("%w; without a witness name the nodes with --nodes", err)
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, groupNames, group)
	if err != nil {
		return [2]string{}, err
	}
	if err := knownGroup(cmd, c, group); err != nil {
		return [2]string{}, err
	}
	nodes := c.GetDefinition().GetNodes()
	if len(nodes) != 2 {
		return [2]string{}, fmt.Errorf("look at group %s: cluster %s has %d nodes", group, c.GetDefinition().GetCluster(), len(nodes))
	}
	return [2]string(nodes), nil
}
