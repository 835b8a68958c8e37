package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/agent/store"
	"sbarbiter/cmd/sbagent/daemon"
	"sbarbiter/drbd"
	"sbarbiter/recovery"
	"sbarbiter/recovery/carry"
	"sbarbiter/recovery/keep"
)

// recoveryCommand is this node's part in a recovery, by hand: what sbctl asks of a
// node, and the last resort where no witness answers.
func recoveryCommand(path *string) *cobra.Command {
	at := &site{file: path}
	cmd := &cobra.Command{
		Use: "recovery", Short: "This node's part in a recovery: measure, look into copies, carry out a plan by hand",
		Long: "recovery looks at this node's copies and at what it keeps of copies that were given up. Where a witness answers, recoveries are\n" +
			"led by it (sbctl resolve); with none, this is the last resort:\n\n" +
			"  node-a# sbagent recovery measure nfs >a.json        # and b.json on the other node; bring both files together\n" +
			"  node-a# sbagent recovery plan a.json b.json --discard node-b >plan.json\n" +
			"  node-b# sbagent recovery run plan.json              # the node that is discarded first, then the other one",
	}
	cmd.AddCommand(
		measureCommand(at), planCommand(), runCommand(at),
		filesCommand(at), keptCommand(at), salvageCommand(at), undoCommand(at), releaseCommand(at),
	)
	cmd.PersistentFlags().BoolVarP(&at.verbose, "verbose", "v", false, "log what is told to DRBD and to services, on the standard error")
	return cmd
}

// site is the node at which a person is, and how much of what is done there is logged.
type site struct {
	file    *string
	verbose bool
}

// load reads the node file. What a daemon logs is no part of a talk with a person, who is
// told what comes of it; it is for whoever asks for it, here or by the level.
func (at *site) load() (*daemon.Daemon, error) {
	d, err := load(*at.file)
	if err == nil && !at.verbose && os.Getenv(logLevel) == "" {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d, err
}

func (at *site) hands() (*carry.Node, error) {
	d, err := at.load()
	if err != nil {
		return nil, err
	}
	return d.Hands()
}

// handsOf returns them with the group that is named.
func (at *site) handsOf(name string) (*carry.Node, carry.Group, error) {
	n, err := at.hands()
	if err != nil {
		return nil, carry.Group{}, err
	}
	g, err := daemon.GroupOf(n, name)
	return n, g, err
}

func measureCommand(at *site) *cobra.Command {
	return &cobra.Command{
		Use: "measure GROUP", Short: "Print what this node knows of its copy, as JSON; changes nothing", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := at.load()
			if err != nil {
				return err
			}
			n, err := d.Hands()
			if err != nil {
				return err
			}
			g, err := daemon.GroupOf(n, args[0])
			if err != nil {
				return err
			}
			side, err := n.Measure(cmd.Context(), g)
			if err != nil {
				return err
			}
			if side.Missing == "" {
				side.Tenures = d.Tenures(g.Name)
			}
			return printJSON(cmd.OutOrStdout(), recovery.Measured{Group: g.Name, Side: side})
		},
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func planCommand() *cobra.Command {
	var discard string
	cmd := &cobra.Command{
		Use: "plan MEASURED MEASURED --discard NODE", Short: "Make a plan from what both nodes measured; asks nobody", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := evidence(args)
			if err != nil {
				return err
			}
			d, err := recovery.Choose(e, recovery.Node(discard))
			if err != nil {
				return err
			}
			p, err := recovery.MakePlan(e, d)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s; up to %s of %s's changes are given up\n", e.Group, d.Diagnosis.Why, recovery.Bytes(d.Discard), p.Victim)
			return printJSON(cmd.OutOrStdout(), p)
		},
	}
	cmd.Flags().StringVar(&discard, "discard", "", "the node whose changes are given up")
	return cmd
}

// evidence puts the two nodes' measurements together.
func evidence(files []string) (recovery.Evidence, error) {
	var e recovery.Evidence
	for i, name := range files {
		var m recovery.Measured
		if err := readJSON(name, &m); err != nil {
			return e, err
		}
		if i > 0 && m.Group != e.Group {
			return e, fmt.Errorf("%s is of group %s and %s of group %s", name, m.Group, files[0], e.Group)
		}
		e.Group, e.Sides[i] = m.Group, m.Side
	}
	if e.Group == "" || e.Sides[0].Node == "" || e.Sides[1].Node == "" {
		return e, fmt.Errorf("read %s: both must be what sbagent recovery measure has printed, whole", strings.Join(files, " and "))
	}
	return e, e.Check()
}

func readJSON(name string, to any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read what was measured or planned: %w", err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func runCommand(at *site) *cobra.Command {
	var id string
	var dry, check bool
	cmd := &cobra.Command{
		Use: "run PLAN", Short: "Carry this node's own steps of a plan out, printing each", Args: cobra.ExactArgs(1),
		Long: "run prints and carries out the steps of the plan that are this node's. Run it on the node that is discarded first: it waits there\n" +
			"for the other one. Interrupted, it may be run again. Stop the agents first (systemctl stop sbagent): they would interfere.\n\n" +
			"Each node measures its own side before anything of it is given up or copied from it, and refuses a plan that does not fit any\n" +
			"more; the one that is discarded does so again when it has been stopped, and when it has been kept. Nobody can measure the other\n" +
			"node's: run it there with --check first. A copy that was lost is kept anew under another --id.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var p recovery.Plan
			if err := readJSON(args[0], &p); err != nil {
				return err
			}
			if err := p.Check(); err != nil {
				return fmt.Errorf("nothing was done: %s: %w", args[0], err)
			}
			n, err := at.hands()
			if err != nil {
				return err
			}
			if id == "" {
				id = idOf(p)
			}
			r := byHand{Node: n, plan: p, id: id, out: cmd.OutOrStdout()}
			switch {
			case dry:
				return r.tell()
			case check:
				return r.measured(cmd.Context())
			}
			return at.alone(func() error { return r.run(cmd) })
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "names what is kept (default: a name of this plan's own)")
	cmd.Flags().BoolVar(&check, "check", false, "only measure this node's side, and say whether the plan fits it still")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the steps, with the commands that do the same")
	return cmd
}

// idOf is one name for each plan, whenever it is run again: under the name of
// another one something is kept already, and nothing would be kept of this.
func idOf(p recovery.Plan) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("sbagent: write a plan: " + err.Error()) // it is plain data
	}
	return fmt.Sprintf("by-hand-%x", sha256.Sum256(text))[:len("by-hand-")+12]
}

// alone does something with no agent about, and keeps one from starting meanwhile:
// it would connect, promote and stop beside us.
func (at *site) alone(do func() error) error {
	d, err := at.load()
	if err != nil {
		return err
	}
	st, err := store.Open(d.Node.StateDir, store.Identity{Cluster: d.Node.Cluster, Node: d.Node.Name})
	if err != nil {
		return fmt.Errorf("nothing was done: stop the agent first (systemctl stop sbagent): %w", err)
	}
	return errors.Join(do(), st.Close())
}

// byHand carries a plan's steps out on one node, without anybody who leads.
type byHand struct {
	*carry.Node
	plan recovery.Plan
	id   string
	out  io.Writer
	// the plan fitted the victim after it had been stopped, and after it had been kept
	stood, held bool
	said        map[string]string // the latest line about each thing
}

// mine are the steps that are this node's to do.
func (r *byHand) mine() []recovery.Step {
	var out []recovery.Step
	for _, s := range r.plan.Steps {
		if s.Node == r.Name && s.Kind != recovery.Measure && s.Kind != recovery.Readmit && s.Kind != recovery.FollowResync {
			out = append(out, s)
		}
	}
	return append(out, recovery.Step{Node: r.Name, Kind: recovery.FollowResync})
}

func (r *byHand) tell() error {
	for _, s := range r.mine() {
		r.say("%s", s)
		for _, c := range r.plan.Commands(s) {
			r.say("    %s", c)
		}
	}
	return nil
}

// say prints a line.
func (r *byHand) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// sayOf prints a line about something, if it is not the latest about that: of several steps
// that are waited for each is looked at again and again.
func (r *byHand) sayOf(what, line string) {
	if r.said == nil {
		r.said = map[string]string{}
	}
	if line != r.said[what] {
		r.said[what] = line
		r.say("%s", line)
	}
}

// between is the time between two looks at what is not done.
const between = 500 * time.Millisecond

func (r *byHand) run(cmd *cobra.Command) error {
	if r.plan.Victim != r.Name && r.plan.Survivor != r.Name {
		return fmt.Errorf("the plan is for %s and %s, and this is %s", r.plan.Victim, r.plan.Survivor, r.Name)
	}
	if err := r.fresh(cmd.Context()); err != nil {
		return err
	}
	if err := r.fits(cmd.Context()); err != nil {
		return err
	}
	steps := r.mine()
	finished := make([]bool, len(steps))
	ctx := cmd.Context()
	for {
		over, err := r.round(cmd, steps, finished)
		if over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted; run it again to go on: %w", ctx.Err())
		case <-time.After(between):
		}
	}
}

// fresh refuses a plan that was begun, and whose victim has been used again since:
// what was kept then is not what it would lose now.
func (r *byHand) fresh(ctx context.Context) error {
	if r.plan.Victim != r.Name {
		return nil
	}
	side, err := r.side(ctx)
	if err != nil {
		return err
	}
	all, err := r.Kept(r.plan.Group)
	if err != nil {
		return err
	}
	if side.Role == drbd.RolePrimary && slices.ContainsFunc(all, func(k keep.Kept) bool { return k.Recovery == r.id }) {
		return fmt.Errorf("nothing was done: %s is Primary again, and what is kept as %s is older; measure and plan anew, or give another --id", r.Name, r.id)
	}
	return nil
}

// round asks for every step that is not done, up to the first that is not ready. What
// brings the copies together is asked for until they are the same: the wish to discard
// counts for one handshake, and a link that is lost wants another one.
func (r *byHand) round(cmd *cobra.Command, steps []recovery.Step, finished []bool) (over bool, err error) {
	for i, s := range steps {
		if finished[i] && !lasting(s.Kind) {
			continue
		}
		if err := r.before(cmd.Context(), s); err != nil {
			return false, err
		}
		p, err := r.Do(cmd.Context(), r.plan, s, r.id)
		if err != nil {
			return false, r.failed(s, err)
		}
		finished[i] = p.Done
		r.sayOf(s.String(), fmt.Sprintf("%s: %s", s.Kind, progress(p)))
		if !p.Ready {
			return false, nil
		}
	}
	return finished[len(finished)-1], nil
}

// lasting: what the step has done is used up, or undone, by a link that is lost.
func lasting(k recovery.StepKind) bool { return k == recovery.Discard || k == recovery.Connect }

func progress(p carry.Progress) string {
	if p.Total == 0 || p.Done {
		return p.Note
	}
	return fmt.Sprintf("%s, %s of %s left", p.Note, recovery.Bytes(p.Left), recovery.Bytes(p.Total))
}
