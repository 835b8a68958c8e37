package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/drbd"
	sbv1 "sbarbiter/proto/sb/v1"
)

// handlerCommand is what DRBD runs for each handler on a node that is installed as
// the documentation says.
const handlerCommand = "/usr/sbin/sbagent handler"

func (a *app) drbdConfigCommand() *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:   "drbd-config GROUP",
		Short: "print what DRBD's configuration of a group should say",
		Long: `Drbd-config prints, for each DRBD resource of a group, the sections under which a
primary that loses its peer freezes until the witness has answered, and a split brain
is resolved by nobody but sbctl resolve and the group's policies.

A pair that relies on DRBD's own after-sb policies is taken over like this: write the
same policies into recovery: of cluster.yaml first (they mean what they say there: see
docs/configuration.md), declare it with sbctl cluster add, then put these lines in
force on both nodes with drbdadm adjust. Sbctl doctor says what is still missing.`,
		Example: "  sbctl drbd-config nfs\n  sbctl drbd-config nfs --drbd 9",
		Args:    args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
	}
	cmd.Flags().StringVar(&version, "drbd", "", "the driver on the nodes: 8.4 or 9 (default: what a recovery has found there, else 8.4)")
	complete(cmd, "drbd", cobra.FixedCompletions([]string{string(drbd.Family84), string(drbd.Family9)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		family := drbd.Family(version)
		if version != "" && family != drbd.Family84 && family != drbd.Family9 {
			return usage(cmd, "there is DRBD %s and %s, and no %q", drbd.Family84, drbd.Family9, version)
		}
		return a.withGroup(cmd, given[0], func(w *witness, c *sbv1.ClusterStatus) error {
			p := examine(c)
			if !p.declared(given[0]).GetDrbd() {
				return fmt.Errorf("print what DRBD's configuration should say: group %s has no DRBD resource", given[0])
			}
			comment := "# for DRBD " + version
			if version == "" {
				family, comment = w.familyOf(cmd.Context(), c, given[0])
			}
			if err := a.print("%s\n", comment); err != nil {
				return err
			}
			handlers := slices.Concat(drbd.RequiredHandlers(), []drbd.Handler{drbd.HandlerUnfencePeer, drbd.HandlerAfterResyncTgt})
			for _, res := range resourcesOf(p, given[0]) {
				q := drbd.Requirements{Family: family, Resource: res, HandlerCommand: handlerCommand, Handlers: handlers}
				if err := a.print("%s", q.Recommended()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// familyOf is the driver that the cluster's latest recovery has found on both nodes, and
// the line that says where that is known from. Where it is not known, that is said.
func (w *witness) familyOf(ctx context.Context, c *sbv1.ClusterStatus, group string) (drbd.Family, string) {
	var latest *document
	all, err := w.recoveries(ctx, c.GetDefinition().GetCluster(), "")
	for i := range all {
		if all[i].family() != "" && (latest == nil || all[i].Opened >= latest.Opened) {
			latest = &all[i]
		}
	}
	if err != nil || latest == nil {
		return drbd.Family84, fmt.Sprintf("# for DRBD %s; what the nodes run, the witness does not know: cat /proc/drbd says it there; for %s: sbctl drbd-config %s --drbd %s",
			drbd.Family84, drbd.Family9, group, drbd.Family9)
	}
	family, other := latest.family(), drbd.Family84
	if family == drbd.Family84 {
		other = drbd.Family9
	}
	return family, fmt.Sprintf("# for DRBD %s, which recovery %s has found on the nodes; for %s: sbctl drbd-config %s --drbd %s", family, latest.ID, other, group, other)
}

// family is the driver that was measured, where both sides have the same.
func (d *document) family() drbd.Family {
	if d.Evidence == nil {
		return ""
	}
	var out drbd.Family
	for _, s := range d.Evidence.Sides {
		switch {
		case s.Family == "": // nothing is known of that side
		case s.Family != drbd.Family84 && s.Family != drbd.Family9, out != "" && out != s.Family:
			return ""
		default:
			out = s.Family
		}
	}
	return out
}

// resourcesOf are the resources that a group's nodes have shown, or a name to fill
// in where none has.
func resourcesOf(p *pair, group string) []string {
	var out []string
	i := slices.IndexFunc(p.GetGroups(), func(g *sbv1.GroupStatus) bool { return g.GetName() == group })
	if i < 0 {
		return []string{"NAME"}
	}
	for _, n := range p.GetGroups()[i].GetNodes() {
		for _, d := range n.GetDisks() {
			name, _, _ := strings.Cut(d.GetVolume(), "/")
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return []string{"NAME"}
	}
	return out
}
