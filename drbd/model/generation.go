package model

import (
	"slices"

	"sbarbiter/drbd"
)

const justCreated = drbd.JustCreated

// syncOffset is what 8.4 adds to a bitmap UUID to make the UUID of a resync.
const syncOffset drbd.UUID = 0x0001000000000000

// primaryBit marks in a current UUID that the node is Primary.
const primaryBit drbd.UUID = 1

// maxHistory is how many ancestors each family remembers.
const (
	maxHistory84 = 2
	maxHistory9  = 32
)

// Generation are the generation identifiers of one copy of the data. Its
// slices are never changed in place, so that copies may share them.
type Generation struct {
	Current drbd.UUID
	// Bitmap is the generation at which the peer was left behind, 0 if it was
	// not. On 9 it is the peer's slot. Its bit 0 tells whether this node was
	// Primary then.
	Bitmap drbd.UUID
	// Others are the slots of further nodes; 9 only, and empty between two.
	Others []drbd.UUID
	// History are older generations, youngest first.
	History []drbd.UUID
}

// ancestor returns the i-th youngest of the history, 0 beyond its end.
func (g Generation) ancestor(i int) drbd.UUID {
	if i < len(g.History) {
		return g.History[i]
	}
	return 0
}

// same reports whether a and b are one generation; 0 and 0 are.
func same(a, b drbd.UUID) bool { return a.Same(b) }

// inHistory reports whether u is among the ancestors that are set.
func (g Generation) inHistory(u drbd.UUID) bool {
	return slices.ContainsFunc(g.History, func(h drbd.UUID) bool { return h&^primaryBit != 0 && same(h, u) })
}

// Equal reports whether both are the same, mark bits included; missing
// history counts as zeros.
func (g Generation) Equal(h Generation) bool {
	if g.Current != h.Current || g.Bitmap != h.Bitmap || !slices.Equal(g.Others, h.Others) {
		return false
	}
	for i := range max(len(g.History), len(h.History)) {
		if g.ancestor(i) != h.ancestor(i) {
			return false
		}
	}
	return true
}

// push84 moves u to the front of a history of two.
func (g Generation) push84(u drbd.UUID) Generation {
	g.History = []drbd.UUID{u, g.ancestor(0)}
	return g
}

// push9 moves u to the front of the long history. It keeps neither marks nor
// duplicates, and neither 0 nor "just created".
func (g Generation) push9(u drbd.UUID) Generation {
	u &^= primaryBit
	if u == 0 || u == justCreated || g.inHistory(u) {
		return g
	}
	kept := g.History[:min(len(g.History), maxHistory9-1)]
	g.History = append([]drbd.UUID{u}, kept...)
	return g
}

// withRole sets or clears the mark of a Primary in the current UUID.
func (g Generation) withRole(r drbd.Role) Generation {
	g.Current = markRole(g.Current, r)
	return g
}

func markRole(u drbd.UUID, r drbd.Role) drbd.UUID {
	if r == drbd.RolePrimary {
		return u | primaryBit
	}
	return u &^ primaryBit
}

// begin starts a new generation named fresh: the peer stays behind at the one
// that was current. 8.4 forgets a bitmap UUID that was already there; 9 keeps
// it, and with it the generation at which the peer was really left.
func (g Generation) begin(f drbd.Family, fresh drbd.UUID, r drbd.Role) Generation {
	if f == drbd.Family9 && g.Bitmap != 0 {
		g = g.push9(g.Current)
	} else {
		g.Bitmap = g.Current
		if f == drbd.Family9 && same(g.Bitmap, justCreated) {
			g.Bitmap = fresh ^ syncOffset // 9 draws one, so that two fresh nodes share nothing
		}
	}
	g.Current = markRole(fresh, r)
	return g
}

// sourceBegins is what 8.4's source records when a resync starts. The peer
// takes the new bitmap UUID as its current one.
func (g Generation) sourceBegins(fresh drbd.UUID) Generation {
	old := g.Bitmap
	if old == 0 {
		g.Bitmap = fresh
		return g
	}
	g = g.push84(old)
	g.Bitmap = old + syncOffset
	if old == justCreated {
		g.Bitmap = fresh
	}
	return g
}

// targetBegins is what 8.4's target records on the source's word, before a
// single block was overwritten: from here its old generation is forgotten.
func (g Generation) targetBegins(sync drbd.UUID, r drbd.Role) Generation {
	g.Current = markRole(sync, r)
	g.Bitmap = 0
	return g
}

// sourceEnds is what a source records when its peer has all the data.
func (g Generation) sourceEnds(f drbd.Family) Generation {
	if f == drbd.Family9 {
		g = g.push9(g.Bitmap)
	} else if g.Bitmap != 0 {
		g = g.push84(g.Bitmap)
	}
	g.Bitmap = 0
	return g
}

// targetEnds is what a target records when it has all the data of a source
// that announced itself as from.
func (g Generation) targetEnds(f drbd.Family, from Generation, r drbd.Role) Generation {
	own := g.Current
	if f == drbd.Family9 {
		g.History = from.History
		g = g.push9(from.Bitmap)
		if !same(own, from.Current) {
			g = g.push9(own)
		}
	} else {
		g.History = []drbd.UUID{from.ancestor(0), from.ancestor(1)}
		if from.Bitmap != 0 {
			g = g.push84(from.Bitmap)
		}
		g = g.push84(own)
	}
	g.Bitmap = 0
	g.Current = markRole(from.Current, r)
	return g
}

// FromGenerations takes over what "get-gi" printed. On 9 that is not all: the
// tools show two ancestors of many.
func FromGenerations(g drbd.Generations) Generation {
	return Generation{Current: g.Current, Bitmap: g.Bitmap, History: []drbd.UUID{g.History[0], g.History[1]}}
}
