package ctl

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

func (a *app) standbyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "standby NODE",
		Short: "keep groups from a node, and move those away that it holds",
		Long: `Standby is for work on one node: it is granted nothing any more, and the groups
that it holds are moved to the other node if that can take them. It keeps its
copy in step. Sbctl unstandby ends it.`,
		Example: "  sbctl standby node-a",
		Args:    args(cobra.ExactArgs(1), "one node"), ValidArgsFunction: a.completeNodeArgs,
	}
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return a.operate(cmd, given[0], func(w *witness, p *pair) (*sbv1.Verdict, error) {
			if err := knownNode(cmd, p.ClusterStatus, given[0]); err != nil {
				return nil, err
			}
			if held := p.holding(given[0]); len(held) > 0 {
				a.say("%s holds %s; moved to %s if that one is ready, clients wait meanwhile:", given[0], verb(len(held), "a group", "groups"), p.peer(given[0]))
				for _, g := range held {
					a.say("  %s  epoch %d", g.GetName(), g.GetEpoch())
				}
				if err := a.consent(cmd, answered(*yes), "put "+given[0]+" into standby?"); err != nil {
					return nil, err
				}
			}
			return ask(cmd.Context(), w, &sbv1.StandbyRequest{Cluster: p.def.GetCluster(), Node: given[0], On: true}, w.Standby)
		})
	}
	return cmd
}

func (a *app) unstandbyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unstandby NODE",
		Short:   "let a node take groups again",
		Example: "  sbctl unstandby node-a",
		Args:    args(cobra.ExactArgs(1), "one node"), ValidArgsFunction: a.completeNodeArgs,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.operate(cmd, given[0], func(w *witness, p *pair) (*sbv1.Verdict, error) {
				if err := knownNode(cmd, p.ClusterStatus, given[0]); err != nil {
					return nil, err
				}
				return ask(cmd.Context(), w, &sbv1.StandbyRequest{Cluster: p.def.GetCluster(), Node: given[0]}, w.Standby)
			})
		},
	}
}

func (a *app) maintenanceCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use:   "maintenance",
		Short: "keep the witness from starting anything anywhere",
		Long: `During maintenance nothing is granted to anybody: nothing is taken over and
nobody is shot for it. Groups that run go on, and their writes stay protected.`,
		Example: "  sbctl maintenance on --for 2h\n  sbctl maintenance off",
	})
	var length time.Duration
	on := &cobra.Command{
		Use: "on", Short: "begin, for a time", Example: "  sbctl maintenance on --for 2h",
		Args: args(cobra.NoArgs, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("for") || length < 0 {
				return usage(cmd, "say for how long, as in --for 2h; --for 0 lasts until sbctl maintenance off")
			}
			return a.operate(cmd, "", func(w *witness, p *pair) (*sbv1.Verdict, error) {
				request := &sbv1.MaintenanceRequest{Cluster: p.def.GetCluster(), On: true, ForNs: length.Nanoseconds()}
				return ask(cmd.Context(), w, request, w.Maintenance)
			})
		},
	}
	on.Flags().DurationVar(&length, "for", 0, "it ends by itself after this time, as in 2h or 30m; 0: it does not")
	off := &cobra.Command{
		Use: "off", Short: "end", Example: "  sbctl maintenance off",
		Args: args(cobra.NoArgs, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operate(cmd, "", func(w *witness, p *pair) (*sbv1.Verdict, error) {
				return ask(cmd.Context(), w, &sbv1.MaintenanceRequest{Cluster: p.def.GetCluster()}, w.Maintenance)
			})
		},
	}
	cmd.AddCommand(on, off)
	return cmd
}

// operate finds witness and cluster, lets do ask, and tells the verdict. The node
// is the one that it is about; "": the whole cluster.
func (a *app) operate(cmd *cobra.Command, node string, do func(*witness, *pair) (*sbv1.Verdict, error)) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, nodeNames, node)
	if err != nil {
		return err
	}
	v, err := do(w, examine(c))
	if err != nil {
		return err
	}
	return a.outcome(v)
}

func (a *app) fenceCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use:     "fence",
		Short:   "say that a node is off where no device can prove it, or see that a device can",
		Example: "  sbctl fence confirm node-a --reason 'BMC dead, power cable pulled'",
	})
	cmd.AddCommand(a.confirmCommand(), a.fenceTestCommand())
	return cmd
}

func (a *app) confirmCommand() *cobra.Command {
	var reason, typed string
	cmd := &cobra.Command{
		Use:   "confirm NODE",
		Short: "end a silent node's leases on your word that it is off",
		Long: `Confirm is the last resort for a node that is silent and could not be shot. The
witness believes your word (grade E1), ends the leases shown, and the other node
may start the groups. If the node is not off, both write and data is lost.

You are asked to type the node's name. A script gives it with --typed and --yes.`,
		Example: "  sbctl fence confirm node-a --reason 'BMC dead, power cable pulled'\n" +
			"  sbctl fence confirm node-a --reason 'rack is dark' --typed node-a --yes",
		Args: args(cobra.ExactArgs(1), "one node"), ValidArgsFunction: a.completeNodeArgs,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "how you know that it is off; goes into the audit log")
	cmd.Flags().StringVar(&typed, "typed", "", "the node's name once more, for scripts; with --yes")
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		return a.operate(cmd, given[0], func(w *witness, p *pair) (*sbv1.Verdict, error) {
			node := given[0]
			if err := knownNode(cmd, p.ClusterStatus, node); err != nil {
				return nil, err
			}
			epochs := a.showLeases(p, node)
			if len(epochs) == 0 {
				return nil, &refusal{sentence: "nothing was done: there is no lease of " + node + " to end; sbctl status shows who holds what"}
			}
			reason, err := a.knowledge(cmd, node, reason)
			if err != nil {
				return nil, err
			}
			word, err := a.typedName(cmd, node, typed, answered(*yes))
			if err != nil {
				return nil, err
			}
			request := &sbv1.ConfirmFenceRequest{Cluster: p.def.GetCluster(), Node: node, Epochs: epochs, Typed: word, Reason: reason}
			return ask(cmd.Context(), w, request, w.ConfirmFence)
		})
	}
	return cmd
}

// knowledge is how the operator knows that the node is off. It is asked for where
// somebody can be asked: the witness's alarms name the command without it.
func (a *app) knowledge(cmd *cobra.Command, node, reason string) (string, error) {
	if reason == "" && a.Asks {
		var err error
		if reason, err = a.question(cmd.Context(), "How do you know that "+node+" is off? "); err != nil {
			return "", err
		}
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return "", usage(cmd, "nothing was done: say how you know that %s is off: --reason '...'", node)
	}
	return reason, nil
}

// showLeases says what the operator's word will do, and returns the epochs that
// it is about: a lease granted later is not ended by it.
func (a *app) showLeases(p *pair, node string) []uint64 {
	var epochs []uint64
	if n := p.nodes[node]; unheard(n) {
		a.say("%s has not been heard by this witness yet.", node)
	} else {
		a.say("%s was last heard: %s", node, heardWords(n))
	}
	if p.heard(node) {
		a.say("THAT IS A SIGN OF LIFE: %s is not off.", node)
	}
	if p.heardByPeer(node) {
		a.say("%s HEARS IT: %s is not off.", p.peer(node), node)
	}
	held := p.holding(node)
	if len(held) == 0 {
		a.say("%s holds no lease.", node)
		return nil
	}
	a.say("These leases of %s end, and %s may start the groups:", node, p.peer(node))
	for _, g := range held {
		a.say("  %s  epoch %d", g.GetName(), g.GetEpoch())
		epochs = append(epochs, g.GetEpoch())
	}
	a.say("If %s is NOT off, both nodes will write, and data will be lost.", node)
	return epochs
}

// typedName gets the name that only somebody who means it types.
func (a *app) typedName(cmd *cobra.Command, node, typed string, yes answered) (string, error) {
	return a.typedWord(cmd, node, typed, yes, "Type the node's name if you have seen that it is off: ", "if "+node+" is off")
}

func (a *app) typedWord(cmd *cobra.Command, node, typed string, yes answered, question, condition string) (string, error) {
	switch {
	case typed != "" && bool(yes):
	case typed != "":
		return "", usage(cmd, "nothing was done: --typed is for scripts, together with --yes")
	case !a.Asks:
		return "", usage(cmd, "nothing was done: there is nobody to ask here; add --typed %s --yes %s", node, condition)
	default:
		var err error
		if typed, err = a.question(cmd.Context(), question); err != nil {
			return "", err
		}
	}
	if typed != node {
		return "", &refusal{sentence: "nothing was done: " + typed + " is not " + node}
	}
	return typed, nil
}
