package ctl

import (
	"strings"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

func (a *app) groupCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use: "group", Short: "say which copy of a group is kept, where no rule can",
		Example: "  sbctl group init nfs --keep node-a --reason 'node-b lacks the orders of today'",
	})
	cmd.AddCommand(a.groupInitCommand())
	return cmd
}

func (a *app) groupInitCommand() *cobra.Command {
	var keep, reason, typed string
	cmd := &cobra.Command{
		Use:   "init GROUP --keep NODE",
		Short: "keep one node's copy of a group, and give the other one's up",
		Long: `Init is for a group of which both copies are stale, each in its own way, or whose
copies were never in step. You have looked at both; the copy of the node that you
name counts as good from now on, and the other one is overwritten as a whole,
whichever DRBD takes for the newer. What only that one has is lost.

You are asked to type the name of the node whose copy is given up. A script gives
it with --typed and --yes.`,
		Example: "  sbctl group init nfs --keep node-a --reason 'node-b lacks the orders of today'\n" +
			"  sbctl group init nfs --keep node-a --reason 'disk of node-b is new' --typed node-b --yes",
		Args: args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
	}
	cmd.Flags().StringVar(&keep, "keep", "", "the node whose copy is kept")
	cmd.Flags().StringVar(&reason, "reason", "", "what you have seen; goes into the audit log")
	cmd.Flags().StringVar(&typed, "typed", "", "the name of the node whose copy is given up, for scripts; with --yes")
	complete(cmd, "keep", a.completeNodes)
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		switch {
		case keep == "":
			return usage(cmd, "nothing was done: say whose copy is kept: --keep NODE")
		case strings.TrimSpace(reason) == "":
			return usage(cmd, "nothing was done: say what you have seen of the two copies: --reason '...'")
		}
		return a.operate(cmd, keep, func(w *witness, p *pair) (*sbv1.Verdict, error) {
			if err := knownNode(cmd, p.ClusterStatus, keep); err != nil {
				return nil, err
			}
			discard := p.peer(keep)
			a.showCopies(p, given[0], keep)
			word, err := a.typedWord(cmd, discard, typed, answered(*yes), "Type the name of the node whose copy is given up: ", "if "+discard+"'s copy is to be overwritten")
			if err != nil {
				return nil, err
			}
			return ask(cmd.Context(), w, &sbv1.GiveUpRequest{
				Cluster: p.def.GetCluster(), Group: given[0], Node: discard, Typed: word, Reason: reason,
			}, w.GiveUp)
		})
	}
	return cmd
}

// showCopies says what is known of the two, and what becomes of them.
func (a *app) showCopies(p *pair, group, keep string) {
	for _, g := range p.GetGroups() {
		if g.GetName() != group {
			continue
		}
		for _, e := range g.GetExclusions() {
			a.say("%s's copy of %s counts as stale (%s).", e.GetNode(), group, exclusionWords(e))
		}
	}
	a.say("%s's copy of %s is kept. ALL of %s's copy is overwritten with it; what only that one has is lost.", keep, group, p.peer(keep))
}
