package ctl

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/internal/config"
	sbv1 "sbarbiter/proto/sb/v1"
)

func (a *app) clusterCommand() *cobra.Command {
	cmd := family(&cobra.Command{
		Use: "cluster", Short: "declare clusters to the witness, and show what is declared",
		Example: "  sbctl cluster add -f cluster.yaml\n  sbctl cluster show nfs1",
	})
	cmd.AddCommand(a.addCommand(), a.showCommand())
	return cmd
}

func (a *app) addCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "declare a cluster, or change its definition",
		Long: `Add declares the cluster that the file describes. For a cluster that is declared
already it shows what changes and asks. Declaring a cluster again also tells the
witness that of two machines with one identity only one is left.`,
		Example: "  sbctl cluster add -f cluster.yaml\n  sbctl cluster show nfs1 | sbctl cluster add -f - --yes",
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 && file == "" {
				return usage(cmd, "name the definition with -f: sbctl cluster add -f %s", given[0])
			}
			return args(cobra.NoArgs, "no argument")(cmd, given)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the definition; - reads the standard input")
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return usage(cmd, "name the definition: -f cluster.yaml")
		}
		def, err := a.readDefinition(file)
		if err != nil {
			return usage(cmd, "%w", err)
		}
		w, err := a.witness(cmd.Context())
		if err != nil {
			return err
		}
		defer w.close()
		if a.showChange(w, def) {
			if err := a.consent(cmd, answered(*yes), "change the definition of "+def.GetCluster()+"?"); err != nil {
				return err
			}
		}
		v, err := ask(cmd.Context(), w, &sbv1.AddClusterRequest{Definition: def}, w.AddCluster)
		if err != nil {
			return err
		}
		return a.outcome(v)
	}
	return cmd
}

func (a *app) readDefinition(file string) (*sbv1.Definition, error) {
	if file != "-" {
		c, err := config.LoadCluster(file)
		return definition(c), err //nolint:wrapcheck // names file, line and remedy
	}
	// One byte more than the parser takes, so that it can say that it is too much.
	data, err := io.ReadAll(io.LimitReader(a.In, 64<<10+1))
	if err != nil {
		return nil, fmt.Errorf("read the definition from the standard input: %w", err)
	}
	c, err := config.ParseCluster("standard input", data)
	return definition(c), err //nolint:wrapcheck // as above
}

// showChange tells what differs from what is declared, and reports whether
// something does.
func (a *app) showChange(w *witness, def *sbv1.Definition) bool {
	for _, c := range w.status.GetClusters() {
		if c.GetDefinition().GetCluster() != def.GetCluster() {
			continue
		}
		changes := difference(definitionYAML(c.GetDefinition()), definitionYAML(def))
		if len(changes) == 0 {
			return false
		}
		a.say("cluster %s is declared already; this changes:\n  %s", def.GetCluster(), strings.Join(changes, "\n  "))
		return true
	}
	return false
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "show [NAME]",
		SuggestFor: []string{"list", "ls", "get"},
		Short:      "print a definition, as cluster add takes it back",
		Long: `Show prints the definition that the witness has. Of timing it has only what it
needs itself; stop, watchdog, reset and late are the nodes' and are printed only
so far as the rest needs them to be valid.`,
		Example:           "  sbctl cluster show\n  sbctl cluster show nfs1 > cluster.yaml",
		Args:              args(cobra.MaximumNArgs(1), "one cluster"),
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, given []string) error {
			a.flags.Cluster = first(first(given...), a.flags.Cluster)
			w, err := a.witness(cmd.Context())
			if err != nil {
				return err
			}
			defer w.close()
			c, err := a.cluster(cmd, w)
			if err != nil {
				return err
			}
			if a.as == jsonLines {
				return a.json(definitionView(c.GetDefinition()))
			}
			return a.list(definitionYAML(c.GetDefinition()))
		},
	}
}

// difference lists the lines that go (-) and come (+), by their longest common
// subsequence.
func difference(before, after string) []string {
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	common := make([][]int, len(old)+1)
	for i := range common {
		common[i] = make([]int, len(now)+1)
	}
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(now) - 1; j >= 0; j-- {
			if old[i] == now[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(old) || j < len(now); {
		switch {
		case i < len(old) && j < len(now) && old[i] == now[j]:
			i, j = i+1, j+1
		case j == len(now) || i < len(old) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+old[i])
			i++
		default:
			out = append(out, "+ "+now[j])
			j++
		}
	}
	return out
}
