package ctl

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"sbarbiter/recovery"
)

// undo shows what undoing the latest recovery would mean, and how it is done. It
// touches nothing: the pair's data are replaced by hand, on the node that keeps the
// copy.
func (a *app) undo(ctx context.Context, group string, pair [2]string) error {
	keeper, id, err := a.keeper(ctx, group, pair, "")
	if err != nil {
		return err
	}
	var kept listing
	if err := a.askNode(ctx, keeper, &kept, "files", group, "--of", "kept", "--recovery", id); err != nil {
		return err
	}
	if err := kept.check(); err != nil {
		return fmt.Errorf("ask %s: %w", keeper, err)
	}
	now := a.filesNow(ctx, group, pair, keeper, kept)
	var differs bytes.Buffer
	if err := a.onNode(ctx, keeper, nil, &differs, "undo", group, "--recovery", id); err != nil {
		a.say("sbctl: %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s keeps what it had before recovery %s. Put back, it takes with it:\n", keeper, id)
	found := losses("what is there now", now, kept.each(), recovery.Forks{})
	compareWith(found, now)
	for _, l := range found {
		b.WriteByte('\n')
		l.tellIf(&b, a.paper(), shown)
	}
	fmt.Fprintf(&b, "\n%s\nWhat goes is kept in turn, on %s. To do it, with no agent to interfere:\n", differs.String(), keeper)
	for _, s := range undoSteps(group, keeper, id, kept) {
		fmt.Fprintf(&b, "  %s\n", strings.TrimRight(fmt.Sprintf("%-*s  %s", 52, addressed(s[0], a.among), s[1]), " "))
	}
	return a.list(b.String())
}

// undoSteps are the lines that put what keeper keeps of a recovery back, and where to
// type each. An agent that stops leaves DRBD Secondary, so that who holds the group
// before does not matter, and whoever is granted it after maintenance has the data.
func undoSteps(group, keeper, id string, kept listing) [][2]string {
	var resources []string
	for _, v := range kept.Volumes {
		if r, _, _ := strings.Cut(v.Volume, "/"); !slices.Contains(resources, r) {
			resources = append(resources, r)
		}
	}
	all := strings.Join(resources, " ")
	return [][2]string{
		{"sbctl maintenance on --for 2h", "nobody takes the group over meanwhile"},
		{"systemctl stop sbagent", "on both nodes; it stops the group's services and leaves DRBD Secondary"},
		{"drbdadm primary " + all, "on " + keeper + "; mount nothing"},
		{"sbagent recovery undo " + group + " --recovery " + id + " --yes", "on " + keeper},
		{"drbdadm secondary " + all, "on " + keeper},
		{"systemctl start sbagent", "on both nodes"},
		{"sbctl maintenance off", "one of the nodes is granted the group, and starts it"},
	}
}
