package recovery

import (
	"fmt"
	"slices"
	"time"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// sinceOne are the times as Primary that may be of after the fork. What was before both
// copies were one has left its mark on both, whoever held which epoch then.
func (s Side) sinceOne() []Tenure {
	for i, t := range slices.Backward(s.Tenures) {
		if t.Joined && !mutant.On(mutant.LeasesOfBefore) {
			return s.Tenures[i+1:]
		}
	}
	return s.Tenures
}

// highest returns the highest epoch of a lease under which the side was Primary, as far as
// that may be since the fork.
func (s Side) highest() (epoch uint64, held bool) {
	for _, t := range s.sinceOne() {
		if t.Leased && t.Epoch >= epoch {
			epoch, held = t.Epoch, true
		}
	}
	return epoch, held
}

// younger returns the side that became Primary last, by epochs alone; "" with
// the reason where they do not tell. Clocks of two hosts are never compared.
//
// A promotion without a lease came after every grant that the node had heard of.
// How it stands to a grant of which it had not heard, nobody knows.
func (e Evidence) younger() (Node, string) {
	a, b := e.Sides[0], e.Sides[1]
	for _, s := range e.Sides {
		if len(s.Tenures) == 0 {
			return "", fmt.Sprintf("it is not recorded when %s was Primary", s.Node)
		}
		if s.unseen() {
			return "", fmt.Sprintf("%s was promoted with no agent looking, so that it is not recorded when", s.Node)
		}
		if len(s.sinceOne()) == 0 {
			return "", fmt.Sprintf("it is not recorded when %s was Primary since both copies were one", s.Node)
		}
	}
	x, y := a.Tenures[len(a.Tenures)-1], b.Tenures[len(b.Tenures)-1]
	switch {
	case x.after(y):
		return a.Node, fmt.Sprintf("%s became Primary %s, %s %s", a.Node, x, b.Node, y)
	case y.after(x):
		return b.Node, fmt.Sprintf("%s became Primary %s, %s %s", b.Node, y, a.Node, x)
	}
	return "", fmt.Sprintf("%s became Primary %s and %s %s: their order is not recorded", a.Node, x, b.Node, y)
}

// after reports whether t is known to have begun after u did.
func (t Tenure) after(u Tenure) bool {
	switch {
	case t.Leased && u.Leased:
		return t.Epoch > u.Epoch
	case u.Leased:
		return t.Epoch >= u.Epoch // t's node had heard of u's grant
	}
	return false
}

func (t Tenure) String() string {
	if t.Leased {
		return fmt.Sprintf("under epoch %d", t.Epoch)
	}
	return fmt.Sprintf("without a lease, epoch %d being the last that it knew", t.Epoch)
}

// unseen reports whether the side has been Primary since the last time that is recorded:
// it is now, or DRBD has begun a generation there after the copies were one.
func (s Side) unseen() bool {
	if len(s.Tenures) == 0 {
		return s.Role == drbd.RolePrimary || slices.ContainsFunc(s.Volumes, Volume.wentOn)
	}
	last := s.Tenures[len(s.Tenures)-1]
	return s.Role == drbd.RolePrimary && !last.Until.IsZero() || last.Joined && slices.ContainsFunc(s.Volumes, Volume.wentOn)
}

// LastPrimary says for people when a side was Primary last, as far as that is known.
// Who promotes a copy while no agent runs is not seen; DRBD's own UUIDs still tell that
// somebody has.
func (s Side) LastPrimary() string {
	switch {
	case s.Missing != "":
		return ""
	case s.unseen() && s.Role == drbd.RolePrimary:
		return "now; promoted with no agent looking, not seen when"
	case s.unseen():
		return "promoted with no agent looking (its UUIDs tell), not seen when"
	case len(s.Tenures) == 0:
		return "not that its agent remembers"
	}
	last := s.Tenures[len(s.Tenures)-1]
	if last.Leased {
		return fmt.Sprintf("under epoch %d", last.Epoch)
	}
	return fmt.Sprintf("without a lease, after epoch %d", last.Epoch)
}

// lastSeen is the latest time for which a side was Primary, if that was seen, and nothing
// later went unseen.
func (s Side) lastSeen() Tenure {
	if s.Missing != "" || len(s.Tenures) == 0 || s.unseen() {
		return Tenure{}
	}
	return s.Tenures[len(s.Tenures)-1]
}

// PrimaryFrom says for people since when the side was Primary last, by its own clock;
// "": that is not known.
func (s Side) PrimaryFrom() string { return clockRead(s.lastSeen().From) }

// PrimaryUntil is its end.
func (s Side) PrimaryUntil() string {
	last := s.lastSeen()
	if last.Until.IsZero() && !last.From.IsZero() && s.Role == drbd.RolePrimary {
		return "now"
	}
	return clockRead(last.Until)
}

func clockRead(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// wentOn reports whether the volume has begun a generation of its own without its peer,
// as only a Primary does.
func (v Volume) wentOn() bool {
	g, err := drbd.ParseGI(v.Generations)
	return err == nil && g.Bitmap != 0 && !g.Flags.Connected
}

// forkMargin is taken off the time of a fork: an agent sees a promotion after it has
// happened, one without a right some seconds later still, and clocks are set meanwhile.
// What was changed so shortly before counts as changed since: then too much is shown as
// lost, and never too little.
const forkMargin = 10 * time.Second

// Forks are when each side's own clock read a moment after which the two had lost
// each other, if the given side is the victim: the beginning of a time as Primary
// that the other side's cannot have overlapped while they were one. Only the side
// that was promoted last knows one, of itself; see [forkMargin].
func (e Evidence) Forks(victim Node) Forks {
	younger, _ := e.younger()
	if younger == "" {
		return Forks{}
	}
	list, theirs := e.side(younger).sinceOne(), e.side(e.Other(younger)).sinceOne()
	first := len(list) - 1
	for first > 0 && list[first-1].after(theirs[len(theirs)-1]) {
		first-- // it was promoted alone more than once
	}
	from := list[first].From
	if from.IsZero() {
		return Forks{}
	}
	from = from.Add(-forkMargin)
	if younger == victim {
		return Forks{Victim: from}
	}
	return Forks{Survivor: from}
}
