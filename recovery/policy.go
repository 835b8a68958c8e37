package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sbarbiter/drbd"
	"sbarbiter/internal/mutant"
)

// PolicyName names a policy.
type PolicyName string

// The policies. Those that are named as DRBD's own mean here what their names
// say: younger and older go by recorded epochs, not by a bit of a UUID.
const (
	DiscardZeroChanges    PolicyName = "discard-zero-changes"    // the side that has changed nothing
	DiscardUnleased       PolicyName = "discard-unleased"        // the side that did not hold the highest epoch since they were one
	DiscardYoungerPrimary PolicyName = "discard-younger-primary" // the side that became Primary last
	DiscardOlderPrimary   PolicyName = "discard-older-primary"   // the side that became Primary first
	DiscardLeastChanges   PolicyName = "discard-least-changes"   // the side that has changed less
	DiscardNode           PolicyName = "discard-node"            // the node that is named
	DiscardSecondary      PolicyName = "discard-secondary"       // the side that is Secondary, the other being Primary
	Consensus             PolicyName = "consensus"               // whom all the policies named in it would discard
	Manual                PolicyName = "manual"                  // ask a person
)

// PolicyNames are all names, in the order in which to explain them.
var PolicyNames = []PolicyName{
	DiscardZeroChanges, DiscardUnleased, DiscardYoungerPrimary, DiscardOlderPrimary,
	DiscardLeastChanges, DiscardNode, DiscardSecondary, Consensus, Manual,
}

// LikePolicy guesses which policy was meant, by whose name shares most with what was
// typed; "" for a word that is like none, or equally like several: a guess there would be
// a bad counsel about what to give up.
func LikePolicy(typed string) PolicyName {
	best, most := PolicyName(""), 3
	for _, n := range PolicyNames {
		shared := 0
		for word := range strings.SplitSeq(string(n), "-") {
			if strings.Contains(typed, word) {
				shared += len(word)
			}
		}
		for i := range min(len(n), len(typed)) {
			if n[i] != typed[i] {
				break
			}
			shared++
		}
		switch {
		case shared > most:
			best, most = n, shared
		case shared == most:
			best = ""
		}
	}
	return best
}

// Policy is one entry of an operator's list.
type Policy struct {
	Name PolicyName `json:"name"`
	Node Node       `json:"node,omitempty"` // of discard-node
	// Of are the policies that a consensus needs, at least two.
	Of []PolicyName `json:"of,omitempty"`
	// MinRatio is by what factor the survivor must have changed more, of
	// discard-least-changes; 0 is 1.
	MinRatio float64 `json:"min_ratio,omitempty"`
	Guards
}

// Guards limit what a policy may decide. A decision outside of them is none: the
// policy passes and says so.
type Guards struct {
	// MaxDiscard is how many bytes of changes may be given up; nil: no limit.
	MaxDiscard *uint64 `json:"max_discard,omitempty"`
	// RequireSnapshot wants room for a snapshot of all that would be given up.
	RequireSnapshot bool `json:"require_snapshot,omitempty"`
	// RequireUnmounted wants the victim unmounted already.
	RequireUnmounted bool `json:"require_unmounted,omitempty"`
	// NotIfOpen wants nothing to hold the victim's volumes open.
	NotIfOpen bool `json:"not_if_open,omitempty"`
}

// Validate names what is wrong with p and how to mend it.
func (p Policy) Validate() error {
	switch {
	case !slices.Contains(PolicyNames, p.Name):
		return fmt.Errorf("there is no policy %q; there are %s", p.Name, names(PolicyNames))
	case p.Name == DiscardNode && p.Node == "":
		return fmt.Errorf("%s: the node is missing: write {policy: %s, node: NAME}", p.Name, p.Name)
	case p.Name == Consensus && len(p.Of) == 0:
		return fmt.Errorf("%s: the policies are missing: write {policy: %s, of: [NAME, NAME]}", p.Name, p.Name)
	case (p.Name == DiscardNode) != (p.Node != ""):
		return fmt.Errorf("%s: a node belongs to %s and to no other policy", p.Name, DiscardNode)
	case (p.Name == Consensus) != (len(p.Of) > 0):
		return fmt.Errorf("%s: a list of policies belongs to %s and to no other policy", p.Name, Consensus)
	case p.Name == Consensus && len(p.Of) < 2:
		return fmt.Errorf("%s: name at least two policies that have to agree", p.Name)
	case p.MinRatio != 0 && p.Name != DiscardLeastChanges:
		return fmt.Errorf("%s: a ratio belongs to %s", p.Name, DiscardLeastChanges)
	case p.MinRatio != 0 && !(p.MinRatio >= 1):
		return fmt.Errorf("%s: min_ratio %v would discard the side that changed more: write 1 or above", p.Name, p.MinRatio)
	}
	for _, n := range p.Of {
		if !slices.Contains(PolicyNames, n) || n == Consensus || n == Manual || n == DiscardNode {
			return fmt.Errorf("%s: %q cannot be one of those that have to agree", p.Name, n)
		}
	}
	return nil
}

// String is the policy's name with its node or its list.
func (p Policy) String() string {
	switch p.Name {
	case DiscardNode:
		return fmt.Sprintf("%s %s", p.Name, p.Node)
	case Consensus:
		return fmt.Sprintf("%s of %s", p.Name, names(p.Of))
	}
	return string(p.Name)
}

func names(list []PolicyName) string {
	var words []string
	for _, n := range list {
		words = append(words, string(n))
	}
	return strings.Join(words, ", ")
}

// choose returns whom the policy would discard, guards apart, with the figures it
// used; "" if it passes.
func (p Policy) choose(e Evidence) (victim Node, why string) {
	switch p.Name {
	case DiscardZeroChanges:
		return e.perVolume(zeroChanges)
	case DiscardLeastChanges:
		return e.perVolume(func(a, b change) (Node, string) { return leastChanges(a, b, max(p.MinRatio, 1)) })
	case DiscardUnleased:
		return e.unleased()
	case DiscardYoungerPrimary:
		return e.younger()
	case DiscardOlderPrimary:
		n, why := e.younger()
		if n != "" {
			n = e.Other(n)
		}
		return n, why
	case DiscardNode:
		if !e.Has(p.Node) {
			return "", fmt.Sprintf("%s is not a node of this pair", p.Node)
		}
		return p.Node, fmt.Sprintf("the operator's list names %s", p.Node)
	case DiscardSecondary:
		return e.secondary()
	case Consensus:
		return p.consensus(e)
	case Manual:
	}
	return "", "the operator's list says to ask a person"
}

// unleased names the side whose highest epoch of a lease since the fork is the lower one.
func (e Evidence) unleased() (Node, string) {
	a, b := e.Sides[0], e.Sides[1]
	x, aHeld := a.highest()
	y, bHeld := b.highest()
	switch {
	case !aHeld && !bHeld:
		return "", "no lease of either side is recorded from after both copies were one"
	case aHeld && bHeld && x == y:
		return "", fmt.Sprintf("both sides claim epoch %d, which only one can have held", x)
	case !bHeld || aHeld && x > y:
		return b.Node, heldHigher(a.Node, x, b.Node, y, bHeld)
	}
	return a.Node, heldHigher(b.Node, y, a.Node, x, aHeld)
}

func heldHigher(keep Node, epoch uint64, lose Node, lower uint64, held bool) string {
	if !held {
		return fmt.Sprintf("%s held the group under epoch %d, %s under none since both copies were one", keep, epoch, lose)
	}
	return fmt.Sprintf("%s held the group under epoch %d, %s only up to %d", keep, epoch, lose, lower)
}

func (e Evidence) secondary() (Node, string) {
	a, b := e.Sides[0], e.Sides[1]
	switch {
	case a.Role == b.Role:
		return "", fmt.Sprintf("both sides are %s", a.Role)
	case a.Role == drbd.RoleSecondary:
		return a.Node, fmt.Sprintf("%s is Secondary and %s is Primary", a.Node, b.Node)
	}
	return b.Node, fmt.Sprintf("%s is Secondary and %s is Primary", b.Node, a.Node)
}

// consensus decides where all its policies do, for the same side.
func (p Policy) consensus(e Evidence) (victim Node, why string) {
	var reasons []string
	for _, n := range p.Of {
		v, why := Policy{Name: n}.choose(e)
		switch {
		case v == "":
			return "", fmt.Sprintf("%s does not decide: %s", n, why)
		case victim != "" && v != victim:
			return "", fmt.Sprintf("%s would discard %s, not %s: %s", n, v, victim, why)
		}
		victim = v
		reasons = append(reasons, why)
	}
	return victim, strings.Join(reasons, "; ")
}

// change is how much a side has changed of one volume.
type change struct {
	node   Node
	volume string
	bytes  uint64
}

// perVolume asks a question of every volume and wants one answer: a group whose
// volumes come from different sides would hold a state that never was. A volume
// that nobody changed has no say.
func (e Evidence) perVolume(ask func(a, b change) (Node, string)) (victim Node, why string) {
	var reasons []string
	for i, v := range e.Sides[0].Volumes {
		if i > 0 && mutant.On(mutant.OneVolumeCounts) {
			break
		}
		var c [2]change
		for s, side := range e.Sides {
			counted := side.Volumes[i].OutOfSync
			if counted == nil {
				return "", fmt.Sprintf("what %s changed on %s since they parted could not be counted", side.Node, v.Name())
			}
			c[s] = change{side.Node, v.Name(), *counted}
		}
		if c[0].bytes == 0 && c[1].bytes == 0 {
			continue
		}
		n, why := ask(c[0], c[1])
		switch {
		case n == "":
			return "", why
		case victim != "" && n != victim:
			return "", fmt.Sprintf("volumes would go different ways: %s, but %s", strings.Join(reasons, "; "), why)
		}
		victim = n
		reasons = append(reasons, why)
	}
	if victim == "" {
		return "", "neither side has changed a block"
	}
	return victim, strings.Join(reasons, "; ")
}

func zeroChanges(a, b change) (Node, string) {
	switch {
	case a.bytes == 0:
		return a.node, fmt.Sprintf("%s changed nothing on %s, %s %s", a.node, a.volume, b.node, Bytes(b.bytes))
	case b.bytes == 0:
		return b.node, fmt.Sprintf("%s changed nothing on %s, %s %s", b.node, a.volume, a.node, Bytes(a.bytes))
	}
	return "", fmt.Sprintf("both sides changed %s: %s %s, %s %s", a.volume, a.node, Bytes(a.bytes), b.node, Bytes(b.bytes))
}

func leastChanges(a, b change, ratio float64) (Node, string) {
	less, more := a, b
	if cmp.Compare(b.bytes, a.bytes) < 0 {
		less, more = b, a
	}
	said := fmt.Sprintf("%s changed %s of %s, %s %s", less.node, Bytes(less.bytes), a.volume, more.node, Bytes(more.bytes))
	switch {
	case less.bytes == more.bytes:
		return "", said + ": a tie"
	case float64(more.bytes) < ratio*float64(less.bytes):
		return "", fmt.Sprintf("%s: less than %v times as much", said, ratio)
	}
	return less.node, said
}

// Bytes prints a number of bytes for a person, as 4.0 KiB.
func Bytes(n uint64) string { return bytesTo(n, 1) }

func bytesTo(n uint64, digits int) string {
	const kib = 1 << 10
	if n < kib {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/kib, 0
	for units := "KMGTPE"; f >= kib && unit < len(units)-1; unit++ {
		f /= kib
	}
	return fmt.Sprintf("%.*f %ciB", digits, f, "KMGTPE"[unit])
}

// Apart writes two amounts with as many digits as it takes to tell them apart.
func Apart(m, n uint64) (string, string) {
	const most = 12 // a block of an exbibyte
	digits := 1
	for m != n && digits < most && bytesTo(m, digits) == bytesTo(n, digits) {
		digits++
	}
	return bytesTo(m, digits), bytesTo(n, digits)
}
