package ctl

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

// completionPatience is how long a person waits for names after pressing Tab.
const completionPatience = time.Second

// namesOf asks the witness for names to complete; without an answer there are
// none.
func (a *app) namesOf(cmd *cobra.Command, pick func(*sbv1.ClusterStatus) []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	w, err := a.witness(ctx)
	if err != nil {
		return nil
	}
	defer w.close()
	s, err := a.settle()
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range w.status.GetClusters() {
		if s.Cluster == "" || s.Cluster == c.GetDefinition().GetCluster() {
			names = append(names, pick(c)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func groupNames(c *sbv1.ClusterStatus) []string {
	return each(c.GetGroups(), (*sbv1.GroupStatus).GetName)
}

func nodeNames(c *sbv1.ClusterStatus) []string { return c.GetDefinition().GetNodes() }

func clusterName(c *sbv1.ClusterStatus) []string { return []string{c.GetDefinition().GetCluster()} }

func (a *app) completeGroups(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.onlyFirst(cmd, given, groupNames)
}

func (a *app) completeNodeArgs(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.onlyFirst(cmd, given, nodeNames)
}

func (a *app) completeClusters(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.onlyFirst(cmd, given, clusterName)
}

// onlyFirst completes the first argument alone: no command of ours takes two
// names.
func (a *app) onlyFirst(cmd *cobra.Command, given []string, pick func(*sbv1.ClusterStatus) []string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.namesOf(cmd, pick), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.namesOf(cmd, nodeNames), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeFlags(root *cobra.Command) {
	complete(root, "cluster", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.namesOf(cmd, clusterName), cobra.ShellCompDirectiveNoFileComp
	})
	complete(root, "output", cobra.FixedCompletions([]string{string(table), string(jsonLines)}, cobra.ShellCompDirectiveNoFileComp))
}

// complete registers names for a flag that the command has.
func complete(cmd *cobra.Command, flag string, names cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, names); err != nil {
		panic("ctl: complete a flag that does not exist: " + err.Error())
	}
}
