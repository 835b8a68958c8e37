package ctl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sbarbiter/recovery"
)

func (a *app) previewCommand() *cobra.Command {
	var discard string
	var all bool
	cmd := &cobra.Command{
		Use: "preview GROUP", Short: "show what giving one side's copy up would lose, file by file",
		Long: `Preview asks both nodes for what they changed since they lost each other and for
their lists of files, and compares them. Nothing is changed: what is mounted is
read through a read-only mount of its own, what is not is read off its disk,
read-only. The nodes are asked directly (shell: in ` + settingsFile + `,
by default ssh as root).`,
		Example: "  sbctl preview nfs\n  sbctl preview nfs --discard node-b --all",
		Args:    args(cobra.ExactArgs(1), "a group"),
	}
	nodes := nodesFlag(cmd)
	cmd.Flags().StringVar(&discard, "discard", "", "only for this node as the one that is discarded")
	cmd.Flags().BoolVar(&all, "all", false, "list every file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pair, err := a.pairOf(cmd, args[0], *nodes)
		if err != nil {
			return err
		}
		if err := oneOf(cmd, pair, discard); err != nil {
			return err
		}
		p, err := a.preview(cmd.Context(), args[0], pair)
		if err != nil {
			return err
		}
		return a.showPreview(p, discard, all)
	}
	return cmd
}

// previewed is what both sides of a group hold.
type previewed struct {
	Evidence  recovery.Evidence  `json:"evidence"`
	Diagnosis recovery.Diagnosis `json:"diagnosis"`
	Files     []fileLoss         `json:"files"`
	problems  []string
	unlisted  int // sides whose files could not be listed
}

// preview asks both nodes at once. A node that cannot be asked is missing, with
// the reason.
func (a *app) preview(ctx context.Context, group string, pair [2]string) (previewed, error) {
	p := previewed{Evidence: recovery.Evidence{Group: group}}
	var lists [2]listing
	var failed [2]error
	var g errgroup.Group
	for i, node := range pair {
		g.Go(func() error {
			var m recovery.Measured
			if err := a.askNode(ctx, node, &m, "measure", group); err != nil {
				m.Side = recovery.Side{Node: recovery.Node(node), Missing: err.Error()}
			}
			p.Evidence.Sides[i] = m.Side
			lists[i], failed[i] = a.ownFiles(ctx, node, group)
			return nil
		})
	}
	_ = g.Wait() // what went wrong is kept for each node
	if ctx.Err() != nil {
		return p, fmt.Errorf("look at group %s: %w", group, ctx.Err())
	}
	p.Diagnosis = recovery.Diagnose(p.Evidence)
	for i := range pair {
		if failed[i] != nil {
			p.unlisted++
			if failed[i].Error() != p.Evidence.Sides[i].Missing { // said already
				p.problems = append(p.problems, fmt.Sprintf("no list of %s's files: %v", pair[i], failed[i]))
			}
			continue
		}
		p.Files = append(p.Files, losses(pair[i], lists[i].each(), lists[1-i].each(), p.Evidence.Forks(recovery.Node(pair[i])))...)
	}
	return p, nil
}

func (a *app) showPreview(p previewed, discard string, all bool) error {
	if a.as == jsonLines {
		if err := a.json(p); err != nil {
			return err
		}
		return p.seen()
	}
	p.Evidence, p.Diagnosis = forPeople(p.Evidence), forPeople(p.Diagnosis)
	var b strings.Builder
	fmt.Fprintf(&b, "group %s: %s\n  %s\n\n", p.Evidence.Group, p.Diagnosis.Kind, p.why())
	if len(p.missing()) < len(p.Evidence.Sides) {
		sideBySide(&b, p.Evidence, a.paper())
	}
	whyMissing(&b, p.Evidence)
	for _, f := range p.Diagnosis.Volumes {
		fmt.Fprintf(&b, "%s: %s\n", f.Volume, forecast(f))
	}
	for _, problem := range p.problems {
		fmt.Fprintf(&b, "%s\n", shownAs(problem))
	}
	most := shown
	if all {
		most = 1 << 30
	}
	for _, l := range p.Files {
		if discard == "" || l.Victim == discard {
			b.WriteByte('\n')
			l.tellIf(&b, a.paper(), most)
		}
	}
	if err := a.list(b.String()); err != nil {
		return err
	}
	return p.seen()
}

// why is the diagnosis in words, without what is said below the table.
func (p *previewed) why() string {
	switch gone := p.missing(); len(gone) {
	case 0:
		return p.Diagnosis.Why
	case 1:
		return gone[0] + " could not be measured: one side alone cannot tell a split brain from a lag"
	}
	return "neither copy could be measured"
}

// missing names the sides of which nothing is known.
func (p *previewed) missing() []string {
	var out []string
	for _, s := range p.Evidence.Sides {
		if s.Missing != "" {
			out = append(out, string(s.Node))
		}
	}
	return out
}

// seen fails where neither copy was: a script must not take that for nothing lost.
func (p *previewed) seen() error {
	a, b := p.Evidence.Sides[0], p.Evidence.Sides[1]
	if len(p.missing()) == len(p.Evidence.Sides) && p.unlisted == len(p.Evidence.Sides) {
		return fmt.Errorf("look at group %s: neither %s nor %s could be asked; %s", p.Evidence.Group, a.Node, b.Node, reachedBy)
	}
	return nil
}

// forecast says how much a resync would copy, and how long that takes.
func forecast(f recovery.VolumeFinding) string {
	switch {
	case f.AtMost == 0:
		return fmt.Sprintf("%s, nothing is copied", f.Kind)
	case f.Full:
		return fmt.Sprintf("%s, all of it is copied: %s%s", f.Kind, recovery.Bytes(f.AtMost), orMore(f.Soonest))
	case f.AtLeast == f.AtMost:
		return fmt.Sprintf("%s, %s are copied, by the bitmap%s", f.Kind, recovery.Bytes(f.AtMost), orMore(f.Soonest))
	}
	return fmt.Sprintf("%s, %s to %s are copied, by the bitmap%s", f.Kind, recovery.Bytes(f.AtLeast), recovery.Bytes(f.AtMost), orMore(f.Soonest))
}

// orMore is how long a copy takes at the least: how fast disks and cables are, is not
// known before.
func orMore(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second/10:
		return ", in a moment or more"
	}
	return ", in " + span(d) + " or more"
}
