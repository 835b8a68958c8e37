package ctl

import (
	"fmt"
	"strings"
	"time"

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

// initFlags are what an operator says about two copies.
type initFlags struct {
	keep, reason, typed string
	lost, cancel        bool
	word                uint64
}

func (a *app) groupInitCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init GROUP --keep NODE",
		Short: "keep one node's copy of a group, and give the other one's up",
		Long: `Init is for a group of which both copies are stale, each in its own way, or whose
copies were never in step. You have looked at both; the copy of the node that you
name counts as good from now on, and the other one is overwritten as a whole,
whichever DRBD takes for the newer. What only that one has is lost.

With --lost it is for a group whose only good copy was on a machine that is lost for
good, and whose lease is over (sbctl fence confirm). The stale copy of the node that you
name stands in for it: what was acknowledged since is given up. It counts only while
nothing is heard of the lost machine. Should that come back later, what it has is not
overwritten before a recovery has kept it. Until the stale copy has begun to stand in,
--cancel takes that word back: the one that is in force, or none but the one whose number
you name with --word, as sbctl status shows it.

You are asked to type the name of the node whose copy is given up. A script gives
it with --typed and --yes.`,
		Example: "  sbctl group init nfs --keep node-a --reason 'node-b lacks the orders of today'\n" +
			"  sbctl group init nfs --keep node-a --reason 'disk of node-b is new' --typed node-b --yes\n" +
			"  sbctl group init nfs --keep node-b --lost --reason 'node-a has burnt down'\n" +
			"  sbctl group init nfs --cancel --word 1 --reason 'it was only a cable'",
		Args: args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
	}
	cmd.Flags().StringVar(&f.keep, "keep", "", "the node whose copy is kept")
	cmd.Flags().BoolVar(&f.lost, "lost", false, "the other node has the only good copy, and is lost for good")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "take back that a machine is lost for good")
	cmd.Flags().Uint64Var(&f.word, "word", 0, "with --cancel: the number of the word that is taken back, and no other")
	cmd.Flags().StringVar(&f.reason, "reason", "", "what you have seen; goes into the audit log")
	cmd.Flags().StringVar(&f.typed, "typed", "", "the name of the node whose copy is given up, for scripts; with --yes")
	complete(cmd, "keep", a.completeNodes)
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		switch {
		case f.cancel && (f.keep != "" || f.lost || f.typed != ""):
			return usage(cmd, "nothing was done: --cancel takes a word with --lost back; it goes with neither --keep, --lost nor --typed")
		case f.word != 0 && !f.cancel:
			return usage(cmd, "nothing was done: --word names what --cancel takes back")
		case f.cancel:
			return a.takeBack(cmd, given[0], f)
		case f.keep == "":
			return usage(cmd, "nothing was done: say whose copy is kept: --keep NODE")
		case strings.TrimSpace(f.reason) == "":
			return usage(cmd, "nothing was done: say what you have seen of the two copies: --reason '...'")
		}
		return a.operate(cmd, f.keep, func(w *witness, p *pair) (*sbv1.Verdict, error) { return a.giveUp(cmd, w, p, given[0], f, *yes) })
	}
	return cmd
}

// takeBack withdraws the word that a machine is lost for good. Nothing is given up by
// that, so nobody is asked.
func (a *app) takeBack(cmd *cobra.Command, group string, f initFlags) error {
	return a.withGroup(cmd, group, func(w *witness, c *sbv1.ClusterStatus) error {
		g, err := groupNamed(cmd, c, group)
		if err != nil {
			return err
		}
		s := g.GetStandIn()
		switch {
		case f.word != 0:
		case s == nil: // a word that is given right now is not meant
			return &refusal{sentence: fmt.Sprintf("nothing was done: no copy of %s is to stand in for one that is lost: nobody has said so, or it has begun to", group)}
		default:
			f.word = s.GetWord()
			a.say("Meant is word %[1]d, %[2]s's: that %[3]s is lost for good. Where no answer comes, say it again with --word %[1]d.", f.word, s.GetBy(), s.GetLost())
		}
		v, err := ask(cmd.Context(), w, &sbv1.GiveUpRequest{
			Cluster: c.GetDefinition().GetCluster(), Group: group, Reason: f.reason, Cancel: true, Word: f.word,
		}, w.GiveUp)
		if err != nil {
			return err
		}
		return a.outcome(v)
	})
}

func (a *app) giveUp(cmd *cobra.Command, w *witness, p *pair, group string, f initFlags, yes bool) (*sbv1.Verdict, error) {
	if err := knownNode(cmd, p.ClusterStatus, f.keep); err != nil {
		return nil, err
	}
	g, err := groupNamed(cmd, p.ClusterStatus, group)
	if err != nil {
		return nil, err
	}
	a.group = group
	if split := g.GetSplit(); split != nil && !f.lost && begunAndDecided(g) {
		return nil, &refusal{sentence: fmt.Sprintf("nothing was done: %s; group init is for copies that are both stale, and keeps nothing of the one that it overwrites; type: %s",
			split.GetWhat(), split.GetDo())}
	}
	discard := p.peer(f.keep)
	prompt, only := "Type the name of the node whose copy is given up: ", "if "+discard+"'s copy is to be overwritten"
	if f.lost {
		prompt, only = "Type the name of the node that is lost for good: ", "if "+discard+" is lost for good"
		a.showLoss(p, group, f.keep)
	} else {
		a.showCopies(p, group, f.keep)
	}
	word, err := a.typedWord(cmd, discard, f.typed, answered(yes), prompt, only)
	if err != nil {
		return nil, err
	}
	return ask(cmd.Context(), w, &sbv1.GiveUpRequest{
		Cluster: p.def.GetCluster(), Group: group, Node: discard, Typed: word, Reason: f.reason, Lost: f.lost,
		Word: g.GetWords() + 1,
	}, w.GiveUp)
}

// begunAndDecided reports whether a group has run and has a copy that is not stale: the
// rules know which one is good.
func begunAndDecided(g *sbv1.GroupStatus) bool {
	return len(g.GetExclusions()) < 2 && (g.GetHolder() != "" || g.GetLast().GetCause() != "")
}

// showLoss says what is given up where a stale copy stands in for a lost one, and what
// becomes of that, should it come back.
func (a *app) showLoss(p *pair, group, keep string) {
	lost := p.peer(keep)
	for _, g := range p.GetGroups() {
		if g.GetName() != group {
			continue
		}
		for _, e := range g.GetExclusions() {
			a.say("%s's copy of %s counts as stale%s (%s).", e.GetNode(), group, since(e), exclusionWords(e))
		}
		if g.GetLast().GetHolder() == lost {
			a.say("%s held %s last: %s.", lost, group, basisWords(g.GetLast()))
		}
	}
	if n := p.nodes[lost]; n.GetSilentNs() >= 0 {
		a.say("%s is silent for %s.", lost, span(time.Duration(n.GetSilentNs())))
	}
	a.say("Whatever was acknowledged on %[1]s since is given up: %[2]s goes on with what %[3]s has. How much that is, only %[1]s knew.", lost, group, keep)
	a.say("%[1]s's copy is not touched. If that machine is heard before %[3]s has begun, your word counts no more. Should it come back later, nothing on it is overwritten before you, "+
		"or the policies of %[2]s, have decided in a recovery, which keeps it first (sbctl resolve %[2]s --keep %[3]s).", lost, group, keep)
}

// since says since when a copy is stale, if that is known.
func since(e *sbv1.ExclusionStatus) string {
	if e.GetSinceMs() == 0 {
		return ""
	}
	return " since " + hour(e.GetSinceMs()/1000)
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
		if begunAndDecided(g) {
			a.say("Not both copies of %[1]s are stale, and nothing is kept of the one that is overwritten. If the two have split, this is not for it: sbctl resolve %[1]s --keep %[2]s", group, keep)
		}
	}
	a.say("%s's copy of %s is kept. ALL of %s's copy is overwritten with it; what only that one has is lost.", keep, group, p.peer(keep))
}
