package ctl

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sbarbiter/arbiter"
	sbv1 "sbarbiter/proto/sb/v1"
)

// history is what the witness knew of a group's copies before a recovery began to change
// it: which of them counted as stale, and since when.
type history struct {
	stale []*sbv1.ExclusionStatus
	begun bool // the recovery has begun, and this is how it found them
}

// historyOf looks it up: in the recovery where that has begun, else in what the witness
// says now, unless that has come about after the recovery was over.
func (p *pair) historyOf(doc *arbiter.Recovery) history {
	h := history{begun: doc.Tries > 0}
	for _, node := range p.def.GetNodes() {
		if e, was := doc.Before[arbiter.NodeID(node)]; was {
			h.stale = append(h.stale, &sbv1.ExclusionStatus{
				Node: node, Number: uint64(e.Number), OwnWord: e.OwnWord, By: string(e.By), Epoch: uint64(e.Epoch),
				Discard: uint64(e.Discard), Lost: e.Lost, SinceMs: e.Since,
			})
		}
	}
	if h.begun {
		return h
	}
	for _, g := range p.GetGroups() {
		if g.GetName() == string(doc.Group) {
			h.stale = slices.DeleteFunc(slices.Clone(g.GetExclusions()), func(e *sbv1.ExclusionStatus) bool {
				return doc.Phase == arbiter.Over && e.GetSinceMs() > doc.Ended
			})
		}
	}
	return h
}

// parted is when the two copies lost each other, as far as the witness knows: when it
// began to count one of them as stale. Zero: it does not know.
func (h history) parted() time.Time {
	var latest int64
	for _, e := range h.stale {
		latest = max(latest, e.GetSinceMs())
	}
	if latest == 0 {
		return time.Time{}
	}
	return time.UnixMilli(latest)
}

func (h history) tell(b *strings.Builder) {
	is := "counts as stale"
	if h.begun {
		is = "counted as stale before this recovery"
	}
	for _, e := range h.stale {
		fmt.Fprintf(b, "%s: its copy %s%s (%s)\n", e.GetNode(), is, since(e), exclusionWords(e))
	}
}
