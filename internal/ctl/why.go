package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"sbarbiter/internal/config"
	sbv1 "sbarbiter/proto/sb/v1"
)

// whyRecords is how long a chain of evidence is shown.
const whyRecords = 12

type whyJSON struct {
	Cluster string       `json:"cluster"`
	Group   string       `json:"group"` // "": all
	Records []recordJSON `json:"records"`
	Now     string       `json:"now"` // what is being waited for
}

func (a *app) whyCommand() *cobra.Command {
	var inputs bool
	cmd := &cobra.Command{
		Use:   "why [GROUP | INDEX]",
		Short: "the chain of evidence behind the last decision, and what is waited for now",
		Long: `Why shows the decisions about a group (or all groups), oldest first, on what
the present holder's right rests, and what is being waited for.
With the index of an event (the number behind #) it shows what led to that one.`,
		Example:           "  sbctl why nfs\n  sbctl why 1234 -v",
		Args:              args(cobra.MaximumNArgs(1), "one group or index"),
		ValidArgsFunction: a.completeGroups,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.why(cmd, first(given...), inputs)
		},
	}
	cmd.Flags().BoolVarP(&inputs, "verbose", "v", false, "show the inputs of each decision as well")
	return cmd
}

func (a *app) why(cmd *cobra.Command, about string, inputs bool) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, groupNames, about)
	if err != nil {
		return err
	}
	request := &sbv1.WhyRequest{Cluster: c.GetDefinition().GetCluster(), Limit: whyRecords}
	group, err := groupNamed(cmd, c, about)
	index, notIndex := strconv.ParseUint(about, 10, 64)
	byIndex := err != nil && notIndex == nil
	if err != nil && !byIndex {
		return err
	}
	request.Group = group.GetName()
	if byIndex {
		request.Index = index
	}
	answer, err := ask(cmd.Context(), w, request, w.Why)
	if err != nil {
		return err
	}
	if byIndex && !slices.ContainsFunc(answer.GetRecords(), func(r *sbv1.Record) bool { return r.GetIndex() == index }) {
		return noEvent(cmd, w, request)
	}
	if a.as == jsonLines {
		return a.json(whyJSON{request.GetCluster(), request.GetGroup(), each(answer.GetRecords(), recordView), addressed(answer.GetNow(), a.among)})
	}
	return a.tell(examine(c), group, answer, inputs)
}

// noEvent says that the event asked for does not exist, and which is the last
// that does.
func noEvent(cmd *cobra.Command, w *witness, asked *sbv1.WhyRequest) error {
	answer, err := ask(cmd.Context(), w, &sbv1.WhyRequest{Cluster: asked.GetCluster(), Limit: 1}, w.Why)
	if err != nil {
		return err
	}
	all := answer.GetRecords()
	if len(all) == 0 {
		return usage(cmd, "there is no event %d; nothing is recorded of %s yet", asked.GetIndex(), asked.GetCluster())
	}
	return usage(cmd, "there is no event %d; the last is %d; sbctl events lists them", asked.GetIndex(), all[len(all)-1].GetIndex())
}

// groupNamed finds a group of the cluster; no name is no group.
func groupNamed(cmd *cobra.Command, c *sbv1.ClusterStatus, name string) (*sbv1.GroupStatus, error) {
	if name == "" {
		return nil, nil
	}
	var names []string
	for _, g := range c.GetGroups() {
		if g.GetName() == name {
			return g, nil
		}
		names = append(names, g.GetName())
	}
	return nil, usage(cmd, "cluster %s has no group %s, only %s", c.GetDefinition().GetCluster(), name, and(names))
}

// tell prints the chain as sentences.
func (a *app) tell(p *pair, group *sbv1.GroupStatus, answer *sbv1.WhyAnswer, inputs bool) error {
	var b bytes.Buffer
	if len(answer.GetRecords()) == 0 {
		b.WriteString("nothing is recorded about that\n")
	}
	for _, r := range answer.GetRecords() {
		b.WriteString(recordLine(r) + "\n")
		if inputs && r.GetInputs() != "" {
			if err := json.Indent(&b, []byte(r.GetInputs()), "    ", "  "); err != nil {
				b.WriteString(r.GetInputs()) // of a later version, perhaps; better shown than hidden
			}
			b.WriteByte('\n')
		}
	}
	for _, g := range p.GetGroups() {
		if group != nil && g.GetName() != group.GetName() {
			continue
		}
		b.WriteString("\n" + standing(g) + "\n")
	}
	if answer.GetNow() != "" {
		b.WriteString("now: " + answer.GetNow() + "\n")
	}
	return a.print("%s", b.String())
}

// standing says whose right a group is, and what it rests on.
func standing(g *sbv1.GroupStatus) string {
	if g.GetHolder() == "" {
		if g.GetLast().GetCause() == "" {
			return fmt.Sprintf("%s: nobody has ever held it", g.GetName())
		}
		return fmt.Sprintf("%s: nobody holds it; the lease before ended: %s", g.GetName(), basisWords(g.GetLast()))
	}
	return fmt.Sprintf("%s: %s holds it under epoch %d, which rests on: %s", g.GetName(), g.GetHolder(), g.GetEpoch(), basisWords(g.GetBasis()))
}

// knownNode checks a node's name before anything is asked about it.
func knownNode(cmd *cobra.Command, c *sbv1.ClusterStatus, name string) error {
	nodes := c.GetDefinition().GetNodes()
	if slices.Contains(nodes, name) {
		return nil
	}
	return usage(cmd, "cluster %s has no node %s, only %s%s", c.GetDefinition().GetCluster(), name, and(nodes), meant(name, nodes))
}

// oneOf checks a node's name where no witness is asked.
func oneOf(cmd *cobra.Command, pair [2]string, name string) error {
	if name == "" || slices.Contains(pair[:], name) {
		return nil
	}
	return usage(cmd, "nothing was done: %s is neither %s nor %s%s", name, pair[0], pair[1], meant(name, pair[:]))
}

// meant asks whether it was the name that is like what was typed.
func meant(typed string, names []string) string {
	if n := config.Closest(typed, names); n != "" {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	return ""
}
