package linear

import (
	"fmt"
	"strings"

	"sbarbiter/arbiter"
)

// Party is one of the two nodes of a pair, or nobody.
type Party int8

// The parties.
const (
	Nobody Party = iota
	NodeA
	NodeB
)

// Peer returns the other node.
func (p Party) Peer() Party { return NodeA + NodeB - p }

func (p Party) String() string { return [...]string{"nobody", "a", "b"}[p] }

// unseen stands for a number that was given in an answer that nobody has had.
const unseen = ^uint64(0)

// State is what a group is, as far as clients can tell.
type State struct {
	Holder   Party
	Epoch    uint64    // of the lease; unseen: granted in an answer that was lost
	Last     uint64    // the highest epoch known to have been granted
	Excluded [2]uint64 // numbers, of each node's copy; 0: not excluded
	Top      uint64    // the highest exclusion number known
	Order    Party     // the group is to move there
}

func (s State) excluded(p Party) uint64 { return s.Excluded[p-NodeA] }

func (s State) exclude(p Party, number uint64) State {
	s.Excluded[p-NodeA] = number
	return s
}

// is takes what an answer says the epoch of the lease is.
func (s State) is(epoch uint64) (State, bool) {
	if s.Epoch == unseen && epoch > s.Last && epoch%4 == 0 {
		s.Epoch, s.Last = epoch, epoch
	}
	return s, s.Holder != Nobody && s.Epoch == epoch
}

// stale takes what an answer says the number of a node's exclusion is.
func (s State) stale(p Party, number uint64) (State, bool) {
	if s.excluded(p) == unseen && number > s.Top {
		s = s.exclude(p, number)
		s.Top = number
	}
	return s, s.excluded(p) == number
}

// certainly reports whether a node holds the group under that epoch.
func (s State) certainly(p Party, epoch uint64) bool { return s.Holder == p && s.Epoch == epoch }

// Verb is what a client asks.
type Verb string

// The verbs.
const (
	Acquire Verb = "acquire"
	Release Verb = "release"
	Exclude Verb = "exclude"
	Readmit Verb = "readmit"
	Order   Verb = "switchover"
	Look    Verb = "look"
)

// Ask is one request about a group.
type Ask struct {
	Verb   Verb
	Group  arbiter.GroupID
	By     Party  // of a node's request
	Of     Party  // who is to be readmitted, or the group to be moved to
	Epoch  uint64 // of a release or exclusion
	Number uint64 // of a readmission
}

// Told is its answer. Without Known nobody knows whether it was carried out.
type Told struct {
	Known   bool
	Verdict arbiter.Kind
	Reason  arbiter.Reason
	Holder  Party
	Epoch   uint64
	Number  uint64
	Seen    State // of a look
}

// Step returns the states that a group may be in after a request was answered so;
// none: it cannot have been.
func Step(s State, ask Ask, told Told) []State {
	switch {
	case ask.Verb == Look && !told.Known:
		return []State{s}
	case ask.Verb == Look:
		return looked(s, told.Seen)
	case !told.Known:
		return append(carriedOut(s, ask), s)
	case told.Verdict == arbiter.Refused:
		return refused(s, ask, told)
	}
	switch ask.Verb {
	case Acquire:
		return acquired(s, ask, told)
	case Release:
		return released(s, ask)
	case Exclude:
		return excluded(s, ask, told)
	case Readmit:
		return readmitted(s, ask)
	case Order:
		return ordered(s, ask)
	case Look:
	}
	return nil
}

// only returns s if the answer fits.
func only(s State, fits bool) []State {
	if !fits {
		return nil
	}
	return []State{s}
}

func looked(s, seen State) []State {
	fits := s.Holder == seen.Holder && s.Order == seen.Order
	if fits && s.Holder != Nobody {
		s, fits = s.is(seen.Epoch)
	}
	for p := NodeA; fits && p <= NodeB; p++ {
		s, fits = s.stale(p, seen.excluded(p))
	}
	return only(s, fits)
}

// free reports whether a node may be granted the group now.
func (s State) free(to Party) bool {
	return s.Holder == Nobody && s.excluded(to) == 0 && (s.Order == Nobody || s.Order == to)
}

func acquired(s State, ask Ask, told Told) []State {
	if s.Holder == ask.By {
		again, fits := s.is(told.Epoch)
		return only(again, fits && s.excluded(ask.By) == 0)
	}
	if !s.free(ask.By) || told.Epoch <= s.Last || told.Epoch%4 != 0 {
		return nil
	}
	s.Holder, s.Epoch, s.Last, s.Order = ask.By, told.Epoch, told.Epoch, Nobody
	return []State{s}
}

func released(s State, ask Ask) []State {
	now, fits := s.is(ask.Epoch)
	fits = fits && s.Holder == ask.By
	now.Holder, now.Epoch = Nobody, 0
	return only(now, fits)
}

func excluded(s State, ask Ask, told Told) []State {
	now, fits := s.is(ask.Epoch)
	if !fits || s.Holder != ask.By || s.excluded(ask.By) != 0 {
		return nil
	}
	peer := ask.By.Peer()
	if told.Number != unseen {
		if told.Number <= now.Top {
			return nil
		}
		now.Top = told.Number
	}
	now = now.exclude(peer, told.Number)
	if now.Order == peer {
		now.Order = Nobody
	}
	return []State{now}
}

func readmitted(s State, ask Ask) []State {
	if s.excluded(ask.Of) == 0 {
		return []State{s}
	}
	now, fits := s.stale(ask.Of, ask.Number)
	return only(now.exclude(ask.Of, 0), fits && s.excluded(ask.Of.Peer()) == 0)
}

func ordered(s State, ask Ask) []State {
	was := s.Order
	s.Order = ask.Of
	if ask.Of == Nobody {
		return only(s, was != Nobody)
	}
	return only(s, s.Holder != ask.Of && s.excluded(ask.Of) == 0)
}

// carriedOut is what a request does whose answer nobody has had, none if it
// would be refused.
func carriedOut(s State, ask Ask) []State {
	switch ask.Verb {
	case Acquire:
		if !s.free(ask.By) {
			return nil // a holder that asks again changes nothing
		}
		s.Holder, s.Epoch, s.Order = ask.By, unseen, Nobody
		return []State{s}
	case Release:
		return released(s, ask)
	case Exclude:
		return excluded(s, ask, Told{Number: unseen})
	case Readmit:
		return readmitted(s, ask)
	case Order:
		return ordered(s, ask)
	case Look:
	}
	return nil
}

// refused says what a refusal's reason claims. Where a leader's clock decides,
// both is so.
func refused(s State, ask Ask, told Told) []State {
	held := s.Holder == ask.By
	switch told.Reason {
	case arbiter.NotIntroduced, arbiter.Overtaken:
		return []State{s} // it was not looked at
	case arbiter.IsExcluded:
		return only(s, s.excluded(max(ask.By, ask.Of)) != 0)
	case arbiter.HeldByPeer:
		if told.Holder == Nobody {
			return []State{s} // it had just changed hands
		}
		now, fits := s.is(told.Epoch)
		return only(now, fits && s.Holder == told.Holder && told.Holder == ask.By.Peer() && s.excluded(ask.By) == 0)
	case arbiter.SwitchUnderWay:
		return only(s, s.Holder == Nobody && s.Order == ask.By.Peer() && s.excluded(ask.By) == 0)
	case arbiter.GrantedToPeer:
		return only(s, s.Holder == ask.By.Peer())
	case arbiter.NotHolder:
		return only(s, !s.certainly(ask.By, ask.Epoch) && (ask.Verb != Exclude || s.Holder != ask.By.Peer()))
	case arbiter.LastCopy:
		return only(s, held && s.excluded(ask.By) != 0)
	case arbiter.RenewFirst:
		return only(s, held)
	case arbiter.NotLatest:
		return only(s, s.excluded(ask.Of) != 0 && s.excluded(ask.Of) != ask.Number)
	case arbiter.NoGoodCopy:
		return only(s, s.excluded(NodeA) != 0 && s.excluded(NodeB) != 0)
	case arbiter.NotInStep:
		return only(s, s.Holder != ask.Of) // the node was not heard a moment ago
	case arbiter.NothingToDo:
		return only(s, ask.Of == Nobody && s.Order == Nobody || ask.Of != Nobody && s.Holder == ask.Of)
	}
	return nil
}

// String says what was asked.
func (a Ask) String() string {
	switch a.Verb {
	case Acquire:
		return fmt.Sprintf("%s acquires", a.By)
	case Release:
		return fmt.Sprintf("%s releases %d", a.By, a.Epoch)
	case Exclude:
		return fmt.Sprintf("%s excludes %s under %d", a.By, a.By.Peer(), a.Epoch)
	case Readmit:
		return fmt.Sprintf("%s readmits %s, %s", a.By, a.Of, number(a.Number))
	case Order:
		return fmt.Sprintf("move to %s", a.Of)
	case Look:
	}
	return "look"
}

// String says what was answered.
func (t Told) String() string {
	switch {
	case !t.Known:
		return "no answer"
	case t.Verdict == arbiter.Refused && t.Holder != Nobody:
		return fmt.Sprintf("no: %s by %s, %d", t.Reason, t.Holder, t.Epoch)
	case t.Verdict == arbiter.Refused:
		return "no: " + string(t.Reason)
	case t.Verdict == arbiter.Granted:
		return fmt.Sprintf("granted %d", t.Epoch)
	case t.Number != 0:
		return "done, " + number(t.Number)
	case t.Verdict == arbiter.Done:
		return "done"
	}
	return t.Seen.String()
}

// String describes a state.
func (s State) String() string {
	out := []string{"free"}
	switch {
	case s.Epoch == unseen:
		out[0] = fmt.Sprintf("%s holds ? (after %d)", s.Holder, s.Last)
	case s.Holder != Nobody:
		out[0] = fmt.Sprintf("%s holds %d", s.Holder, s.Epoch)
	}
	for p := NodeA; p <= NodeB; p++ {
		if n := s.excluded(p); n != 0 {
			out = append(out, fmt.Sprintf("%s stale %s", p, number(n)))
		}
	}
	if s.Order != Nobody {
		out = append(out, "to "+s.Order.String())
	}
	return strings.Join(out, ", ")
}

func number(n uint64) string {
	if n == unseen {
		return "?"
	}
	return arbiter.ExclusionNumber(n).String()
}
