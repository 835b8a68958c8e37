package ctl

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

const (
	// rehearsedWithin is longer than the witness waits for a rehearsal.
	rehearsedWithin = 3 * time.Minute
	rehearsedEvery  = time.Second
)

type rehearsalJSON struct {
	Node     string `json:"node"`
	Sentence string `json:"sentence"`
	At       string `json:"at"`
}

func (a *app) fenceTestCommand() *cobra.Command {
	var rehearse bool
	cmd := &cobra.Command{
		Use:   "test NODE",
		Short: "see that a node's fence devices switch it off and on again",
		Long: `Test --rehearse lets the other node switch NODE off and on again, exactly as it
would shoot it, and stores when that was seen. It is refused outside of a
maintenance window, and for a node that holds a group.

The machine is switched off the hard way. Sbctl doctor shows when each device was
last seen to work, and whether it can be reached, without touching anything.`,
		Example: "  sbctl maintenance on --for 30m\n  sbctl fence test node-b --rehearse\n  sbctl maintenance off",
		Args:    args(cobra.ExactArgs(1), "one node"), ValidArgsFunction: a.completeNodeArgs,
	}
	cmd.Flags().BoolVar(&rehearse, "rehearse", false, "really switch it off, and on again")
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if !rehearse {
			return usage(cmd, "nothing was done: add --rehearse to switch %s off and on again; sbctl doctor looks without touching", given[0])
		}
		return a.rehearse(cmd, given[0], answered(*yes))
	}
	return cmd
}

func (a *app) rehearse(cmd *cobra.Command, node string, yes answered) error {
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, nodeNames, node)
	if err != nil {
		return err
	}
	p := examine(c)
	if err := knownNode(cmd, c, node); err != nil {
		return err
	}
	a.say("%s will switch %s off the hard way, and on again.", p.peer(node), node)
	if err := a.consent(cmd, yes, "rehearse the fence devices of "+node+"?"); err != nil {
		return err
	}
	last, err := ask(cmd.Context(), w, &sbv1.WhyRequest{Cluster: p.def.GetCluster(), Limit: 1}, w.Why)
	if err != nil {
		return err
	}
	var after uint64
	for _, r := range last.GetRecords() {
		after = r.GetIndex()
	}
	v, err := ask(cmd.Context(), w, &sbv1.RehearseFenceRequest{Cluster: p.def.GetCluster(), Node: node}, w.RehearseFence)
	if err != nil {
		return err
	}
	if v.GetKind() == "refused" {
		return a.outcome(v)
	}
	a.say("%s", v.GetSentence())
	return a.awaitRehearsal(cmd, w, &sbv1.WhyRequest{Cluster: p.def.GetCluster(), Limit: whyRecords}, node, after)
}

// awaitRehearsal follows the decisions until one says how it ended.
func (a *app) awaitRehearsal(cmd *cobra.Command, w *witness, why *sbv1.WhyRequest, node string, after uint64) error {
	for end := time.Now().Add(rehearsedWithin); time.Now().Before(end); {
		answer, err := ask(cmd.Context(), w, why, w.Why)
		if err != nil {
			return err
		}
		for _, r := range answer.GetRecords() {
			if r.GetIndex() <= after {
				continue
			}
			after = r.GetIndex()
			switch what := r.GetWhat(); {
			case what == "fence" && r.GetReason() == "":
				if a.as == jsonLines {
					return a.json(rehearsalJSON{node, r.GetSentence(), moment(r.GetAtMs())})
				}
				return a.print("%s\n", r.GetSentence())
			case what == "fence", what == "mandate over", what == "begin" && r.GetReason() != "":
				return fmt.Errorf("%s; see that %s is on", r.GetSentence(), node)
			case what == "begin":
				a.say("%s", r.GetSentence())
			}
		}
		if !pause(cmd.Context(), rehearsedEvery) {
			return fmt.Errorf("not followed to its end; see that %s is on, and sbctl why", node)
		}
	}
	return fmt.Errorf("no end was seen within %v; see that %s is on, and sbctl why", rehearsedWithin, node)
}
