package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	sbv1 "sbarbiter/proto/sb/v1"
)

// followFor is how long a switchover is followed: the witness withdraws one
// that has not happened within a minute, then the group may have to start.
const followFor = 3 * time.Minute

// lookEvery is how often is asked whether the order still stands.
const lookEvery = time.Second

type switchoverFlags struct {
	to      string
	cancel  bool
	wait    bool
	reason  string
	consent *bool
}

func (a *app) switchoverCommand() *cobra.Command {
	var f switchoverFlags
	cmd := &cobra.Command{
		Use:   "switchover GROUP",
		Short: "move a group to the other node, with nobody shot and nothing lost",
		Long: `Switchover asks the holder of a group to stop it and give it back, and the
other node to start it. A group that nobody holds is started on the node named.
With --wait it returns once the group runs there and prints how long it did not.`,
		Example: "  sbctl switchover nfs --wait\n  sbctl switchover nfs --to node-b --yes\n  sbctl switchover nfs --cancel",
		Args:    args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
		RunE: func(cmd *cobra.Command, given []string) error { return a.switchover(cmd, given[0], f) },
	}
	cmd.Flags().StringVar(&f.to, "to", "", "the node to move to (default: the one that does not hold it)")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "withdraw a switchover that has not happened yet")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "return when the other node runs it, and print the gap")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the audit log")
	f.consent = yesFlag(cmd)
	complete(cmd, "to", a.completeNodes)
	return cmd
}

func (a *app) switchover(cmd *cobra.Command, name string, f switchoverFlags) error {
	if f.cancel && (f.wait || f.to != "") {
		return usage(cmd, "--cancel withdraws a switchover; it goes with neither --to nor --wait")
	}
	w, err := a.witness(cmd.Context())
	if err != nil {
		return err
	}
	defer w.close()
	c, err := a.clusterWith(cmd, w, groupNames, name)
	if err != nil {
		return err
	}
	group, err := groupNamed(cmd, c, name)
	if err != nil {
		return err
	}
	if !f.cancel {
		if f.to, err = destination(cmd, c, group, f.to); err != nil {
			return err
		}
		if err := splitInTheWay(group, f.to); err != nil {
			return err
		}
		a.planMove(group, f.to)
		if err := a.consent(cmd, answered(*f.consent), fmt.Sprintf("move %s to %s?", name, f.to)); err != nil {
			return err
		}
	}
	v, err := ask(cmd.Context(), w, &sbv1.SwitchoverRequest{
		Cluster: c.GetDefinition().GetCluster(), Group: name, To: f.to, Cancel: f.cancel, Reason: f.reason,
	}, w.Switchover)
	if err != nil {
		return err
	}
	if err := a.outcome(v); err != nil || !f.wait {
		return err
	}
	m := &move{group: name, cluster: c.GetDefinition().GetCluster(), from: group.GetHolder(), to: f.to, after: w.status.GetWitness().GetVersion().GetIndex()}
	return a.follow(cmd.Context(), w, m)
}

// destination is where the group shall go.
func destination(cmd *cobra.Command, c *sbv1.ClusterStatus, g *sbv1.GroupStatus, to string) (string, error) {
	if to != "" {
		return to, knownNode(cmd, c, to)
	}
	if g.GetHolder() == "" {
		return "", usage(cmd, "nobody holds %s; say where it shall start: --to NODE", g.GetName())
	}
	return examine(c).peer(g.GetHolder()), nil
}

// splitInTheWay says why a group whose copies have split is not moved, where that is
// known beforehand.
func splitInTheWay(g *sbv1.GroupStatus, to string) error {
	split, holder := g.GetSplit(), g.GetHolder()
	if split == nil || holder == "" || holder == to || slices.ContainsFunc(onNode(g, to).GetDisks(), (*sbv1.Disk).GetConnected) {
		return nil
	}
	return &refusal{sentence: fmt.Sprintf("nothing was done: %s; %s lacks what %s has written since, and gets %s only once that is resolved; type: %s",
		split.GetWhat(), to, holder, g.GetName(), split.GetDo())}
}

func (a *app) planMove(g *sbv1.GroupStatus, to string) {
	if g.GetHolder() == "" {
		a.say("%s is held by nobody. %s will be asked to start it.", g.GetName(), to)
		return
	}
	a.say("%s moves from %s to %s:\n"+
		"  1. %s stops its services, demotes its disks and gives epoch %d back\n"+
		"  2. %s is granted it and starts it\n"+
		"Clients wait meanwhile. Nobody is shot; if it is not done within a minute it is withdrawn.",
		g.GetName(), g.GetHolder(), to, g.GetHolder(), g.GetEpoch(), to)
}

// move is a switchover as its records tell it. Moments are the witness's, Unix
// milliseconds; 0: not yet.
type move struct {
	cluster, group, from, to    string
	after                       uint64 // the log's index before the order
	ordered, stopped, restarted int64
}

type moveJSON struct {
	Group   string `json:"group"`
	From    string `json:"from"` // "": nobody held it
	To      string `json:"to"`
	GapMS   int64  `json:"gap_ms"`   // from the order to the start on the other node
	StopMS  int64  `json:"stop_ms"`  // of which the old holder took to stop
	StartMS int64  `json:"start_ms"` // of which the new one took to start
}

// follow waits until the group runs on its new node and prints the gap. It is
// counted from the order, so it is never shorter than what clients felt.
func (a *app) follow(ctx context.Context, w *witness, m *move) error {
	ctx, cancel := context.WithTimeoutCause(ctx, followFor, errors.New("followed for "+followFor.String()))
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		watched <- w.records(ctx, &sbv1.EventsRequest{Cluster: m.cluster, After: m.after, Follow: true}, m.take)
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-watched:
			if err != nil {
				return fmt.Errorf("follow the switchover of %s: %w; look with sbctl status", m.group, err)
			}
			if m.restarted == 0 {
				return fmt.Errorf("follow the switchover of %s: the witness stopped telling; look with sbctl status", m.group)
			}
			return a.arrived(m)
		case <-tick.C:
			if err := w.stillOrdered(ctx, m); err != nil {
				cancel()
				if over := <-watched; over == nil && m.restarted != 0 {
					return a.arrived(m) // while we looked
				}
				return err
			}
		}
	}
}

// take notes what a record says about the move.
func (m *move) take(r *sbv1.Record) (more bool, err error) {
	if r.GetGroup() != m.group {
		return true, nil
	}
	switch r.GetWhat() {
	case "switchover":
		m.ordered = r.GetAtMs()
	case "release":
		if r.GetNode() == m.from {
			m.stopped = r.GetAtMs()
		}
	case "started":
		if r.GetNode() == m.to {
			m.restarted = r.GetAtMs()
			return false, nil
		}
	default:
	}
	return true, nil
}

// stillOrdered reports a switchover that will not happen any more.
func (w *witness) stillOrdered(ctx context.Context, m *move) error {
	if err := w.refresh(ctx); err != nil {
		return fmt.Errorf("follow the switchover of %s: %w", m.group, err)
	}
	for _, c := range w.status.GetClusters() {
		for _, g := range c.GetGroups() {
			if c.GetDefinition().GetCluster() == m.cluster && g.GetName() == m.group && g.GetOrderTo() == "" && g.GetHolder() == m.from {
				return fmt.Errorf("the switchover of %s to %s was given up, %s; sbctl why %s says why",
					m.group, m.to, first(m.from, "nobody")+" holds it", m.group)
			}
		}
	}
	return nil
}

func (a *app) arrived(m *move) error {
	out := moveJSON{Group: m.group, From: m.from, To: m.to, GapMS: m.restarted - m.ordered}
	if m.stopped != 0 {
		out.StopMS, out.StartMS = m.stopped-m.ordered, m.restarted-m.stopped
	}
	if a.as == jsonLines {
		return a.json(out)
	}
	detail := ""
	if m.stopped != 0 {
		detail = fmt.Sprintf(": %s stopped in %s, %s started in %s", m.from, seconds(out.StopMS), m.to, seconds(out.StartMS))
	}
	return a.print("%s runs on %s\ngap %s%s\n", m.group, m.to, seconds(out.GapMS), detail)
}

func seconds(ms int64) string { return fmt.Sprintf("%.2f s", float64(ms)/1000) }
