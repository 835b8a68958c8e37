package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// document is a recovery as the witness has it.
type document struct {
	arbiter.Recovery
	carrying []*sbv1.Carrying
}

// recoveries asks for a cluster's recoveries, oldest first of each group.
func (w *witness) recoveries(ctx context.Context, cluster, group string) ([]document, error) {
	answer, err := ask(ctx, w, &sbv1.RecoveriesRequest{Cluster: cluster, Group: group}, w.Recoveries)
	if err != nil {
		return nil, err
	}
	var out []document
	for _, d := range answer.GetRecoveries() {
		doc := document{carrying: d.GetCarrying()}
		if err := json.Unmarshal(d.GetDocument(), &doc.Recovery); err != nil {
			return nil, fmt.Errorf("read a recovery: %w; use the sbctl of the witness's release", err)
		}
		if doc.Phase != arbiter.Over && !doc.Whole() {
			return nil, fmt.Errorf("read recovery %s of %s: it lacks what its phase (%s) needs, or has a plan that this release would not make; use the sbctl of the witness's release", doc.ID, doc.Group, doc.Phase)
		}
		out = append(out, doc)
	}
	return out, nil
}

func (a *app) recoveryCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use: "recovery", Short: "the recoveries from split brain: under way, and the latest that are over",
		Example: "  sbctl recovery list\n  sbctl recovery show nfs\n  sbctl recovery kept nfs\n  sbctl recovery cancel nfs",
	})
	cmd.AddCommand(a.recoveryListCommand(), a.recoveryShowCommand(), a.recoveryKeptCommand(), a.recoveryCancelCommand(), a.recoveryAbandonCommand())
	return cmd
}

func (a *app) recoveryListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [GROUP]", Short: "one line for each", Example: "  sbctl recovery list",
		Args: args(cobra.MaximumNArgs(1), "at most one group"), ValidArgsFunction: a.completeGroups,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.withRecoveries(cmd, strings.Join(given, ""), func(all []document, _ *pair) error {
				if a.as == jsonLines {
					for _, d := range all {
						if err := a.json(d.Recovery); err != nil {
							return err
						}
					}
					return nil
				}
				return a.print("%s", listRecoveries(all, a.paper()))
			})
		},
	}
}

func listRecoveries(all []document, on paper) string {
	if len(all) == 0 {
		return "there was none\n"
	}
	var b strings.Builder
	g := heading("RECOVERY", "GROUP", "BEGUN", "BY", "IS", "GIVES UP", "BECAUSE")
	for _, d := range all {
		victim := ""
		if d.Phase == arbiter.Awaiting {
			victim = string(d.Order.Discard)
		}
		if d.Plan != nil && d.Outcome != arbiter.OnlyShown && d.Outcome != arbiter.Cancelled {
			victim = string(d.Plan.Victim)
		}
		g.add(c(d.ID.String()), c(string(d.Group)), c(clock(d.Opened)), c(d.Order.By), c(phaseWords(&d.Recovery)), c(victim), c(d.Note))
	}
	g.draw(&b, on)
	return b.String()
}

func (a *app) recoveryShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show GROUP", Short: "the one under way, or the latest, with all that it rests on",
		Example: "  sbctl recovery show nfs",
		Args:    args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.withRecoveries(cmd, given[0], func(all []document, p *pair) error {
				if len(all) == 0 {
					return fmt.Errorf("show the latest recovery: group %s has had none", given[0])
				}
				last := all[len(all)-1]
				if err := a.printDocument(&last.Recovery, p.historyOf(&last.Recovery)); err != nil || a.as == jsonLines {
					return err
				}
				for _, c := range last.carrying {
					if c.GetTotal() > 0 {
						return a.print("\ncopying %s\n", progress(c.GetLeft(), c.GetTotal(), 0, 0))
					}
				}
				return nil
			})
		},
	}
}

func (a *app) recoveryCancelCommand() *cobra.Command {
	return a.endingCommand(&cobra.Command{
		Use: "cancel GROUP", Short: "call a recovery off that has not given anything up yet",
		Long: `Cancel ends the recovery of a group, also while it copies away what is to be given up,
and one that waits for a machine. What was stale before is stale again. Once the
recovery has begun to copy over what one side had, it can only go on, and is refused.`,
		Example: "  sbctl recovery cancel nfs --reason 'wrong side'",
	}, &sbv1.CancelRecoveryRequest{})
}

func (a *app) recoveryAbandonCommand() *cobra.Command {
	return a.endingCommand(&cobra.Command{
		Use: "abandon GROUP", Short: "let go of a recovery that can only go on, and whose machine does not come back",
		Long: `Abandon ends a recovery that has begun to give a copy up and cannot end it, as its
machine is gone. That copy stays excluded until it has been copied anew. The group
goes on with the other one, and the next recovery measures what is there then. What
was kept of the copy stays where it is.`,
		Example: "  sbctl recovery abandon nfs --reason 'its disks are broken'",
	}, &sbv1.CancelRecoveryRequest{Abandon: true})
}

// endingCommand ends the recovery that is under way.
func (a *app) endingCommand(cmd *cobra.Command, request *sbv1.CancelRecoveryRequest) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = args(cobra.ExactArgs(1), "one group"), a.completeGroups
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the audit log")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return a.withGroup(cmd, given[0], func(w *witness, c *sbv1.ClusterStatus) error {
			request.Cluster, request.Group = c.GetDefinition().GetCluster(), given[0]
			v, err := ask(cmd.Context(), w, request, w.CancelRecovery)
			if err != nil {
				return err
			}
			return a.outcome(v)
		})
	}
	return cmd
}

// withRecoveries asks for the recoveries of a group, or of all of a cluster's.
func (a *app) withRecoveries(cmd *cobra.Command, group string, do func([]document, *pair) error) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, groupNames, group)
	if err != nil {
		return err
	}
	if group != "" {
		if err := knownGroup(cmd, c, group); err != nil {
			return err
		}
	}
	all, err := w.recoveries(cmd.Context(), c.GetDefinition().GetCluster(), group)
	if err != nil {
		return err
	}
	return do(all, examine(c))
}
