package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sbarbiter/arbiter"
	"sbarbiter/internal/config"
	"sbarbiter/recovery"
)

// checkWaiting finds what makes no sense of an order that waits for a node.
func (f *resolveFlags) checkWaiting(cmd *cobra.Command) error {
	if f.atMost != "" && (f.keep == "" && f.discard == "" || f.dryRun || f.preview || f.undo || f.offline != "") {
		return usage(cmd, "nothing was done: --at-most goes with --keep or --discard: it is so much of the changes of one side that you name")
	}
	if f.whenBack && (f.keep == "" && f.discard == "" || f.dryRun || f.preview || f.undo || f.offline != "") {
		return usage(cmd, "nothing was done: --when-back goes with --keep or --discard, and nothing else")
	}
	if f.atMost == "" {
		return nil
	}
	n, err := config.Bytes(f.atMost)
	if err != nil {
		return usage(cmd, "nothing was done: --at-most: %w", err)
	}
	f.most = &n
	return nil
}

// typedBeforehand gets the group's name typed where a loss is allowed that cannot be
// shown yet.
func (r *rescue) typedBeforehand() (string, *uint64, error) {
	if r.flags.most == nil || !r.flags.whenBack {
		return "", nil, nil
	}
	r.say("%s's copy of %s is given up as soon as it is there, if that costs no more than %s of its changes; it is measured and kept first",
		r.flags.discard, r.group, recovery.Bytes(*r.flags.most))
	allowed := agreed{recovery.Node(r.flags.discard), *r.flags.most}
	typed, err := r.typedGroup(allowed)
	r.agreed = allowed
	return typed, r.flags.most, err
}

// insteadOf is what may be typed where one side is not there.
func (r *rescue) insteadOf(doc *arbiter.Recovery) string {
	if doc.Evidence == nil || doc.Evidence.Missing() == "" || r.flags.discard == "" {
		return ""
	}
	gone, line := string(doc.Evidence.Missing()), fmt.Sprintf("sbctl resolve %s --discard %s --when-back", r.group, r.flags.discard)
	if gone == r.flags.discard {
		return "; what cannot be measured and kept is not given up: to have it done once " + gone + " is there: " + line
	}
	return "; " + gone + ", whose copy would be kept, is not there to copy from: to have it done once it is: " + line
}

func (r *rescue) tellAbsent(doc *arbiter.Recovery) error {
	text := r.absent(doc)
	if text == "" || r.as == jsonLines {
		return nil
	}
	return r.print("%s", text)
}

// absent is what the witness has last heard of a node that could not be measured.
func (r *rescue) absent(doc *arbiter.Recovery) string {
	if doc.Evidence == nil || doc.Evidence.Missing() == "" {
		return ""
	}
	gone := string(doc.Evidence.Missing())
	var b strings.Builder
	for _, n := range r.p.GetNodes() {
		if n.GetName() == gone && !r.p.heard(gone) {
			fmt.Fprintf(&b, "%s was last heard: %s\n", gone, heardWords(n))
		}
	}
	for _, g := range r.p.GetGroups() {
		if g.GetName() != r.group {
			continue
		}
		for _, on := range g.GetNodes() {
			for _, d := range on.GetDisks() {
				if on.GetNode() == gone {
					fmt.Fprintf(&b, "  its disk of %s was %s then, and it saw its peer's as %s\n", d.GetVolume(), d.GetOwn(), d.GetPeer())
				}
			}
		}
		if split := g.GetSplit(); split != nil {
			fmt.Fprintf(&b, "%s\n", split.GetWhat())
		}
	}
	return b.String()
}
