package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
	"sbarbiter/recovery"
)

const (
	// decidedWithin is longer than the witness waits for both sides.
	decidedWithin = 45 * time.Second
	decidedEvery  = 50 * time.Millisecond
	// mostAsked is how often a decision that changes under way is asked about anew.
	mostAsked = 3
)

type resolveFlags struct {
	keep, discard, policy string
	dryRun, preview, undo bool
	reason, typed         string
	offline, atMost       string
	whenBack              bool
	most                  *uint64 // of atMost
	nodes                 *[]string
	yes                   *bool
}

func (a *app) resolveCommand() *cobra.Command {
	var f resolveFlags
	cmd := &cobra.Command{
		Use:   "resolve GROUP",
		Short: "after a split brain: see what both copies hold, and give one side's changes up",
		Long: `Resolve measures both nodes' copies of a group and says what they have to do with
each other. Only a proven split brain is resolved by giving up what one side wrote:
the one that you name, or the one that the group's policies name. You see what is
kept, what is lost and every command first, and type the group's name.

A script says --typed GROUP --yes. That is the word to what is shown first: should more
be given up in the end, nothing is. A side that is Primary is written to until it is
stopped, so there --at-most SIZE has to say how much it may become.

What is given up is kept on the node that loses it, where it can be, before the
other side's data is copied over it. Until then the recovery can be called off:
sbctl recovery cancel GROUP. It goes on by itself when a node, an agent or the
witness has to start anew.

Of a node that is not there, what was last known of it is shown, and nothing is given
up that cannot be measured and kept. With --when-back the order waits until it is
there: then you are asked again, or not if what it has is within --at-most.`,
		Example: "  sbctl resolve nfs --dry-run\n  sbctl resolve nfs --keep node-a\n" +
			"  sbctl resolve nfs --policy discard-least-changes\n  sbctl resolve nfs --discard node-b --reason 'tested there' --typed nfs --yes\n" +
			"  sbctl resolve nfs --keep node-b --at-most 64MiB --typed nfs --yes",
		Args: args(cobra.ExactArgs(1), "one group"), ValidArgsFunction: a.completeGroups,
		RunE: func(cmd *cobra.Command, given []string) error { return a.resolve(cmd, given[0], f) },
	}
	cmd.Flags().StringVar(&f.keep, "keep", "", "the node whose copy is kept")
	cmd.Flags().StringVar(&f.discard, "discard", "", "the node whose changes are given up")
	cmd.Flags().StringVar(&f.policy, "policy", "", "let this policy decide, instead of the group's list")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show; nothing is touched")
	cmd.Flags().BoolVar(&f.preview, "preview", false, "only show, and file by file; see sbctl preview")
	cmd.Flags().BoolVar(&f.undo, "undo", false, "only show what undoing the latest recovery would mean, and how it is done")
	cmd.Flags().StringVar(&f.offline, "offline", "", "on a node, with no witness to lead: carry out its own steps of this plan (sbagent recovery plan)")
	cmd.Flags().BoolVar(&f.whenBack, "when-back", false, "a node that is not there is waited for; meanwhile this holds nobody up")
	cmd.Flags().StringVar(&f.atMost, "at-most", "", "give up to so much of the losing side's changes up without asking again, as 64MiB")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&f.typed, "typed", "", "the group's name once more, for scripts; with --yes")
	f.yes, f.nodes = yesFlag(cmd), nodesFlag(cmd)
	complete(cmd, "keep", a.completeNodes)
	complete(cmd, "discard", a.completeNodes)
	complete(cmd, "policy", cobra.FixedCompletions(each(recovery.PolicyNames, func(n recovery.PolicyName) string { return string(n) }), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// rescue is one recovery as this operator sees it through.
type rescue struct {
	*app
	cmd            *cobra.Command
	w              *witness
	p              *pair
	cluster, group string
	flags          resolveFlags
	id             arbiter.RecoveryID
	agreed         agreed
}

func (a *app) resolve(cmd *cobra.Command, group string, f resolveFlags) error {
	if err := errors.Join(f.check(cmd, group), f.checkWaiting(cmd)); err != nil {
		return err
	}
	if f.offline != "" {
		return a.offline(cmd, group, f)
	}
	if len(*f.nodes) > 0 {
		return a.look(cmd, group, f)
	}
	return a.withGroup(cmd, group, func(w *witness, c *sbv1.ClusterStatus) error {
		r := &rescue{app: a, cmd: cmd, w: w, p: examine(c), cluster: c.GetDefinition().GetCluster(), group: group, flags: f}
		if err := r.names(); err != nil {
			return err
		}
		if f.undo || f.preview {
			return a.only(cmd, group, [2]string(r.p.def.GetNodes()), r.flags)
		}
		return r.run()
	})
}

// look only shows, with no witness to ask for the nodes.
func (a *app) look(cmd *cobra.Command, group string, f resolveFlags) error {
	if !f.undo && !f.preview {
		return usage(cmd, "nothing was done: --nodes is for --undo and --preview, which ask no witness; with none to lead a recovery: --offline")
	}
	pair, err := a.pairOf(cmd, group, *f.nodes)
	if err != nil {
		return err
	}
	if err := errors.Join(oneOf(cmd, pair, f.keep), oneOf(cmd, pair, f.discard)); err != nil {
		return err
	}
	if f.keep != "" {
		f.discard = pair[0]
		if f.keep == pair[0] {
			f.discard = pair[1]
		}
	}
	return a.only(cmd, group, pair, f)
}

// only shows what would be, by asking the nodes.
func (a *app) only(cmd *cobra.Command, group string, pair [2]string, f resolveFlags) error {
	if f.undo {
		return a.undo(cmd.Context(), group, pair)
	}
	seen, err := a.preview(cmd.Context(), group, pair)
	if err != nil {
		return err
	}
	return a.showPreview(seen, f.discard, false)
}

// check finds what makes no sense whatever the pair is like.
func (f *resolveFlags) check(cmd *cobra.Command, group string) error {
	given := 0
	for _, s := range []string{f.keep, f.discard, f.policy} {
		if s != "" {
			given++
		}
	}
	only := "--preview"
	if f.undo {
		only = "--undo"
	}
	switch {
	case f.preview && f.undo:
		return usage(cmd, "nothing was done: --preview and --undo are two looks: one at what a recovery would give up, one at what was given up; type one of them")
	case (f.preview || f.undo) && (f.typed != "" || f.reason != "" || *f.yes):
		return usage(cmd, "nothing was done: %s only shows, so that there is nothing to agree to: leave --typed, --yes and --reason out", only)
	case f.preview && f.policy != "":
		return usage(cmd, "nothing was done: --preview shows what each choice would cost, whatever a policy decides; what this one would: sbctl resolve %s --policy %s --dry-run", group, f.policy)
	case f.keep != "" && f.keep == f.discard:
		return usage(cmd, "nothing was done: %s cannot be kept and discarded", f.keep)
	case f.undo && given > 0:
		return usage(cmd, "nothing was done: --undo names no side and no policy: it shows what putting back the copy that was given up means")
	case given > 1:
		return usage(cmd, "nothing was done: name one of --keep, --discard and --policy")
	case f.policy != "" && !slices.Contains(recovery.PolicyNames, recovery.PolicyName(f.policy)):
		return usage(cmd, "nothing was done: there is no policy %q; %s", f.policy, likePolicy(f.policy))
	case f.policy == string(recovery.Manual) || f.policy == string(recovery.DiscardNode) || f.policy == string(recovery.Consensus):
		return usage(cmd, "nothing was done: %s says nothing by its name alone; name the node with --keep or --discard", f.policy)
	}
	return nil
}

// likePolicy says which policy was meant; all of them where that is a bad guess.
func likePolicy(typed string) string {
	if n := recovery.LikePolicy(typed); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return "there are " + strings.Join(each(recovery.PolicyNames, func(n recovery.PolicyName) string { return string(n) }), ", ")
}

// names checks the nodes, and turns keep into whom that discards.
func (r *rescue) names() error {
	for _, n := range []string{r.flags.keep, r.flags.discard} {
		if n != "" {
			if err := knownNode(r.cmd, r.p.ClusterStatus, n); err != nil {
				return err
			}
		}
	}
	if r.flags.keep != "" {
		r.flags.discard = r.p.peer(r.flags.keep)
	}
	return nil
}

// run opens the recovery, shows what was decided, asks, and follows it.
func (r *rescue) run() error {
	if err := r.unasked(); err != nil {
		return err
	}
	typed, beforehand, err := r.typedBeforehand()
	if err != nil {
		return err
	}
	v, err := ask(r.cmd.Context(), r.w, &sbv1.ResolveRequest{
		Cluster: r.cluster, Group: r.group, Discard: r.flags.discard, Policy: r.flags.policy, DryRun: r.flags.dryRun, Reason: r.flags.reason,
		WhenBack: r.flags.whenBack, AtMost: beforehand, Typed: typed,
	}, r.w.Resolve)
	if err != nil {
		return err
	}
	if v.GetKind() == string(arbiter.Refused) {
		return r.outcome(v)
	}
	r.id = arbiter.RecoveryID(v.GetRecovery())
	doc, err := r.decided()
	if err != nil {
		return r.letGo(err, "it was not decided in time")
	}
	if r.flags.dryRun {
		return errors.Join(r.printDocument(doc, r.p.historyOf(doc)), r.tellAbsent(doc), r.tellChoice(doc))
	}
	r.show(doc)
	return r.goOn(doc)
}

// goOn does what is left for an operator to do.
func (r *rescue) goOn(doc *arbiter.Recovery) error {
	switch doc.Phase {
	case arbiter.Over:
		return &refusal{sentence: "nothing was done: " + doc.Note + r.insteadOf(doc)}
	case arbiter.Undecided:
		return r.letGo(&refusal{sentence: fmt.Sprintf("nothing was done: %s; say whose copy is kept: sbctl resolve %s --keep %s (or --keep %s)",
			doc.Note, r.group, r.p.def.GetNodes()[0], r.p.def.GetNodes()[1])}, "nobody was named")
	case arbiter.Awaiting:
		return r.print("%s: recovery %s waits: %s\nsbctl recovery show %s tells how it is, sbctl recovery cancel %s lets go of it\n", r.group, doc.ID, doc.Note, r.group, r.group)
	case arbiter.Confirming, arbiter.Carrying:
		return r.follow() // that was allowed beforehand
	case arbiter.Decided:
		if r.flags.whenBack && r.flags.most != nil {
			return r.letGo(&refusal{sentence: "nothing was done: " + doc.Note}, doc.Note)
		}
	case arbiter.Collecting:
	}
	if err := r.approve(doc); err != nil {
		return err
	}
	return r.follow()
}

// decided waits until both sides have been measured.
func (r *rescue) decided() (*arbiter.Recovery, error) {
	for end := time.Now().Add(decidedWithin); time.Now().Before(end); {
		doc, _, err := r.document()
		if err != nil {
			return nil, err
		}
		if doc.Phase != arbiter.Collecting {
			return doc, nil
		}
		if !pause(r.cmd.Context(), decidedEvery) {
			return nil, fmt.Errorf("not waited for: %w", r.cmd.Context().Err())
		}
	}
	return nil, fmt.Errorf("both sides were not measured within %v; sbctl recovery show %s", decidedWithin, r.group)
}

// document is the recovery as it stands now.
func (r *rescue) document() (*arbiter.Recovery, []*sbv1.Carrying, error) {
	all, err := r.w.recoveries(r.cmd.Context(), r.cluster, r.group)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range all {
		if d.ID == r.id {
			return &d.Recovery, d.carrying, nil
		}
	}
	return nil, nil, fmt.Errorf("recovery %s of %s is not known to the witness any more; sbctl recovery list", r.id, r.group)
}

// callOff lets go of a recovery that nobody wants any more, also for an operator who has
// broken it off. Where that cannot be said, the witness lets go of it after a while.
func (r *rescue) callOff(why string) error {
	v, err := ask(context.WithoutCancel(r.cmd.Context()), r.w, &sbv1.CancelRecoveryRequest{Cluster: r.cluster, Group: r.group, Recovery: uint64(r.id), Reason: why}, r.w.CancelRecovery)
	if err != nil {
		return fmt.Errorf("recovery %s stays open: %w; sbctl recovery cancel %s", r.id, err, r.group)
	}
	if v.GetKind() == string(arbiter.Refused) {
		return &refusal{arbiter.Reason(v.GetReason()), fmt.Sprintf("recovery %s is not called off: %s", r.id, v.GetSentence())}
	}
	return nil
}

// letGo calls a recovery off because of what is said, and says besides where that is not done.
func (r *rescue) letGo(said error, why string) error { return besides(said, r.callOff(why)) }

// besides adds what else went wrong. How it ended is for what came first to say.
func besides(first, more error) error {
	var no *refusal
	switch {
	case more == nil:
		return first
	case errors.As(more, &no):
		return fmt.Errorf("%w; and %s", first, no.sentence)
	}
	return fmt.Errorf("%w; and %w", first, more)
}
