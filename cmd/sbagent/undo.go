package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
)

func undoCommand(at *site) *cobra.Command {
	var id string
	var carryOut bool
	cmd := &cobra.Command{
		Use: "undo GROUP --recovery ID", Short: "Put what a recovery gave up back, on both nodes", Args: cobra.ExactArgs(1),
		Long: "undo makes the copy that was given up in a recovery the group's data again, for as long as it is kept here. All that was written\n" +
			"since that recovery goes with it, and is kept in turn, as recovery undo-ID. Without --yes it only shows how much differs;\n" +
			"sbctl resolve GROUP --undo shows which files, and the lines to type with this pair's names in them:\n\n" +
			"  sbctl maintenance on --for 2h              # or the witness grants the group while you are at it\n" +
			"  systemctl stop sbagent                     # on both nodes: the services stop, and DRBD is Secondary on both\n" +
			"  drbdadm primary RESOURCE                   # here, of each DRBD resource of the group; mount nothing\n" +
			"  sbagent recovery undo GROUP --recovery ID --yes\n" +
			"  drbdadm secondary RESOURCE                 # here, as above\n" +
			"  systemctl start sbagent                    # on both nodes\n" +
			"  sbctl maintenance off                      # and a node is granted the group",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at.load()
			if err != nil {
				return err
			}
			n, g, err := at.handsOf(args[0])
			if err != nil {
				return err
			}
			undo := func(w carry.Wish) error {
				all, err := n.Undo(cmd.Context(), g, id, w)
				if err == nil {
					tellUndone(cmd.OutOrStdout(), d.Node.Cluster, g, all, w)
				}
				return err
			}
			switch {
			case carryOut && id == "":
				return errors.New("nothing was done: name the recovery that is to be undone with --recovery; the latest may be an undoing")
			case carryOut:
				return at.alone(func() error { return undo(carry.CarryOut) })
			}
			return undo(carry.OnlyShow)
		},
	}
	cmd.Flags().StringVar(&id, "recovery", "", "the recovery that is to be undone (default, without --yes: the latest)")
	cmd.Flags().BoolVar(&carryOut, "yes", false, "write")
	return cmd
}

// tellUndone says what was put back, what became of what was there, and what is left
// to do. It names the cluster: this node does not know whether the witness has others.
func tellUndone(to io.Writer, cluster string, g carry.Group, all []carry.Undone, w carry.Wish) {
	kept := ""
	for _, u := range all {
		switch {
		case w == carry.OnlyShow:
			fmt.Fprintf(to, "%s: %s differ from %s\n", u.Volume, recovery.Bytes(u.Differs), u.From)
		case u.Differs == 0:
			fmt.Fprintf(to, "%s: nothing was written: it is as it was kept in %s already\n", u.Volume, u.From)
		default:
			fmt.Fprintf(to, "%s: put back: %s were written from %s\n", u.Volume, recovery.Bytes(u.Differs), u.From)
		}
		kept = u.Kept
	}
	if w == carry.OnlyShow {
		fmt.Fprintln(to, "nothing was written; add --yes to put it back")
		return
	}
	if kept != "" {
		fmt.Fprintf(to, "What was there is kept here as recovery %s: sbctl --cluster %s salvage %s --recovery %[1]s\n", kept, cluster, g.Name)
	}
	fmt.Fprintf(to, "Next: drbdadm secondary %s; then systemctl start sbagent on both nodes, and sbctl --cluster %s maintenance off\n", strings.Join(g.Resources, " "), cluster)
}
