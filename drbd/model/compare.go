package model

import "sbarbiter/drbd"

// Comparison is what two generations have to do with each other.
type Comparison struct {
	// Rule names the rule that applied: a number on 8.4, a word on 9.
	Rule     string
	Strategy Strategy
	// Corrected is this side's generation after the comparison; two of 8.4's
	// rules repair traces of a resync whose last message was lost.
	Corrected Generation
	// Peer is the peer's generation, corrected likewise.
	Peer Generation
}

// pair is what a rule looks at: this side and its peer, as announced.
type pair struct {
	self, peer Side
	protocol   Protocol
}

// rule is one line of a comparison's table: its name, and what it says, "" if
// it does not apply.
type rule struct {
	name string
	says func(pair) Strategy
	// correct and correctPeer repair a generation if the rule applied; mostly
	// nil.
	correct, correctPeer func(Generation) Generation
}

// Compare relates this side's generation to the peer's by the family's rules,
// the first that applies. It changes neither.
func Compare(c Config, self, peer Side) Comparison {
	p := pair{self: self, peer: peer, protocol: c.protocol()}
	rules := rules84
	if c.Family == drbd.Family9 {
		rules = rules9
		p.self.Generation.Current = orCreated(p.self.Generation.Current)
		p.peer.Generation.Current = orCreated(p.peer.Generation.Current)
	}
	for _, r := range rules {
		s := r.says(p)
		if s == "" {
			continue
		}
		result := Comparison{Rule: r.name, Strategy: s, Corrected: self.Generation, Peer: peer.Generation}
		if r.correct != nil {
			result.Corrected = r.correct(self.Generation)
		}
		if r.correctPeer != nil {
			result.Peer = r.correctPeer(peer.Generation)
		}
		return result
	}
	panic("model: a table of rules has no last rule")
}

// when makes a rule out of a condition and its only outcome.
func when(holds func(self, peer Generation) bool, s Strategy) func(pair) Strategy {
	return func(p pair) Strategy {
		if holds(p.self.Generation, p.peer.Generation) {
			return s
		}
		return ""
	}
}

// mirrored makes the rule that holds with the sides exchanged.
func mirrored(holds func(self, peer Generation) bool, s Strategy) func(pair) Strategy {
	return when(func(self, peer Generation) bool { return holds(peer, self) }, s)
}

func sameCurrent(self, peer Generation) bool { return same(self.Current, peer.Current) }

// orCreated reads a current UUID of 0, which only very old releases wrote.
func orCreated(u drbd.UUID) drbd.UUID {
	if u&^primaryBit == 0 {
		return justCreated
	}
	return u
}

func isCreated(u drbd.UUID) bool { return same(u, justCreated) }

func isNothing(u drbd.UUID) bool { return isCreated(u) || same(u, 0) }
