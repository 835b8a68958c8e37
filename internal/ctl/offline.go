package ctl

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"sbarbiter/recovery"
)

// offline carries this machine's own steps of a plan out, where no witness can lead:
// sbagent prints and does them.
func (a *app) offline(cmd *cobra.Command, group string, f resolveFlags) error {
	if f.keep != "" || f.discard != "" || f.policy != "" || f.preview || f.undo || len(*f.nodes) > 0 {
		return usage(cmd, "nothing was done: --offline carries out a plan, in which all is decided")
	}
	plan := f.offline
	var p recovery.Plan
	text, err := os.ReadFile(plan)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	switch {
	case err != nil:
		return fmt.Errorf("nothing was done: read the plan %s: %w", plan, err)
	case p.Group != group:
		return usage(cmd, "nothing was done: %s is a plan of group %q, not of %s", plan, p.Group, group)
	}
	path, err := exec.LookPath("sbagent")
	if err != nil {
		return usage(cmd, "nothing was done: --offline is for the nodes themselves, and sbagent is not here")
	}
	args := []string{"recovery", "run", plan}
	if f.dryRun {
		args = append(args, "--dry-run")
	} else if err := a.typedOffline(cmd, p, f); err != nil {
		return err
	}
	run := exec.CommandContext(cmd.Context(), path, args...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, a.Out, a.Err
	if err := run.Run(); err != nil {
		return fmt.Errorf("carry out this node's part of %s: %w; it may be run again", plan, err)
	}
	return nil
}

// typedOffline gets the group's name typed, as where a witness leads.
func (a *app) typedOffline(cmd *cobra.Command, p recovery.Plan, f resolveFlags) error {
	r := &rescue{app: a, cmd: cmd, group: p.Group, flags: f}
	_, err := r.typedGroup(agreed{p.Victim, p.Discard})
	return err
}
